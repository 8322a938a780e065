//! Two machines over networks of all kinds: everything arrives, in order, once, and the rules hold.

use eddyline_utp::{CloseReason, Config, Corruption};
use eddyline_utp_sim::link::{SECOND, Weather};
use eddyline_utp_sim::pair::Pair;

const MIB: u64 = 1 << 20;

fn pair(weather: &Weather, seed: u64) -> Pair {
    let mut pair = Pair::new(&Config::default(), weather, seed);
    pair.connect(MIB);
    pair.offer(0, 68);
    pair
}

fn stormy(seed: u64) -> Weather {
    Weather {
        rate: 1_250_000 * (1 + seed % 5),
        delay: (1 + seed % 80) * 1_000_000,
        buffer: 30_000 + seed % 7 * 20_000,
        loss: (seed % 6 * 10_000) as u32,
        twice: (seed % 3 * 20_000) as u32,
        late: (seed % 4 * 30_000) as u32,
        lateness: seed % 30 * 1_000_000,
        mtu: 1_300 + seed % 3 * 100,
    }
}

#[test]
fn both_streams_arrive_whole_and_in_order_in_any_weather() {
    for seed in 0..24 {
        let mut pair = pair(&stormy(seed), seed);
        pair.offer(0, 300_000 + seed * 9_999);
        assert!(pair.run(300 * SECOND), "seed {seed}: {} bytes", pair.sides[1].received);
        pair.offer(1, 200_000);
        pair.offer(0, 50_000);
        assert!(pair.run(300 * SECOND), "seed {seed}");
        pair.close(0);
        pair.wait(SECOND / 2);
        pair.close(1);
        pair.wait(100 * SECOND);
        for side in &pair.sides {
            assert!(
                matches!(side.closed, Some(CloseReason::Finished { .. })),
                "seed {seed}: {:?}",
                side.closed
            );
            assert_eq!(side.released, side.offered, "all is released");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut pair = pair(&stormy(9), 9);
        pair.offer(0, 500_000);
        assert!(pair.run(100 * SECOND));
        (pair.now, pair.sides[0].sent, pair.sides[1].sent)
    };
    assert_eq!(run(), run());
}

#[test]
fn close_reasons_are_told_and_the_end_is_acknowledged() {
    let mut pair = pair(&Weather::default(), 1);
    assert!(pair.run(SECOND));
    pair.close(0);
    pair.wait(SECOND);
    assert!(pair.sides[1].ended && pair.sides[0].closed.is_none(), "one half may stay open");
    pair.offer(1, 100_000);
    assert!(pair.run(10 * SECOND), "and carries what is left");
    pair.close(1);
    pair.wait(SECOND);
    let finished = Some(CloseReason::Finished { code: Some(6) });
    assert_eq!((pair.sides[0].closed, pair.sides[1].closed), (finished, finished));
}

#[test]
fn nothing_comes_while_there_is_no_room_and_a_lost_news_of_room_stops_nothing() {
    let mut pair = pair(&Weather::default(), 2);
    assert!(pair.run(SECOND));
    pair.sides[1].reads = false;
    pair.offer(0, 4 * MIB);
    pair.wait(20 * SECOND);
    let before = pair.sides[1].received;
    assert!(before <= MIB + 4_096 + 68, "{before}");
    let (_, packets, _) = pair.sides[0].sent;
    pair.wait(1_000 * SECOND);
    assert_eq!(pair.sides[1].received, before);
    assert!(pair.sides[0].closed.is_none(), "who has no room is alive");
    let probes = pair.sides[0].sent.1 - packets;
    assert!((10..400).contains(&probes), "{probes} packets in 1,000 s ask whether there is room");
    // The news is lost; a probe finds out.
    pair.links[1].weather.loss = 1_000_000;
    pair.read(1);
    pair.wait(SECOND / 100);
    pair.links[1].weather.loss = 0;
    assert!(pair.run(120 * SECOND));
}

#[test]
fn news_of_room_is_used_at_once() {
    let mut pair = pair(&Weather::default(), 3);
    assert!(pair.run(SECOND));
    pair.sides[1].reads = false;
    pair.offer(0, 3 * MIB / 2);
    pair.wait(300 * SECOND);
    pair.read(1);
    assert!(pair.run(2 * SECOND), "not only when a timer runs out");
}

#[test]
fn the_largest_datagram_that_passes_is_found_and_a_tunnel_that_drops_silently_stops_nothing() {
    for (mtu, datagram) in [(1_500, 1_472..=1_472), (1_420, 1_385..=1_392), (1_300, 1_265..=1_272)]
    {
        let mut pair = pair(&Weather { mtu, rate: 2_500_000, ..Weather::default() }, mtu);
        pair.offer(0, 2 * MIB);
        assert!(pair.run(20 * SECOND), "{mtu}");
        let id = pair.sides[0].connection.unwrap();
        let found = pair.sides[0].machine.statistics(id).unwrap();
        assert!(datagram.contains(&found.datagram), "{mtu}: {}", found.datagram);
        assert_eq!(found.timeouts, 0, "{mtu}: a probe costs no timeout");
    }
}

#[test]
fn a_path_that_narrows_is_noticed_and_packets_may_then_be_split() {
    let mut pair = pair(&Weather { rate: 1_250_000, ..Weather::default() }, 5);
    pair.offer(0, MIB / 4);
    assert!(pair.run(20 * SECOND));
    assert_eq!((pair.sides[0].sent.0, pair.sides[0].sent.2), (1_472, 0));
    pair.links[0].weather.mtu = 1_300;
    pair.offer(0, MIB);
    pair.wait(20 * SECOND);
    assert!(pair.sides[0].sent.2 > 0, "what is under way goes without DF");
    let id = pair.sides[0].connection.unwrap();
    assert_eq!(pair.sides[0].machine.statistics(id).unwrap().datagram, 1_200);
    // The model splits nothing; a router does.
    pair.links[0].weather.mtu = 1_500;
    assert!(pair.run(200 * SECOND));
}

#[test]
fn the_end_of_a_burst_is_not_left_to_a_timeout() {
    let mut total = 0;
    for seed in 0..40 {
        let mut pair =
            pair(&Weather { loss: 30_000, delay: 25_000_000, ..Weather::default() }, seed);
        assert!(pair.run(20 * SECOND));
        let begun = pair.now;
        pair.offer(0, 16_384);
        assert!(pair.run(20 * SECOND));
        total += pair.now - begun;
    }
    assert!(total / 40 < SECOND / 4, "{} ms on average", total / 40 / 1_000_000);
}

#[test]
fn packets_that_are_late_are_not_sent_again() {
    let weather = Weather {
        delay: 20_000_000,
        late: 100_000,
        lateness: 8_000_000,
        rate: 6_250_000,
        ..Weather::default()
    };
    let mut pair = pair(&weather, 4);
    pair.offer(0, 8 * MIB);
    assert!(pair.run(60 * SECOND));
    let id = pair.sides[0].connection.unwrap();
    let found = pair.sides[0].machine.statistics(id).unwrap();
    assert!(found.lost * 100 < found.sent, "{} of {}", found.lost, found.sent);
}

#[test]
fn nobody_who_does_not_answer_is_waited_for_longer_than_half_a_minute() {
    let mut pair = pair(&Weather { loss: 1_000_000, ..Weather::default() }, 6);
    pair.wait(40 * SECOND);
    assert_eq!(pair.sides[0].closed, Some(CloseReason::NoAnswer));
    assert_eq!(pair.sides[0].sent.1, 5);
}

/// 40 Mbit/s, 50 ms, delays that vary by 3 ms, and a packet in a thousand lost for no reason.
#[test]
fn losses_on_a_path_whose_delays_vary_do_not_slow_it_down_for_long() {
    let weather = Weather {
        rate: 5_000_000,
        delay: 25_000_000,
        buffer: 500_000,
        loss: 1_000,
        lateness: 30_000_000,
        ..Weather::default()
    };
    let mut pair = pair(&weather, 13);
    assert!(pair.run(SECOND));
    pair.grant(1, 8 * MIB);
    pair.offer(0, 40 * MIB);
    // Half of what the path carries.
    assert!(pair.run(17 * SECOND), "{} bytes", pair.sides[1].received);
}

/// A second and a half each way: a SYN is sent again before the answer comes, and that is all.
#[test]
fn a_path_of_three_seconds_is_connected_over() {
    let far = Weather { delay: 3 * SECOND / 2, ..Weather::default() };
    let mut pair = pair(&far, 12);
    pair.offer(0, 20_000);
    assert!(pair.run(60 * SECOND), "{} bytes", pair.sides[1].received);
    assert_eq!(pair.sides[0].closed, None);
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let mut pair = pair(&Weather::default(), 7);
    assert!(pair.run(SECOND));
    pair.links[0].weather.loss = 1_000_000;
    pair.offer(0, 10_000);
    pair.wait(200 * SECOND);
    assert_eq!(pair.sides[0].closed, Some(CloseReason::TimedOut));
}

#[test]
fn a_quiet_connection_keeps_the_mapping_of_a_nat() {
    let mut pair = pair(&Weather::default(), 8);
    assert!(pair.run(SECOND));
    let before = pair.sides[0].sent.1;
    pair.wait(600 * SECOND);
    assert!((19..=42).contains(&(pair.sides[0].sent.1 - before)));
}

#[test]
fn every_rule_fires() {
    for what in Corruption::ALL {
        let mut pair = pair(&Weather { rate: 125_000, ..Weather::default() }, 10);
        pair.offer(0, MIB);
        pair.offer(1, MIB);
        pair.wait(2 * SECOND);
        let mut found = 0;
        for side in &mut pair.sides {
            assert!(side.machine.violations().is_empty());
            side.machine.corrupt(what);
            found += side.machine.violations().len();
        }
        assert!(found > 0, "{what:?} is not noticed");
    }
}
