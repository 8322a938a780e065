//! `--select`: files by number or by pattern.

use eddyline::Priority;
use eddyline::metainfo::Metainfo;
use globset::Glob;

use super::exit::{Failure, USAGE};

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
pub fn select(metainfo: &Metainfo, selections: &[String]) -> Result<Vec<Priority>, Failure> {
    if selections.is_empty() {
        return Ok(Vec::new());
    }
    let files = metainfo.layout.files();
    let mut priorities = vec![Priority::Skip; files.len()];
    for selection in selections {
        if is_list(selection) {
            for (first, last) in parse_list(selection)? {
                for number in first..=last.min(files.len()) {
                    priorities[number - 1] = Priority::Normal;
                }
            }
            continue;
        }
        let glob = Glob::new(selection).map_err(|e| Failure::new(USAGE, e.to_string()))?;
        let glob = glob.compile_matcher();
        for (file, priority) in files.iter().zip(&mut priorities) {
            let inside: Vec<&str> = file.path.iter().skip(1).map(String::as_str).collect();
            if glob.is_match(file.display_path()) || glob.is_match(inside.join("/")) {
                *priority = Priority::Normal;
            }
        }
    }
    let chosen = |(file, priority): (&eddyline::metainfo::FileEntry, &Priority)| {
        *priority != Priority::Skip && !file.attributes.pad
    };
    if files.iter().zip(&priorities).any(chosen) {
        Ok(priorities)
    } else {
        Err(Failure::new(USAGE, format!("{}: --select matches no file", metainfo.name)))
    }
}

fn parse_list(text: &str) -> Result<Vec<(usize, usize)>, Failure> {
    let bad = || Failure::new(USAGE, format!("'{text}' is not a list like 1-3,7"));
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(bad);
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Ok((number(first)?, number(last)?)),
            None => number(part).map(|n| (n, n)),
        })
        .collect()
}
