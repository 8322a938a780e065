//! Streams of messages, on their own and as what a peer sends to an engine.

use super::documents::extensions;
use super::{repeated, string};

/// A message of the wire protocol.
fn message(id: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_be_bytes(), &[id][..], body].concat()
}

fn numbers(id: u8, numbers: &[u32]) -> Vec<u8> {
    let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    message(id, &body)
}

fn extended(id: u8, body: &[u8]) -> Vec<u8> {
    message(20, &[&[id], body].concat())
}

fn have(number: usize) -> Vec<u8> {
    numbers(4, &[number as u32 % 10])
}

fn request(number: usize) -> Vec<u8> {
    numbers(6, &[number as u32 % 9, 0, 16_384])
}

/// A port that no node listens on.
fn port(number: usize) -> Vec<u8> {
    message(9, &(1 + number as u16 % 60_000).to_be_bytes())
}

/// The first byte says in what steps the stream comes; 0 stands for single bytes.
pub(super) fn haves_in_bytes(length: usize) -> Vec<u8> {
    repeated(length, &[1], b"", have)
}

pub(super) fn keep_alives_split(length: usize) -> Vec<u8> {
    repeated(length, &[3], b"", |_| vec![0; 4])
}

pub(super) fn extended_split(length: usize) -> Vec<u8> {
    repeated(length, &[7], b"", |_| extended(1, b""))
}

pub(super) fn unfinished(length: usize) -> Vec<u8> {
    let body = vec![0; length.saturating_sub(6)];
    [&[1][..], &(body.len() as u32 + 2).to_be_bytes(), &[20], &body].concat()
}

pub(super) fn haves(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", have)
}

pub(super) fn have_nones(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| message(15, b""))
}

pub(super) fn requests(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", request)
}

pub(super) fn bitfield(length: usize) -> Vec<u8> {
    message(5, &vec![0xff; length.saturating_sub(5)])
}

pub(super) fn ports(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", port)
}

/// A peer that shakes hands and then sends everything at once, to a seed; see `fuzzing::session`.
fn session(length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    with_handshakes(0xf8, length, part)
}

/// The same, to an engine that fetches.
fn session_of_leech(length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    with_handshakes(0xfc, length, part)
}

fn with_handshakes(mode: u8, length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let extensions = b"d1:md11:lt_donthavei7e11:ut_metadatai2e6:ut_pexi1eee";
    let head = [&[mode][..], &message(15, b""), &extended(0, extensions)].concat();
    repeated(length, &head, b"", part)
}

pub(super) fn session_have_all(length: usize) -> Vec<u8> {
    // Have all, have none, in turns.
    session_of_leech(length, |number| message(14 + number as u8 % 2, b""))
}

pub(super) fn session_dont_have(length: usize) -> Vec<u8> {
    session_of_leech(length, |number| {
        let piece = number as u32 / 2 % 20_000;
        match number % 2 {
            0 => numbers(4, &[piece]),
            _ => extended(7, &piece.to_be_bytes()),
        }
    })
}

pub(super) fn session_requests(length: usize) -> Vec<u8> {
    // Interested comes first.
    session(length, |number| if number == 0 { message(2, b"") } else { request(number) })
}

pub(super) fn session_metadata(length: usize) -> Vec<u8> {
    session(length, |number| {
        extended(2, format!("d8:msg_typei0e5:piecei{}ee", 1000 + number % 1000).as_bytes())
    })
}

pub(super) fn session_ports(length: usize) -> Vec<u8> {
    session(length, port)
}

pub(super) fn session_handshakes(length: usize) -> Vec<u8> {
    let body = extensions(2000);
    session(length, |_| extended(0, &body))
}

pub(super) fn session_exchange(length: usize) -> Vec<u8> {
    session(length, |number| {
        let peers: Vec<u8> = (0..50u8).flat_map(|n| [20, number as u8, 3, n, 1, 1]).collect();
        extended(1, &[b"d5:added", string(peers).as_slice(), b"e"].concat())
    })
}

pub(super) fn session_bytes(length: usize) -> Vec<u8> {
    // In single bytes, through a length of 1 for each run of four.
    let stream = repeated(length / 5 * 4, b"", b"", have);
    let runs = stream.chunks(4).flat_map(|run| [&[1], run].concat());
    [0].into_iter().chain(runs).collect()
}

pub(super) fn ones(length: usize) -> Vec<u8> {
    vec![1; length]
}

/// The longest pads, read a byte at a time.
pub(super) fn mse_single_bytes(length: usize) -> Vec<u8> {
    repeated(length, &[1, 2, 255, 255, 255, 255, 0, 0x80, 255], b"", |_| vec![0])
}

/// A handshake whose padding does not end.
pub(super) fn mse_padding(length: usize) -> Vec<u8> {
    repeated(length, &[4], b"", |_| vec![0x55; 16])
}

/// Offers, padding and a payload inside a handshake, a byte at a time.
pub(super) fn mse_payload(length: usize) -> Vec<u8> {
    let head = [&[6, 0, 0, 0, 3, 2, 0][..], &[0; 512], &[255, 255]].concat();
    repeated(length, &head, b"", |_| vec![7; 16])
}
