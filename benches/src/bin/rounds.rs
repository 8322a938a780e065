//! What is done in rounds, by the number of peers, and how long the longest step takes: `rounds`.

use std::time::Duration;

use eddyline_benches::crowd::{Crowd, PIECES};

/// Milliseconds of a step.
const STEP: u64 = 10;
/// Seconds that are watched: many rounds of choking, every ten seconds, and two of peer exchange.
const WATCHED: u64 = 150;

fn main() {
    println!(
        "| torrents × peers | a have | an answer with 200 peers | step: half, 99.9 %, longest |"
    );
    println!("| --- | --- | --- | --- |");
    for (torrents, peers) in [(1, 10), (1, 100), (1, 1000), (10, 1000)] {
        let mut crowd = Crowd::new(torrents, peers);
        let have = have(&mut crowd);
        let answer = answers(&mut crowd);
        let steps = watch(&mut crowd);
        println!(
            "| {torrents} × {peers} | {} | {} | {}, {}, {} |",
            micros(have),
            micros(answer),
            micros(at(&steps, 500)),
            micros(at(&steps, 999)),
            micros(at(&steps, 1000)),
        );
    }
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_nanos() as f64 / 1000.0)
}

/// The value below which the given thousandths of all values lie.
fn at(sorted: &[Duration], thousandths: usize) -> Duration {
    sorted[(sorted.len() * thousandths / 1000).min(sorted.len() - 1)]
}

/// A peer says that it has a piece, alone in its step.
fn have(crowd: &mut Crowd) -> Duration {
    let mut times: Vec<Duration> = (0..2000)
        .map(|turn| {
            let peer = turn * 7 % crowd.peers.len();
            let event = crowd.have(peer, turn as u32 % PIECES);
            crowd.step(0, vec![event])
        })
        .collect();
    times.sort();
    at(&times, 500)
}

/// A tracker names two hundred peers.
fn answers(crowd: &mut Crowd) -> Duration {
    let events = crowd.tracker_reply(200);
    crowd.step(0, events)
}

/// A quiet time in which now and then a peer gets a piece.
fn watch(crowd: &mut Crowd) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..WATCHED * 1000 / STEP)
        .map(|turn| {
            let peer = (turn as usize * 31) % crowd.peers.len();
            let event = crowd.have(peer, (turn as u32 * 17) % PIECES);
            crowd.step(STEP, vec![event])
        })
        .collect();
    times.sort();
    times
}
