//! What is kept on disk, and scripts for machines.

use std::net::{Ipv4Addr, SocketAddr};

use eddyline::base::bits::Bits;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::trace::{Origin, Recorder};
use eddyline::{Config, FileStatus, LocationId, Renamed, ResumeData};

use super::{repeated, string};

pub(super) fn dht_state(length: usize) -> Vec<u8> {
    let count = length.saturating_sub(40) / 26;
    let nodes: Vec<u8> = (0..count).flat_map(|n| [20 + (n % 90) as u8; 26]).collect();
    [b"d5:nodes".as_slice(), &string(nodes), b"e"].concat()
}

/// Packets to a node, from parties in turns; see `fuzzing::dht_node`.
pub(super) fn dht_packets(length: usize) -> Vec<u8> {
    let target = "t".repeat(20);
    let asked = format!("d1:ad2:id20:{target}6:target20:{target}e1:q9:find_node1:t2:aa1:y1:qe");
    // Two bytes of packet for one of its length.
    let packet = [asked.as_bytes(), &[b' '][..asked.len() % 2]].concat();
    repeated(length, b"", b"", |number| {
        [&[0, number as u8, (packet.len() / 2) as u8][..], &packet].concat()
    })
}

pub(super) fn dht_lookups(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| {
        let [_, b, c, d] = (number as u32).to_be_bytes();
        vec![2, number as u8, 2, b, c, d, 0]
    })
}

pub(super) fn dht_contacts(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| vec![3, number as u8, 0])
}

pub(super) fn metadata_steps(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| {
        let peer = number as u8 / 2;
        vec![if number % 2 == 0 { 0 } else { 5 }, peer | 1, number as u8]
    })
}

pub(super) fn pex_steps(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| vec![[0, 3, 1, 3][number % 4], number as u8])
}

/// Resume data without its checksum, which the target makes.
fn resume(length: usize, grow: impl Fn(&mut ResumeData, usize)) -> Vec<u8> {
    let with = |count: usize| {
        let mut resume = ResumeData {
            info_hash: Sha1Hash([7; 20]),
            have: Bits::new(1 << 20),
            partial: Vec::new(),
            files: Vec::new(),
            downloaded: 0,
            uploaded: 0,
            completed: false,
            peers: Vec::new(),
            clean: true,
            location: LocationId(0),
            renamed: Default::default(),
            left_at: Vec::new(),
            trackers: Vec::new(),
        };
        if length < 1 << 18 {
            resume.have = Bits::new(64);
        }
        (0..count).for_each(|number| grow(&mut resume, number));
        resume.encode()[20..].to_vec()
    };
    // As many as there is room for: how long one is shows in a hundred.
    let (none, some) = (with(0).len(), with(100).len());
    let each = (some - none).div_ceil(100) + 8;
    with(length.saturating_sub(none) / each)
}

pub(super) fn resume_partial(length: usize) -> Vec<u8> {
    resume(length, |resume, number| {
        resume.partial.push((number as u32 % resume.have.len(), Bits::new(8)));
    })
}

pub(super) fn resume_peers(length: usize) -> Vec<u8> {
    resume(length, |resume, number| {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        resume.peers.push(SocketAddr::new(Ipv4Addr::new(20, a, b, c).into(), 6881));
    })
}

pub(super) fn resume_renamed(length: usize) -> Vec<u8> {
    resume(length, |resume, number| {
        resume.files.push(FileStatus { length: Some(1), modified: 1 });
        let names = |name: &str| vec!["d".to_owned(); 40].into_iter().chain([name.to_owned()]);
        let (from, to) = (names("a").collect(), names("b").collect());
        resume.renamed.insert(number as u32, Renamed { from, to });
    })
}

pub(super) fn resume_trackers(length: usize) -> Vec<u8> {
    resume(length, |resume, number| {
        resume.trackers.push((format!("http://{number}/"), Some(vec![1])));
    })
}

/// A number as traces write it.
fn number(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn trace_head() -> Vec<u8> {
    let origin = (Config::default(), Seed::from_u64(1), Instant::from_millis(1000));
    Recorder::new(Origin::New(Box::new(origin))).take()
}

/// A step with these events, written by hand: time, how many, what, no marks, a digest.
fn step(count: usize, events: &[u8]) -> Vec<u8> {
    let body = [&[0][..], &number(count), events, &[0, 0, 0, 0, 0]].concat();
    [number(body.len()), body].concat()
}

/// One step whose events are so short that nothing is shorter: a connection that came about.
pub(super) fn trace_events(length: usize) -> Vec<u8> {
    let mut out = trace_head();
    let count = length.saturating_sub(out.len() + 20) / 5;
    out.extend(step(count, &[2, 2, 1, 0, 0].repeat(count)));
    out
}

pub(super) fn trace_steps(length: usize) -> Vec<u8> {
    repeated(length, &trace_head(), b"", |_| step(0, b""))
}

/// Received bytes that are said to have been content: a few bytes of trace, megabytes of zeros.
pub(super) fn trace_content(length: usize) -> Vec<u8> {
    let mut out = trace_head();
    let event = [&[0, 1, 0, 1, 2][..], &number(15 << 20)].concat();
    let count = length.saturating_sub(out.len() + 20) / event.len();
    out.extend(step(count, &event.repeat(count)));
    out
}

pub(super) fn changes(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| {
        let place = (number as u32).wrapping_mul(2_654_435_761).to_le_bytes();
        vec![place[0], place[1], place[2], number as u8, 0]
    })
}
