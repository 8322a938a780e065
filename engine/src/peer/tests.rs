//! Unit tests of one peer: rules of the protocol, request depth, upload queue.

use alloc::vec;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::*;
use crate::base::hash::Sha1Hash;
use crate::base::payload::Payload;
use crate::base::work::Work;
use crate::metainfo::Geometry;
use crate::picker::BlockRef;
use crate::wire::{BlockRequest, Reserved};

const PIECES: u32 = 20;

fn geometry() -> Geometry {
    Geometry::new(u64::from(PIECES) * 32_768 - 5, 32_768).unwrap()
}

fn peer(reserved: Reserved) -> Peer {
    let intro = Introduction {
        conn: ConnId::from_u64(1),
        key: 1,
        addr: "10.0.0.1:1".parse().unwrap(),
        incoming: false,
        source: PeerSource::User,
        priority: 0,
    };
    let handshake =
        Handshake { reserved, info_hash: Sha1Hash([0; 20]), peer_id: PeerId([b'x'; 20]) };
    Peer::new(intro, &handshake, FrameAssembler::default(), 0, PIECES, Instant::ZERO)
}

fn deliver(peer: &mut Peer, messages: &[Message]) -> Result<Vec<PeerEvent>, PeerError> {
    let mut stream = BytesMut::new();
    for message in messages {
        message.encode(&mut stream);
        if let Message::Piece { payload, .. } = message {
            payload.parts().iter().for_each(|part| stream.extend_from_slice(part));
        }
    }
    peer.assembler.push(stream.freeze());
    let mut events = Vec::new();
    while let Some(event) = peer.next_event(Some(geometry()), &mut Work::default(), u64::MAX)? {
        events.push(event);
    }
    Ok(events)
}

fn fault(reserved: Reserved, messages: &[Message]) -> Misbehaviour {
    match deliver(&mut peer(reserved), messages) {
        Err(PeerError::Misbehaved(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

fn request(piece: u32, begin: u32, length: u32) -> Message {
    Message::Request(BlockRequest { piece, begin, length })
}

#[test]
fn wrong_bitfields_and_indices_out_of_range_are_misbehaviour() {
    let plain = Reserved::default();
    let bits = |bytes: Vec<u8>| Message::Bitfield(bytes.into());
    assert_eq!(fault(plain, &[bits(vec![0; 2])]), Misbehaviour::Bitfield);
    assert_eq!(fault(plain, &[bits(vec![0; 4])]), Misbehaviour::Bitfield);
    assert_eq!(fault(plain, &[bits(vec![])]), Misbehaviour::Bitfield);
    assert_eq!(fault(plain, &[bits(vec![0, 0, 0x0f])]), Misbehaviour::Bitfield);
    assert_eq!(fault(plain, &[Message::Have(PIECES)]), Misbehaviour::PieceIndex);
    assert_eq!(fault(plain, &[request(PIECES, 0, 1)]), Misbehaviour::RequestRange);
    assert_eq!(fault(plain, &[request(19, 32_763, 1)]), Misbehaviour::RequestRange);
    assert_eq!(fault(plain, &[request(0, u32::MAX, u32::MAX)]), Misbehaviour::RequestRange);
    assert_eq!(fault(plain, &[request(0, 0, 0)]), Misbehaviour::RequestRange);
    let fast = Reserved::OURS;
    assert_eq!(fault(fast, &[Message::AllowedFast(99)]), Misbehaviour::PieceIndex);
    assert_eq!(fault(fast, &[Message::Suggest(99)]), Misbehaviour::PieceIndex);
}

#[test]
fn fast_messages_need_the_fast_extension_and_extended_ones_theirs() {
    let plain = Reserved::default();
    for message in [Message::HaveAll, Message::HaveNone, Message::AllowedFast(1)] {
        assert_eq!(fault(plain, &[message]), Misbehaviour::FastNotAgreed);
    }
    let extended = Message::Extended { id: 0, payload: Bytes::from_static(b"de") };
    assert_eq!(fault(plain, &[extended]), Misbehaviour::ExtendedNotAgreed);
}

#[test]
fn pieces_may_be_declared_again_or_not_at_all_and_none_is_lost() {
    let many = vec![Message::HaveNone; 40];
    assert_eq!(fault(Reserved::OURS, &many), Misbehaviour::DeclaresTooOften);
    let mut again = peer(Reserved::OURS);
    let bits = Message::Bitfield(vec![0x80, 0, 0].into());
    deliver(&mut again, &[Message::HaveNone, Message::Have(3), bits, Message::HaveNone]).unwrap();
    assert!(again.pieces.has(0) && again.pieces.has(3) && again.piece_count == 2);
    let mut silent = peer(Reserved::default());
    deliver(&mut silent, &[Message::Have(3), Message::Have(3)]).unwrap();
    assert_eq!((silent.piece_count, silent.pieces.has(3)), (1, true));
    let mut seed = peer(Reserved::OURS);
    deliver(&mut seed, &[Message::HaveAll]).unwrap();
    assert!(seed.is_seed());
}

#[test]
fn blocks_must_fit_their_place_and_empty_ones_are_rejects() {
    let block = |piece, begin, length| Message::Piece {
        piece,
        begin,
        payload: Payload::One(vec![0; length].into()),
    };
    let plain = Reserved::default();
    assert_eq!(fault(plain, &[block(0, 1, 16_384)]), Misbehaviour::BlockRange);
    assert_eq!(fault(plain, &[block(0, 0, 100)]), Misbehaviour::BlockRange);
    assert_eq!(fault(plain, &[block(19, 16_384, 16_384)]), Misbehaviour::BlockRange);
    assert_eq!(fault(plain, &[block(PIECES, 0, 16_384)]), Misbehaviour::BlockRange);
    let events = deliver(&mut peer(plain), &[block(19, 16_384, 16_379), block(0, 0, 0)]).unwrap();
    assert!(matches!(events[0], PeerEvent::Block { piece: 19, .. }));
    assert!(matches!(events[1], PeerEvent::Reject(BlockRequest { length: 16_384, .. })));
}

#[test]
fn requests_while_choked_are_forgiven_for_a_while() {
    let mut choked = peer(Reserved::OURS);
    for _ in 0..500 {
        deliver(&mut choked, &[request(0, 0, 16_384)]).unwrap();
    }
    assert!(deliver(&mut choked, &[request(0, 0, 16_384)]).is_err());
    let mut allowed = peer(Reserved::OURS);
    allowed.allowed_fast_out.push(0);
    for _ in 0..1000 {
        deliver(&mut allowed, &[request(0, 0, 16_384)]).unwrap();
    }
}

#[test]
fn a_seed_that_lost_a_piece_is_no_seed_any_more() {
    let mut seed = peer(Reserved::OURS);
    let lost =
        Message::Extended { id: OUR_DONT_HAVE_ID, payload: Bytes::from_static(&[0, 0, 0, 2]) };
    let events = deliver(&mut seed, &[Message::HaveAll, lost.clone(), lost]).unwrap();
    assert!(matches!(events[1], PeerEvent::DontHave(2)));
    seed.forget_piece(2, PIECES);
    assert!(!seed.is_seed() && !seed.pieces.has(2) && seed.piece_count == PIECES - 1);
}

fn at(block: u32) -> BlockRef {
    BlockRef { piece: block / 2, block: block % 2 }
}

#[test]
fn request_depth_grows_with_the_rate_and_obeys_reqq() {
    let mut requests = Requests::new(Instant::ZERO);
    assert_eq!(requests.depth(250, 1000), 8);
    assert_eq!(requests.depth(3, 1000), 3, "reqq counts below our own floor too");
    // 100 ms away, 10 MB/s: slow start must open the window beyond the product of both.
    let mut now = 0;
    for round in 0..8 {
        let depth = requests.depth(2000, 1000);
        (0..depth).for_each(|n| requests.sent(at(n), Instant::from_millis(now)));
        now += 100;
        (0..depth).for_each(|n| {
            requests.block_received(at(n), Instant::from_millis(now)).unwrap();
        });
        let rate = u64::from(depth) * 16_384 * 10;
        requests.adapt(rate.min(10_000_000), 16_384, Instant::from_millis(now));
        assert!(round > 5 || depth == 8 << round);
    }
    assert!(requests.depth(2000, 1000) >= 10_000_000 / 10 / 16_384);
    assert!(requests.depth(2000, 100) == 100);
}

/// A peer 20 ms away that serves `rate` bytes a second, for a minute, asked for as much as the depth says.
/// Returns the bytes that are out at the end.
fn queue_at(rate: u64, hold: bool) -> u64 {
    let mut requests = Requests::new(Instant::ZERO);
    let (mut asked, mut came) = (0, 0);
    for now in 0..60_000 {
        let instant = Instant::from_millis(now);
        let due = requests
            .iter()
            .next()
            .is_some_and(|first| now >= 20 + first.sent.millis_since(Instant::ZERO));
        if due && u64::from(came + 1) * 16_384 <= rate * now / 1000 {
            requests.block_received(at(came), instant).unwrap();
            came += 1;
        }
        while asked - came < requests.depth(2000, 1000) {
            requests.sent(at(asked), instant);
            asked += 1;
        }
        if hold {
            requests.hold();
        }
        requests.adapt(rate, 16_384, instant);
    }
    u64::from(requests.depth(2000, 1000)) * 16_384
}

#[test]
fn a_queue_does_not_grow_by_the_wait_that_it_makes() {
    for rate in [16_384, 200_000, 1_000_000, 5_000_000] {
        let queue = queue_at(rate, false);
        assert!((rate..rate * 12 / 10 + 3 * 16_384).contains(&queue), "{queue} at {rate}");
    }
}

#[test]
fn who_is_held_back_by_our_own_limit_is_asked_for_little_more_than_may_come_at_once() {
    for rate in [200_000, 1_000_000, 5_000_000] {
        let queue = queue_at(rate, true);
        assert!(queue <= rate * 2 / 10 + 3 * 16_384, "{queue} at {rate}");
    }
}

#[test]
fn a_peer_that_falls_silent_is_snubbing_and_its_late_blocks_are_known() {
    let mut requests = Requests::new(Instant::ZERO);
    requests.sent(at(0), Instant::ZERO);
    requests.sent(at(1), Instant::ZERO);
    assert!(!requests.check_snub(Instant::from_millis(19_999)));
    assert!(requests.check_snub(Instant::from_millis(20_000)));
    assert_eq!(requests.cancel_all(), [at(0), at(1)]);
    assert_eq!(requests.depth(250, 1000), 1);
    let late = Instant::from_millis(30_000);
    assert_eq!(requests.block_received(at(1), late), Some(false));
    assert!(!requests.is_snubbed());
    assert_eq!(requests.block_received(at(1), late), None, "only once");
}

#[test]
fn the_upload_queue_is_bounded_and_a_flood_is_noticed() {
    let mut uploads = Uploads::default();
    let mut refused = 0;
    let request = |n: u32| BlockRequest { piece: n, begin: 0, length: 16_384 };
    assert_eq!(uploads.push(request(0), 3, &mut refused), Verdict::Queued);
    assert_eq!(uploads.push(request(0), 3, &mut refused), Verdict::Duplicate);
    uploads.push(request(1), 3, &mut refused);
    uploads.push(request(2), 3, &mut refused);
    for n in 3..6 {
        assert_eq!(uploads.push(request(n), 3, &mut refused), Verdict::Full);
    }
    assert_eq!(uploads.push(request(7), 3, &mut refused), Verdict::Flood);
}

#[test]
fn a_cancelled_block_is_read_and_not_sent() {
    let mut uploads = Uploads::default();
    let block = BlockRequest { piece: 0, begin: 0, length: 16_384 };
    uploads.push(block, 9, &mut 0);
    assert_eq!(uploads.start_next(), Some(block));
    assert_eq!(uploads.reading_bytes(), 16_384);
    assert!(uploads.cancel(block));
    assert!(!uploads.finish(block));
    assert_eq!(uploads.reading_bytes(), 0);
}

#[test]
fn a_reject_is_known_while_outstanding_and_once_after_a_cancel() {
    let mut requests = Requests::new(Instant::ZERO);
    requests.sent(at(0), Instant::ZERO);
    requests.sent(at(1), Instant::ZERO);
    assert_eq!(requests.rejected(at(0)), Some(Some(Instant::ZERO)));
    assert!(requests.cancel(at(1)));
    assert_eq!(requests.rejected(at(1)), Some(None));
    assert_eq!(requests.rejected(at(1)), None);
}

#[test]
fn a_cancel_that_is_never_answered_frees_its_place_at_once() {
    let mut requests = Requests::new(Instant::ZERO);
    requests.sent(at(0), Instant::ZERO);
    assert!(requests.cancel(at(0)));
    assert!(requests.is_empty());
}

#[test]
fn without_reqq_a_peer_is_taken_to_queue_250() {
    let mut quiet = peer(Reserved::OURS);
    assert_eq!(quiet.extensions.reqq, 250);
    let said = Message::Extended { id: 0, payload: Bytes::from_static(b"d4:reqqi3ee") };
    deliver(&mut quiet, &[said]).unwrap();
    assert_eq!(quiet.extensions.reqq, 3);
}

#[test]
fn requests_of_up_to_128_kib_are_taken_and_longer_ones_are_not() {
    let geometry = Geometry::new(1 << 20, 1 << 19).unwrap();
    for (length, fine) in [(131_072, true), (131_073, false)] {
        let mut peer = peer(Reserved::default());
        let mut stream = BytesMut::new();
        request(0, 0, length).encode(&mut stream);
        peer.assembler.push(stream.freeze());
        assert_eq!(
            peer.next_event(Some(geometry), &mut Work::default(), u64::MAX).is_ok(),
            fine,
            "{length}"
        );
    }
}

quickcheck::quickcheck! {
    fn arbitrary_streams_never_panic_a_peer(bytes: Vec<u8>, fast: bool) -> bool {
        let mut peer = peer(if fast { Reserved::OURS } else { Reserved::default() });
        peer.assembler.push(bytes.into());
        while let Ok(Some(_)) = peer.next_event(Some(geometry()), &mut Work::default(), u64::MAX) {}
        true
    }
}

#[test]
fn what_is_said_of_pieces_before_their_number_is_known_holds_afterwards() {
    let bits = || {
        let mut bits = Bits::new(geometry().pieces());
        bits.set(1);
        Message::Bitfield(bits.to_wire().into())
    };
    for (said, count) in [
        (vec![Message::HaveAll], geometry().pieces()),
        (vec![Message::HaveNone, Message::Have(0)], 1),
        (vec![bits(), Message::Have(2)], 2),
        ((0..geometry().pieces()).map(Message::Have).collect(), geometry().pieces()),
    ] {
        let mut peer = peer(Reserved::OURS);
        let more = [Message::AllowedFast(3), Message::Suggest(2), Message::Unchoke];
        for message in said.iter().chain(&more) {
            let mut bytes = BytesMut::new();
            message.encode(&mut bytes);
            peer.assembler.push(bytes.freeze());
        }
        while peer.next_event(None, &mut Work::default(), u64::MAX).unwrap().is_some() {}
        peer.learn_geometry(geometry()).unwrap();
        assert_eq!(peer.piece_count, count, "{said:?}");
        assert_eq!(peer.is_seed(), count == geometry().pieces());
        assert_eq!((peer.suggested, peer.peer_choking), (Some(2), false));
        assert_eq!(peer.allowed_fast_in.as_slice(), [3]);
    }
    let mut liar = peer(Reserved::OURS);
    let mut bytes = BytesMut::new();
    Message::Have(1_000_000).encode(&mut bytes);
    liar.assembler.push(bytes.freeze());
    assert!(liar.next_event(None, &mut Work::default(), u64::MAX).unwrap().is_none());
    assert_eq!(liar.learn_geometry(geometry()), Err(Misbehaviour::PieceIndex));
}

#[test]
fn rejects_in_a_row_leave_a_peer_alone_for_twice_as_long_each_until_it_delivers() {
    let ms = Instant::from_millis;
    let mut requests = Requests::new(ms(1000));
    // All that was out is one, and pieces that were not rejected may be asked for at once.
    assert_eq!(requests.back_off(1, ms(900), ms(1000)), ms(1100));
    assert_eq!(requests.back_off(2, ms(950), ms(1010)), ms(1100));
    assert!(!requests.is_paused(ms(1010)));
    assert_eq!(requests.declined(ms(1050)).as_slice(), [1, 2]);
    assert!(requests.declined(ms(1100)).is_empty());
    // They go first then.
    let retried: Vec<_> = core::iter::from_fn(|| requests.take_retry(ms(1100))).collect();
    assert_eq!(retried, [1, 2]);
    let mut now = 1020;
    for wait in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 25_600] {
        assert_eq!(requests.back_off(3, ms(now), ms(now)), ms(now + wait));
        assert!(requests.is_paused(ms(now + wait - 1)) && !requests.is_paused(ms(now + wait)));
        now += wait;
    }
    requests.sent(at(0), ms(now));
    requests.block_received(at(0), ms(now));
    assert_eq!(requests.back_off(4, ms(now), ms(now)), ms(now + 100));
    assert!(!requests.is_paused(ms(now)));
}
