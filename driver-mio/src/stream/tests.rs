//! Unit tests of what is sent from files.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline::StreamCipher;

use super::*;
use eddyline_disk::StoredFile;

/// A file whose bytes are in memory when somebody says so.
#[derive(Debug, Default)]
struct Slow {
    here: AtomicBool,
    asked_for: AtomicBool,
}

impl StoredFile for Slow {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        unreachable!("nothing is read")
    }

    fn residence(&self, _: u64, _: u32) -> Residence {
        if self.here.load(Ordering::Relaxed) { Residence::Memory } else { Residence::Device }
    }

    fn prefetch(&self, _: u64, _: u32) {
        self.asked_for.store(true, Ordering::Relaxed);
    }

    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: u32) -> io::Result<usize> {
        // No more than a part at once, as sockets do.
        let bytes = vec![offset as u8; (length as usize).min(3)];
        Ok(rustix::net::send(socket, &bytes, QUIET)?)
    }

    fn write_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn lengthen(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn cut(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn found(&self) -> io::Result<eddyline_disk::Found> {
        unreachable!("nobody looks")
    }
}

fn stored(stream: &mut Stream, span: Span) {
    stream.send_stored(span, Instant::now(), &mut Buffers::default()).unwrap();
}

fn pair() -> (Stream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let (peer, _) = listener.accept().unwrap();
    (Stream::new(ConnId::from_u64(1), TcpStream::from_std(socket), true), peer)
}

#[test]
fn what_lies_in_a_file_is_sent_behind_its_header_and_before_the_next() {
    let (mut stream, mut peer) = pair();
    let file = Arc::new(Slow::default());
    stream.send(Bytes::from_static(b"one"));
    stored(&mut stream, Span::new(file.clone(), 7, 5));
    stream.send(Bytes::from_static(b"two"));
    stream.send(Bytes::from_static(b"three"));
    stored(&mut stream, Span::new(file, 50, 1));
    assert_eq!(stream.write().unwrap(), 17);
    assert!(stream.is_flushed());
    let mut got = [0; 17];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one\x07\x07\x07\x0a\x0atwothree\x32");
}

#[test]
fn what_has_left_memory_is_asked_for_and_sent_when_it_is_back() {
    let (mut stream, mut peer) = pair();
    let file = Arc::new(Slow::default());
    stream.send(Bytes::from_static(b"head"));
    stored(&mut stream, Span::new(file.clone(), 9, 2));
    std::thread::sleep(BELIEVED);
    assert_eq!(stream.write().unwrap(), 4);
    assert!(stream.cold && !stream.wants_write() && !stream.is_flushed());
    assert!(file.asked_for.load(Ordering::Relaxed));

    stream.cold = false;
    assert_eq!(stream.write().unwrap(), 0);
    assert!(stream.cold);

    stream.cold = false;
    file.here.store(true, Ordering::Relaxed);
    assert_eq!(stream.write().unwrap(), 2);
    let mut got = [0; 6];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"head\x09\x09");
}

#[test]
fn without_credit_the_poll_tells_of_no_more_bytes_until_all_are_read() {
    use mio::{Events, Poll};
    let (mut stream, mut peer) = pair();
    let (mut poll, mut events, token) = (Poll::new().unwrap(), Events::with_capacity(8), Token(1));
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut stream.socket, token, both).unwrap();
    let mut tells = |poll: &mut Poll, patience| {
        let end = Instant::now() + patience;
        let mut told = false;
        while !told && Instant::now() < end {
            poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
            told = events.iter().any(mio::event::Event::is_readable);
        }
        told
    };
    let (moment, long) = (Duration::from_millis(50), Duration::from_secs(20));
    let (mut buffers, mut bytes) = (Buffers::default(), Vec::new());
    peer.write_all(&[1; 100]).unwrap();
    assert!(tells(&mut poll, long));
    stream.readable = true;
    stream.heed(poll.registry(), token);
    peer.write_all(&[2; 100]).unwrap();
    assert!(!tells(&mut poll, moment), "nobody may read it");

    // With credit again, what is there is known; only when nothing is left it has to be told of.
    stream.credit = 1000;
    while stream.readable {
        stream.heed(poll.registry(), token);
        stream.read(&mut buffers, &mut bytes);
    }
    assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>(), 200);
    stream.heed(poll.registry(), token);
    peer.write_all(&[3; 100]).unwrap();
    assert!(tells(&mut poll, long));
}

/// A file of bytes that count up.
#[derive(Debug)]
struct Counting;

impl StoredFile for Counting {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        into.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = at as u8);
        Ok(())
    }

    fn write_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn lengthen(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn cut(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn found(&self) -> io::Result<eddyline_disk::Found> {
        unreachable!("nobody looks")
    }
}

#[test]
fn what_is_sent_behind_a_key_is_enciphered_and_what_was_queued_before_is_not() {
    let (mut stream, mut peer) = pair();
    let key = StreamKey::rc4([7; 20]);
    let shared = Bytes::from(vec![1, 2, 3]);
    stream.send(Bytes::from_static(b"plain"));
    stream.encipher(&key);
    stream.send(shared.clone());
    stored(&mut stream, Span::new(Arc::new(Counting), 40, 200_000));
    stream.send(Bytes::from_static(b"end"));
    assert_eq!(shared, [1, 2, 3][..], "what others hold stays as it is");
    let mut expected: Vec<u8> = vec![1, 2, 3];
    expected.extend((40..200_040).map(|at| at as u8));
    expected.extend(b"end");
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 5 + 3 + 200_000 + 3];
        peer.read_exact(&mut got).unwrap();
        got
    });
    while !stream.is_flushed() {
        stream.writable = true;
        stream.write().unwrap();
    }
    let mut got = reader.join().unwrap();
    let mut hidden = got.split_off(5);
    assert_eq!(got, b"plain");
    StreamCipher::new(&key).apply(&mut hidden);
    assert_eq!(hidden, expected);
}

#[test]
fn what_was_granted_before_a_key_comes_as_it_is_and_the_rest_deciphered() {
    let (mut stream, mut peer) = pair();
    let key = StreamKey::rc4([7; 20]);
    let mut sent = b"as it comesdeciphered".to_vec();
    StreamCipher::new(&key).apply(&mut sent[11..]);
    stream.credit = 11;
    stream.decipher(&key);
    stream.credit += 100;
    let mut got = Vec::new();
    for part in [&sent[..4], &sent[4..14], &sent[14..]] {
        peer.write_all(part).unwrap();
        let mut bytes = Vec::new();
        while bytes.is_empty() {
            stream.readable = true;
            stream.read(&mut Buffers::default(), &mut bytes);
        }
        bytes.iter().for_each(|part| got.extend_from_slice(part));
    }
    assert_eq!(got, b"as it comesdeciphered");
}
