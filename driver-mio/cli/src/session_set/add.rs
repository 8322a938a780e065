//! `session add`: what is there already is not replaced.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use eddyline::Priority;
use eddyline::metainfo::Metainfo;
use eddyline_disk::Locations;
use eddyline_disk::claims::Claims;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::session_store::{Entry, PAUSED, SessionSet};
use eddyline_session::{Renames, Source};

use super::super::args::{AddArgs, Said};
use super::super::exit::{Failure, USAGE};
use super::super::found::take_paths;
use super::super::goal::thousandths;
use super::super::output::line;
use super::super::remembered::remembered_torrent;
use super::super::selection::{check, select};
use super::super::setup::names;
use super::super::source::load;
use super::entries::{resume_of, title};
use super::list::print_changed;
use super::{Locked, disk, lock, whole};

/// A torrent that is to be added, with its `.torrent` where it is known.
struct NewEntry {
    entry: Entry,
    metainfo: Option<Arc<Metainfo>>,
}

/// An entry for the set, with its `.torrent` where that is new.
pub(super) type Put = (Entry, Option<Vec<u8>>);

/// `session add SOURCE…`.
pub(super) fn add(args: &AddArgs) -> Result<ExitCode, Failure> {
    let folder = whole(&args.dir)?;
    let names = names(&args.way)?;
    let sources = args.source.iter().map(|text| load(text, &names));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let said = args.state.place.state_dir.as_deref();
    let Locked { mut set, store, _session } = lock(said, "session add")?;
    let (mut puts, mut told) = (Vec::new(), Vec::new());
    for source in sources {
        let candidate = candidate(source, &store, &folder.to_string_lossy(), args)?;
        let old = set.get(&candidate.entry.hash).cloned();
        let hash = candidate.entry.hash.clone();
        match old {
            None => {
                if let Some(metainfo) = &candidate.metainfo {
                    let claims = claims_of(&set, &store, &folder, &puts, None);
                    take_paths(&claims, metainfo, &folder, &Renames::new())?;
                }
                told.push((hash, "added"));
                let torrent = candidate.metainfo.map(|metainfo| metainfo.encode());
                puts.push((candidate.entry, torrent));
            }
            Some(old) => {
                let put = known(&set, old, candidate, args.said)?;
                told.push((
                    hash,
                    if put.is_some() { "added the metadata of" } else { "already there:" },
                ));
                puts.extend(put);
            }
        }
    }
    set.put(puts).map_err(|error| disk(store.state(), &error))?;
    if args.state.json {
        print_changed(&set, &store, told.iter().map(|(hash, _)| hash.as_str()));
    } else {
        for (hash, what) in &told {
            let called = set.get(hash).map(title).unwrap_or_default();
            line(&format!("{what} {called}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The paths of torrents that are in the set, or come into it at once, where their folders and `folder`
/// can have a file in common; of all but the one that asks.
pub(super) fn claims_of(
    set: &SessionSet,
    store: &ResumeStore,
    folder: &Path,
    puts: &[Put],
    asks: Option<&str>,
) -> Claims {
    let claims = Claims::new(None);
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let new = puts.iter().map(|(entry, torrent)| (entry, torrent.clone()));
    let old = set.list().into_iter().map(|entry| (entry, None));
    let others = old.chain(new).filter(|(entry, _)| asks.is_none_or(|asks| asks != entry.hash));
    for (entry, torrent) in others {
        let (theirs, ours) = (whole(Path::new(&entry.folder)), whole(folder));
        if !theirs.starts_with(&ours) && !ours.starts_with(&theirs) {
            continue;
        }
        let bytes = torrent.or_else(|| set.torrent(&entry.hash).ok());
        if let Some(metainfo) = bytes.and_then(|bytes| Metainfo::parse(&bytes).ok()) {
            // Those that are there already stay, whatever they have in common.
            let renames = resume_of(store, entry).map(|resume| resume.renamed).unwrap_or_default();
            let _ = take_paths(&claims, &metainfo, Path::new(&entry.folder), &renames);
        }
    }
    claims
}

/// Refuses a torrent that would write to a path of another one in the set of the state folder, whether or not
/// that runs: what is on record there is not written over by whoever comes along.
pub fn spare_set(state: Option<&Path>, metainfo: &Metainfo, folder: &Path) -> Result<(), Failure> {
    let set = state.and_then(|state| Some((state, SessionSet::read(state).ok()?)));
    let Some((state, set)) = set.filter(|(_, set)| !set.list().is_empty()) else { return Ok(()) };
    let (store, folder) = (ResumeStore::at(state), whole(folder)?);
    let wire = metainfo.info_hashes().wire();
    let resume = store.load_in(wire, Locations::number_of(&folder.to_string_lossy()));
    let renames = resume.map(|resume| resume.renamed).unwrap_or_default();
    let claims = claims_of(&set, &store, &folder, &[], Some(&wire.to_hex()));
    take_paths(&claims, metainfo, &folder, &renames)
}

/// What is to be added. What an earlier run found a magnet to lead to is known.
fn candidate(
    source: Source,
    store: &ResumeStore,
    folder: &str,
    args: &AddArgs,
) -> Result<NewEntry, Failure> {
    let selections = args.select.as_slice();
    let magnet = match &source {
        Source::Magnet(magnet) => magnet.to_string(),
        Source::Torrent(_) => String::new(),
    };
    let known = match &source {
        Source::Magnet(magnet) => remembered_torrent(store, magnet),
        Source::Torrent(_) => None,
    };
    let (source, wanted) = match known {
        Some((metainfo, wanted)) => (Source::Torrent(metainfo.into()), wanted),
        None => (source, Vec::new()),
    };
    let (length, skipped, select) = match &source {
        Source::Torrent(metainfo) => {
            let skipped = match selections {
                [] => numbers_of_skipped(&wanted),
                _ => skipped(metainfo, selections)?,
            };
            (metainfo.layout().payload_length(), skipped, Vec::new())
        }
        // Which files there are is not known yet.
        Source::Magnet(_) => {
            check(selections)?;
            (0, Vec::new(), selections.to_vec())
        }
    };
    let rate = |limit: Option<u64>| limit.map_or(0, |rate| i64::try_from(rate).unwrap_or(i64::MAX));
    let entry = Entry {
        hash: source.info_hashes().wire().to_hex(),
        name: source.name().into_owned(),
        length: i64::try_from(length).unwrap_or(i64::MAX),
        magnet,
        folder: folder.to_owned(),
        moving_to: String::new(),
        left: Vec::new(),
        trackers: (!source.trackers().is_empty()).into(),
        order: 0,
        paused: if args.paused { PAUSED } else { 0 },
        sequential: args.sequential.into(),
        skipped,
        select,
        max_down: rate(args.max_down),
        max_up: rate(args.max_up),
        seed_ratio: args.seed_ratio.map_or(-1, thousandths),
        seed_time: args.seed_time.map_or(-1, seconds),
        read_only: 0,
    };
    Ok(NewEntry { entry, metainfo: source.metainfo().cloned() })
}

/// A time as an entry has it.
pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Numbers of the files that are not selected.
pub(super) fn skipped(metainfo: &Metainfo, selections: &[String]) -> Result<Vec<u32>, Failure> {
    Ok(numbers_of_skipped(&select(metainfo, selections)?))
}

fn numbers_of_skipped(priorities: &[Priority]) -> Vec<u32> {
    let numbered = (0u32..).zip(priorities);
    numbered.filter(|(_, priority)| **priority == Priority::Skip).map(|(n, _)| n).collect()
}

/// A torrent that is there already: what it is to be is not changed by the way. A magnet gets its
/// metadata.
fn known(set: &SessionSet, old: Entry, new: NewEntry, said: Said) -> Result<Option<Put>, Failure> {
    let wanted = &new.entry;
    let other = [
        ("dir", said.dir, wanted.folder != old.folder && wanted.folder != old.moving_to),
        ("select", said.select, (&wanted.skipped, &wanted.select) != (&old.skipped, &old.select)),
        ("sequential", said.sequential, wanted.sequential != old.sequential),
        ("paused", said.paused, (wanted.paused != 0) != (old.paused != 0)),
        ("max-down", said.max_down, wanted.max_down != old.max_down),
        ("max-up", said.max_up, wanted.max_up != old.max_up),
        ("seed-ratio", said.seed_ratio, wanted.seed_ratio != old.seed_ratio),
        ("seed-time", said.seed_time, wanted.seed_time != old.seed_time),
    ];
    if let Some((key, ..)) = other.iter().find(|(_, said, differs)| *said && *differs) {
        let command = match *key {
            "dir" => "session move",
            "paused" => "session pause",
            _ => "session set",
        };
        let text = format!(
            "{} is in the session already, with another --{key}; change it with `{command}`",
            title(&old)
        );
        return Err(Failure::new(USAGE, text));
    }
    let Some(metainfo) = new.metainfo.filter(|_| set.torrent(&old.hash).is_err()) else {
        return Ok(None);
    };
    let entry = Entry {
        name: metainfo.name().to_owned(),
        length: new.entry.length,
        trackers: new.entry.trackers,
        skipped: skipped(&metainfo, &old.select)?,
        select: Vec::new(),
        ..old
    };
    Ok(Some((entry, Some(metainfo.encode()))))
}
