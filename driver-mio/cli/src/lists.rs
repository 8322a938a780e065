//! Lists of addresses that are blocked: read at the start, and told of when they change.

use std::time::Duration;

use eddyline_mio::blocklist::{List, ListError, ListRead, Lists, Told, Watch};
use eddyline_mio::dns::Names;
use eddyline_mio::listen::ListenOptions;

use super::args::WayFlags;
use super::exit::{Failure, NETWORK, NOT_FOUND, UNEXPECTED, USAGE};
use super::output::warn;
use super::signals::stop_code;
use super::units::count;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether lists have been read, or a signal has come.
const LOOK: Duration = Duration::from_millis(5);

/// Reads the lists that the flags name, and blocks what is on them. One that cannot be used ends the program: whoever
/// names a list does not want to go without it.
pub fn read(way: &WayFlags, listen: &ListenOptions) -> Result<Option<Lists>, Failure> {
    let named: Vec<List> = way
        .ip_filter
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| List::named(text))
        .collect();
    if named.is_empty() {
        return Ok(None);
    }
    let agent = concat!("Eddyline/", env!("CARGO_PKG_VERSION"));
    let names = Names::new(listen.policy());
    // A server may take its time, and a signal comes at any.
    let reading = std::thread::spawn(move || Lists::read(&named, agent, &names));
    while !reading.is_finished() {
        if let Some(code) = stop_code() {
            return Err(Failure::new(code, "stopped before --ip-filter was read".to_owned()));
        }
        std::thread::sleep(LOOK);
    }
    let lists = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let lists = lists.map_err(failure)?;
    lists.all().for_each(tell_broken);
    listen.filter.set(lists.filter().into());
    Ok(Some(lists))
}

/// Watches files of lists while a session runs.
pub fn watch(lists: Lists, session: &eddyline_session::Session) -> Result<Watch, Failure> {
    let (mailbox, filter) = (session.driver.mailbox().clone(), session.names().policy().filter());
    Watch::start(lists, EVERY, mailbox, filter.clone())
        .map_err(|error| Failure::system("cannot watch --ip-filter", &error))
}

/// Tells what became of files that have changed.
pub fn tell(watch: &Watch) {
    for told in watch.take_told() {
        match told {
            Told::Read(read) => tell_broken(&read),
            Told::Unread(error) => {
                warn(&format!("--ip-filter: {error}; what it said before is blocked"));
            }
            Told::Blocked(ranges) => {
                let ranges = count(u32::try_from(ranges).unwrap_or(u32::MAX), "range");
                warn(&format!("--ip-filter: {ranges} of addresses are blocked now"));
            }
        }
    }
}

fn tell_broken(read: &ListRead) {
    let ListRead { name, ranges, broken, first_broken, left_out } = read;
    if let Some(first) = first_broken {
        let all = count(u32::try_from(ranges + broken + left_out).unwrap_or(u32::MAX), "line");
        warn(&format!(
            "--ip-filter: {broken} of {all} of {name} are not understood, first line {first}"
        ));
    }
    if *left_out > 0 {
        warn(&format!("--ip-filter: {name} has too many ranges; {left_out} are not blocked"));
    }
}

fn failure(error: ListError) -> Failure {
    let code = match &error {
        ListError::Read(..) => NOT_FOUND,
        ListError::Fetch(..) => NETWORK,
        ListError::NotUnderstood(_) | ListError::TooLong(_) => USAGE,
        _ => UNEXPECTED,
    };
    Failure::new(code, format!("--ip-filter: {error}"))
}
