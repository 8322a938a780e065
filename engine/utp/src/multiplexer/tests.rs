//! What strangers can do to a socket, and what packets with wrong numbers can do to a connection.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::output::Datagram;
use crate::packet::Header;
use crate::verdict::Fault;

const US: [u64; 2] = [1, 2];

fn peer(n: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, (n >> 8) as u8, n as u8], 6881))
}

fn header(kind: Kind, connection_id: u16, sequence: u16, acknowledged: u16) -> Header<'static> {
    Header {
        kind,
        connection_id,
        timestamp: 5,
        timestamp_difference: 9,
        window: 1 << 20,
        sequence,
        acknowledged,
        selective_ack: &[],
        close_reason: None,
        padding: 0,
    }
}

/// The first packet of who has read an answer of ours: it shows our clock back.
fn first(answer: &Packet, id: u16, sequence: u16) -> Header<'static> {
    let header = header(Kind::Data, id, sequence, answer.sequence.wrapping_sub(1));
    Header { timestamp_difference: header.timestamp.wrapping_sub(answer.timestamp), ..header }
}

fn bytes(header: &Header<'_>, payload: &[u8]) -> Bytes {
    Bytes::from([&header.encode()[..], payload].concat())
}

fn sent(utp: &mut Multiplexer, at: Time) -> Vec<Datagram> {
    let mut outputs = Vec::new();
    utp.advance(at, &mut outputs);
    let sends = outputs.into_iter().filter_map(|output| match output {
        Output::Send(datagram) => Some(datagram),
        _ => None,
    });
    sends.collect()
}

fn read(datagram: &Datagram) -> Packet {
    Packet::decode(&Bytes::copy_from_slice(&datagram.header)).unwrap()
}

/// A connection from a peer with the ids 101 (to us) and 100, whose next number is 12. The number is our first.
fn accepted(config: Config) -> (Multiplexer, ConnectionId, u16) {
    let mut utp = Multiplexer::new(config, US);
    let syn = bytes(&header(Kind::Syn, 100, 10, 0), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &syn), Verdict::SynAnswered);
    let answer = read(&sent(&mut utp, Time::ZERO)[0]);
    assert_eq!(answer.window, 4_096, "who waits for room before it sends anything is told of it");
    let ours = answer.sequence;
    let first = bytes(&first(&answer, 101, 11), &[7; 20]);
    let mut outputs = Vec::new();
    let verdict = utp.datagram(Time::ZERO, Time::ZERO, peer(1), &first);
    assert_eq!(verdict, Verdict::Accepted, "there is room before anything was granted");
    utp.advance(Time::ZERO, &mut outputs);
    let Some(Output::Accepted { connection, .. }) = outputs.first() else { panic!("{outputs:?}") };
    let connection = *connection;
    utp.grant(connection, 1 << 20);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &first), Verdict::Duplicate);
    utp.advance(Time::ZERO, &mut outputs);
    assert!(outputs.iter().any(|output| matches!(output, Output::Received { .. })));
    (utp, connection, ours)
}

#[test]
fn a_flood_of_syns_takes_no_memory_and_is_answered_with_no_more_than_it_brings() {
    let mut utp = Multiplexer::new(Config::default(), US);
    let mut bytes_out = 0;
    for n in 0..20_000u16 {
        let syn = bytes(&header(Kind::Syn, n, n, 0), &[]);
        assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(n), &syn), Verdict::SynAnswered);
        let answers = sent(&mut utp, Time::ZERO);
        bytes_out += answers.iter().map(|answer| answer.header.len()).sum::<usize>();
        assert_eq!((utp.connections(), utp.slots.len(), utp.timers.len()), (0, 0, 0));
    }
    assert_eq!(bytes_out, 20_000 * 20, "twenty bytes for twenty bytes");
    // Who asked before the flood is served behind it.
    let syn = bytes(&header(Kind::Syn, 7, 7, 0), &[]);
    utp.datagram(Time::ZERO, Time::ZERO, peer(7), &syn);
    let answer = read(&sent(&mut utp, Time::ZERO)[0]);
    let first = bytes(&first(&answer, 8, 8), b"x");
    utp.datagram(Time::ZERO, Time::ZERO, peer(7), &first);
    assert_eq!(utp.connections(), 1);
}

#[test]
fn who_never_received_our_answer_opens_nothing_and_resets_are_rationed() {
    let mut utp = Multiplexer::new(Config::default(), US);
    let mut opened = 0;
    for guess in 0..4_000u16 {
        let data = bytes(&header(Kind::Data, 500, 40, guess), &[0; 1_000]);
        let verdict = utp.datagram(Time::ZERO, Time::ZERO, peer(guess), &data);
        assert!(
            matches!(verdict, Verdict::Unknown | Verdict::Ignored | Verdict::Accepted),
            "{verdict:?}"
        );
        opened += usize::from(verdict == Verdict::Accepted);
    }
    assert!(opened <= 4, "{opened} guesses were right");
    assert!(sent(&mut utp, Time::ZERO).len() <= 100 + 4 * opened);
    let reset = bytes(&header(Kind::Reset, 500, 1, 1), &[]);
    let verdict = utp.datagram(Time::from_millis(5_000), Time::ZERO, peer(9), &reset);
    assert_eq!(verdict, Verdict::Ignored, "a reset is never answered");
}

#[test]
fn a_host_has_a_share_of_the_places_and_no_more() {
    let mut utp = Multiplexer::new(Config { max_accepted_per_host: 2, ..Config::default() }, US);
    let mut verdicts = vec![];
    for id in [10, 20, 30] {
        let syn = bytes(&header(Kind::Syn, id, 1, 0), &[]);
        verdicts.push(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &syn));
        let Some(answer) = sent(&mut utp, Time::ZERO).pop() else { continue };
        let first = bytes(&first(&read(&answer), id + 1, 2), b"x");
        utp.datagram(Time::ZERO, Time::ZERO, peer(1), &first);
        sent(&mut utp, Time::ZERO);
    }
    assert_eq!((utp.connections(), verdicts[2]), (2, Verdict::Full));
    assert!(utp.connect(Time::ZERO, peer(2)).is_ok(), "our own attempts do not count");
}

#[test]
fn programs_of_this_machine_have_no_share() {
    let mut utp = Multiplexer::new(Config { max_accepted_per_host: 2, ..Config::default() }, US);
    let home: SocketAddr = ([127, 0, 0, 1], 6881).into();
    for id in [10, 20, 30, 40] {
        let syn = bytes(&header(Kind::Syn, id, 1, 0), &[]);
        assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, home, &syn), Verdict::SynAnswered);
        let answer = read(&sent(&mut utp, Time::ZERO)[0]);
        utp.datagram(Time::ZERO, Time::ZERO, home, &bytes(&first(&answer, id + 1, 2), b"x"));
        sent(&mut utp, Time::ZERO);
    }
    assert_eq!(utp.connections(), 4);
}

#[test]
fn a_reset_counts_with_the_right_numbers_only() {
    let (mut utp, connection, ours) = accepted(Config::default());
    for (id, ack) in
        [(101, ours.wrapping_add(400)), (100, ours.wrapping_sub(400)), (101, ours.wrapping_add(9))]
    {
        let forged = bytes(&header(Kind::Reset, id, 0, ack), &[]);
        let verdict = utp.datagram(Time::ZERO, Time::ZERO, peer(1), &forged);
        assert_eq!((verdict, verdict.fault()), (Verdict::ForgedReset, Fault::Anybody));
    }
    assert_eq!(utp.connections(), 1);
    // Libutp answers with the id that it read, which is the one of our packets.
    let reset = bytes(&header(Kind::Reset, 100, 0, ours), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &reset), Verdict::Accepted);
    let mut outputs = Vec::new();
    utp.advance(Time::ZERO, &mut outputs);
    let closed = Output::Closed { connection, reason: CloseReason::Reset { code: None } };
    assert_eq!((outputs, utp.connections()), (vec![closed], 0));
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let (mut utp, connection, ours) = accepted(Config::default());
    utp.offer(connection, 100);
    sent(&mut utp, Time::ZERO);
    let ack = bytes(&header(Kind::State, 101, 12, ours.wrapping_add(1)), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &ack), Verdict::AcknowledgesUnsent);
    let sack = Header {
        selective_ack: &[1, 0, 0, 0],
        ..header(Kind::State, 101, 12, ours.wrapping_sub(1))
    };
    assert_eq!(
        utp.datagram(Time::ZERO, Time::ZERO, peer(1), &bytes(&sack, &[])),
        Verdict::AcknowledgesUnsent
    );
    assert_eq!(utp.statistics(connection).unwrap().in_flight, 120);
    let good = bytes(&header(Kind::State, 101, 12, ours), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &good), Verdict::Accepted);
    assert_eq!(utp.statistics(connection).unwrap().in_flight, 0);
}

/// Acknowledges everything at once as if it had been received, and says whether that was found out, and after how many
/// packets.
fn optimist(config: Config) -> (bool, usize) {
    let (mut utp, connection, _) = accepted(config);
    utp.offer(connection, 1 << 40);
    let mut packets = 0;
    for turn in 0..20_000 {
        let now = Time::from_millis(turn);
        let Some(last) = sent(&mut utp, now)
            .iter()
            .filter(|it| !it.payload.is_empty())
            .inspect(|_| packets += 1)
            .last()
            .map(read)
        else {
            continue;
        };
        let ack = bytes(&header(Kind::State, 101, 12, last.sequence), &[]);
        if utp.datagram(now, now, peer(1), &ack) == Verdict::OptimisticAck {
            let mut outputs = Vec::new();
            utp.advance(now, &mut outputs);
            let reason = CloseReason::Fault(Verdict::OptimisticAck);
            assert!(outputs.contains(&Output::Closed { connection, reason }));
            return (true, packets);
        }
    }
    (false, packets)
}

#[test]
fn who_acknowledges_what_was_held_back_is_found_out() {
    let (found, packets) = optimist(Config { burst: 1 << 20, ..Config::default() });
    assert!(found && packets <= 1_000, "{packets}");
    assert!(!optimist(Config { tests_acks: false, burst: 1 << 20, ..Config::default() }).0);
    assert_eq!(Verdict::OptimisticAck.fault(), Fault::Peer);
}

#[test]
fn packets_of_other_connections_and_times_change_nothing() {
    let (mut utp, connection, ours) = accepted(Config::default());
    let before = utp.statistics(connection);
    let cases = [
        (Kind::Data, 101, 12u16.wrapping_add(29_000), ours.wrapping_sub(1)),
        (Kind::Fin, 101, 12u16.wrapping_sub(29_000), ours.wrapping_sub(1)),
        (Kind::State, 101, 12, ours.wrapping_sub(9_000)),
        (Kind::Syn, 100, 77, 0),
    ];
    for (kind, id, sequence, ack) in cases {
        let verdict = utp.datagram(
            Time::ZERO,
            Time::ZERO,
            peer(1),
            &bytes(&header(kind, id, sequence, ack), b"x"),
        );
        assert!(
            matches!(verdict, Verdict::OutsideWindow | Verdict::Duplicate),
            "{kind:?}: {verdict:?}"
        );
    }
    assert_eq!((utp.statistics(connection), utp.connections()), (before, 1));
}

#[test]
fn an_ended_connection_is_remembered_so_that_its_end_is_acknowledged_again() {
    let (mut utp, connection, ours) = accepted(Config::default());
    let fin = bytes(&header(Kind::Fin, 101, 12, ours.wrapping_sub(1)), &[]);
    utp.datagram(Time::ZERO, Time::ZERO, peer(1), &fin);
    utp.close(connection, None);
    sent(&mut utp, Time::ZERO);
    utp.datagram(Time::ZERO, Time::ZERO, peer(1), &bytes(&header(Kind::State, 101, 13, ours), &[]));
    sent(&mut utp, Time::ZERO);
    assert_eq!(utp.connections(), 0);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &fin), Verdict::Duplicate);
    let answer = read(&sent(&mut utp, Time::ZERO)[0]);
    assert_eq!((answer.kind, answer.connection_id, answer.acknowledged), (Kind::State, 100, 12));
    // An ack, such as this answer is, gets no answer: two who have both ended would go on for good.
    let ack = bytes(&header(Kind::State, 101, 13, ours), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(1), &ack), Verdict::Duplicate);
    assert!(sent(&mut utp, Time::ZERO).is_empty());
    let later = Time::from_millis(70_000);
    assert_eq!(utp.datagram(later, later, peer(1), &fin), Verdict::Unknown, "not for ever");
}

#[test]
fn an_attempt_is_told_from_an_answer_to_somebody_else() {
    let mut utp = Multiplexer::new(Config::default(), US);
    let connection = utp.connect(Time::ZERO, peer(3)).unwrap();
    let syn = read(&sent(&mut utp, Time::ZERO)[0]);
    let wrong =
        bytes(&header(Kind::State, syn.connection_id, 900, syn.sequence.wrapping_sub(1)), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(3), &wrong), Verdict::OutOfPlace);
    let right = bytes(&header(Kind::State, syn.connection_id, 900, syn.sequence), &[]);
    assert!(
        matches!(utp.datagram(Time::ZERO, Time::ZERO, peer(4), &right), Verdict::Unknown),
        "from elsewhere"
    );
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(3), &right), Verdict::Accepted);
    utp.offer(connection, 10);
    let data = read(
        &sent(&mut utp, Time::from_millis(1))
            .into_iter()
            .find(|it| !it.payload.is_empty())
            .unwrap(),
    );
    assert_eq!(data.connection_id, syn.connection_id.wrapping_add(1));
    assert_eq!((data.sequence, data.acknowledged), (syn.sequence.wrapping_add(1), 899));
}

#[test]
fn a_refused_attempt_ends_at_once() {
    let mut utp = Multiplexer::new(Config::default(), US);
    let connection = utp.connect(Time::ZERO, peer(3)).unwrap();
    let syn = read(&sent(&mut utp, Time::ZERO)[0]);
    let reset = bytes(&header(Kind::Reset, syn.connection_id, 5, syn.sequence), &[]);
    assert_eq!(utp.datagram(Time::ZERO, Time::ZERO, peer(3), &reset), Verdict::Accepted);
    let mut outputs = Vec::new();
    utp.advance(Time::ZERO, &mut outputs);
    assert_eq!(outputs, [Output::Closed { connection, reason: CloseReason::Reset { code: None } }]);
    assert!(utp.statistics(connection).is_none());
}

#[test]
fn who_sends_in_the_name_of_another_and_reads_nothing_opens_no_connection_for_it() {
    let mut utp = Multiplexer::new(Config::default(), US);
    let syn = bytes(&header(Kind::Syn, 500, 40, 0), &[]);
    utp.datagram(Time::ZERO, Time::ZERO, peer(1), &syn);
    let real = read(&sent(&mut utp, Time::ZERO)[0]);
    // The number is guessed by trying all of them; the clock is ours as somebody else is shown it.
    utp.datagram(Time::ZERO, Time::ZERO, peer(2), &syn);
    let shown = read(&sent(&mut utp, Time::ZERO)[0]).timestamp;
    for guess in 0..=u16::MAX {
        let data = header(Kind::Data, 501, 41, guess);
        let data = Header { timestamp_difference: data.timestamp.wrapping_sub(shown), ..data };
        utp.datagram(Time::ZERO, Time::ZERO, peer(1), &bytes(&data, &[0; 68]));
    }
    assert_eq!(utp.connections(), 0);
    utp.datagram(Time::ZERO, Time::ZERO, peer(1), &bytes(&first(&real, 501, 41), &[0; 68]));
    assert_eq!(utp.connections(), 1, "the real one comes in all the same");
}

#[test]
fn who_does_not_acknowledge_the_end_and_says_that_it_has_no_room_holds_no_place() {
    let (mut utp, connection, ours) = accepted(Config::default());
    utp.close(connection, None);
    sent(&mut utp, Time::ZERO);
    for second in 1..30 {
        let now = Time::from_millis(second * 1_000);
        let full = Header { window: 0, ..header(Kind::State, 101, 12, ours.wrapping_sub(1)) };
        utp.datagram(now, now, peer(1), &bytes(&full, &[]));
        sent(&mut utp, now);
    }
    assert_eq!(utp.connections(), 0);
}

#[test]
fn a_window_that_opens_by_a_byte_brings_no_packets_of_a_byte() {
    let (mut utp, connection, ours) = accepted(Config { tests_acks: false, ..Config::default() });
    utp.offer(connection, 1 << 20);
    let (mut packets, mut now) = (0, Time::ZERO);
    let mut last = ours.wrapping_sub(1);
    let mut room = 8 * 1_452;
    for turn in 1..2_000 {
        now = Time::from_millis(turn * 5);
        for datagram in sent(&mut utp, now) {
            packets += usize::from(!datagram.payload.is_empty());
            last = read(&datagram).sequence;
        }
        room = if room > 1_452 { 0 } else { room + 1 };
        let ack = Header { window: room % 1_000, ..header(Kind::State, 101, 12, last) };
        utp.datagram(now, now, peer(1), &bytes(&ack, &[]));
    }
    // One now and then, to see whether the window is still shut.
    assert!(packets <= 40, "{packets} packets in {} s", now.as_micros() / 1_000_000);
}

#[test]
fn who_never_acknowledges_a_packet_and_all_behind_it_does_not_have_it_sent_for_ever() {
    let (mut utp, connection, ours) = accepted(Config { tests_acks: false, ..Config::default() });
    utp.offer(connection, 1 << 30);
    let mut again = 0;
    let mut sack = vec![0u8; 64];
    for turn in 1..20_000 {
        let now = Time::from_millis(turn * 10);
        for datagram in sent(&mut utp, now) {
            let back = read(&datagram).sequence.wrapping_sub(ours);
            again += usize::from(back == 0 && !datagram.payload.is_empty());
            if let Some(bit) = back.checked_sub(1).filter(|bit| *bit < 512) {
                sack[usize::from(bit / 8)] |= 1 << (bit % 8);
            }
        }
        let ack = header(Kind::State, 101, 12, ours.wrapping_sub(1));
        let ack = Header { selective_ack: &sack, ..ack };
        utp.datagram(now, now, peer(1), &bytes(&ack, &[]));
    }
    assert!((2..=20).contains(&again), "{again}");
    assert_eq!(utp.connections(), 0);
}
