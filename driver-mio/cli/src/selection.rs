//! `--select`: files by number or by pattern.

use std::io::IsTerminal;

use eddyline::Priority;
use eddyline::metainfo::{FileEntry, Metainfo};
use globset::Glob;
use rustyline::error::ReadlineError;
use rustyline::{Behavior, Config, DefaultEditor};

use super::exit::{Failure, INTERRUPTED, UNEXPECTED, USAGE};
use super::output::{printable, say};
use super::units::size;

/// Whether each selection can be read, for a torrent whose files are not known yet.
pub fn check(selections: &[String]) -> Result<(), Failure> {
    for selection in selections {
        if is_list(selection) {
            parse_list(selection)?;
        } else {
            Glob::new(selection).map_err(|e| Failure::new(USAGE, e.to_string()))?;
        }
    }
    Ok(())
}

fn is_list(selection: &str) -> bool {
    selection.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-'))
}

/// The priority of each file under `--select`; nothing for all of them.
///
/// # Errors
/// When a number or a pattern names no file: what the user has in mind is not what there is.
pub fn select(metainfo: &Metainfo, selections: &[String]) -> Result<Vec<Priority>, Failure> {
    if selections.is_empty() {
        return Ok(Vec::new());
    }
    let files = metainfo.layout().files();
    let mut priorities = vec![Priority::Skip; files.len()];
    for selection in selections {
        if is_list(selection) {
            for (first, last) in parse_list(selection)? {
                let is_padding =
                    first == last && files.get(last - 1).is_some_and(|f| f.attributes.pad);
                if last > files.len() || is_padding {
                    return Err(no_file(metainfo, last));
                }
                priorities[first - 1..last].fill(Priority::Normal);
            }
            continue;
        }
        let glob = Glob::new(selection).map_err(|e| Failure::new(USAGE, e.to_string()))?;
        let glob = glob.compile_matcher();
        let mut matched = false;
        for (file, priority) in files.iter().zip(&mut priorities) {
            let inside: Vec<&str> = file.path.iter().skip(1).map(String::as_str).collect();
            if glob.is_match(file.display_path()) || glob.is_match(inside.join("/")) {
                *priority = Priority::Normal;
                matched |= !file.attributes.pad;
            }
        }
        if !matched {
            let text = format!("no file of {} matches '{selection}'", metainfo.name());
            return Err(Failure::new(USAGE, text));
        }
    }
    let chosen = |(file, priority): (&FileEntry, &Priority)| {
        *priority != Priority::Skip && !file.attributes.pad
    };
    if files.iter().zip(&priorities).any(chosen) {
        Ok(priorities)
    } else {
        let text = format!("no file of {} is in {}", metainfo.name(), selections.join(" or "));
        Err(Failure::new(USAGE, text))
    }
}

/// Somebody names a file by a number that no file of the torrent has.
pub fn no_file(metainfo: &Metainfo, number: impl std::fmt::Display) -> Failure {
    let count = metainfo.layout().files().iter().filter(|file| !file.attributes.pad).count();
    let files = if count == 1 { "1 file".into() } else { format!("{count} files") };
    let name = metainfo.name();
    let text =
        format!("{name} has {files}, and no file {number}; `eddyline info` shows the numbers");
    Failure::new(USAGE, text)
}

fn parse_list(text: &str) -> Result<Vec<(usize, usize)>, Failure> {
    let bad = || Failure::new(USAGE, format!("'{text}' is not a list like 1-3,7"));
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(bad);
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first <= last { Ok((first, last)) } else { Err(bad()) }
            }
            None => number(part).map(|n| (n, n)),
        })
        .collect()
}

/// Lists the files of a torrent on the terminal and asks which ones are wanted, in the words of
/// `--select`; nothing for all of them.
///
/// # Errors
/// Without a terminal, and [`INTERRUPTED`] where the question is answered by Ctrl-C or Ctrl-D.
pub fn ask(metainfo: &Metainfo) -> Result<Vec<Priority>, Failure> {
    if !std::io::stdin().is_terminal() {
        let text =
            "--ask needs a terminal; choose files with --select, by the numbers that `info` shows";
        return Err(Failure::new(USAGE, text));
    }
    let files = metainfo.layout().files();
    say(&printable(&format!("{}, {}", metainfo.name(), size(metainfo.layout().payload_length()))));
    for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.attributes.pad) {
        let path = printable(&file.display_path());
        say(&format!("{:>5}  {:>10}  {path}", index + 1, size(file.length)));
    }
    say("Which files? Numbers as in 1-3,7, or a pattern as in *.mkv; Enter for all.");
    let failed = |error: &ReadlineError| Failure::new(UNEXPECTED, format!("cannot ask: {error}"));
    // Standard output may be a file; the question belongs on the terminal.
    let config = Config::builder().behavior(Behavior::PreferTerm).build();
    let mut editor = DefaultEditor::with_config(config).map_err(|error| failed(&error))?;
    loop {
        let answer = match editor.readline("files> ") {
            Ok(answer) => answer,
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => {
                return Err(Failure::new(INTERRUPTED, "nothing was chosen"));
            }
            Err(error) => return Err(failed(&error)),
        };
        match select(metainfo, &selections_in(&answer)) {
            Ok(chosen) => return Ok(chosen),
            Err(failure) => say(&printable(&failure.message)),
        }
        let _ = editor.add_history_entry(&answer);
    }
}

/// An answer as `--select` would have it: numbers, also with blanks between them, or one pattern.
fn selections_in(answer: &str) -> Vec<String> {
    let answer = answer.trim();
    let is_blank = |c: char| c == ',' || c.is_whitespace();
    if answer.chars().all(|c| c.is_ascii_digit() || c == '-' || is_blank(c)) {
        let numbers: Vec<_> = answer.split(is_blank).filter(|part| !part.is_empty()).collect();
        return if numbers.is_empty() { Vec::new() } else { vec![numbers.join(",")] };
    }
    vec![answer.to_owned()]
}

#[cfg(test)]
mod tests {
    //! Unit tests of lists and answers.

    use super::{parse_list, selections_in};

    #[test]
    fn an_answer_is_a_list_a_pattern_or_everything() {
        assert_eq!(selections_in("  "), Vec::<String>::new());
        assert_eq!(selections_in("1 3-4, 7"), ["1,3-4,7"]);
        assert_eq!(selections_in(" my file*.mkv "), ["my file*.mkv"]);
    }

    #[test]
    fn a_list_counts_from_one_and_upwards() {
        assert_eq!(parse_list("1-3,7").unwrap(), [(1, 3), (7, 7)]);
        for text in ["0", "3-1", "1-", "-1", ",", "1,,2", "", "99999999999999999999"] {
            assert!(parse_list(text).is_err(), "{text}");
        }
    }
}
