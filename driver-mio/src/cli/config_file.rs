//! Flags from the command line, the environment and the configuration file, in that order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::args::command;
use super::exit::{Failure, USAGE};
use super::output::parser_message;

/// Parses the command line with the environment and the configuration file behind it.
pub fn parse_arguments(arguments: Vec<OsString>) -> Result<ArgMatches, Failure> {
    let ignore = arguments.iter().any(|argument| argument == "--no-config")
        || std::env::var_os("EDDYLINE_NO_CONFIG").is_some();
    let file = if ignore { toml::Table::new() } else { read()? };
    let command = with_fallbacks(command(), &file);
    command.try_get_matches_from(arguments).map_err(|error| {
        // Help and version are no failures.
        parser_message(&error);
        let code = u8::try_from(error.exit_code()).unwrap_or(USAGE);
        Failure::new(code, "")
    })
}

/// Where the configuration file is, if the system says where such files are.
fn path() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CONFIG_HOME").filter(|home| !home.is_empty());
    let home = home
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(home.join("eddyline").join("config.toml"))
}

fn read() -> Result<toml::Table, Failure> {
    let Some(path) = path() else { return Ok(toml::Table::new()) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(toml::Table::new()),
        Err(error) => return Err(Failure::io(&path, &error)),
    };
    parse(&text, &path)
}

/// Reads a configuration file, and a command line that has nothing of its own with it.
pub(crate) fn check(text: &str) -> Result<(), Failure> {
    let file = parse(text, Path::new("config.toml"))?;
    let arguments = ["eddyline", "download", "--", "x"];
    let parsed = with_fallbacks(command(), &file).try_get_matches_from(arguments);
    parsed.map(drop).map_err(|error| Failure::new(USAGE, error.to_string()))
}

fn parse(text: &str, path: &Path) -> Result<toml::Table, Failure> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::new(USAGE, format!("{}: {}", path.display(), error.message()))
    })?;
    let known = |key: &str| {
        let mut all = command();
        all.build();
        let own = all.get_arguments().any(|arg| arg.get_long() == Some(key));
        own || all
            .get_subcommands()
            .any(|sub| sub.get_arguments().any(|arg| arg.get_long() == Some(key)))
    };
    if let Some(key) = table.keys().find(|key| !known(key)) {
        let text = format!("{}: there is no flag --{key}", path.display());
        return Err(Failure::new(USAGE, text));
    }
    Ok(table)
}

/// Gives every long flag its environment variable and its default from the file.
fn with_fallbacks(command: Command, file: &toml::Table) -> Command {
    let add = |arg: Arg| -> Arg {
        let Some(long) = arg.get_long().map(str::to_owned) else { return arg };
        let name = format!("EDDYLINE_{}", long.to_uppercase().replace('-', "_"));
        // A flag takes 1, yes and on from the environment as well as true.
        let arg = match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()).env(name),
            _ => arg.env(name),
        };
        match file.get(&long) {
            None => arg,
            Some(toml::Value::Array(values)) => {
                arg.required(false).default_values(values.iter().map(text).collect::<Vec<_>>())
            }
            Some(value) => arg.required(false).default_value(text(value)),
        }
    };
    command.mut_args(add).mut_subcommands(|sub| sub.mut_args(add))
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
