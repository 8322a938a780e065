//! The `eddyline` program.

// The runtime of Rust opens /dev/null in place of a stream that is closed. Nothing but a system call is
// made here.
#[ctor::ctor(unsafe)]
fn before_main() {
    eddyline_cli::look_before_main();
}

fn main() -> std::process::ExitCode {
    eddyline_cli::run()
}
