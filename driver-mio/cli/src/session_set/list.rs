//! `session list`: all torrents, and how each does.

use std::process::ExitCode;

use eddyline::base::bits::Bits;
use eddyline::metainfo::Metainfo;
use eddyline_disk::resume_store::{RUNNING, ResumeStore};
use eddyline_session::Selected;
use eddyline_session::session_store::{Entry, GOAL_REACHED, PAUSED, SessionSet};

use super::super::args::{General, ListArgs, SortBy};
use super::super::documents::Listed;
use super::super::exit::Failure;
use super::super::output::{json as print_json, line, printable, say};
use super::super::terminal::output_width;
use super::super::units::{rate, size};
use super::entries::{current_name, resume_of};
use super::status::Status;
use super::trackers::TrackerStatus;
use super::web_seeds::WebSeedStatus;
use super::{disk, folder_of};

/// Fewest digits of a hash that are shown.
const SHORT_HASH: usize = 8;

/// One torrent of the list.
struct Row {
    entry: Entry,
    name: String,
    state: String,
    error: Option<String>,
    /// Wanted bytes: here, and in all.
    done: u64,
    length: u64,
    uploaded: u64,
    down_rate: u64,
    up_rate: u64,
    peers: u32,
    seeds: u32,
    /// Good pieces, and all.
    pieces: (u32, u32),
    /// Somebody works on a move of it.
    moves: bool,
    /// How far that has come.
    moved: Option<(u64, u64)>,
    trackers: Vec<TrackerStatus>,
    web_seeds: Vec<WebSeedStatus>,
}

/// `session list`.
pub(super) fn list(args: &ListArgs, general: General) -> Result<ExitCode, Failure> {
    let folder = folder_of(args.place.state_dir.as_deref())?;
    let set = SessionSet::read(&folder).map_err(|error| disk(&folder, &error))?;
    let mut rows = rows(&set, &ResumeStore::at(&folder));
    sort(&mut rows, args.sort);
    if args.json {
        print_json(&rows.iter().map(|row| listed(row, general.verbose)).collect::<Vec<_>>());
    } else if !rows.is_empty() {
        print_table(&rows, general.verbose);
        // Beside the table, which programs may read.
        let told = running_status(&ResumeStore::at(&folder));
        let words = told.status.reachability.filter(|_| told.running && !general.quiet);
        words.iter().for_each(|words| say(words));
    } else if !general.quiet {
        say("the session has no torrents; `eddyline session add` adds some");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints as JSON how torrents are after a command.
pub(super) fn print_changed<'a>(
    set: &SessionSet,
    store: &ResumeStore,
    hashes: impl Iterator<Item = &'a str>,
) {
    let status = running_status(store);
    let entries = hashes.filter_map(|hash| set.get(hash));
    let rows: Vec<Row> = entries.map(|entry| row(set, store, &status, entry)).collect();
    print_json(&rows.iter().map(|row| listed(row, 0)).collect::<Vec<_>>());
}

fn rows(set: &SessionSet, store: &ResumeStore) -> Vec<Row> {
    let status = running_status(store);
    set.list().into_iter().map(|entry| row(set, store, &status, entry)).collect()
}

/// Who works on the set, and what was told last of its torrents.
struct Told {
    /// A session runs. Else only what went wrong counts.
    running: bool,
    /// Somebody runs or changes the set.
    held: bool,
    status: Status,
}

fn running_status(store: &ResumeStore) -> Told {
    let holder = store.session_holder();
    let running = holder.as_ref().is_some_and(|holder| holder.command == RUNNING);
    Told { running, held: holder.is_some(), status: Status::read(store.state()) }
}

fn row(set: &SessionSet, store: &ResumeStore, told: &Told, entry: &Entry) -> Row {
    let resume = resume_of(store, entry);
    let (running, held) = (told.running, told.held);
    let told = told.status.torrents.get(&entry.hash);
    let live = told.filter(|_| running);
    let moves = held && !entry.moving_to.is_empty();
    let moved = told.and_then(|told| told.moved).filter(|_| moves);
    let have = resume.as_ref().map(|resume| &resume.have);
    let (done, length) = match live.filter(|live| live.length > 0) {
        Some(live) => (live.done, live.length),
        None => progress(set, entry, have),
    };
    let complete = length > 0 && done == length;
    let error = told.filter(|_| entry.paused == 0).and_then(|told| told.error.clone());
    let state = match live {
        // What has lost some of its data since then has something to do.
        _ if moved.is_some() => "moving",
        _ if entry.paused == GOAL_REACHED && done >= length => "finished",
        _ if entry.paused == PAUSED => "paused",
        _ if error.is_some() => "failed",
        Some(live) => &live.state,
        // It stands by: nobody wants it at the moment.
        None if running && complete => "seeding",
        None => "stopped",
    };
    Row {
        name: current_name(entry, resume.as_ref()),
        state: state.to_owned(),
        error,
        done,
        length,
        uploaded: live.map_or(resume.as_ref().map_or(0, |r| r.uploaded), |live| live.uploaded),
        down_rate: live.map_or(0, |live| live.down_rate),
        up_rate: live.map_or(0, |live| live.up_rate),
        peers: live.map_or(0, |live| live.peers),
        seeds: live.map_or(0, |live| live.seeds),
        pieces: have.map_or((0, 0), |have| (have.count(), have.len())),
        moves,
        moved,
        trackers: live.map(|live| live.trackers.clone()).unwrap_or_default(),
        web_seeds: live.map(|live| live.web_seeds.clone()).unwrap_or_default(),
        entry: entry.clone(),
    }
}

/// Wanted bytes that are here, and all of them.
fn progress(set: &SessionSet, entry: &Entry, have: Option<&Bits>) -> (u64, u64) {
    let all = entry.length.unsigned_abs();
    if entry.skipped.is_empty() && have.is_none_or(|have| have.is_full() || have.count() == 0) {
        return (if have.is_some_and(|have| have.count() > 0) { all } else { 0 }, all);
    }
    let Some(metainfo) = set.torrent(&entry.hash).ok().and_then(|b| Metainfo::parse(&b).ok())
    else {
        return (0, all);
    };
    let selected = Selected::without(&metainfo, &entry.skipped);
    let none = Bits::new(metainfo.geometry().pieces());
    (selected.done(have.unwrap_or(&none)), selected.length())
}

fn sort(rows: &mut [Row], by: SortBy) {
    match by {
        SortBy::Added => {}
        SortBy::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.length)),
        SortBy::Progress => {
            rows.sort_by_key(|row| row.done.saturating_mul(1000) / row.length.max(1))
        }
        SortBy::State => rows.sort_by(|a, b| a.state.cmp(&b.state)),
        SortBy::Name => rows.sort_by_key(|row| row.name.to_lowercase()),
    }
}

fn listed(row: &Row, verbose: u8) -> Listed<'_> {
    let entry = &row.entry;
    let said = |limit: i64| u64::try_from(limit).ok();
    let positive = |limit: i64| said(limit).filter(|limit| *limit > 0);
    Listed {
        info_hash: &entry.hash,
        hash: &entry.hash,
        name: &row.name,
        state: &row.state,
        error: row.error.as_deref(),
        paused: entry.paused != 0,
        done: row.done,
        length: row.length,
        size: entry.length,
        good: row.pieces.0,
        pieces: row.pieces.1,
        down_rate: row.down_rate,
        up_rate: row.up_rate,
        uploaded: row.uploaded,
        peers: row.peers,
        seeds: row.seeds,
        folder: &entry.folder,
        moving_to: Some(&*entry.moving_to).filter(|to| !to.is_empty()),
        moved: row.moved,
        sequential: entry.sequential != 0,
        max_down: positive(entry.max_down),
        max_up: positive(entry.max_up),
        seed_ratio: said(entry.seed_ratio).map(|ratio| ratio as f64 / 1000.0),
        seed_time: said(entry.seed_time),
        trackers: row.trackers.iter().map(|tracker| tracker.listed(verbose)).collect(),
        web_seeds: row.web_seeds.iter().map(|seed| seed.listed(verbose)).collect(),
    }
}

fn print_table(rows: &[Row], verbose: u8) {
    let digits = if verbose > 0 { 40 } else { distinct(rows) };
    let mut cells: Vec<[String; 8]> =
        vec![["HASH", "STATE", "DONE", "SIZE", "DOWN", "UP", "NAME", "FOLDER"].map(str::to_owned)];
    let moving = |bytes: u64| if bytes == 0 { "-".to_owned() } else { rate(bytes) };
    for row in rows {
        let known = row.length > 0;
        let percent = u128::from(row.done) * 1000 / u128::from(row.length.max(1));
        let percent = format!("{}.{} %", percent / 10, percent % 10);
        cells.push([
            row.entry.hash.chars().take(digits).collect(),
            row.state.clone(),
            if known { percent } else { "-".into() },
            if known { size(row.length) } else { "-".into() },
            moving(row.down_rate),
            moving(row.up_rate),
            printable(&row.name),
            printable(&row.entry.folder),
        ]);
    }
    let width = |column: usize| {
        cells.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..8).map(width).collect();
    if let Some(room) = output_width() {
        fit(&mut widths, room);
    }
    for (number, row) in cells.iter().enumerate() {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            // Numbers stand on the right, words on the left.
            let side = if (2..6).contains(&column) {
                console::Alignment::Right
            } else {
                console::Alignment::Left
            };
            let cell = console::truncate_str(cell, widths[column], "…");
            text.push_str(&console::pad_str(&cell, widths[column], side, None));
            text.push_str("  ");
        }
        line(text.trim_end());
        let Some(row) = number.checked_sub(1).map(|number| &rows[number]) else { continue };
        let trackers = row.trackers.iter().filter(|_| verbose > 0);
        let trackers = trackers.map(|tracker| tracker.words(verbose));
        let seeds = row.web_seeds.iter().filter(|_| verbose > 0);
        let beside = trackers.chain(seeds.map(|seed| seed.words(verbose)));
        for text in row.error.iter().cloned().chain(move_told(row)).chain(beside) {
            line(&format!("{:digits$}  {}", "", printable(&text)));
        }
    }
}

/// Where a torrent is on its way to, and how far that is.
fn move_told(row: &Row) -> Option<String> {
    let to = Some(&row.entry.moving_to).filter(|to| !to.is_empty())?;
    Some(match row.moved {
        Some((done, all)) => {
            let percent = u128::from(done) * 1000 / u128::from(all.max(1));
            let (whole, tenths) = (percent / 10, percent % 10);
            format!("on its way to {to}: {whole}.{tenths} % of {}", size(all))
        }
        None if row.moves => format!("on its way to {to}"),
        None => format!("to be moved to {to} when the session runs"),
    })
}

/// Columns that are left out of a table that is too wide, the first one first: rates, folder, size.
const EXPENDABLE: [usize; 4] = [5, 4, 7, 3];
const NAME: usize = 6;
const FOLDER: usize = 7;
/// Cells that a name and a folder are cut to before a column is left out.
const LEAST: usize = 16;

/// Makes a table fit into this many cells: names and folders are cut, and columns left out (of width 0).
fn fit(widths: &mut [usize], room: usize) {
    let total = |widths: &[usize]| {
        widths.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>()
    };
    let over = |widths: &[usize]| total(widths).saturating_sub(room + 2);
    let cut = |widths: &mut [usize], column: usize, least: usize| {
        let spare = widths[column].saturating_sub(least);
        widths[column] -= spare.min(over(widths));
    };
    for column in EXPENDABLE {
        let mut tried = widths.to_vec();
        cut(&mut tried, FOLDER, LEAST);
        cut(&mut tried, NAME, LEAST);
        if over(&tried) == 0 {
            break;
        }
        widths[column] = 0;
    }
    cut(widths, FOLDER, LEAST);
    cut(widths, NAME, 1);
}

/// How many digits tell all hashes apart.
fn distinct(rows: &[Row]) -> usize {
    let mut hashes: Vec<&str> = rows.iter().map(|row| row.entry.hash.as_str()).collect();
    hashes.sort_unstable();
    let alike =
        |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    hashes.windows(2).map(alike).max().map_or(SHORT_HASH, |alike| (alike + 1).max(SHORT_HASH))
}

#[cfg(test)]
mod tests {
    //! Unit tests of the table.

    use eddyline_session::session_store::SessionStore;

    use super::*;

    #[test]
    fn a_torrent_on_its_way_says_so_and_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        let mut set = SessionStore::open(folder.path()).unwrap();
        let entry = serde_json::json!({
            "hash": "ab".repeat(20), "name": "x", "length": 4000, "folder": "/old", "moving_to": "/new", "order": 1
        });
        let entry: Entry = serde_json::from_value(entry).unwrap();
        set.put(vec![(entry.clone(), None)]).unwrap();
        let look = || {
            let rows = rows(&set, &store);
            (rows[0].state.clone(), move_told(&rows[0]).unwrap())
        };
        let (state, told) = look();
        assert_eq!((&*state, &*told), ("stopped", "to be moved to /new when the session runs"));
        let _held = store.lock_session("session move").unwrap();
        assert_eq!(look().1, "on its way to /new");
        Status::tell_move(store.state(), &entry.hash, Some((1000, 4000)));
        let (state, told) = look();
        assert_eq!(state, "moving");
        assert!(told.starts_with("on its way to /new: 25.0 % of "), "{told}");
        Status::tell_move(store.state(), &entry.hash, None);
        assert_eq!(look().0, "stopped");
    }

    #[test]
    fn a_table_fits_and_loses_last_what_matters_most() {
        let fitted = |room| {
            let mut widths = vec![8, 8, 7, 9, 10, 10, 40, 60];
            fit(&mut widths, room);
            widths
        };
        assert_eq!(fitted(200), [8, 8, 7, 9, 10, 10, 40, 60]);
        assert_eq!(fitted(120), [8, 8, 7, 9, 10, 10, 38, 16]);
        assert_eq!(fitted(80), [8, 8, 7, 9, 0, 0, 22, 16]);
        assert_eq!(fitted(40), [8, 8, 7, 0, 0, 0, 11, 0]);
        assert!(fitted(1).iter().all(|width| *width < 10));
    }
}
