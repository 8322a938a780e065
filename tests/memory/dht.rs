//! What strangers make a node of the DHT keep for others, and what addresses take that others name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::UdpSocketId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::candidates::{Candidates, Namer};
use eddyline::{Action, Command, Config, Engine, Event, PeerSource};

const SOCKET: UdpSocketId = UdpSocketId(0);
/// The engine itself.
const ENGINE: u64 = 1 << 20;
/// What a node keeps at the most.
const PEERS: u32 = 50_000;
const TORRENTS: u32 = 2_000;
const ITEMS: u32 = 1_000;

/// Somebody in a block of addresses of its own.
fn address(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x5000_0000 + n * 256).into()), 6881)
}

/// A text as it stands in a packet.
fn text(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

fn query(method: &str, arguments: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut packet = b"d1:ad2:id20:".to_vec();
    packet.extend([b'n'; 20]);
    for (name, value) in arguments {
        packet.extend(text(name.as_bytes()));
        packet.extend(value);
    }
    packet.extend(b"e1:q");
    packet.extend(text(method.as_bytes()));
    packet.extend(b"1:t2:aa1:y1:qe");
    packet
}

/// An engine that is nothing but a node.
struct Node {
    engine: Engine,
    now: Instant,
}

impl Node {
    fn new(config: Config) -> Self {
        let now = Instant::from_millis(1_000);
        let mut node = Self { engine: Engine::new(config, Seed([7; 32]), now), now };
        node.step(Command::ListenOn { port: Some(6881), udp4: Some(SOCKET), udp6: None }.into());
        node
    }

    /// Steps, and returns what was sent at last.
    fn step(&mut self, event: Event) -> Option<Vec<u8>> {
        let mut actions = Vec::new();
        let _ = self.engine.step(self.now, [event], &mut actions);
        let sent = actions.into_iter().filter_map(|action| match action {
            Action::SendDatagram { data, .. } => Some(data.to_vec()),
            _ => None,
        });
        sent.filter(|data| data.windows(6).any(|part| part == b"1:y1:r")).last()
    }

    fn hear(&mut self, from: SocketAddr, data: Vec<u8>) -> Option<Vec<u8>> {
        self.now = self.now + Duration::from_millis(25);
        self.step(Event::Datagram { socket: SOCKET, from, data: data.into(), waited: 0 })
    }

    /// Asks for something; the token that comes with the answer.
    fn token(&mut self, from: SocketAddr, asks: Vec<u8>) -> Vec<u8> {
        let answer = self.hear(from, asks).expect("an answer");
        let at = answer.windows(7).position(|part| part == b"5:token").expect("a token") + 7;
        let colon = at + answer[at..].iter().position(|byte| *byte == b':').expect("a length");
        let length: usize = std::str::from_utf8(&answer[at..colon]).unwrap().parse().unwrap();
        text(&answer[colon + 1..colon + 1 + length])
    }
}

fn hash(n: u32) -> Vec<u8> {
    let mut hash = [7; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    hash.to_vec()
}

#[test]
fn peers_and_items_that_strangers_leave_with_a_node_stay_within_the_memory_bound() {
    let config = Config { dht_bootstrap: Vec::new(), ipv6: false, ..Config::default() };
    let bound = config.memory_bound(0, 0).dht;
    let mut kept = (0, 0, 0);
    let info = allocation_counter::measure(|| {
        let mut node = Node::new(config);
        for n in 0..PEERS + 500 {
            let (from, hash) = (address(n), hash(n % TORRENTS));
            let token = node.token(from, query("get_peers", &[("info_hash", text(&hash))]));
            let port = b"i6881e".to_vec();
            let arguments = [("info_hash", text(&hash)), ("port", port), ("token", token)];
            node.hear(from, query("announce_peer", &arguments)).expect("it is stored");
        }
        for n in 0..ITEMS + 100 {
            let from = address(100_000 + n);
            let mut value = vec![b'v'; 996];
            value[..4].copy_from_slice(&n.to_be_bytes());
            let value = text(&value);
            let target = Sha1Hash::of(&value).0;
            let token = node.token(from, query("get", &[("target", text(&target))]));
            let put = query("put", &[("token", token), ("v", value)]);
            node.hear(from, put).expect("it is stored");
        }
        let dht = node.engine.dht_node(false).expect("a node");
        let (torrents, peers) = dht.stored_peers();
        kept = (torrents, peers, dht.stored_items());
    });
    println!("{:.1} MiB of {:.1}", info.bytes_max as f64 / 1_048_576.0, bound as f64 / 1_048_576.0);
    assert_eq!(kept, (TORRENTS as usize, PEERS as usize, ITEMS as usize));
    assert!(info.bytes_max <= bound + ENGINE, "{} of {bound}", info.bytes_max);
}

#[test]
fn addresses_that_as_many_strangers_name_stay_within_the_memory_bound() {
    let config = Config::default();
    let bound = config.memory_bound(1, 0).candidates;
    let now = Instant::from_millis(1_000);
    let info = allocation_counter::measure(|| {
        let mut list = Candidates::default();
        let limit = config.max_candidates;
        for n in 0..2 * limit {
            let kind = if n % 2 == 0 { PeerSource::Dht } else { PeerSource::Pex };
            let namer = Namer::at(kind, address(n).ip());
            list.add(address(100_000 + n), namer, n, limit, now);
        }
        assert_eq!(list.len(), limit);
    });
    println!("{} of {bound}", info.bytes_max);
    assert!(info.bytes_max <= bound, "{} of {bound}", info.bytes_max);
}
