//! Unit tests of the lanes, each way against the others.

use quickcheck::quickcheck;

use super::*;

fn messages(length: usize, offset: usize) -> Vec<Vec<u8>> {
    (0..LANES)
        .map(|lane| (0..offset + length).map(|at| (at * 7 + lane * 13 + at / 251) as u8).collect())
        .collect()
}

fn parts(messages: &[Vec<u8>], from: usize, to: usize) -> [&[u8]; LANES] {
    std::array::from_fn(|lane| &messages[lane][from..to])
}

fn expected<H: LaneHash>(messages: &[Vec<u8>], from: usize) -> [Output<H::One>; LANES] {
    std::array::from_fn(|lane| H::One::digest(&messages[lane][from..]))
}

fn agrees<H: LaneHash>(length: usize, offset: usize) {
    let messages = messages(length, offset);
    let wanted = expected::<H>(&messages, offset);
    for width in Width::available() {
        let lanes = Lanes::<H>::of(width);
        let found = lanes.finish(&parts(&messages, offset, offset + length));
        assert_eq!(found, wanted, "{length} bytes from {offset}, {width:?}");
    }
}

#[test]
fn every_length_and_alignment_gives_what_one_message_at_a_time_gives() {
    for length in (0..300).chain([1000, 4096, 16_384, 65_537]) {
        agrees::<Sha1>(length, length % 67);
        agrees::<Sha256>(length, length % 67);
    }
}

fn in_two_parts<H: LaneHash>() {
    let messages = messages(10_000, 0);
    for width in Width::available() {
        for first in [0, 64, 640, 9984] {
            let mut lanes = Lanes::<H>::of(width);
            lanes.update(&parts(&messages, 0, first));
            let found = lanes.finish(&parts(&messages, first, 10_000));
            assert_eq!(found, expected::<H>(&messages, 0));
        }
    }
}

#[test]
fn parts_make_the_same_as_a_whole() {
    in_two_parts::<Sha1>();
    in_two_parts::<Sha256>();
}

quickcheck! {
    fn any_messages_in_any_parts_agree(content: Vec<u8>, cuts: Vec<u8>, length: u16) -> bool {
        let length = usize::from(length) % 3_000;
        let byte = |lane: usize, at: usize| {
            let found = content.get((at * 31 + lane * 17) % content.len().max(1));
            found.copied().unwrap_or(7).wrapping_add(lane as u8)
        };
        let messages: Vec<Vec<u8>> =
            (0..LANES).map(|lane| (0..length).map(|at| byte(lane, at)).collect()).collect();
        let hashed = |width| {
            let (mut one, mut other) = (Lanes::<Sha1>::of(width), Lanes::<Sha256>::of(width));
            let mut at = 0;
            for cut in &cuts {
                let next = (at + usize::from(*cut) * BLOCK).min(length / BLOCK * BLOCK);
                one.update(&parts(&messages, at, next));
                other.update(&parts(&messages, at, next));
                at = next;
            }
            let rest = parts(&messages, at, length);
            (one.finish(&rest), other.finish(&rest))
        };
        let alone = hashed(Width::One);
        Width::available().into_iter().all(|width| hashed(width) == alone)
    }
}

#[test]
#[should_panic(expected = "whole blocks")]
fn parts_that_are_no_whole_blocks_are_refused() {
    let messages = messages(65, 0);
    Lanes::<Sha1>::new().update(&parts(&messages, 0, 65));
}
