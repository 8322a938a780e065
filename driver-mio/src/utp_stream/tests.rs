//! Unit tests of the driver's part of µTP.

use std::net::{Ipv4Addr, SocketAddr};

use eddyline::{StreamCipher, StreamKey};

use super::*;

fn stream() -> UtpStream {
    UtpStream::new(ConnId::from_u64(1 << 32))
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 13 % 251) as u8).collect()
}

fn told(stream: &mut UtpStream) -> (u64, Vec<Bytes>) {
    let (mut offered, mut received) = (0, Vec::new());
    stream.happened(&mut Buffers::default(), |event| match event {
        StreamEvent::Offered(count) => offered += u64::from(count),
        StreamEvent::Received(bytes) => received.push(bytes),
        other => panic!("{other:?}"),
    });
    (offered, received)
}

fn read(stream: &UtpStream, payload: std::ops::Range<u64>) -> Option<Vec<u8>> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let header = Default::default();
    let packet = UtpPacket { to, header, stream: Some(stream.conn), payload, whole: true };
    let mut datagram = vec![1];
    stream.read(&packet, &mut datagram).then(|| datagram.split_off(1))
}

fn key() -> StreamKey {
    StreamKey::rc4([7; 20])
}

#[test]
fn what_is_sent_is_offered_once_and_kept_until_it_has_arrived() {
    let mut stream = stream();
    assert_eq!(told(&mut stream), (0, vec![]));
    stream.send(Bytes::from(bytes(1_000)));
    stream.send(Bytes::from(bytes(500)));
    assert_eq!(told(&mut stream), (1_500, vec![]));
    assert_eq!(told(&mut stream), (0, vec![]));
    let all = [bytes(1_000), bytes(500)].concat();
    assert_eq!(read(&stream, 900..1_100).as_deref(), Some(&all[900..1_100]));
    stream.release(1_000);
    assert_eq!(read(&stream, 900..1_100), None);
    assert_eq!(read(&stream, 1_000..1_500).as_deref(), Some(&all[1_000..]));
    assert_eq!(read(&stream, 1_000..1_501), None);
}

#[test]
fn what_comes_in_many_datagrams_is_given_on_together() {
    let mut stream = stream();
    let all = bytes(300_000);
    stream.grant(300_000);
    for part in all.chunks(1_452) {
        stream.deliver(&Payload::One(Bytes::copy_from_slice(part)));
    }
    let (_, received) = told(&mut stream);
    assert_eq!(received.len(), 300_000usize.div_ceil(Buffers::EACH));
    assert!(received.concat() == all);
    // A single one is not copied.
    let one = Bytes::from(bytes(1_452));
    stream.deliver(&Payload::One(one.clone()));
    let (_, received) = told(&mut stream);
    assert_eq!((received.len(), received[0].as_ptr()), (1, one.as_ptr()));
}

#[test]
fn what_is_sent_behind_a_key_is_enciphered_whatever_is_lost() {
    let mut stream = stream();
    stream.send(Bytes::from(bytes(100)));
    stream.encipher(&key());
    stream.send(Bytes::from(bytes(2_000)));
    let mut expected = bytes(2_000);
    StreamCipher::new(&key()).apply(&mut expected);
    for _ in 0..2 {
        assert_eq!(read(&stream, 0..100), Some(bytes(100)));
        assert_eq!(read(&stream, 100..2_100).as_ref(), Some(&expected));
        assert_eq!(read(&stream, 1_000..1_500).as_deref(), Some(&expected[900..1_400]));
    }
}

#[test]
fn what_was_granted_before_a_key_comes_as_it_is_and_the_rest_deciphered() {
    let mut stream = stream();
    stream.grant(100);
    stream.deliver(&Payload::One(Bytes::from(bytes(40))));
    assert_eq!(told(&mut stream).1.concat(), bytes(40));
    stream.decipher(&key());
    stream.grant(5_000);
    let mut sent = bytes(5_060);
    StreamCipher::new(&key()).apply(&mut sent[60..]);
    for part in sent.chunks(1_000) {
        stream.deliver(&Payload::One(Bytes::copy_from_slice(part)));
    }
    assert!(told(&mut stream).1.concat() == bytes(5_060));
}
