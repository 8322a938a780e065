//! `replay --interactive`: the same things as commands, one after the other.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use rustyline::history::History as _;

use super::super::exit::{Failure, UNEXPECTED};
use super::super::folders;
use super::super::output::line;
use super::condition;
use super::tour::Tour;
use super::transcript::Subject;

/// Commands kept from run to run.
const MAX_HISTORY: usize = 500;

const HELP: &str = "\
next [N]         make one step, or N
back [N]         undo one step, or N
goto N           go behind step N
until COND       go on until something happens: 'piece 812 verified', 'peer X choked',
                 'torrent complete', 'tracker failed', 'time 90s'
back-until COND  go back to where it happened last
show             this step
why              what led to this step, and what it changed
diff N M         in what the states behind two steps differ
peers            all peers as they are now
peer X           all steps so far with this peer; X is an address or a connection like 3.1
piece N          all steps so far with this piece
state [WORD]     the whole state, or the lines with WORD in them
quit             leave
An empty line repeats next or back. Arrow keys and Ctrl-R find earlier
commands, also those of earlier runs. Ctrl-D leaves.";

/// Reads commands until the end.
pub fn run(mut tour: Tour) -> Result<ExitCode, Failure> {
    line(&format!("{} steps; 'help' lists the commands", tour.len()));
    let mut input = Input::open()?;
    let mut last = String::from("next");
    while let Some(text) = input.read(&format!("{}> ", tour.position()))? {
        let text = text.trim().to_owned();
        let command = if text.is_empty() { last.clone() } else { text };
        if matches!(command.as_str(), "quit" | "exit" | "q") {
            break;
        }
        if let Err(failure) = obey(&mut tour, &command) {
            line(&failure.message);
        }
        if command.starts_with("next") || command.starts_with("back") {
            last = command;
        }
    }
    input.keep();
    Ok(ExitCode::SUCCESS)
}

fn obey(tour: &mut Tour, command: &str) -> Result<(), Failure> {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let number = |text: &str| {
        let error = || Failure::new(UNEXPECTED, format!("'{text}' is not a number"));
        text.parse::<u64>().map_err(|_| error())
    };
    let count = if rest.is_empty() { Ok(1) } else { number(rest) };
    match word {
        "next" | "n" => tour.go_to(tour.position().saturating_add(count?))?,
        "back" | "b" => tour.go_to(tour.position().saturating_sub(count?))?,
        "goto" | "g" => tour.go_to(number(rest)?)?,
        "until" | "u" => {
            if !tour.until(condition(rest)?)? {
                line("the condition is not met any more");
                return Ok(());
            }
        }
        "back-until" => {
            if !tour.back_until(condition(rest)?)? {
                line("the condition was not met before");
                return Ok(());
            }
        }
        "show" => {}
        "why" | "w" => return tour.why(),
        "peers" => {
            tour.peers();
            return Ok(());
        }
        "peer" => {
            let subject = Subject::from_flags(Some(rest), None)?;
            return subject.map_or(Ok(()), |subject| tour.list(&subject));
        }
        "piece" => {
            let piece = u32::try_from(number(rest)?).unwrap_or(u32::MAX);
            return tour.list(&Subject::Piece(piece));
        }
        "state" => {
            tour.state((!rest.is_empty()).then_some(rest));
            return Ok(());
        }
        "diff" => {
            let (from, to) = rest.split_once(' ').unwrap_or((rest, ""));
            return tour.diff(number(from)?, number(to.trim())?).map(|_| ());
        }
        "help" | "h" | "?" => {
            line(HELP);
            return Ok(());
        }
        _ => {
            line(&format!("'{word}' is no command; 'help' lists them"));
            return Ok(());
        }
    }
    tour.show()
}

/// Where commands come from: a terminal with editing and history, or any other input.
enum Input {
    Terminal(Box<DefaultEditor>),
    Lines(std::io::Lines<std::io::StdinLock<'static>>),
}

impl Input {
    fn open() -> Result<Self, Failure> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Lines(std::io::stdin().lock().lines()));
        }
        let mut editor = DefaultEditor::new().map_err(|error| failed(&error))?;
        for command in earlier_commands() {
            let _ = editor.add_history_entry(command);
        }
        Ok(Self::Terminal(Box::new(editor)))
    }

    fn read(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Lines(lines) => lines.next().transpose().map_err(|error| {
                Failure::new(UNEXPECTED, format!("cannot read commands: {error}"))
            }),
            Self::Terminal(editor) => loop {
                match editor.readline(prompt) {
                    Ok(text) => {
                        let _ = editor.add_history_entry(&text);
                        return Ok(Some(text));
                    }
                    // What was typed is dropped; Ctrl-D leaves.
                    Err(ReadlineError::Interrupted) => {}
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(failed(&error)),
                }
            },
        }
    }

    /// Keeps the commands for the next time. Where they cannot be kept, nothing is lost.
    fn keep(&self) {
        let (Self::Terminal(editor), Some(path)) = (self, history_file()) else { return };
        let history = editor.history();
        let first = history.len().saturating_sub(MAX_HISTORY);
        let kept: String =
            history.into_iter().skip(first).map(|command| format!("{command}\n")).collect();
        if path.parent().is_some_and(Path::is_dir) {
            let _ = eddyline_disk::private::write(&path, kept.as_bytes());
        }
    }
}

/// Beside what else is kept from run to run.
fn history_file() -> Option<PathBuf> {
    folders::state().map(|folder| folder.join("replay-history"))
}

fn earlier_commands() -> Vec<String> {
    let text = history_file().and_then(|path| std::fs::read_to_string(path).ok());
    text.unwrap_or_default().lines().map(str::to_owned).collect()
}

fn failed(error: &ReadlineError) -> Failure {
    Failure::new(UNEXPECTED, format!("cannot read commands: {error}"))
}
