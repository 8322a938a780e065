//! The command line: arguments in, text, JSON and exit codes out. No protocol and no I/O loop. What the program
//! `eddyline` is made of, and no library for others: those are `eddyline-session`, `eddyline-mio` and `eddyline-disk`.

#![deny(unsafe_code)]

mod args;
mod clients;
mod config_file;
mod create;
mod demo;
mod demo_tracker;
mod documents;
mod exit;
mod folders;
mod found;
#[doc(hidden)]
pub mod fuzzing;
mod goal;
mod hashing;
mod info;
mod metadata;
mod output;
mod output_file;
mod passkeys;
mod progress;
mod published;
mod replay;
mod selection;
mod session;

mod session_set;
mod setup;
mod signals;
mod source;
mod spared;
mod streams;
mod terminal;
mod transfer;
mod units;
mod verify;

use std::process::ExitCode;

use clap::ArgMatches;

pub use exit::Failure;
pub use streams::look_before_main;

/// Runs the program.
pub fn run() -> ExitCode {
    let matches = config_file::parse_arguments(std::env::args_os().collect());
    let outcome = matches.and_then(|matches| dispatch(&matches));
    let code = outcome.unwrap_or_else(|failure| report(&failure));
    // What came of it nobody could read.
    streams::lost().map_or(code, |failure| report(&failure))
}

fn report(failure: &Failure) -> ExitCode {
    let message = output::untold(&failure.message);
    if !message.is_empty() {
        output::say(&format!("eddyline: {}", output::printable(message)));
    }
    ExitCode::from(failure.code)
}

fn dispatch(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    output::choose_colors(matches);
    match matches.subcommand() {
        Some(("download", m)) => transfer::download(m),
        Some(("seed", m)) => transfer::seed(m),
        Some(("create", m)) => create::create(m),
        Some(("info", m)) => info::info(m),
        Some(("magnet", m)) => info::magnet(m),
        Some(("verify", m)) => verify::verify(m),
        Some(("demo", m)) => demo::demo(m),
        Some(("session", m)) => session_set::session(m),
        Some(("replay", m)) => replay::replay(m),
        Some(("completions", m)) => args::completions(m),
        Some(("man", m)) => args::man(m),
        _ => Err(Failure::new(exit::USAGE, "no command given; see --help")),
    }
}
