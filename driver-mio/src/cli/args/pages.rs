//! Shell completions and the man page, made from the command line itself.

use std::process::ExitCode;

use clap::ArgMatches;

use super::super::exit::{Failure, UNEXPECTED};
use super::super::output;
use super::command;

/// Prints shell completions.
pub fn completions(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    if let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") {
        clap_complete::generate(*shell, &mut command(), "eddyline", &mut script);
    }
    output::bytes(&script);
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page.
pub fn man() -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command()).render(&mut page);
    rendered.map_err(|error| Failure::new(UNEXPECTED, format!("cannot make the page: {error}")))?;
    output::bytes(&page);
    Ok(ExitCode::SUCCESS)
}
