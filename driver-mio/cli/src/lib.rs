//! The command line: arguments in, text, JSON and exit codes out. No protocol and no I/O loop. What the program
//! `eddyline` is made of, and no library for others: those are `eddyline-session`, `eddyline-mio` and `eddyline-disk`.

#![deny(unsafe_code)]

mod args;
mod clients;
mod config_file;
mod create;
mod demo;
mod demo_tracker;
mod doctor;
mod documents;
mod exit;
mod folders;
mod found;
#[doc(hidden)]
pub mod fuzzing;
mod goal;
mod hashing;
mod info;
mod lists;
mod metadata;
mod output;
mod output_file;
mod passkeys;
mod progress;
mod published;
mod remembered;
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

use args::{Command, CommandLine};
pub use exit::Failure;
pub use streams::look_before_main;

/// Runs the program.
pub fn run() -> ExitCode {
    let line = config_file::parse_arguments(std::env::args_os().collect());
    let outcome = line.and_then(|line| dispatch(&line));
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

fn dispatch(line: &CommandLine) -> Result<ExitCode, Failure> {
    let general = line.general;
    output::choose_colors(general.color);
    match &line.command {
        Command::Download(args) => transfer::download(args, general),
        Command::Seed(args) => transfer::seed(args, general),
        Command::Create(args) => create::create(args, general),
        Command::Info(args) => info::info(args, general),
        Command::Magnet(args) => info::magnet(args),
        Command::Doctor(args) => doctor::doctor(args, general),
        Command::Verify(args) => verify::verify(args, general),
        Command::Demo(args) => demo::demo(args, general),
        Command::Session(args) => session_set::session(args, general),
        Command::Replay(args) => replay::replay(args, general),
        Command::Completions(args) => args::completions(args),
        Command::Man(args) => args::man(args),
    }
}
