//! `verify`: hashes what is on disk.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use eddyline::Placement;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline_mio::disk::{FileCache, FileOptions, PartTag, Scoped, TorrentFiles};
use eddyline_mio::dns::Names;
use eddyline_mio::lanes::LANES;
use eddyline_mio::resume_store::ResumeStore;
use serde_json::{Value, json};

use super::exit::{BAD_DATA, Failure, UNEXPECTED, USAGE};
use super::hashing::{in_parallel, threads};
use super::output::{json as print_json, line, printable};
use super::session::state_dir;
use super::source::load_torrent;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    Missing,
}

/// Hashes what is on disk and says what is good.
pub fn verify(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let text = matches.get_one::<String>("torrent").map_or("", String::as_str);
    let metainfo = Arc::new(*load_torrent(text, &Names::default())?);
    if metainfo.info_hashes.v1.is_none() {
        return Err(Failure::new(
            UNEXPECTED,
            "torrents of the v2 format alone cannot be verified yet",
        ));
    }
    let dir = matches.get_one::<PathBuf>("dir").ok_or_else(|| Failure::new(USAGE, "no folder"))?;
    let cache = Arc::new(FileCache::new(256));
    let id = TorrentId::from_u64(0);
    // Whatever is not there is looked for in the part file; nothing is changed.
    let skipped = (0..metainfo.layout.files().len() as u32).collect();
    let placement = Placement { skipped, ..Placement::default() };
    // Whether there is a part file is known to the state folder, which is only looked at.
    let hash = metainfo.info_hashes.wire();
    let tag = state_dir(matches).and_then(|state| ResumeStore::look_up_tag(&state, hash));
    let tag = tag.map_or_else(PartTag::random, |tag| Ok(PartTag::new(tag)));
    let files = tag
        .and_then(|tag| {
            let (fs, options) = (Scoped::open(dir)?, FileOptions { tag, keep_executable: false });
            TorrentFiles::new(id, metainfo.clone(), Arc::new(fs), &placement, cache, options)
        })
        .map_err(|error| Failure::io(dir, &error))?;
    let pieces: Vec<u32> = (0..metainfo.geometry.pieces()).collect();
    let mut states = vec![State::Missing; pieces.len()];
    let workers = threads(matches.get_one::<u16>("threads").copied());
    let groups: Vec<&[u32]> = pieces.chunks(LANES).collect();
    let outcome: Result<(), std::convert::Infallible> = in_parallel(
        &groups,
        workers,
        |group, buffer| Ok(files.hash_pieces(group, buffer)),
        |group, hashes| {
            for (piece, hash) in group.iter().zip(hashes) {
                states[*piece as usize] = match hash {
                    Ok(hash) if metainfo.piece_hash(*piece) == Some(hash) => State::Good,
                    Ok(_) => State::Bad,
                    Err(_) => State::Missing,
                };
            }
        },
    );
    let Ok(()) = outcome;
    let absent = missing_empty_files(&metainfo, dir);
    let complete = states.iter().all(|state| *state == State::Good) && absent.is_empty();
    if matches.get_flag("json") {
        print_json(&report_json(&metainfo, &states, complete));
    } else {
        print_report(&metainfo, &states, &absent);
    }
    if complete {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(BAD_DATA, "some of the data is bad or missing"))
    }
}

/// Files without bytes that are not there; no piece tells of them.
fn missing_empty_files(metainfo: &Metainfo, dir: &std::path::Path) -> Vec<String> {
    let empty = metainfo.layout.files().iter().filter(|f| f.length == 0 && f.is_stored());
    let absent = empty.filter(|file| !dir.join(file.path.iter().collect::<PathBuf>()).exists());
    absent.map(|file| file.display_path()).collect()
}

fn with_state(states: &[State], wanted: State) -> Vec<u32> {
    let all = states.iter().enumerate().filter(|(_, state)| **state == wanted);
    all.map(|(piece, _)| piece as u32).collect()
}

/// Bytes of a file that lie in good pieces.
fn good_bytes(metainfo: &Metainfo, states: &[State], index: usize) -> u64 {
    let file = &metainfo.layout.files()[index];
    let geometry = metainfo.geometry;
    let pieces = geometry.pieces_of(file.offset, file.length);
    let good = pieces.filter(|piece| states[*piece as usize] == State::Good);
    good.map(|piece| {
        let start = geometry.piece_offset(piece).max(file.offset);
        let piece_end = geometry.piece_offset(piece) + u64::from(geometry.piece_size(piece));
        piece_end.min(file.offset + file.length) - start
    })
    .sum()
}

/// Up to twenty numbers one by one, more as ranges.
fn numbers(list: &[u32]) -> Value {
    if list.len() <= 20 {
        return json!(list);
    }
    ranges(list).into_iter().map(|(first, last)| json!([first, last])).collect()
}

fn ranges(list: &[u32]) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for &number in list {
        match out.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => out.push((number, number)),
        }
    }
    out
}

fn report_json(metainfo: &Metainfo, states: &[State], complete: bool) -> Value {
    let files: Vec<Value> = metainfo
        .layout
        .files()
        .iter()
        .enumerate()
        .filter(|(_, file)| file.is_stored())
        .map(|(index, file)| {
            json!({
                "path": file.display_path(),
                "length": file.length,
                "good": good_bytes(metainfo, states, index),
            })
        })
        .collect();
    json!({
        "pieces": states.len(),
        "good": with_state(states, State::Good).len(),
        "bad": numbers(&with_state(states, State::Bad)),
        "missing": numbers(&with_state(states, State::Missing)),
        "files": files,
        "complete": complete,
    })
}

fn print_report(metainfo: &Metainfo, states: &[State], absent: &[String]) {
    let good = with_state(states, State::Good).len();
    line(&format!("{good} of {} pieces are good", states.len()));
    for (word, state) in [("bad", State::Bad), ("missing", State::Missing)] {
        let list = with_state(states, state);
        if !list.is_empty() {
            let text: Vec<String> = ranges(&list)
                .into_iter()
                .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
                .collect();
            line(&format!("{word} pieces: {}", text.join(", ")));
        }
    }
    for (index, file) in metainfo.layout.files().iter().enumerate() {
        let good = good_bytes(metainfo, states, index);
        if file.is_stored() && good < file.length {
            let path = printable(&file.display_path());
            line(&format!("{path}: {good} of {} bytes are good", file.length));
        }
    }
    absent.iter().for_each(|path| line(&format!("{}: missing (empty)", printable(path))));
}
