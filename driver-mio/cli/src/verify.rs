//! `verify`: hashes what is on disk.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{DiskError, Placement};
use eddyline_disk::lanes::LANES;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{FileCache, FileOptions, PartTag, Scoped, TorrentFiles, describe, disk_error};
use eddyline_mio::dns::Names;

use super::args::{General, VerifyArgs};
use super::documents::{Numbers, Verified, VerifiedFile};
use super::exit::{BAD_DATA, DISK, Failure, UNEXPECTED, io_text};
use super::found::{called_otherwise, links_told};
use super::hashing::{HashingProgress, in_parallel, threads};
use super::output::{json as print_json, line, printable, warn};
use super::setup::state_dir;
use super::signals::{Ended, Signals};
use super::source::load_torrent;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    Missing,
}

/// Hashes what is on disk and says what is good.
pub fn verify(args: &VerifyArgs, general: General) -> Result<ExitCode, Failure> {
    let metainfo = load_torrent(&args.torrent, &Names::default())?;
    if metainfo.info_hashes().v1.is_none() {
        return Err(Failure::new(
            UNEXPECTED,
            "torrents of the v2 format alone cannot be verified yet",
        ));
    }
    let dir = &args.dir;
    let cache = Arc::new(FileCache::new(256));
    let id = TorrentId::from_u64(0);
    let placement = Placement { read_only: true, ..Placement::default() };
    if let Some(text) = links_told(dir, &metainfo) {
        warn(&text);
    }
    // Whether there is a part file is known to the state folder, which is only looked at.
    let hash = metainfo.info_hashes().wire();
    let tag = state_dir(args.state_dir.as_deref())
        .and_then(|state| ResumeStore::look_up_tag(&state, hash));
    let tag = tag.map_or_else(PartTag::random, |tag| Ok(PartTag::new(tag)));
    let files = tag
        .and_then(|tag| {
            let (fs, options) = (Scoped::open(dir)?, FileOptions { tag, keep_executable: false });
            TorrentFiles::new(id, metainfo.clone(), Arc::new(fs), &placement, cache, options)
        })
        .map_err(|error| Failure::io(dir, &error))?;
    if let Some(text) = called_otherwise(&metainfo, |file| Some(files.path(file)), |_, _| false) {
        warn(&text);
    }
    let states = match check(&files, args, general.quiet)? {
        Ended::Done(states) => states,
        Ended::BySignal(code) => {
            let text = "stopped before everything was hashed; nothing is known of the rest";
            return Err(Failure::new(code, text));
        }
    };
    let report = Report { metainfo: &metainfo, states, files: look(&files, dir)? };
    let complete = report.is_complete();
    if args.json {
        print_json(&report.document());
    } else {
        report.show();
    }
    if complete {
        Ok(ExitCode::SUCCESS)
    } else if let Some(file) = report.files.iter().find(|file| file.excess > 0) {
        let length = metainfo.layout().files()[file.index].length;
        Err(Failure::too_long(&file.path, length, report.has_all_of(file), false))
    } else {
        Err(Failure::new(BAD_DATA, "some of the data is bad or missing"))
    }
}

/// What cannot be read is neither bad nor missing.
fn unreadable(files: &TorrentFiles, dir: &Path, error: &io::Error) -> Failure {
    let told = describe(error).map(|told| told.told(Some(dir), files.metainfo().name()));
    let text = told.unwrap_or_else(|| format!("{}: {}", dir.display(), io_text(error)));
    Failure::new(DISK, text)
}

/// Whether it is as good as not there: nothing is, less than there should be, or something else.
fn is_missing(error: &io::Error) -> bool {
    matches!(disk_error(error), DiskError::Missing | DiskError::InTheWay)
}

/// What ends the check before its end.
enum Stop {
    Signal(u8),
    Unreadable(io::Error),
}

/// Hashes all pieces, or ends with the code of a signal.
fn check(
    files: &TorrentFiles,
    args: &VerifyArgs,
    quiet: bool,
) -> Result<Ended<Vec<State>>, Failure> {
    let metainfo = files.metainfo();
    let geometry = metainfo.geometry();
    let pieces: Vec<u32> = (0..geometry.pieces()).collect();
    let mut states = vec![State::Missing; pieces.len()];
    let workers = threads(args.threads.threads);
    let groups: Vec<&[u32]> = pieces.chunks(LANES).collect();
    let length = metainfo.layout().length();
    let mut progress = HashingProgress::new(metainfo.name(), length, quiet);
    let signals = Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))?;
    let outcome = in_parallel(
        &groups,
        workers,
        |group, buffer| match signals.exit_code() {
            None => {
                let hashes = files.hash_pieces(group, buffer).into_iter();
                let known = hashes.map(|hash| match hash {
                    Err(error) if !is_missing(&error) => Err(Stop::Unreadable(error)),
                    other => Ok(other.ok()),
                });
                known.collect::<Result<Vec<_>, Stop>>()
            }
            Some(code) => Err(Stop::Signal(code)),
        },
        |group, hashes| {
            progress.add(group.iter().map(|piece| u64::from(geometry.piece_size(*piece))).sum());
            for (piece, hash) in group.iter().zip(hashes) {
                states[*piece as usize] = match hash {
                    Some(hash) if metainfo.piece_hash(*piece) == Some(hash) => State::Good,
                    Some(_) => State::Bad,
                    None => State::Missing,
                };
            }
        },
    );
    // The bar is gone with this, before the report.
    drop(progress);
    match outcome {
        Ok(()) => Ok(Ended::Done(states)),
        Err(Stop::Signal(code)) => Ok(Ended::BySignal(code)),
        Err(Stop::Unreadable(error)) => Err(unreadable(files, &args.dir, &error)),
    }
}

/// A file that stands on disk, or should.
struct Seen {
    index: usize,
    /// What it is called here.
    path: String,
    is_there: bool,
    /// Bytes beyond what the torrent says.
    excess: u64,
}

/// Looks at every file. Where something else is in the way it counts as not there, as its pieces do.
fn look(files: &TorrentFiles, dir: &Path) -> Result<Vec<Seen>, Failure> {
    let status = match files.open(false) {
        Err(error) if !is_missing(&error) => return Err(unreadable(files, dir, &error)),
        status => status.unwrap_or_default(),
    };
    let stored = files.metainfo().layout().files().iter().enumerate();
    let stored = stored.filter(|(_, file)| file.is_stored());
    let seen = stored
        .map(|(index, file)| {
            let length = status.get(index).and_then(|status| status.length);
            Seen {
                index,
                path: files.path(index as u32).join("/"),
                is_there: length.is_some(),
                excess: length.unwrap_or(0).saturating_sub(file.length),
            }
        })
        .collect();
    Ok(seen)
}

/// How many pieces are good.
pub fn good_of(good: usize, all: usize) -> String {
    let pieces = if all == 1 { "piece is" } else { "pieces are" };
    format!("{good} of {all} {pieces} good")
}

fn with_state(states: &[State], wanted: State) -> Vec<u32> {
    let all = states.iter().enumerate().filter(|(_, state)| **state == wanted);
    all.map(|(piece, _)| piece as u32).collect()
}

/// Bytes of a file that lie in good pieces.
fn good_bytes(metainfo: &Metainfo, states: &[State], index: usize) -> u64 {
    let file = &metainfo.layout().files()[index];
    let geometry = metainfo.geometry();
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
fn numbers(list: Vec<u32>) -> Numbers {
    if list.len() <= 20 { Numbers::Each(list) } else { Numbers::Ranges(ranges(&list)) }
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

/// What was found.
struct Report<'a> {
    metainfo: &'a Metainfo,
    states: Vec<State>,
    files: Vec<Seen>,
}

impl Report<'_> {
    /// Whether everything is as the torrent says. No piece tells of files without bytes, nor of what is
    /// behind the end of a file.
    fn is_complete(&self) -> bool {
        let length = |file: &Seen| self.metainfo.layout().files()[file.index].length;
        let right = |file: &Seen| file.excess == 0 && (file.is_there || length(file) > 0);
        self.states.iter().all(|state| *state == State::Good) && self.files.iter().all(right)
    }

    /// Whether everything that the torrent says of a file is in it, as far as can be told: what is missing of its
    /// pieces is in other files, for this one is there.
    fn has_all_of(&self, file: &Seen) -> bool {
        let (entry, geometry) =
            (&self.metainfo.layout().files()[file.index], self.metainfo.geometry());
        let mut pieces = geometry.pieces_of(entry.offset, entry.length);
        let is_good = |piece: u32| self.states[piece as usize] == State::Good;
        pieces.clone().any(is_good) && pieces.all(|piece| self.states[piece as usize] != State::Bad)
    }

    fn document(&self) -> Verified {
        let (states, mut said) = (&self.states, self.metainfo.paths_in_torrent());
        let file = |file: &Seen| {
            let entry = &self.metainfo.layout().files()[file.index];
            VerifiedFile {
                path: entry.display_path(),
                length: entry.length,
                good: good_bytes(self.metainfo, states, file.index),
                excess: file.excess,
                found_as: (file.path != entry.display_path()).then(|| file.path.clone()),
                path_in_torrent: said.remove(&(file.index as u32)),
            }
        };
        Verified {
            pieces: states.len(),
            good: with_state(states, State::Good).len(),
            bad: numbers(with_state(states, State::Bad)),
            missing: numbers(with_state(states, State::Missing)),
            files: self.files.iter().map(file).collect(),
            complete: self.is_complete(),
        }
    }

    fn show(&self) {
        let states = &self.states;
        let good = with_state(states, State::Good).len();
        line(&good_of(good, states.len()));
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
        for file in &self.files {
            let (entry, path) =
                (&self.metainfo.layout().files()[file.index], printable(&file.path));
            let good = good_bytes(self.metainfo, states, file.index);
            if good < entry.length {
                line(&format!("{path}: {good} of {} bytes are good", entry.length));
            }
            if file.excess > 0 {
                line(&format!("{path}: too long by {} bytes", file.excess));
            }
            if !file.is_there && entry.length == 0 {
                line(&format!("{path}: missing (empty)"));
            }
        }
    }
}
