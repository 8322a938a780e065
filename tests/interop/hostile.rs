//! Hostile peers against the program itself, over real sockets: each costs itself, the process
//! lives, and the honest transfer completes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::payload::Payload;
use eddyline::metainfo::Metainfo;
use eddyline::wire::{BlockRequest, FrameAssembler, Handshake, Message, PeerId, Reserved};

use crate::lab::{Lab, PATIENCE, Process, wait_until};

const LENGTH: usize = 8_000_003;

fn metainfo(lab: &Lab) -> Metainfo {
    Metainfo::parse(&std::fs::read(&lab.torrent).unwrap()).unwrap()
}

fn handshake(metainfo: &Metainfo, name: u8) -> Vec<u8> {
    let (reserved, info_hash) = (Reserved::OURS, metainfo.info_hashes().wire());
    Handshake { reserved, info_hash, peer_id: PeerId([name; 20]) }.encode().to_vec()
}

fn encode(messages: &[Message]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for message in messages {
        message.encode(&mut out);
        if let Message::Piece { payload, .. } = message {
            payload.parts().iter().for_each(|part| out.extend_from_slice(part));
        }
    }
    out.to_vec()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `bytes` and asserts that the other side hangs up.
fn assert_hung_up(port: u16, bytes: &[u8], what: &str) {
    let mut stream = connect(port);
    // It may hang up before everything is written; that is what is being tested.
    let _ = stream.write_all(bytes);
    let mut sink = [0; 65_536];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{what}: not closed: {error}"),
        }
    }
}

/// A peer that accepts connections and answers each request with `answer`, `None` for silence.
fn serve(
    metainfo: Metainfo,
    content: Vec<u8>,
    answer: impl Fn(&BlockRequest, Vec<u8>) -> Option<Vec<u8>> + Clone + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (metainfo, content, answer) = (metainfo.clone(), content.clone(), answer.clone());
            std::thread::spawn(move || talk(stream.unwrap(), &metainfo, &content, answer));
        }
    });
    port
}

fn talk(
    mut stream: TcpStream,
    metainfo: &Metainfo,
    content: &[u8],
    answer: impl Fn(&BlockRequest, Vec<u8>) -> Option<Vec<u8>>,
) {
    let mut opening = handshake(metainfo, b'L');
    opening.extend(encode(&[Message::HaveAll, Message::Unchoke]));
    let mut assembler = FrameAssembler::default();
    let mut shaken = false;
    let mut buffer = [0; 65_536];
    if stream.write_all(&opening).is_err() {
        return;
    }
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
    {
        assembler.push(Bytes::copy_from_slice(&buffer[..count]));
        shaken = shaken || assembler.take_handshake().unwrap().is_some();
        while shaken && let Some(message) = assembler.next_message().unwrap() {
            let Message::Request(request) = message else { continue };
            let BlockRequest { piece, begin, length } = request;
            let at = metainfo.geometry().piece_offset(piece) as usize + begin as usize;
            let block = content[at..at + length as usize].to_vec();
            let Some(block) = answer(&request, block) else { continue };
            let payload = Payload::One(block.into());
            if stream.write_all(&encode(&[Message::Piece { piece, begin, payload }])).is_err() {
                return;
            }
        }
    }
}

fn assert_fetches_beside(lab: &Lab, name: &str, ports: [u16; 2]) -> Vec<String> {
    let mut command = lab.download(name);
    // The peers of these tests speak plainly.
    command.args(["--no-trackers", "--json", "--encryption", "disable"]);
    for port in ports {
        command.args(["--peer", &format!("127.0.0.1:{port}")]);
    }
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same(name);
    download.output()
}

#[test]
fn a_liar_beside_an_honest_seed_is_banned_and_the_file_is_right() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (mut seed, honest) = lab.seed(&["--max-up", "3M"]);
    let content = std::fs::read(&lab.payload).unwrap();
    let liar = serve(metainfo(&lab), content, |_, mut block| {
        block[100] ^= 1;
        Some(block)
    });
    let lines = assert_fetches_beside(&lab, "fetched", [liar, honest]);
    let banned = |addr: u16| {
        let told = |line: &String| {
            line.contains("\"banned\"") && line.contains(&format!("127.0.0.1:{addr}\""))
        };
        lines.iter().any(told)
    };
    assert!(banned(liar), "{lines:#?}");
    assert!(!banned(honest), "{lines:#?}");
    assert!(seed.is_alive());
}

#[test]
fn a_peer_that_unchokes_and_falls_silent_does_not_hold_a_download_up() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, honest) = lab.seed(&[]);
    let content = std::fs::read(&lab.payload).unwrap();
    let silent = serve(metainfo(&lab), content, |_, _| None);
    assert_fetches_beside(&lab, "fetched", [silent, honest]);
}

#[test]
fn garbage_floods_and_silence_end_their_own_connections_only() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (mut seed, port) = lab.seed(&["--max-up", "4M"]);
    let metainfo = metainfo(&lab);
    let peer = format!("127.0.0.1:{port}");
    let mut command = lab.download("fetched");
    command.args(["--peer", &peer, "--no-trackers", "--json"]);
    let mut download = Process::start(&mut command);
    while !download.wait_for("{").contains("\"piece\"") {}

    let silent: Vec<_> =
        (0..200).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port))).collect();
    assert_hung_up(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request");
    assert_hung_up(port, &[0xff; 5000], "noise");
    let after_handshake = |what: &str, bytes: &[u8]| {
        let all = [handshake(&metainfo, b'x'), bytes.to_vec()].concat();
        assert_hung_up(port, &all, what);
    };
    after_handshake("a 4 GiB length prefix", &[0xff, 0xff, 0xff, 0xff, 7]);
    let length = (metainfo.geometry().pieces() as usize).div_ceil(8);
    for wrong in [length - 1, length + 1] {
        let bitfield = Message::Bitfield(vec![0; wrong].into());
        after_handshake("a bitfield of the wrong size", &encode(&[bitfield]));
    }
    after_handshake("a piece that does not exist", &encode(&[Message::Have(u32::MAX)]));
    let request = BlockRequest { piece: u32::MAX, begin: 0, length: 16_384 };
    after_handshake("a request that cannot be", &encode(&[Message::Request(request)]));
    let nested = [b"d1:m".as_slice(), &vec![b'l'; 50_000]].concat();
    let nested = Message::Extended { id: 0, payload: nested.into() };
    after_handshake("50,000 nested lists", &encode(&[nested]));
    let flood: Vec<_> = (0..100_000)
        .map(|n| BlockRequest { piece: n % 100, begin: n / 100 % 2 * 16_384, length: 16_384 })
        .map(Message::Request)
        .collect();
    let mut opening = vec![Message::HaveNone, Message::Interested];
    opening.extend(flood);
    after_handshake("a hundred thousand requests", &encode(&opening));

    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
    assert!(seed.is_alive());
    drop(silent);
}

#[test]
fn silent_sockets_are_let_go_and_an_honest_peer_gets_in_beside_them() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (mut seed, port) = lab.seed(&[]);
    let mut silent: Vec<_> = (0..200).map(|_| connect(port)).collect();
    let peer = format!("127.0.0.1:{port}");
    let mut download = Process::start(lab.download("fetched").args(["--peer", &peer]));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
    let short = Some(Duration::from_millis(1));
    silent.iter().for_each(|stream| stream.set_read_timeout(short).unwrap());
    wait_until("every silent socket is closed", || {
        silent.retain_mut(|stream| match stream.read(&mut [0; 100]) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        silent.is_empty()
    });
    assert!(seed.is_alive());
}
