//! What a stranger's bytes may cost: work of a step, memory of a connection, the turn of others.

use bytes::Bytes;
use eddyline::base::bits::Bits;
use eddyline::base::ids::ConnId;
use eddyline::base::payload::Payload;
use eddyline::base::work::{Payer, STEP_UNITS, TURN_UNITS};
use eddyline::wire::{BlockRequest, ExtendedHandshake, Message, MetadataMessage};
use eddyline::{CheckDepth, CloseReason, Config, MAX_UNREAD, Wakeup};
use eddyline_sim::direct::{Direct, torrent};
use eddyline_sim::encode;

/// The id under which the engine takes `lt_donthave`.
const DONT_HAVE: u8 = 7;
/// The id under which it takes `ut_metadata`.
const METADATA: u8 = 2;

fn address(host: u8) -> std::net::SocketAddr {
    ([10, 0, host, 1], 50_000).into()
}

fn lost(piece: u32) -> Message {
    Message::Extended { id: DONT_HAVE, payload: Bytes::copy_from_slice(&piece.to_be_bytes()) }
}

/// Units of work that a step did on behalf of a connection.
fn units(direct: &Direct, conn: ConnId) -> u64 {
    let spent = direct.engine.work().spent().iter();
    spent.filter(|(payer, _)| *payer == Payer::Conn(conn)).map(|(_, units)| units).sum()
}

/// Units of work that messages of one peer cost in a torrent of `pieces` pieces.
fn cost(pieces: u32, opening: &[Message], messages: &[Message]) -> u64 {
    let mut direct = Direct::new(Config::default(), torrent(pieces, 16_384), false);
    let conn = direct.connect(address(1), true).expect("let in");
    direct.say(conn, opening);
    direct.settle();
    direct.say(conn, messages);
    let mut total = units(&direct, conn);
    while direct.wakeup == Wakeup::Immediately {
        direct.pass(0);
        total += units(&direct, conn);
    }
    direct.engine.check_invariants(CheckDepth::Full).expect("the index is right");
    assert!(direct.lines.contains_key(&conn), "{:?}", direct.closed);
    total
}

#[test]
fn a_piece_lost_and_found_costs_the_same_for_a_thousand_pieces_and_a_hundred_thousand() {
    let all_but_one = |pieces: u32| {
        let mut bits = Bits::full(pieces);
        bits.clear(1);
        Message::Bitfield(bits.to_wire().into())
    };
    for seed in [true, false] {
        let opening = |pieces| vec![if seed { Message::HaveAll } else { all_but_one(pieces) }];
        let toggles: Vec<Message> = (0..200).flat_map(|_| [lost(0), Message::Have(0)]).collect();
        let [few, many] = [1000, 100_000].map(|pieces| cost(pieces, &opening(pieces), &toggles));
        assert_eq!(few, many, "seed: {seed}");
        assert!(many <= 3 * toggles.len() as u64, "{many} units for {} messages", toggles.len());
    }
}

/// Who loses a piece and has it again is asked for it again, and never for one block twice at a time.
#[test]
fn what_was_asked_of_a_piece_that_is_lost_is_taken_back_before_it_is_asked_again() {
    let mut direct = Direct::new(Config::default(), torrent(1, 16_384), false);
    let conn = direct.connect(address(1), true).expect("let in");
    direct.say(conn, &[Message::HaveAll, Message::Unchoke]);
    direct.settle();
    // However often it says that, within a second it is not asked again.
    for _ in 0..5 {
        direct.say(conn, &[lost(0), Message::Have(0)]);
    }
    direct.settle();
    direct.pass(1100);
    direct.settle();
    let (mut open, mut asked) = (0, 0);
    assert!(direct.closed.is_empty(), "{:?}", direct.closed);
    for message in &direct.lines[&conn].heard {
        match message {
            Message::Request(_) => (open, asked) = (open + 1, asked + 1),
            Message::Cancel(_) => open -= 1,
            _ => {}
        }
        assert!((0..=1).contains(&open), "asked for twice at a time");
    }
    assert_eq!((open, asked), (1, 2));
}

#[test]
fn saying_again_that_one_has_everything_costs_no_more_than_saying_nothing() {
    let again = [Message::HaveAll, Message::HaveNone, Message::HaveAll, Message::HaveNone];
    let [few, many] = [1000, 100_000].map(|pieces| cost(pieces, &[Message::HaveAll], &again));
    assert_eq!(few, many);
    assert_eq!(many, again.len() as u64);
}

#[test]
fn what_the_engine_counts_survives_every_way_of_saying_what_one_has() {
    let mut half = Bits::new(400);
    (0..200).for_each(|piece| assert!(half.set(piece * 2)));
    let half = || Message::Bitfield(half.to_wire().into());
    let all = || Message::HaveAll;
    for messages in [
        vec![half(), Message::Have(1), half(), all(), lost(3), lost(4), half(), Message::Have(3)],
        vec![all(), lost(0), lost(1), lost(399), all(), lost(7)],
        vec![lost(0), all(), lost(5), Message::HaveNone, lost(5), Message::Have(5)],
        vec![half(), all(), lost(0), Message::Choke, Message::Unchoke, lost(2), Message::Choke],
    ] {
        cost(400, &[], &messages);
        // One message in each step, with requests out in between.
        let mut direct = Direct::new(Config::default(), torrent(400, 16_384), false);
        let conn = direct.connect(address(1), true).expect("let in");
        direct.say(conn, &[Message::Unchoke]);
        for message in messages {
            direct.say(conn, &[message]);
            direct.settle();
            direct.engine.check_invariants(CheckDepth::Full).expect("the index is right");
        }
        // It leaves.
        direct.say(conn, &[Message::Have(u32::MAX)]);
        assert_eq!(direct.reason(conn), Some(CloseReason::Misbehaved));
        direct.engine.check_invariants(CheckDepth::Full).expect("the index is right");
    }
}

#[test]
fn a_read_of_thousands_of_messages_is_dealt_with_in_bounded_steps_and_in_turn() {
    let mut direct = Direct::new(Config::default(), torrent(100, 16_384), true);
    let flooders: Vec<_> =
        (1..=8).map(|host| direct.connect(address(host), true).expect("let in")).collect();
    let honest = direct.connect(address(99), true).expect("let in");
    // All of it in one event each, whatever was granted: a driver may be wrong.
    let flood = encode(&vec![Message::Have(1); 20_000]);
    for conn in &flooders {
        direct.lines.get_mut(conn).expect("open").granted = 1 << 20;
        assert_eq!(direct.put(*conn, &flood), flood.len());
    }
    direct.put(honest, &encode(&[Message::Interested]));
    direct.pass(0);
    assert_eq!(direct.wakeup, Wakeup::Immediately);
    assert!(direct.engine.work().total() <= STEP_UNITS + TURN_UNITS);
    let shares: Vec<u64> = flooders.iter().map(|conn| units(&direct, *conn)).collect();
    assert!(shares.iter().all(|units| *units <= TURN_UNITS), "{shares:?}");
    let mut heard = shares.iter().sum::<u64>();
    let mut steps = 1;
    while direct.wakeup == Wakeup::Immediately {
        direct.pass(0);
        assert!(direct.engine.work().total() <= STEP_UNITS + TURN_UNITS);
        let shares: Vec<u64> = flooders.iter().map(|conn| units(&direct, *conn)).collect();
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(most - least <= TURN_UNITS, "in turn: {shares:?}");
        heard += shares.iter().sum::<u64>();
        steps += 1;
    }
    assert_eq!(heard, 8 * 20_000, "nothing is lost");
    assert!(steps >= 8 * 20_000 / STEP_UNITS, "{steps} steps");
    let torrent = direct.torrent.expect("there");
    let peers = direct.engine.peers(torrent);
    assert!(peers.iter().any(|peer| !peer.am_choking), "the honest one was served at once");
}

#[test]
fn whoever_has_not_been_heard_is_granted_nothing_more() {
    let mut direct = Direct::new(Config::default(), torrent(100, 16_384), true);
    let conn = direct.connect(address(1), true).expect("let in");
    let granted = direct.lines[&conn].granted as usize;
    let flood = encode(&vec![Message::KeepAlive; 200_000]);
    let sent = direct.send(conn, &flood);
    assert_eq!(sent, granted.min(flood.len()));
    let mut rest = flood.len() - sent;
    while rest > 0 {
        if direct.wakeup == Wakeup::Immediately {
            assert_eq!(direct.lines[&conn].granted, 0, "what it has sent comes first");
            direct.pass(0);
            continue;
        }
        let sent = direct.send(conn, &flood[..rest.min(flood.len())]);
        assert!(sent > 0 || direct.wakeup == Wakeup::Immediately);
        rest -= sent;
    }
}

#[test]
fn a_peer_that_changes_its_mind_all_the_time_is_followed_now_and_then() {
    let mut direct = Direct::new(Config::default(), torrent(1000, 16_384), false);
    let others: Vec<_> = (10..60).map(|host| direct.connect(address(host), true)).collect();
    for conn in others.iter().flatten() {
        direct.say(*conn, &[Message::HaveAll]);
    }
    let conn = direct.connect(address(1), true).expect("let in");
    direct.say(conn, &[Message::HaveAll]);
    let mut asked = 0;
    for _ in 0..200 {
        direct.say(conn, &[Message::Unchoke]);
        direct.say(conn, &[Message::Choke]);
        let heard = std::mem::take(&mut direct.lines.get_mut(&conn).expect("open").heard);
        asked += heard.iter().filter(|m| matches!(m, Message::Request(_))).count();
    }
    assert!((8..=400).contains(&asked), "{asked} requests for 200 changes");
    // An honest one that unchokes once is asked at once.
    let honest = others[0].expect("let in");
    direct.say(honest, &[Message::Unchoke]);
    let heard = &direct.lines[&honest].heard;
    assert!(heard.iter().any(|message| matches!(message, Message::Request(_))));
}

#[test]
fn an_extended_handshake_costs_what_it_is_long() {
    let handshake = ExtendedHandshake { v: Some("x".repeat(90)), ..Default::default() };
    let payload: Bytes = handshake.encode().into();
    let many = vec![Message::Extended { id: 0, payload: payload.clone() }; 100];
    let units = cost(1000, &[], &many);
    let each = 8 + payload.len() as u64 / 32;
    assert_eq!(units, 100 * each, "as its instructions say, not as those of a bit field");
}

/// Says in an extended handshake that it takes metadata.
fn offer() -> Message {
    let m = [("ut_metadata".into(), 3)].into();
    let handshake = ExtendedHandshake { m, ..ExtendedHandshake::default() };
    Message::Extended { id: 0, payload: handshake.encode().into() }
}

fn ask_for_metadata(piece: u32) -> Message {
    let payload = MetadataMessage::Request(piece).encode().into();
    Message::Extended { id: METADATA, payload }
}

#[test]
fn asking_for_metadata_that_does_not_exist_is_forgiven_a_few_times() {
    let mut direct = Direct::new(Config::default(), torrent(100, 16_384), true);
    let conn = direct.connect(address(1), true).expect("let in");
    direct.say(conn, &[offer()]);
    direct.say(conn, &vec![ask_for_metadata(4_000_000); 16]);
    assert_eq!(direct.reason(conn), None);
    direct.say(conn, &[ask_for_metadata(0), ask_for_metadata(4_000_000)]);
    assert_eq!(direct.reason(conn), Some(CloseReason::Misbehaved));
}

#[test]
fn who_asks_and_never_reads_is_closed_and_holds_a_bounded_amount_until_then() {
    let refused = Message::Request(BlockRequest { piece: 1, begin: 0, length: 16_384 });
    for (seed, asking) in [(true, ask_for_metadata(0)), (false, refused)] {
        let mut direct = Direct::new(Config::default(), torrent(20_000, 16_384), seed);
        let conn = direct.connect(address(1), false).expect("let in");
        direct.say(conn, &[offer(), Message::Interested]);
        let mut most = 0;
        for _ in 0..10_000 {
            if direct.say(conn, &vec![asking.clone(); 100]) == 0 {
                break;
            }
            most = most.max(direct.engine.stats().unread);
        }
        let bound = u64::from(MAX_UNREAD) + 20_000 / 8 + 17 * 1024;
        assert!(most <= bound, "{most} bytes unread, {bound} allowed");
        let reason = direct.reason(conn);
        // Requests while choked end before that.
        let right = [Some(CloseReason::NotReading), Some(CloseReason::Misbehaved)];
        assert!(right.contains(&reason) && (!seed || reason == right[0]), "{reason:?}");
        assert_eq!(direct.engine.stats().unread, 0, "all of it is given back");
    }
}

#[test]
fn who_does_not_read_what_we_got_is_told_later_and_not_closed() {
    const PIECES: u32 = 5000;
    let mut direct = Direct::new(Config::default(), torrent(PIECES, 16_384), false);
    let slow = direct.connect(address(1), false).expect("let in");
    direct.say(slow, &[Message::HaveNone]);
    let seed = direct.connect(address(2), true).expect("let in");
    direct.say(seed, &[Message::HaveAll, Message::Unchoke]);
    for _ in 0..PIECES {
        let heard = std::mem::take(&mut direct.lines.get_mut(&seed).expect("open").heard);
        for message in heard {
            let Message::Request(BlockRequest { piece, begin, length }) = message else { continue };
            let payload = Payload::One(vec![0; length as usize].into());
            direct.say(seed, &[Message::Piece { piece, begin, payload }]);
        }
        direct.pass(10);
        if direct.engine.torrent(direct.torrent.expect("there")).is_some_and(|t| t.have.is_full()) {
            break;
        }
    }
    let unread = direct.engine.stats().unread;
    assert!((30 * 1024..40 * 1024).contains(&unread), "{unread} bytes of {PIECES} haves");
    assert_eq!(direct.reason(slow), None);
    // It reads now: everything is told.
    let mut haves = 0;
    loop {
        let unread: Vec<Bytes> =
            std::mem::take(&mut direct.lines.get_mut(&slow).expect("open").unread);
        let count: usize = unread.iter().map(Bytes::len).sum();
        if count == 0 {
            break;
        }
        haves += count / 9;
        direct.take(slow, count as u32);
        direct.settle();
    }
    assert!(haves >= PIECES as usize - 20, "{haves}");
    assert_eq!(direct.engine.stats().unread, 0);
}

#[test]
fn connections_that_do_not_read_blocks_keep_nobody_from_being_served() {
    let config = Config {
        send_budget: 1 << 20,
        max_connections: 64,
        unchoke_slots: Some(16),
        ..Config::default()
    };
    let mut direct = Direct::new(config, torrent(100, 1 << 18), true);
    let ask = |piece| {
        let block = |n: u32| BlockRequest { piece, begin: n % 16 * 16_384, length: 16_384 };
        (0..40).map(|n| Message::Request(block(n))).collect::<Vec<_>>()
    };
    for host in 1..=8 {
        let conn = direct.connect(address(host), false).expect("let in");
        direct.say(conn, &[Message::HaveNone, Message::Interested]);
        direct.settle();
        direct.say(conn, &ask(u32::from(host)));
        direct.settle();
    }
    assert!(direct.engine.stats().send_budget >= 1 << 20, "what is common is used up");
    let honest = direct.connect(address(99), true).expect("let in");
    direct.say(honest, &[Message::HaveNone, Message::Interested]);
    direct.settle();
    direct.say(honest, &ask(50));
    direct.settle();
    let heard = &direct.lines[&honest].heard;
    let blocks = heard.iter().filter(|message| matches!(message, Message::Piece { .. })).count();
    assert_eq!(blocks, 40);
    let bound = direct.engine.config().memory_bound(1, 100).send;
    assert!(direct.engine.stats().send_budget <= bound);
}

#[test]
fn a_socket_that_takes_nothing_for_three_minutes_is_given_up() {
    let mut direct = Direct::new(Config::default(), torrent(100, 16_384), true);
    let stuck = direct.connect(address(1), false).expect("let in");
    let slow = direct.connect(address(2), false).expect("let in");
    for minute in 0..5 {
        for conn in [stuck, slow] {
            direct.say(conn, &[Message::KeepAlive]);
        }
        direct.take(slow, 1);
        for _ in 0..6 {
            direct.pass(10_000);
        }
        let expected = (minute >= 3).then_some(CloseReason::NotReading);
        assert_eq!(direct.reason(stuck).is_some(), expected.is_some(), "minute {minute}");
        assert_eq!(direct.reason(slow), None);
    }
    assert_eq!(direct.reason(stuck), Some(CloseReason::NotReading));
}

#[test]
fn who_asks_from_every_slot_and_reads_nothing_makes_room_for_who_reads() {
    let config = Config { unchoke_slots: Some(4), ..Config::default() };
    let mut direct = Direct::new(config, torrent(100, 1 << 18), true);
    let block = |piece| Message::Request(BlockRequest { piece, begin: 0, length: 16_384 });
    let enter = |direct: &mut Direct, host, reads| {
        let conn = direct.connect(address(host), reads).expect("let in");
        direct.say(conn, &[Message::HaveNone, Message::Interested]);
        direct.settle();
        conn
    };
    let stuck: Vec<_> = (1..=4).map(|host| enter(&mut direct, host, false)).collect();
    for conn in &stuck {
        let asked: Vec<_> = (0..20).map(block).collect();
        direct.say(*conn, &asked);
        direct.settle();
    }
    let honest = enter(&mut direct, 99, true);
    for _ in 0..14 {
        direct.pass(500);
        direct.take(stuck[0], 50);
        // What anybody may ask for while choked does not bring a turn back.
        for conn in &stuck {
            direct.say(*conn, &[block(1)]);
        }
        direct.settle();
    }
    let heard = |direct: &Direct| {
        let heard = &direct.lines[&honest].heard;
        heard.iter().filter(|message| matches!(message, Message::Unchoke)).count()
    };
    assert_eq!(heard(&direct), 1, "it has a slot before the next round");
    // It keeps it for as long as it makes use of it, whatever the others say.
    for _ in 0..60 {
        direct.pass(1000);
        direct.say(honest, &[block(7)]);
        for conn in &stuck {
            direct.say(*conn, &[Message::NotInterested, Message::Interested, block(1)]);
        }
        direct.settle();
    }
    let last = direct.lines[&honest].heard.iter().rev();
    let mut last = last.filter(|m| matches!(m, Message::Choke | Message::Unchoke));
    assert!(matches!(last.next(), Some(Message::Unchoke)));
}

#[test]
fn a_crowd_of_one_block_of_addresses_that_asks_now_and_then_leaves_slots_to_others() {
    let config = Config { unchoke_slots: Some(8), ..Config::default() };
    let mut direct = Direct::new(config, torrent(100, 1 << 18), true);
    let block = Message::Request(BlockRequest { piece: 1, begin: 0, length: 16_384 });
    let crowd: Vec<_> = (1..=40)
        .map(|n| {
            let remote = format!("[2001:db8:1:{n:x}::1]:7").parse().unwrap();
            let conn = direct.connect(remote, true).expect("let in");
            direct.say(conn, &[Message::HaveNone, Message::Interested]);
            direct.settle();
            conn
        })
        .collect();
    let drip = |direct: &mut Direct, seconds| {
        for _ in 0..seconds / 2 {
            direct.pass(2000);
            for conn in &crowd {
                direct.say(*conn, std::slice::from_ref(&block));
            }
            direct.settle();
        }
    };
    drip(&mut direct, 60);
    let honest = direct.connect(address(99), true).expect("let in");
    direct.say(honest, &[Message::HaveNone, Message::Interested]);
    direct.settle();
    drip(&mut direct, 10);
    let heard = &direct.lines[&honest].heard;
    assert!(heard.iter().any(|message| matches!(message, Message::Unchoke)));
}

#[test]
fn who_reads_much_at_once_and_then_nothing_makes_room_too() {
    let config = Config { unchoke_slots: Some(4), ..Config::default() };
    let mut direct = Direct::new(config, torrent(100, 1 << 18), true);
    let enter = |direct: &mut Direct, host, reads| {
        let conn = direct.connect(address(host), reads).expect("let in");
        direct.say(conn, &[Message::HaveNone, Message::Interested]);
        direct.settle();
        conn
    };
    let stuck: Vec<_> = (1..=4).map(|host| enter(&mut direct, host, false)).collect();
    for conn in &stuck {
        let block = |piece| Message::Request(BlockRequest { piece, begin: 0, length: 16_384 });
        direct.say(*conn, &(0..20).map(block).collect::<Vec<_>>());
        direct.settle();
        direct.take(*conn, 50_000);
    }
    let honest: Vec<_> = (91..=94).map(|host| enter(&mut direct, host, true)).collect();
    for _ in 0..36 {
        direct.pass(500);
        // They make use of a slot as soon as they have one.
        for conn in &honest {
            let ask = Message::Request(BlockRequest { piece: 1, begin: 0, length: 16_384 });
            if direct.lines[conn].heard.iter().any(|message| matches!(message, Message::Unchoke)) {
                direct.say(*conn, &[ask]);
            }
        }
        direct.settle();
    }
    let served = honest.iter().filter(|conn| {
        direct.lines[conn].heard.iter().any(|message| matches!(message, Message::Unchoke))
    });
    assert_eq!(served.count(), 4, "all four slots change hands within eighteen seconds");
}
