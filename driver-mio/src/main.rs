//! The `eddyline` program.

fn main() -> std::process::ExitCode {
    eddyline_mio::cli::run()
}
