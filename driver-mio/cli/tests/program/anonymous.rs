//! `--anonymous`: what a tracker, a peer, a node of the DHT and a web server of ours receive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::home::Home;

/// Whoever hears something tells it here, with who he is.
type Heard = (&'static str, Vec<u8>);

/// A web server that keeps the head of each request, and answers with this.
fn server(who: &'static str, body: Vec<u8>, tell: Sender<Heard>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let _ = tell.send((who, head.join("\n").into_bytes()));
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{addr}")
}

/// A peer that has nothing, says so, and keeps what it hears.
fn peer(tell: Sender<Heard>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = tell.send(("peer", talk(stream)));
        }
    });
    addr
}

fn talk(mut stream: TcpStream) -> Vec<u8> {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut handshake = [0; 68];
    if stream.read_exact(&mut handshake).is_err() {
        return Vec::new();
    }
    let mut answer = handshake;
    answer[48..].copy_from_slice(b"-XX0000-abcdefghijkl");
    let extended = b"d1:md6:ut_pexi1eee";
    let _ = stream.write_all(&answer);
    let _ =
        stream.write_all(&[&[0, 0, 0, 2 + extended.len() as u8, 20, 0], &extended[..]].concat());
    let mut heard = handshake.to_vec();
    let mut more = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut more) {
        heard.extend_from_slice(&more[..count]);
    }
    heard
}

/// A node of the DHT that says nothing.
fn node(tell: Sender<Heard>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((count, _)) = socket.recv_from(&mut bytes) {
            let _ = tell.send(("node", bytes[..count].to_vec()));
        }
    });
    addr
}

/// What everybody heard of a download with these flags.
fn heard_of(flags: &[&str]) -> Vec<Heard> {
    let home = Home::new();
    let (tell, heard): (_, Receiver<Heard>) = channel();
    home.torrent("a.bin", 40_000);
    let tracker = server("tracker", b"d8:intervali1800e5:peers0:e".to_vec(), tell.clone());
    let mirror = server("mirror", vec![0; 16_384], tell.clone());
    home.succeed(&[
        "create",
        "source/a.bin",
        "-o",
        "t.torrent",
        "--tracker",
        &format!("{tracker}/announce"),
    ]);
    let torrent = std::fs::read(home.at("t.torrent")).unwrap();
    let site = server("site", torrent, tell.clone());
    let (peer, node) = (peer(tell.clone()), node(tell));
    let usual = ["download", &site, "--bind", "127.0.0.1", "--port", "0", "-d", "out"];
    let mirror = format!("{mirror}/a.bin");
    let more = ["--peer", &peer, "--dht-bootstrap", &node, "--mirror", &mirror];
    let end = ["--stop-timeout", "4s", "--encryption", "disable"];
    let all: Vec<&str> =
        usual.into_iter().chain(more).chain(end).chain(flags.iter().copied()).collect();
    home.refuse(7, &all);
    heard.try_iter().collect()
}

/// What names the client, or the machine, in what was heard; letters are as they were sent.
fn names_in(heard: &[Heard]) -> Vec<(&'static str, String)> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let marks =
        ["Eddyline", "eddyline", "-ED0", version, "ser-Agent", "ser-agent", "yourip", "1:v4:"];
    let marks = marks.into_iter().chain([host.trim()]).filter(|mark| mark.len() > 3);
    let marks: Vec<&str> = marks.collect();
    let found = heard.iter().flat_map(|(who, bytes)| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let there = marks.iter().filter(move |mark| text.contains(**mark));
        there.map(move |mark| (*who, (*mark).to_owned())).collect::<Vec<_>>()
    });
    found.collect()
}

#[test]
fn nobody_hears_which_client_it_is() {
    let everybody = ["tracker", "mirror", "site", "peer", "node"];
    let heard = heard_of(&["--anonymous"]);
    for who in everybody {
        assert!(heard.iter().any(|(by, _)| *by == who), "{who} heard nothing");
    }
    let extended = heard
        .iter()
        .any(|(who, bytes)| *who == "peer" && bytes.windows(4).any(|window| window == b"1:pi"));
    assert!(extended, "the peer was told our port");
    assert_eq!(names_in(&heard), []);
    // Without the flag each of them hears it: what is looked for can be found.
    let heard = names_in(&heard_of(&[]));
    for who in everybody {
        assert!(heard.iter().any(|(by, _)| *by == who), "{who}: {heard:?}");
    }
}
