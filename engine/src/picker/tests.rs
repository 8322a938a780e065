//! Unit tests of the picker, among them a comparison with a naive reference.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::base::rng::{Rng, Seed};
use crate::base::time::Instant;
use crate::metainfo::BLOCK_LENGTH;

fn rng() -> Rng {
    Seed::from_u64(1).stream("test")
}

/// `pieces` pieces of `blocks` blocks.
fn picker(pieces: u32, blocks: u32) -> Picker {
    let piece_length = blocks * BLOCK_LENGTH;
    let geometry =
        Geometry::new(u64::from(pieces) * u64::from(piece_length), piece_length).unwrap();
    Picker::new(geometry, &mut rng())
}

fn some(pieces: u32, has: &[u32]) -> PeerPieces {
    let mut bits = Bits::new(pieces);
    for piece in has {
        bits.set(*piece);
    }
    PeerPieces::Some(bits)
}

/// Of one that has delivered something.
const PROVEN: PickMode<'static> = PickMode {
    fast: false,
    parole: false,
    current: None,
    suggested: None,
    max_partial: 0,
    except: &[],
    proven: true,
    arrival: Arrival { ready: Instant::ZERO, lead: 0 },
};

fn mode() -> PickMode<'static> {
    PickMode { max_partial: 100, ..PickMode::default() }
}

fn pieces_of(pick: &Pick) -> Vec<u32> {
    pick.blocks.iter().map(|at| at.piece).collect()
}

/// Receives, writes and verifies a whole piece.
fn finish(picker: &mut Picker, piece: u32) {
    picker.set_have(piece);
    picker.check().unwrap();
}

#[test]
fn the_rarest_piece_comes_first() {
    let mut picker = picker(10, 1);
    for piece in 6..10 {
        finish(&mut picker, piece);
    }
    for holders in [&[0, 1, 2, 3, 4, 5][..], &[0, 1, 2, 4, 5], &[0, 1, 2, 5]] {
        picker.peer_joined(&some(10, holders));
    }
    let pick = picker.pick(1, &PeerPieces::All, None, 3, mode(), &mut rng());
    assert_eq!(pieces_of(&pick), [3, 4, pick.blocks[2].piece]);
    picker.check().unwrap();
}

#[test]
fn first_pieces_are_random() {
    let first = |seed| {
        let mut rng = Seed::from_u64(seed).stream("x");
        picker(100, 1).pick(1, &PeerPieces::All, None, 1, mode(), &mut rng).blocks[0].piece
    };
    let firsts: BTreeSet<u32> = (0..20).map(first).collect();
    assert!(firsts.len() > 10, "{firsts:?}");
}

#[test]
fn priorities_beat_rarity_and_unwanted_pieces_are_never_picked() {
    let mut picker = picker(10, 1);
    picker.set_priority(0, 7);
    picker.set_priority(1, 0);
    picker.set_priority(9, 1);
    (0..5).for_each(|_| picker.peer_got(0));
    let pick = picker.pick(1, &PeerPieces::All, None, 100, mode(), &mut rng());
    let order = pieces_of(&pick);
    assert_eq!((order[0], *order.last().unwrap(), order.len()), (0, 9, 9));
    assert!(!order.contains(&1));
    picker.check().unwrap();
}

#[test]
fn begun_pieces_are_finished_before_new_ones_are_begun() {
    let mut picker = picker(10, 4);
    let first = picker.pick(1, &PeerPieces::All, None, 2, mode(), &mut rng());
    let second = picker.pick(2, &PeerPieces::All, None, 2, mode(), &mut rng());
    assert_eq!(first.blocks[0].piece, second.blocks[1].piece);
    assert_eq!(picker.partial_count(), 1);
}

#[test]
fn fast_peers_get_whole_pieces_of_their_own() {
    let mut picker = picker(10, 4);
    let fast = PickMode { fast: true, ..mode() };
    let first = picker.pick(1, &PeerPieces::All, None, 2, fast, &mut rng());
    let second = picker.pick(2, &PeerPieces::All, None, 2, fast, &mut rng());
    assert_ne!(first.blocks[0].piece, second.blocks[0].piece);
    let slow = picker.pick(3, &PeerPieces::All, None, 2, mode(), &mut rng());
    assert!(!pieces_of(&slow).contains(&first.blocks[0].piece));
}

#[test]
fn the_number_of_begun_pieces_is_bounded() {
    let mut picker = picker(100, 4);
    let fast = PickMode { fast: true, max_partial: 3, ..mode() };
    for peer in 0..20 {
        picker.pick(peer, &PeerPieces::All, None, 1, fast, &mut rng());
    }
    assert_eq!(picker.open.len(), 3);
}

#[test]
fn sequential_mode_goes_in_order_and_around_what_the_peer_lacks() {
    let mut picker = picker(10, 2);
    picker.set_sequential(true);
    let has = some(10, &[1, 2, 5]);
    let pick = picker.pick(1, &has, None, 100, mode(), &mut rng());
    assert_eq!(pieces_of(&pick), [1, 1, 2, 2, 5, 5]);
    let pick = picker.pick(2, &PeerPieces::All, None, 2, mode(), &mut rng());
    assert_eq!(pieces_of(&pick), [0, 0]);
    picker.check().unwrap();
}

#[test]
fn endgame_asks_a_bounded_number_of_others_and_names_them_for_cancelling() {
    let mut picker = picker(1, 2);
    let pick = picker.pick(1, &PeerPieces::All, None, 9, mode(), &mut rng());
    assert_eq!(pick.blocks.len(), 2);
    assert!(picker.is_endgame());
    let mut asked = Vec::new();
    for peer in 2..10 {
        asked.extend(picker.pick_endgame(peer, &PeerPieces::All, None, PROVEN, &mut rng()));
    }
    assert_eq!(asked.len(), 4, "two more for each of two blocks");
    assert_eq!(picker.pick_endgame(1, &PeerPieces::All, None, PROVEN, &mut rng()), None);
    let at = asked[0];
    let Received::Needed { also_asked } = picker.block_received(at, 1) else {
        panic!("not needed")
    };
    assert_eq!(also_asked.len(), 2);
    assert_eq!(picker.block_received(at, 2), Received::Useless);
    picker.check().unwrap();
}

#[test]
fn silent_peers_and_newcomers_leave_a_place_in_the_endgame_to_one_that_delivers() {
    let mut picker = picker(1, 1);
    let endgame = |picker: &mut Picker, peer, proven| {
        let mode = PickMode { proven, ..PickMode::default() };
        picker.pick_endgame(peer, &PeerPieces::All, None, mode, &mut rng()).is_some()
    };
    picker.pick(1, &PeerPieces::All, None, 9, mode(), &mut rng());
    assert!(endgame(&mut picker, 2, false));
    assert!(!endgame(&mut picker, 3, false) && endgame(&mut picker, 4, true));
    assert!(!endgame(&mut picker, 5, true), "three are asked");
    // Two of them do not deliver: they count for each other, and for nobody else.
    picker.went_silent(1, core::iter::empty());
    picker.went_silent(2, core::iter::empty());
    assert!(endgame(&mut picker, 3, false) && endgame(&mut picker, 5, true));
    picker.went_silent(6, core::iter::empty());
    assert!(!endgame(&mut picker, 6, true) && !endgame(&mut picker, 7, true));
    // For each that fell silent about a block another one is asked for it.
    let at = BlockRef { piece: 0, block: 0 };
    [3, 4].into_iter().for_each(|peer| picker.went_silent(peer, core::iter::once(at)));
    let more = (10..20).filter(|peer| endgame(&mut picker, *peer, true)).count();
    assert_eq!(more, 3 + 2 - 1, "three, and one for each in vain; one is asked already");
    picker.check().unwrap();
}

#[test]
fn endgame_respects_unwanted_pieces() {
    let mut picker = picker(2, 1);
    picker.pick(1, &PeerPieces::All, None, 9, mode(), &mut rng());
    picker.set_priority(0, 0);
    picker.set_priority(1, 0);
    assert!(!picker.is_endgame());
    assert_eq!(picker.pick_endgame(2, &PeerPieces::All, None, PROVEN, &mut rng()), None);
    picker.check().unwrap();
}

#[test]
fn a_dropped_request_opens_the_block_for_others() {
    let mut picker = picker(1, 2);
    let pick = picker.pick(1, &PeerPieces::All, None, 2, mode(), &mut rng());
    picker.block_received(pick.blocks[0], 1);
    picker.request_dropped(pick.blocks[1], 1);
    let again = picker.pick(2, &PeerPieces::All, None, 2, mode(), &mut rng());
    assert_eq!(again.blocks, [pick.blocks[1]]);
    picker.check().unwrap();
}

#[test]
fn a_failed_piece_is_fetched_again_and_late_completions_do_not_count() {
    let mut picker = picker(1, 1);
    let at = picker.pick(1, &PeerPieces::All, None, 1, mode(), &mut rng()).blocks[0];
    picker.block_received(at, 1);
    let generation = picker.generation_of(0).unwrap();
    assert!(picker.block_written(at, generation));
    assert!(picker.contributors(0).eq([Some(1)]));
    picker.piece_failed(0);
    assert!(!picker.block_written(at, generation));
    let again = picker.pick(2, &PeerPieces::All, None, 1, mode(), &mut rng());
    assert_eq!(again.blocks, [at]);
    assert!(!picker.block_written(at, generation));
    picker.check().unwrap();
}

#[test]
fn a_peer_on_parole_gets_only_pieces_of_its_own() {
    let mut picker = picker(3, 2);
    picker.pick(1, &PeerPieces::All, None, 1, mode(), &mut rng());
    let parole = PickMode { parole: true, ..mode() };
    let pick = picker.pick(2, &PeerPieces::All, None, 1, parole, &mut rng());
    let other = picker.pick(3, &PeerPieces::All, None, 9, mode(), &mut rng());
    assert!(!pieces_of(&other).contains(&pick.blocks[0].piece));
    picker.check().unwrap();
}

#[test]
fn a_suggested_piece_is_begun_first() {
    let mut picker = picker(50, 1);
    let suggested = PickMode { suggested: Some(33), ..mode() };
    let pick = picker.pick(1, &PeerPieces::All, None, 2, suggested, &mut rng());
    assert_eq!(pick.blocks[0].piece, 33);
    let lacking = some(50, &[1, 2, 3]);
    let pick =
        picker.pick(2, &lacking, None, 9, PickMode { suggested: Some(40), ..mode() }, &mut rng());
    assert!(!pieces_of(&pick).contains(&40));
    picker.check().unwrap();
}

#[test]
fn allowed_fast_pieces_bound_the_choice() {
    let mut picker = picker(10, 1);
    let pick = picker.pick(1, &PeerPieces::All, Some(&[7, 3]), 9, mode(), &mut rng());
    assert_eq!(pieces_of(&pick), [7, 3]);
}

#[test]
fn restored_blocks_are_not_asked_for() {
    let mut picker = picker(2, 4);
    let mut written = Bits::new(4);
    written.set(1);
    picker.restore_partial(0, &written);
    picker.check().unwrap();
    let all = picker.pick(1, &PeerPieces::All, None, 99, mode(), &mut rng());
    assert!(!all.blocks.contains(&BlockRef { piece: 0, block: 1 }));
    assert_eq!(all.blocks.len(), 7);
    assert_eq!(picker.written_blocks(), [(0, written)]);
}

/// What rarest first means, computed the slow way: the lowest (priority, holders) among wanted,
/// unstarted pieces that the peer has.
fn naive_best(picker: &Picker, pieces: &PeerPieces) -> Option<(u8, u32)> {
    let candidates = (0..picker.geometry.pieces()).filter(|piece| {
        picker.missing.has(*piece) && !picker.partials.contains_key(piece) && pieces.has(*piece)
    });
    candidates
        .map(|piece| (u8::MAX - picker.priorities[piece as usize], picker.available(piece)))
        .min()
}

quickcheck::quickcheck! {
    /// Random histories keep all invariants, and every pick is as good as the naive reference's.
    fn picks_agree_with_a_naive_reference(operations: Vec<(u8, u32, u8)>) -> bool {
        const PIECES: u32 = 24;
        let mut picker = picker(PIECES, 1);
        (20..PIECES).for_each(|piece| picker.set_have(piece));
        let mut rng = rng();
        let mut peers: Vec<PeerPieces> = vec![];
        for (kind, value, priority) in operations {
            let piece = value % PIECES;
            match kind % 6 {
                0 => {
                    let has: Vec<_> = (0..PIECES).filter(|p| value >> p & 1 == 1).collect();
                    let pieces = if has.len() > 20 { PeerPieces::All } else { some(PIECES, &has) };
                    picker.peer_joined(&pieces);
                    peers.push(pieces);
                }
                1 => if let Some(pieces) = peers.pop() { picker.peer_left(&pieces) },
                2 => {
                    picker.set_priority(piece, priority % 8);
                }
                3 => picker.piece_failed(piece),
                4 => {
                    picker.clear_have(piece);
                }
                _ => {
                    let Some(pieces) = peers.first() else { continue };
                    let expected = naive_best(&picker, pieces);
                    let before = picker.clone();
                    let roomy = PickMode { max_partial: 1000, fast: true, ..PickMode::default() };
                    let pick = picker.pick(1, pieces, None, 1, roomy, &mut rng);
                    let got = pick.blocks.first().map(|at| {
                        let wanted = before.priorities[at.piece as usize];
                        (u8::MAX - wanted, before.available(at.piece))
                    });
                    if before.have.count() >= 4 && got != expected {
                        return false;
                    }
                }
            }
            picker.check().unwrap();
            picker.check_availability(peers.iter()).unwrap();
        }
        true
    }
}

#[test]
fn a_begun_piece_is_on_offer_only_while_it_is_wanted() {
    let mut rng = rng();
    let mut picker = picker(2, 2);
    picker.peer_joined(&PeerPieces::All);
    let mode = PickMode { max_partial: 8, ..PickMode::default() };
    let one = picker.pick(1, &PeerPieces::All, None, 1, mode, &mut rng).blocks[0];
    picker.set_priority(one.piece, 0);
    picker.check().unwrap();
    let rest = picker.pick(2, &PeerPieces::All, None, 9, mode, &mut rng).blocks;
    assert!(!rest.is_empty() && rest.iter().all(|at| at.piece != one.piece));
    picker.set_priority(one.piece, 7);
    picker.check().unwrap();
    let again = picker.pick(3, &PeerPieces::All, None, 9, mode, &mut rng).blocks;
    assert_eq!(again.iter().map(|at| at.piece).collect::<Vec<_>>(), [one.piece]);
}

#[test]
fn what_was_reserved_for_a_peer_that_left_is_open_to_everyone() {
    let mut rng = rng();
    let mut picker = picker(1, 2);
    picker.peer_joined(&PeerPieces::All);
    let parole = PickMode { max_partial: 8, parole: true, ..PickMode::default() };
    let usual = PickMode { parole: false, ..parole };
    let first = picker.pick(1, &PeerPieces::All, None, 1, parole, &mut rng).blocks[0];
    let generation = picker.generation_of(0).unwrap();
    picker.block_received(first, 1);
    picker.block_written(first, generation);
    assert!(picker.pick(2, &PeerPieces::All, None, 9, usual, &mut rng).blocks.is_empty());
    picker.release(1);
    assert_eq!(picker.pick(2, &PeerPieces::All, None, 9, usual, &mut rng).blocks.len(), 1);
}

#[test]
fn what_was_left_half_done_is_entrusted_to_a_suspect_that_has_nothing_else() {
    let geometry = Geometry::new(65_536, 65_536).unwrap();
    let mut rng = Seed::from_u64(3).stream("picker");
    let mut picker = Picker::new(geometry, &mut rng);
    picker.peer_joined(&PeerPieces::All);
    let mode = PickMode { parole: true, max_partial: 8, ..PickMode::default() };
    // Somebody brings one block and leaves; another is being asked for the rest.
    let first =
        picker.pick(1, &PeerPieces::All, None, 2, PickMode { parole: false, ..mode }, &mut rng);
    picker.block_received(first.blocks[0], 1);
    assert!(!picker.entrust(2, &PeerPieces::All, None), "somebody is being asked for it");
    picker.request_dropped(first.blocks[1], 1);
    assert!(picker.pick(2, &PeerPieces::All, None, 9, mode, &mut rng).blocks.is_empty());
    assert!(picker.entrust(2, &PeerPieces::All, None));
    assert_eq!(picker.pick(2, &PeerPieces::All, None, 9, mode, &mut rng).blocks.len(), 3);
    assert!(picker.pick(3, &PeerPieces::All, None, 9, mode, &mut rng).blocks.is_empty());
    picker.check().unwrap();
}

#[test]
fn blocks_of_a_peer_that_sent_bad_data_are_fetched_again_unless_the_piece_is_whole() {
    let mut picker = picker(3, 2);
    picker.peer_joined(&PeerPieces::All);
    let asked = picker.pick(1, &PeerPieces::All, None, 6, mode(), &mut rng()).blocks;
    // One whole piece, half of another one, and a block that is still being written.
    for at in &asked[..3] {
        picker.block_received(*at, 1);
        let generation = picker.generation_of(at.piece).unwrap();
        picker.block_written(*at, generation);
    }
    picker.block_received(asked[4], 1);
    for at in [asked[3], asked[5]] {
        picker.request_dropped(at, 1);
    }
    assert!(picker.reopen(1) && !picker.reopen(1) && !picker.reopen(2));
    picker.check().unwrap();
    assert_eq!(picker.contributors(asked[0].piece).flatten().count(), 2);
    assert!(picker.generation_of(asked[2].piece).is_none(), "it is as good as not begun");
    assert_eq!(picker.contributors(asked[4].piece).flatten().count(), 1);
}

#[test]
fn what_a_peer_declined_is_not_asked_of_it_and_of_others_it_is() {
    let mut picker = picker(40, 1);
    let all = (0..40).collect::<Vec<u32>>();
    let declined = &all[..39];
    let choosy = PickMode { except: declined, ..mode() };
    let blocks = picker.pick(1, &PeerPieces::All, None, 9, choosy, &mut rng()).blocks;
    assert_eq!(blocks, [BlockRef { piece: 39, block: 0 }]);
    picker.set_sequential(true);
    let choosy = PickMode { except: &[0, 1], ..mode() };
    let blocks = picker.pick(2, &PeerPieces::All, None, 1, choosy, &mut rng()).blocks;
    assert_eq!(blocks, [BlockRef { piece: 2, block: 0 }]);
    let blocks = picker.pick(3, &PeerPieces::All, None, 1, mode(), &mut rng()).blocks;
    assert_eq!(blocks, [BlockRef { piece: 0, block: 0 }]);
    picker.check().unwrap();
}
