//! Shell completions and the manual, made from the command line itself.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::super::exit::Failure;
use super::super::output;
use super::{CompletionsArgs, ManArgs, command};

/// Prints shell completions.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "eddyline", &mut script);
    output::bytes(&script);
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of the program, or writes the pages of all commands into a folder.
pub fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    if let Some(folder) = &args.folder {
        let made = std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
            // What is there is no folder.
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        });
        let written = made.and_then(|()| clap_mangen::generate_to(command(), folder));
        written.map_err(|error| Failure::io(folder, &error))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command()).render(&mut page);
    rendered.map_err(|error| Failure::io(Path::new("the manual"), &error))?;
    output::bytes(&page);
    Ok(ExitCode::SUCCESS)
}
