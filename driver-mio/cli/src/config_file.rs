//! Flags from the command line, the environment and the configuration file, in that order.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, FromArgMatches};
use eddyline_disk::private;

use super::args::{CommandLine, command};
use super::exit::{Failure, USAGE};
use super::folders;
use super::output::{parser_message, say, warn};

/// Flags that mean something of its own to a command: of the file they are taken from its table, as
/// `[create]` or `[session.add]`, and not from what is said for all.
const OWN: &[(&str, &[&str])] = &[
    ("create", &["tracker", "web-seed", "source", "name", "comment", "output", "force", "select"]),
    ("replay", &["peer", "piece", "force"]),
    ("session add", &["max-down", "max-up", "select", "seed-ratio", "seed-time", "paused"]),
    ("session set", &["max-down", "max-up", "select", "seed-ratio", "seed-time", "sequential"]),
    ("session move", &["to"]),
    ("session rename", &["file"]),
];

/// Commands of the session after which what is said stays with a torrent. Variables of flags of theirs that other
/// commands have too name the command, as `EDDYLINE_SESSION_SET_MAX_UP`: whoever limits all torrents of a run by
/// `EDDYLINE_MAX_UP` does not write that into each of them.
const LASTING: &[&str] = &["session add", "session set"];

/// Flags that may be given several times and whose values have no spaces: a variable has several with spaces
/// between them.
const ADDRESSES: &[&str] = &["peer", "tracker", "mirror", "dht-bootstrap", "web-seed"];

/// Longest configuration file that is read: reading one takes fifty times its bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Parses the command line with the environment and the configuration file behind it.
pub fn parse_arguments(arguments: Vec<OsString>) -> Result<CommandLine, Failure> {
    let ignore = arguments.iter().any(|argument| argument == "--no-config")
        || std::env::var_os("EDDYLINE_NO_CONFIG").is_some();
    let (file, unread) = if ignore { Default::default() } else { read()? };
    let given = arguments.clone();
    let (arguments, undone) = without_negations(&command(), arguments);
    let command = with_fallbacks(command(), &file, &undone);
    let parsed = command.try_get_matches_from(arguments);
    let parsed = parsed.and_then(|matches| CommandLine::from_arg_matches(&matches));
    let line = parsed.map_err(|error| {
        // Help and version are no failures.
        parser_message(&error);
        if let Some(place) = place_of(&error, &given, &file) {
            say(&format!("The value is from {place}."));
        }
        let code = u8::try_from(error.exit_code()).unwrap_or(USAGE);
        Failure::new(code, "")
    })?;
    if let Some(why) = unread.filter(|_| line.general.verbose > 0) {
        warn(&why);
    }
    Ok(line)
}

/// Where a value stands that a flag cannot take and that is not on the command line.
fn place_of(error: &clap::Error, given: &[OsString], file: &toml::Table) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = context(ContextKind::InvalidValue).filter(|value| !value.is_empty())?;
    let flag = context(ContextKind::InvalidArg)?.split([' ', '=']).next()?.strip_prefix("--")?;
    if given.iter().any(|argument| argument.to_string_lossy().ends_with(value)) {
        return None;
    }
    let is_it = |text: &str| text == value || text.split_whitespace().any(|part| part == value);
    let paths = ["", "session add", "session set"];
    let mut names = paths.iter().map(|path| variable(format!("{path} {flag}").trim()));
    if let Some(name) = names.find(|name| std::env::var(name).is_ok_and(|text| is_it(&text))) {
        return Some(format!("the environment, {name}"));
    }
    let path = folders::config()?.join("config.toml");
    (!file.is_empty()).then(|| format!("the configuration file {}", path.display()))
}

/// The environment variable of a flag.
fn variable(flag: &str) -> String {
    format!("EDDYLINE_{}", flag.to_uppercase().replace(['-', ' '], "_"))
}

/// The configuration file of the user. One that cannot be read is ignored: a service may run with
/// a home that is not its own. Why it cannot be read is told beside it.
fn read() -> Result<(toml::Table, Option<String>), Failure> {
    let Some(path) = folders::config().map(|folder| folder.join("config.toml")) else {
        return Ok((toml::Table::new(), None));
    };
    match private::read(&path, MAX_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok((parse(&text, &path)?, None)),
            Err(_) => Err(Failure::new(USAGE, format!("{} is not UTF-8", path.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok((toml::Table::new(), None))
        }
        Err(error) => {
            let why = format!("{}; going on without it", Failure::io(&path, &error).message);
            Ok((toml::Table::new(), Some(why)))
        }
    }
}

/// Reads a configuration file, and a command line that has nothing of its own with it.
pub(crate) fn check(text: &str) -> Result<(), Failure> {
    let file = parse(text, Path::new("config.toml"))?;
    let arguments = ["eddyline", "download", "--", "x"];
    let parsed = with_fallbacks(command(), &file, &[]).try_get_matches_from(arguments);
    let line = parsed.and_then(|matches| CommandLine::from_arg_matches(&matches));
    line.map(drop).map_err(|error| Failure::new(USAGE, error.to_string()))
}

fn parse(text: &str, path: &Path) -> Result<toml::Table, Failure> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::new(USAGE, format!("{}, line {line}: {}", path.display(), error.message()))
    })?;
    let mut all = command();
    all.build();
    if let Some(key) = unknown_key(&table, &all, &flags_below(&all)) {
        let text = format!("{}: there is no flag --{key}", path.display());
        return Err(Failure::new(USAGE, text));
    }
    Ok(table)
}

/// The long flags of a command and of all below it.
fn flags_below(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_long).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(flags_below)).collect()
}

/// A key that is no flag, and no table of a command.
fn unknown_key(table: &toml::Table, command: &Command, flags: &[String]) -> Option<String> {
    table.iter().find_map(|(key, value)| match (value, command.find_subcommand(key)) {
        (toml::Value::Table(inner), Some(sub)) => unknown_key(inner, sub, &flags_below(sub)),
        _ => (!flags.contains(key)).then(|| key.clone()),
    })
}

/// Takes out of the command line what undoes a flag that is on by the file or the environment: `--no-dht=false`,
/// `--dht` for `--no-dht`, and `--no-json` for `--json`. `--json=true` is `--json`. What is a switch is so for the
/// command that is called; another may have a flag of that name with a value.
fn without_negations(command: &Command, arguments: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let flags = flags_of(command, &arguments);
    let is_flag = |name: &str| flags.iter().any(|flag| flag.get_long() == Some(name));
    let is_switch = |name: &str| {
        let mut named = flags.iter().filter(|flag| flag.get_long() == Some(name));
        named.any(|flag| matches!(flag.get_action(), ArgAction::SetTrue))
    };
    let (mut kept, mut undone, mut options) = (Vec::new(), Vec::new(), true);
    for argument in arguments {
        let text = argument.to_str().filter(|_| options).unwrap_or_default();
        options &= text != "--";
        let Some(name) = text.strip_prefix("--") else {
            kept.push(argument);
            continue;
        };
        let opposite = match name.strip_prefix("no-") {
            Some(positive) => positive.to_owned(),
            None => format!("no-{name}"),
        };
        match name.split_once('=') {
            Some((name, "false" | "no" | "off" | "0")) if is_switch(name) => {
                undone.push(name.to_owned());
            }
            Some((name, "true" | "yes" | "on" | "1")) if is_switch(name) => {
                kept.push(format!("--{name}").into());
            }
            None if is_switch(&opposite) && !is_flag(name) => {
                undone.push(opposite);
            }
            _ => kept.push(argument),
        }
    }
    (kept, undone)
}

/// The flags that the command which the arguments name can be given. What is a switch to one command takes a value of
/// another.
fn flags_of<'a>(command: &'a Command, arguments: &[OsString]) -> Vec<&'a Arg> {
    let (mut command, mut flags) = (command, command.get_arguments().collect::<Vec<_>>());
    for argument in arguments.iter().skip(1).take_while(|argument| *argument != "--") {
        if let Some(below) = argument.to_str().and_then(|name| command.find_subcommand(name)) {
            command = below;
            flags.extend(command.get_arguments());
        }
    }
    flags
}

/// Gives every long flag of every command its environment variable and its default from the file; those
/// that are undone get neither.
fn with_fallbacks(command: Command, file: &toml::Table, undone: &[String]) -> Command {
    let flags = flags_below(&command);
    let arguments = |command: Command, path: &str, tables: &[&toml::Table]| {
        // Whoever has a flag in an alias may give it again.
        let command = command.args_override_self(true);
        command.mut_args(|arg| {
            let own = arg.get_long().is_some_and(|long| is_own(path, long));
            let alone = |long: &str| flags.iter().filter(|flag| *flag == long).count() == 1;
            let lasts = own && LASTING.contains(&path);
            let name = arg.get_long().map(|long| match lasts && !alone(long) {
                true => variable(&format!("{path} {long}")),
                false => variable(long),
            });
            with_fallback(arg, &name.unwrap_or_default(), own, tables, undone)
        })
    };
    let command = arguments(command, "", &[file]);
    command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        let own = file.get(&name).and_then(toml::Value::as_table).cloned().unwrap_or_default();
        arguments(sub, &name, &[&own, file]).mut_subcommands(|below| {
            let path = format!("{name} {}", below.get_name());
            let inner = own.get(below.get_name()).and_then(toml::Value::as_table);
            let inner = inner.cloned().unwrap_or_default();
            arguments(below, &path, &[&inner, &own, file])
        })
    })
}

/// Whether a flag means something of its own to the command at `path`.
fn is_own(path: &str, long: &str) -> bool {
    OWN.iter().any(|(command, flags)| *command == path && flags.contains(&long))
}

/// One flag, with the variable of this name behind it. The first table that has it counts, and of those that are
/// its command's `own` the last does not.
fn with_fallback(
    arg: Arg,
    name: &str,
    own: bool,
    tables: &[&toml::Table],
    undone: &[String],
) -> Arg {
    let Some(long) = arg.get_long().map(str::to_owned) else { return arg };
    if undone.contains(&long) {
        return arg;
    }
    let name = name.to_owned();
    // A flag takes 1, yes and on from the environment as well as true.
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()).env(name),
        ArgAction::Append if ADDRESSES.contains(&&*long) => match several(&name) {
            // The environment counts before the file.
            Some(values) => return arg.required(false).default_values(values),
            None => arg.env(name),
        },
        _ => arg.env(name),
    };
    // What is said for all is the last.
    let tables = if own { &tables[..tables.len() - 1] } else { tables };
    match tables.iter().find_map(|table| table.get(&long)) {
        None => arg,
        Some(toml::Value::Array(values)) => {
            arg.required(false).default_values(values.iter().map(text).collect::<Vec<_>>())
        }
        Some(value) => arg.required(false).default_value(text(value)),
    }
}

/// The values of a variable that has more than one of them.
fn several(name: &str) -> Option<Vec<String>> {
    let values: Vec<String> =
        std::env::var(name).ok()?.split_whitespace().map(str::to_owned).collect();
    (values.len() > 1).then_some(values)
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
