//! Unit tests of the codecs. Streams that real clients sent run in the `eddyline-sim` crate.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::*;
use crate::base::hash::Sha1Hash;
use crate::base::payload::Payload;

fn assemble(chunks: &[&[u8]]) -> Result<Vec<Message>, DecodeError> {
    let mut assembler = FrameAssembler::default();
    let mut out = Vec::new();
    for chunk in chunks {
        assembler.push(Bytes::copy_from_slice(chunk));
        while let Some(message) = assembler.next_message()? {
            out.push(message);
        }
    }
    Ok(out)
}

#[test]
fn a_four_gigabyte_length_prefix_is_refused_at_once() {
    let error = assemble(&[&[0xff, 0xff, 0xff, 0xff]]).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { length: u32::MAX });
}

#[test]
fn a_length_that_does_not_fit_the_type_is_refused() {
    let stream = [0, 0, 0, 3, 4, 0, 0];
    assert_eq!(assemble(&[&stream]).unwrap_err(), DecodeError::WrongLength { id: 4 });
}

#[test]
fn garbage_instead_of_a_handshake_is_refused_at_the_first_wrong_byte() {
    assert_eq!(Handshake::decode(b"GET / HTTP"), Err(DecodeError::NotBitTorrent));
    assert_eq!(Handshake::decode(b"\x13BitTor"), Ok(None));
    assert_eq!(Handshake::decode(b""), Ok(None));
}

#[test]
fn handshakes_survive_a_round_trip() {
    let handshake = Handshake {
        reserved: Reserved::OURS,
        info_hash: Sha1Hash([7; 20]),
        peer_id: PeerId(*b"-ED0100-abcdefghijkl"),
    };
    assert_eq!(Handshake::decode(&handshake.encode()), Ok(Some(handshake)));
    assert!(handshake.reserved.fast() && handshake.reserved.extended());
    assert_eq!(handshake.peer_id.client(), "-ED0100-");
}

#[test]
fn deep_nesting_in_an_extended_message_is_refused() {
    let body = [b"d1:m".as_slice(), &vec![b'l'; 50_000]].concat();
    assert_eq!(ExtendedHandshake::decode(&body), Err(DecodeError::Extended));
}

#[test]
fn client_names_cannot_move_the_cursor() {
    let body = b"d1:v9:\x1b[2Jevil!e";
    assert_eq!(ExtendedHandshake::decode(body).unwrap().v.unwrap(), "[2Jevil!");
}

#[test]
fn a_block_inside_one_buffer_is_sliced_and_not_copied() {
    let mut stream = vec![0, 0, 0, 13, 7, 0, 0, 0, 1, 0, 0, 0, 2];
    stream.extend([9, 8, 7, 6, 0, 0, 0, 0]);
    let buffer = Bytes::from(stream);
    let mut assembler = FrameAssembler::default();
    assembler.push(buffer.clone());
    let Ok(Some(Message::Piece { payload: Payload::One(slice), .. })) = assembler.next_message()
    else {
        panic!("no piece");
    };
    assert_eq!(slice, buffer.slice(13..17));
    assert!(core::ptr::eq(slice.as_ref(), &raw const buffer[13..17]));
}

fn sample(kind: u8, a: u32, b: u32, bytes: Vec<u8>) -> Message {
    let block = BlockRequest { piece: a, begin: b, length: a ^ b };
    match kind % 12 {
        0 => Message::KeepAlive,
        1 => Message::Have(a),
        2 => Message::Bitfield(bytes.into()),
        3 => Message::Request(block),
        4 => Message::Cancel(block),
        5 => Message::Port(a as u16),
        6 => Message::Suggest(b),
        7 => Message::Reject(block),
        8 => Message::AllowedFast(b),
        9 => Message::Extended { id: a as u8, payload: bytes.into() },
        10 => Message::Piece { piece: a, begin: b, payload: Payload::One(bytes.into()) },
        _ => [Message::Choke, Message::Unchoke, Message::HaveAll, Message::HaveNone]
            [a as usize % 4]
            .clone(),
    }
}

quickcheck::quickcheck! {
    fn messages_survive_any_split(kinds: Vec<(u8, u32, u32, Vec<u8>)>, cuts: Vec<u8>) -> bool {
        let messages: Vec<_> = kinds.into_iter().map(|(k, a, b, v)| sample(k, a, b, v)).collect();
        let mut stream = BytesMut::new();
        for message in &messages {
            message.encode(&mut stream);
            if let Message::Piece { payload, .. } = message {
                payload.parts().iter().for_each(|part| stream.extend_from_slice(part));
            }
        }
        let mut rest = stream.as_ref();
        let mut chunks = Vec::new();
        for cut in cuts {
            let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
            chunks.push(head);
            rest = tail;
        }
        chunks.push(rest);
        let read = assemble(&chunks).unwrap();
        // `Debug` of a payload hides its content, which the length check above has covered.
        format!("{read:?}") == format!("{messages:?}")
    }

    fn arbitrary_streams_never_panic(bytes: Vec<u8>) -> bool {
        let _ = assemble(&[&bytes]);
        let _ = ExtendedHandshake::decode(&bytes);
        let _ = parse_dont_have(&bytes);
        true
    }

    fn extended_handshakes_survive_a_round_trip(p: u16, reqq: u32, seed: bool) -> bool {
        let handshake = ExtendedHandshake {
            m: [("ut_metadata".into(), 3), ("lt_donthave".into(), 7)].into(),
            v: Some("Eddyline 0.1".into()),
            p: (p != 0).then_some(p),
            reqq: Some(reqq),
            yourip: Some([1, 2, 3, 4].into()),
            ipv6: Some([9; 16].into()),
            upload_only: Some(seed),
            ..ExtendedHandshake::default()
        };
        ExtendedHandshake::decode(&handshake.encode()) == Ok(handshake)
    }
}
