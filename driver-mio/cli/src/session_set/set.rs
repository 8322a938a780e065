//! `session set`: the options of torrents that are in the set.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use eddyline::metainfo::Metainfo;
use eddyline_session::session_store::{Entry, GOAL_REACHED};

use super::super::exit::{Failure, USAGE};
use super::super::goal::{SeedGoal, thousandths};
use super::super::output::line;
use super::super::selection::check;
use super::super::units::Limit;
use super::add::{seconds, skipped};
use super::entries::{resume_of, title};
use super::list::print_changed;
use super::status::Status;
use super::{Locked, disk, folder_of, lock, named};

/// `session set TORRENT…`.
pub(super) fn set(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let flags = ["select", "sequential", "max-down", "max-up", "seed-ratio", "seed-time"];
    if !flags.iter().any(|flag| matches.contains_id(flag)) {
        let text =
            "nothing to set: say what, as in --max-down 1M; see `eddyline session set --help`";
        return Err(Failure::new(USAGE, text));
    }
    let Locked { mut set, store, _session } = lock(matches, "session set")?;
    let mut changed = Vec::new();
    for entry in named(matches, &set, &store)? {
        let torrent = set.torrent(&entry.hash).ok().and_then(|bytes| Metainfo::parse(&bytes).ok());
        let uploaded = resume_of(&store, &entry).map_or(0, |resume| resume.uploaded);
        changed.push(with_options(entry, torrent.as_ref(), uploaded, matches)?);
    }
    let hashes: Vec<String> = changed.iter().map(|entry| entry.hash.clone()).collect();
    if matches.contains_id("select") {
        hashes.iter().for_each(|hash| Status::solved(store.state(), hash));
    }
    let titles: Vec<String> = changed.iter().map(title).collect();
    let puts = changed.into_iter().map(|entry| (entry, None));
    set.put(puts.collect())
        .map_err(|error| disk(&folder_of(matches).unwrap_or_default(), &error))?;
    if !print_changed(matches, &set, &store, hashes.iter().map(String::as_str)) {
        titles.iter().for_each(|title| line(&format!("changed {title}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn with_options(
    mut entry: Entry,
    torrent: Option<&Metainfo>,
    uploaded: u64,
    matches: &ArgMatches,
) -> Result<Entry, Failure> {
    let rate = |limit: &Limit<u64>| match limit {
        Limit::None => 0,
        Limit::To(rate) => i64::try_from(*rate).unwrap_or(i64::MAX),
    };
    if let Some(limit) = matches.get_one::<Limit<u64>>("max-down") {
        entry.max_down = rate(limit);
    }
    if let Some(limit) = matches.get_one::<Limit<u64>>("max-up") {
        entry.max_up = rate(limit);
    }
    let mut goal_said = false;
    if let Some(ratio) = matches.get_one::<Limit<f64>>("seed-ratio") {
        goal_said = true;
        entry.seed_ratio = ratio.as_ref().map_or(-1, |ratio| thousandths(*ratio));
    }
    if let Some(time) = matches.get_one::<Limit<Duration>>("seed-time") {
        goal_said = true;
        entry.seed_time = time.as_ref().map_or(-1, seconds);
    }
    if goal_said && entry.paused == GOAL_REACHED {
        // Time counts from the start of the next run.
        let length = entry.length.unsigned_abs();
        let reached =
            SeedGoal::default().of_entry(&entry).is_reached(Instant::now(), uploaded, length);
        entry.paused = if reached { GOAL_REACHED } else { 0 };
    }
    if let Some(sequential) = matches.get_one::<bool>("sequential") {
        entry.sequential = (*sequential).into();
    }
    if matches.contains_id("select") {
        let all = |list: &&String| list.as_str() != "all";
        let lists = matches.get_many::<String>("select").into_iter().flatten();
        let lists: Vec<String> = lists.filter(all).cloned().collect();
        check(&lists)?;
        match torrent {
            Some(torrent) => entry.skipped = skipped(torrent, &lists)?,
            None => entry.select = lists,
        }
    }
    Ok(entry)
}
