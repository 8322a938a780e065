//! An HTTP tracker that does its duty and remembers every announce.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline::bencode::Encoder;

/// One announce.
#[derive(Clone, Debug)]
pub struct Announce {
    /// The request line, as it came.
    pub line: String,
    /// Parameters, as they came.
    pub query: BTreeMap<String, String>,
}

impl Announce {
    /// A parameter, empty when it is not there.
    pub fn get(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }
}

/// The tracker.
#[derive(Clone)]
pub struct RecordingTracker {
    /// Its announce URL.
    pub url: String,
    log: Arc<Mutex<Vec<Announce>>>,
    peers: Arc<Mutex<BTreeSet<u16>>>,
}

impl RecordingTracker {
    /// Starts a tracker; `path` is that of its URL, query included.
    pub fn start(path: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let tracker = Self { url, log: Arc::default(), peers: Arc::default() };
        let shared = tracker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.answer(&stream));
            }
        });
        tracker
    }

    /// Names a peer to everyone.
    pub fn name_peer(&self, port: u16) {
        self.peers.lock().unwrap().insert(port);
    }

    /// Everything announced so far.
    pub fn announces(&self) -> Vec<Announce> {
        self.log.lock().unwrap().clone()
    }

    /// Events announced so far, in order.
    pub fn events(&self) -> Vec<String> {
        self.announces().iter().map(|announce| announce.get("event").to_owned()).collect()
    }

    fn answer(&self, stream: &TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() {
            return;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).is_ok_and(|count| count > 2) {
            header.clear();
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<String, String> =
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let announce = Announce { line: target, query };
        let port: u16 = announce.get("port").parse().unwrap_or(0);
        let mut peers = self.peers.lock().unwrap();
        let mut compact = Vec::new();
        for peer in peers.iter().filter(|peer| **peer != port) {
            compact.extend(Ipv4Addr::LOCALHOST.octets());
            compact.extend(peer.to_be_bytes());
        }
        if announce.get("event") == "stopped" {
            peers.remove(&port);
        } else if port > 1 {
            peers.insert(port);
        }
        drop(peers);
        self.log.lock().unwrap().push(announce);
        let mut body = Encoder::default();
        // Who is told the sizes of the swarm has no reason to ask for them.
        body.dict().bytes(b"complete").int(1).bytes(b"incomplete").int(1);
        body.bytes(b"interval").int(30);
        body.bytes(b"peers").bytes(&compact).bytes(b"tracker id").bytes(b"t 1").end();
        let body = body.finish();
        let mut out = stream;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body));
    }
}
