//! Unit tests of the queue and of what gathers blocks before it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline::DiskOp;
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::base::payload::Payload;

use super::gather::Gather;
use super::queue::{Queue, Work};
use super::unhashed::Unhashed;
use crate::lanes::LANES;

const BLOCK: u32 = 16 * 1024;
const LONG: Option<Duration> = Some(Duration::from_secs(1));

fn torrent(n: u64) -> TorrentId {
    TorrentId::from_u64(n)
}

fn block(piece: u32, index: u32) -> (DiskOpId, DiskOp) {
    let payload = Payload::One(Bytes::from(vec![index as u8; BLOCK as usize]));
    let id = DiskOpId::from_u64(u64::from(piece * 100 + index));
    (id, DiskOp::WriteBlock { torrent: torrent(1), piece, begin: index * BLOCK, payload })
}

fn ids(batch: &[(DiskOpId, DiskOp)]) -> Vec<u64> {
    batch.iter().map(|(id, _)| id.as_u64()).collect()
}

#[test]
fn blocks_are_written_when_their_piece_is_whole_or_they_have_waited() {
    let mut gather = Gather::new(1 << 20);
    let now = Instant::now();
    let mut add = |piece, index| {
        let (id, op) = block(piece, index);
        gather.add((id, op), 3 * BLOCK, || None, now)
    };
    assert!(add(1, 0).is_empty() && add(2, 1).is_empty() && add(1, 2).is_empty());
    assert_eq!(ids(&add(1, 1)[0]), [100, 102, 101]);
    assert!(gather.take_due(now).is_empty());
    let later = gather.due().unwrap();
    let due = gather.take_due(later);
    assert_eq!(due.iter().map(|batch| ids(batch)).collect::<Vec<_>>(), [[201]]);
    assert_eq!(gather.due(), None);
}

#[test]
fn at_the_end_nothing_waits_for_others() {
    let mut gather = Gather::new(1 << 20);
    let now = Instant::now();
    assert!(gather.add(block(1, 0), 3 * BLOCK, || LONG, now).is_empty());
    gather.hurry(now);
    assert_eq!(gather.take_due(now).len(), 1);
    assert!(gather.add(block(1, 1), 3 * BLOCK, || LONG, now).is_empty());
    assert_eq!((gather.due(), gather.take_due(now).len()), (Some(now), 1));
    // Nor do pieces that would have been hashed side by side.
    let queue = Queue::new(true, usize::MAX);
    let patiently = Some(Duration::from_secs(600));
    for n in 0..8 {
        queue.put_piece((torrent(1), n, DiskOpId::from_u64(n.into())), 1, patiently);
    }
    queue.hurry();
    assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 8));
}

#[test]
fn what_is_held_back_has_a_limit() {
    let mut gather = Gather::new(u64::from(4 * BLOCK));
    let now = Instant::now();
    let mut written = Vec::new();
    for (piece, index) in [(1, 0), (2, 0), (2, 1), (3, 0), (4, 0)] {
        let (id, op) = block(piece, index);
        written.extend(gather.add((id, op), 10 * BLOCK, || LONG, now));
    }
    assert_eq!(written.iter().map(|batch| ids(batch)).collect::<Vec<_>>(), [[200, 201]]);
}

#[test]
fn while_a_download_goes_on_whole_pieces_are_written_together() {
    let mut gather = Gather::new(1 << 22);
    let now = Instant::now();
    let mut add = |piece, size, goes_on: bool| {
        gather.add(block(piece, 0), size, || goes_on.then_some(Duration::from_secs(1)), now)
    };
    // A megabyte of them is enough; what is not whole stays.
    assert!(add(0, 2 * BLOCK, true).is_empty());
    assert!((1..64).all(|piece| add(piece, BLOCK, true).is_empty()));
    assert_eq!(add(64, BLOCK, true).len(), 64);
    // Those that have waited are written with all that are whole, and the last waits for none.
    assert!(add(65, BLOCK, true).is_empty());
    assert_eq!(add(66, BLOCK, false).len(), 2);
    assert!(add(67, BLOCK, true).is_empty());
    let due = gather.take_due(gather.due().unwrap());
    assert_eq!(due.iter().map(|batch| ids(batch)).collect::<Vec<_>>(), [[0], [6700]]);
    assert_eq!(gather.due(), None);
}

#[test]
fn a_piece_that_may_wait_a_moment_takes_those_with_it_that_might_wait_longer() {
    let mut gather = Gather::new(1 << 22);
    let now = Instant::now();
    let moment = Duration::from_millis(50);
    assert!(gather.add(block(1, 0), BLOCK, || LONG, now).is_empty());
    assert!(gather.add(block(2, 0), 2 * BLOCK, || LONG, now).is_empty());
    assert!(gather.add(block(3, 0), BLOCK, || Some(moment), now).is_empty());
    assert_eq!(gather.due(), Some(now + moment));
    let due = gather.take_due(now + moment);
    assert_eq!(due.iter().map(|batch| ids(batch)).collect::<Vec<_>>(), [[100], [300]]);
    // One whose senders are not trusted waits for nothing, nor do others that are here.
    assert!(gather.add(block(4, 0), BLOCK, || LONG, now).is_empty());
    assert_eq!(gather.add(block(5, 0), BLOCK, || None, now).len(), 2);
}

#[test]
fn pieces_are_hashed_together_and_wait_for_each_other_only_a_moment() {
    let queue = Queue::new(true, usize::MAX);
    let job = |n: u32| (torrent(1), n, DiskOpId::from_u64(n.into()));
    let count = LANES as u32;
    for n in 0..=count {
        queue.put_piece(job(n), 1, None);
    }
    let Some(Work::Pieces(first)) = queue.take() else { panic!("nothing") };
    assert_eq!(first, (0..count).map(job).collect::<Vec<_>>());
    // What was written goes before what waits for others.
    queue.put(vec![block(1, 0)], None);
    let Some(Work::Batch(batch, None)) = queue.take() else { panic!("nothing") };
    assert_eq!(ids(&batch), [100]);
    // The last one is alone, and that is told by waiting.
    let Some(Work::Pieces(rest)) = queue.take() else { panic!("nothing") };
    assert_eq!(rest, [job(count)]);
    // Large ones wait for fewer others, and none when nothing more can come.
    queue.put_piece(job(1), 100 << 20, None);
    assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 1));
    queue.put_piece(job(2), 1, None);
    queue.close();
    assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 1));
    assert!(queue.take().is_none());
}

#[test]
fn all_pieces_that_are_hashed_at_once_are_taken_without_a_wait() {
    // Here they would wait for an hour.
    let patience = Some(Duration::from_secs(3600));
    let queue = Queue::new(true, 4);
    for round in 0..9 {
        let job = |n: u32| (torrent(1), n, DiskOpId::from_u64(u64::from(round * 4 + n)));
        let waits: Vec<bool> =
            (0..4).map(|n| queue.put_piece(job(n), 1, patience).is_some()).collect();
        assert!(!waits[3], "nobody has to look for the last one");
        assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 4));
        queue.hashed(4);
    }
}

#[test]
fn one_worker_at_a_time_writes_to_a_file_and_others_do_something_else() {
    let queue = Queue::new(true, usize::MAX);
    let (one, two) = ((torrent(1), 0), (torrent(1), 1));
    let next = || match queue.take() {
        Some(Work::Batch(batch, file)) => (ids(&batch)[0], file),
        other => panic!("{other:?}"),
    };
    queue.put(vec![block(1, 0)], Some(one));
    assert_eq!(next(), (100, Some(one)));
    queue.put(vec![block(2, 0)], Some(one));
    queue.put(vec![block(3, 0)], Some(two));
    queue.put(vec![block(4, 0)], None);
    assert_eq!([next(), next()], [(300, Some(two)), (400, None)]);
    queue.done(one);
    assert_eq!(next(), (200, Some(one)));
}

#[test]
fn pieces_that_wait_patiently_wake_nobody_until_somebody_looks() {
    let queue = Queue::new(true, usize::MAX);
    let patience = Some(Duration::from_millis(1));
    let put = |n: u32| queue.put_piece((torrent(1), n, DiskOpId::from_u64(n.into())), 1, patience);
    let due: Vec<bool> = (0..8).map(|n| put(n).is_some()).collect();
    // The first few came before it was known how fast they come.
    assert!(due.iter().all(|due| !due), "{due:?}");
    assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 8));
    let far = Some(Duration::from_secs(3600));
    let put = |n: u32| queue.put_piece((torrent(1), n, DiskOpId::from_u64(n.into())), 1, far);
    let due = put(9).expect("nobody watches the clock");
    assert_eq!(put(10), Some(due));
    assert_eq!(queue.look(), Some(due));
    queue.close();
    assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 2));
}

#[test]
fn where_lanes_are_not_fast_no_piece_waits() {
    let queue = Queue::new(false, usize::MAX);
    for n in 0..3 {
        queue.put_piece((torrent(1), n, DiskOpId::from_u64(0)), 1, None);
    }
    let before = Instant::now();
    for _ in 0..3 {
        assert!(matches!(queue.take(), Some(Work::Pieces(pieces)) if pieces.len() == 1));
    }
    assert!(before.elapsed() < Duration::from_secs(5));
}

fn payload(length: u32) -> Payload {
    Payload::One(Bytes::from(vec![7; length as usize]))
}

#[test]
fn only_a_whole_piece_is_hashed_from_memory() {
    let unhashed = Unhashed::new(1 << 20);
    let (one, two) = ((torrent(1), 1), (torrent(1), 2));
    let size = 2 * BLOCK + 5;
    unhashed.written(one, size, [(BLOCK, payload(BLOCK)), (2 * BLOCK, payload(5))].into_iter());
    unhashed.written(two, size, [(0, payload(BLOCK)), (2 * BLOCK, payload(5))].into_iter());
    unhashed.written(one, size, [(0, payload(BLOCK))].into_iter());
    let whole = unhashed.take(one, size).expect("all of it is here");
    assert!(unhashed.take(one, size).is_none(), "it is taken once");
    assert!(unhashed.take(two, size).is_none(), "the middle is missing");
    assert_eq!(unhashed.held(), u64::from(size), "what is being hashed counts");
    assert_eq!(whole.into_blocks().map(|block| block.len()).sum::<u32>(), size);
    unhashed.freed(size.into());
    assert_eq!(unhashed.held(), 0);
}

#[test]
fn what_waits_to_be_hashed_stays_within_its_limit() {
    let limit = u64::from(LANES as u32 * BLOCK);
    let unhashed = Unhashed::new(limit);
    for piece in 0..100 {
        unhashed.written((torrent(1), piece), BLOCK, [(0, payload(BLOCK))].into_iter());
        assert!(unhashed.held() <= limit);
    }
    assert!(unhashed.take((torrent(1), 0), BLOCK).is_none(), "the oldest went");
    assert!(unhashed.take((torrent(1), 99), BLOCK).is_some(), "the newest stayed");
    unhashed.freed(BLOCK.into());
    // A block written twice is there once, one of another torrent is not touched.
    unhashed.written((torrent(1), 98), BLOCK, [(0, payload(BLOCK))].into_iter());
    unhashed.written((torrent(2), 1), BLOCK, [(0, payload(BLOCK))].into_iter());
    unhashed.forget_piece((torrent(1), 98));
    unhashed.forget(torrent(1));
    assert_eq!(unhashed.held(), u64::from(BLOCK));
    // Pieces of which too few fit are not kept at all.
    unhashed.written((torrent(3), 1), 10 * BLOCK, [(0, payload(BLOCK))].into_iter());
    assert_eq!(unhashed.held(), u64::from(BLOCK));
}
