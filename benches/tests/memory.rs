//! What the engine holds for a peer, and for a torrent that rests.

use eddyline::base::hash::Sha1Hash;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::{Command, Config, Engine, Event};
use eddyline_benches::crowd::Crowd;

/// Bytes that what `make` makes holds of the heap.
fn held<T>(make: impl FnOnce() -> T) -> u64 {
    let mut made = None;
    let info = allocation_counter::measure(|| made = Some(make()));
    u64::try_from(info.bytes_current).expect("more was taken than given back")
}

#[test]
fn a_connected_peer_costs_less_than_three_kibibytes() {
    let (few, many) = (held(|| Crowd::new(1, 100)), held(|| Crowd::new(1, 5100)));
    let each = (many - few) / 5000;
    println!("{each} bytes a peer");
    assert!(each < 3 * 1024, "{each} bytes a peer");
}

#[test]
fn a_torrent_on_standby_costs_some_two_hundred_bytes() {
    let with = |count: u64| {
        held(|| {
            let now = Instant::from_millis(1000);
            let mut engine = Engine::new(Config::default(), Seed::from_u64(1), now);
            let stand_by = |number: u64| {
                let mut hash = [0; 20];
                hash[..8]
                    .copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                Event::from(Command::StandBy { info_hash: Sha1Hash(hash), announce: false })
            };
            for number in 0..count {
                let _ = engine.step(now, [stand_by(number)], &mut Vec::new());
            }
            engine
        })
    };
    let each = (with(10_100) - with(100)) / 10_000;
    println!("{each} bytes a torrent");
    assert!(each < 250, "{each} bytes a torrent");
}
