//! SECURITY.md names limits; these are the ones that the code has.

use eddyline::Config;
use eddyline::base::work::{STEP_UNITS, TURN_UNITS};
use eddyline::holepunch::{CALLS_FOR_OTHERS, INTRODUCTIONS};
use eddyline::metainfo::{MAX_FILES, MAX_PATH_DEPTH, PATH_BYTES_FREE, PATH_BYTES_PER_BYTE};
use eddyline::standing::STRIKES;
use eddyline::tracker::MAX_ASKED;

/// A number as people write it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[test]
fn the_limits_that_the_security_page_names_are_those_of_the_code() {
    let page = include_str!("../../SECURITY.md").replace('\n', " ");
    let config = Config::default();
    let bound = config.memory_bound(1, 20_000).total() >> 20;
    let said = [
        format!("{} KiB of messages that it does not read", eddyline::api::MAX_UNREAD >> 10),
        format!("in {} sends at the most", eddyline::api::MAX_SENDS),
        format!("{} requests;", grouped(config.max_queued_requests.into())),
        format!("{} units a turn, {} a step", grouped(TURN_UNITS), grouped(STEP_UNITS)),
        format!("{} connections of a torrent", config.max_connections_per_address),
        format!("{STRIKES} broken rules, then it is banned"),
        format!("{} keys of encrypted connections", eddyline::api::MAX_KEYS_OF_A_HOST),
        format!("and {} in a second for all who call", eddyline::api::MAX_KEYS_A_SECOND),
        format!("an eighth of the {} addresses", grouped(config.max_candidates.into())),
        format!("{} calls to what it named that find no peer", eddyline::candidates::CALLS.burst),
        format!("{} introductions to one host, then one in 3 s", INTRODUCTIONS.burst),
        format!("{} calls to strangers for each who names", CALLS_FOR_OTHERS.burst),
        format!("the longest metadata ({} MiB)", config.max_metadata >> 20),
        format!("{MAX_ASKED} trackers of a torrent at once"),
        format!("{MAX_PATH_DEPTH} folders deep, {} files", grouped(MAX_FILES as u64)),
        format!("names of {} MiB and {PATH_BYTES_PER_BYTE} bytes", PATH_BYTES_FREE >> 20),
        format!("with {} connections and one torrent", config.max_connections),
        format!("{bound} MiB by `Config::memory_bound`"),
    ];
    let missing: Vec<_> = said.iter().filter(|text| !page.contains(*text)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
