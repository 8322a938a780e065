//! `session set`: the options of torrents that are in the set.

use std::process::ExitCode;
use std::time::Instant;

use eddyline::metainfo::Metainfo;
use eddyline_session::session_store::{Entry, GOAL_REACHED};

use super::super::args::{ChangeArgs, SetArgs};
use super::super::exit::{Failure, USAGE};
use super::super::goal::{SeedGoal, thousandths};
use super::super::output::line;
use super::super::selection::check;
use super::super::units::Limit;
use super::add::{seconds, skipped};
use super::entries::{called, lacks_wanted, resume_of};
use super::list::print_changed;
use super::status::Status;
use super::{Locked, disk, lock, named};

/// `session set TORRENT…`.
pub(super) fn set(args: &SetArgs) -> Result<ExitCode, Failure> {
    let limits = args.max_down.is_some() || args.max_up.is_some();
    let goals = args.seed_ratio.is_some() || args.seed_time.is_some();
    if args.select.is_empty() && args.sequential.is_none() && !limits && !goals {
        let text =
            "nothing to set: say what, as in --max-down 1M; see `eddyline session set --help`";
        return Err(Failure::new(USAGE, text));
    }
    let ChangeArgs { torrent, state } = &args.change;
    let said = state.place.state_dir.as_deref();
    let Locked { mut set, store, _session } = lock(said, "session set")?;
    let mut changed = Vec::new();
    for entry in named(torrent, &set, &store)? {
        let torrent = set.torrent(&entry.hash).ok().and_then(|bytes| Metainfo::parse(&bytes).ok());
        let resume = resume_of(&store, &entry);
        let uploaded = resume.as_ref().map_or(0, |resume| resume.uploaded);
        let mut entry = with_options(entry, torrent.as_ref(), uploaded, args)?;
        // More is wanted of it than what it was finished with.
        if entry.paused == GOAL_REACHED
            && let (Some(metainfo), Some(resume)) = (&torrent, &resume)
            && lacks_wanted(metainfo, &entry, resume)
        {
            entry.paused = 0;
        }
        changed.push(entry);
    }
    let hashes: Vec<String> = changed.iter().map(|entry| entry.hash.clone()).collect();
    if !args.select.is_empty() {
        hashes.iter().for_each(|hash| Status::solved(store.state(), hash));
    }
    let titles: Vec<String> = changed.iter().map(|entry| called(&store, entry)).collect();
    let puts = changed.into_iter().map(|entry| (entry, None));
    set.put(puts.collect()).map_err(|error| disk(store.state(), &error))?;
    if state.json {
        print_changed(&set, &store, hashes.iter().map(String::as_str));
    } else {
        titles.iter().for_each(|title| line(&format!("changed {title}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn with_options(
    mut entry: Entry,
    torrent: Option<&Metainfo>,
    uploaded: u64,
    args: &SetArgs,
) -> Result<Entry, Failure> {
    let rate = |limit: &Limit<u64>| match limit {
        Limit::None => 0,
        Limit::To(rate) => i64::try_from(*rate).unwrap_or(i64::MAX),
    };
    if let Some(limit) = &args.max_down {
        entry.max_down = rate(limit);
    }
    if let Some(limit) = &args.max_up {
        entry.max_up = rate(limit);
    }
    let mut goal_said = false;
    if let Some(ratio) = &args.seed_ratio {
        goal_said = true;
        entry.seed_ratio = ratio.as_ref().map_or(-1, |ratio| thousandths(*ratio));
    }
    if let Some(time) = &args.seed_time {
        goal_said = true;
        entry.seed_time = time.as_ref().map_or(-1, |time| seconds(*time));
    }
    if goal_said && entry.paused == GOAL_REACHED {
        // Time counts from the start of the next run.
        let length = entry.length.unsigned_abs();
        let reached =
            SeedGoal::default().of_entry(&entry).is_reached(Instant::now(), uploaded, length);
        entry.paused = if reached { GOAL_REACHED } else { 0 };
    }
    if let Some(sequential) = args.sequential {
        entry.sequential = sequential.into();
    }
    if !args.select.is_empty() {
        let lists = args.select.iter().filter(|list| *list != "all");
        let lists: Vec<String> = lists.cloned().collect();
        check(&lists)?;
        match torrent {
            Some(torrent) => entry.skipped = skipped(torrent, &lists)?,
            None => entry.select = lists,
        }
    }
    Ok(entry)
}
