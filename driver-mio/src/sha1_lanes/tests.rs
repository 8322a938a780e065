//! Unit tests of the lanes, each way against the others.

use super::*;

fn messages(length: usize, offset: usize) -> Vec<Vec<u8>> {
    (0..LANES)
        .map(|lane| (0..offset + length).map(|at| (at * 7 + lane * 13 + at / 251) as u8).collect())
        .collect()
}

fn parts(messages: &[Vec<u8>], from: usize, to: usize) -> [&[u8]; LANES] {
    std::array::from_fn(|lane| &messages[lane][from..to])
}

fn expected(messages: &[Vec<u8>], from: usize) -> [Sha1Hash; LANES] {
    std::array::from_fn(|lane| Sha1Hash(Sha1::digest(&messages[lane][from..]).into()))
}

#[test]
fn every_length_and_alignment_gives_what_one_message_at_a_time_gives() {
    for length in (0..300).chain([1000, 4096, 16_384, 65_537]) {
        let offset = length % 67;
        let messages = messages(length, offset);
        let end = offset + length;
        let wanted = expected(&messages, offset);
        assert_eq!(Lanes::new().finish(&parts(&messages, offset, end)), wanted, "{length}");
        assert_eq!(Lanes::one_by_one().finish(&parts(&messages, offset, end)), wanted, "{length}");
    }
}

#[test]
fn parts_make_the_same_as_a_whole() {
    let messages = messages(10_000, 0);
    for first in [0, 64, 640, 9984] {
        let mut lanes = Lanes::new();
        lanes.update(&parts(&messages, 0, first));
        assert_eq!(lanes.finish(&parts(&messages, first, 10_000)), expected(&messages, 0));
    }
}

#[test]
#[should_panic(expected = "whole blocks")]
fn parts_that_are_no_whole_blocks_are_refused() {
    let messages = messages(65, 0);
    Lanes::new().update(&parts(&messages, 0, 65));
}
