//! Targets for everything by which peers are found without a tracker: DHT, metadata, peer exchange,
//! local discovery.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::dht::krpc::{Body, Packet};
use eddyline::dht::{DhtNode, DhtState, Goal, NodeConfig, NodeId, Output};
use eddyline::local_discovery::{Announcement, LocalDiscovery};
use eddyline::metadata_fetch::{Arrival, MetadataFetch, length};
use eddyline::metainfo::InfoHashes;
use eddyline::peer_exchange::{Journal, PexLedger};
use eddyline::wire::{MetadataMessage, PexFlags, PexMessage};

/// Largest packet that leaves a node, whatever it is asked.
const MAX_PACKET: usize = 1400;

/// No packet of the DHT panics its parser, and what was understood survives being written.
pub fn krpc(data: &[u8]) {
    if let Ok(packet) = Packet::decode(data) {
        assert_eq!(Packet::decode(&packet.encode()).as_ref(), Ok(&packet));
    }
    let state = DhtState::decode(data);
    assert_eq!(DhtState::decode(&state.encode()), state);
}

fn party(byte: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(20 + byte / 16, byte, 1, byte % 16).into(), 6881)
}

/// A whole node against packets, time and wishes of the fuzzer's choice: it stays bounded, no packet
/// is large, and what it is sent is answered once at the most.
pub fn dht_node(data: &[u8]) {
    let rng = Seed::from_u64(11).stream("fuzz");
    let mut now = Instant::from_millis(1_000_000);
    let mut node = DhtNode::new(NodeConfig::default(), None, rng, now);
    let mut asked: Vec<(SocketAddr, Bytes)> = Vec::new();
    let mut rest = data;
    while let [op, who, size, tail @ ..] = rest {
        let (run, tail) = tail.split_at(tail.len().min(usize::from(*size) * 2));
        rest = tail;
        let mut out = Output::default();
        match op % 5 {
            0 => {
                let before = node.queries_sent();
                node.datagram(party(*who), run, None, now, &mut out);
                let answers = out.packets.len() as u64 - (node.queries_sent() - before);
                assert!(answers <= 1, "a packet is answered once");
            }
            1 => {
                now = now + Duration::from_millis(u64::from(*who) * u64::from(*who) * 40);
                node.poll(now, &mut out);
            }
            2 => {
                let target = NodeId::from(Sha1Hash::of(run));
                let goal = match who % 4 {
                    0 => Goal::Nodes,
                    1 => Goal::Peers { announce: Some(Some(5)), seed: false },
                    2 => Goal::Get(None),
                    _ => Goal::Samples,
                };
                node.look_up(target, goal, now, &mut out);
            }
            3 => node.meet(party(*who), now, &mut out),
            // An answer to something that was really asked.
            _ => {
                let Some((to, t)) = asked.get(usize::from(*who)).cloned() else { continue };
                let Ok(packet) = Packet::decode(run) else { continue };
                let answer = Packet { t, ..packet }.encode();
                node.datagram(to, &answer, None, now, &mut out);
            }
        }
        for (to, packet) in out.packets {
            assert!(packet.len() <= MAX_PACKET, "{} bytes", packet.len());
            let packet = Packet::decode(&packet).expect("what is sent can be read");
            if let Body::Query(_) = packet.body {
                asked.push((to, packet.t));
            }
        }
        asked.drain(..asked.len().saturating_sub(200));
        node.check().unwrap_or_else(|rule| panic!("{rule}"));
        assert!(node.next_deadline(now) >= now);
    }
}

/// No metadata message panics its parser, and the fetching of metadata ends with nothing but the
/// right bytes.
pub fn metadata(data: &[u8]) {
    if let Ok(message) = MetadataMessage::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(MetadataMessage::decode(&message.encode().into()), Ok(message));
    }
    let right: Vec<u8> = (0..40_000u32).map(|n| (n % 251) as u8).collect();
    let hashes = InfoHashes { v1: Some(Sha1Hash::of(&right)), v2: None };
    let mut fetch = MetadataFetch::new(hashes, 100_000);
    let mut now = Instant::from_millis(1000);
    for step in data.chunks_exact(3) {
        let [op, peer, value] = [step[0], step[1], step[2]];
        let key = u32::from(peer % 8);
        // Two share an address.
        let ip = IpAddr::from([11, 0, 0, peer % 7]);
        match op % 6 {
            0 => drop(fetch.offered(key, ip, 40_000, now)),
            1 => drop(fetch.offered(key, ip, i64::from(value) * 500, now)),
            2 => fetch.left(key),
            3 => fetch.rejected(key, u32::from(value % 4), now),
            4 => now = now + Duration::from_millis(u64::from(value) * 100),
            _ => {
                // An even peer says the truth, an odd one does not.
                let piece = u32::from(value % 3);
                let size = length(40_000, piece) as usize;
                let start = piece as usize * 16_384;
                let mut bytes = right[start..start + size].to_vec();
                bytes[0] ^= u8::from(key % 2 == 1);
                match fetch.arrived(key, piece, None, &bytes) {
                    Ok(Arrival::Complete(whole)) => {
                        assert_eq!(whole, right);
                        return;
                    }
                    Ok(Arrival::Wrong(Some(liar))) => assert_eq!(liar % 2, 1),
                    _ => {}
                }
            }
        }
        fetch.poll(now);
        fetch.check().unwrap_or_else(|rule| panic!("{rule}"));
        assert!(fetch.buffered() <= 400_000);
    }
}

/// No message of the peer exchange panics its parser, and journal and ledger stay within bounds.
pub fn pex(data: &[u8]) {
    if let Ok(message) = PexMessage::decode(data) {
        assert_eq!(PexMessage::decode(&message.encode()), Ok(message));
    }
    let mut journal = Journal::default();
    let mut ledger = PexLedger::default();
    let mut now = Instant::from_millis(1000);
    let (mut told, mut taken) = (0, 0);
    for step in data.chunks_exact(2) {
        match step[0] % 4 {
            0 => journal.came(party(step[1]), PexFlags(step[1])),
            1 => journal.left(party(step[1])),
            2 => now = now + Duration::from_secs(step[1].into()),
            _ => {
                taken += ledger.take(usize::from(step[1]), now).unwrap_or(0);
                let (message, next) = journal.since(told, party(step[1]));
                assert!(message.added.len() + message.dropped.len() <= 50);
                assert!(next >= told && next <= journal.end());
                assert!(message.added.iter().all(|(addr, _)| !message.dropped.contains(addr)));
                told = next;
            }
        }
    }
    assert!(taken <= 1000);
}

/// No announcement panics its parser, and what was understood survives being written.
pub fn local_discovery(data: &[u8]) {
    if let Ok(announcement) = Announcement::decode(data) {
        // What is written is what one packet holds.
        let packet = announcement.encode(false);
        if packet.len() <= MAX_PACKET {
            let mut again = Announcement::decode(&packet).expect("what was written");
            again.cookie.clone_from(&announcement.cookie);
            assert_eq!(again, announcement);
        }
    }
    let mut rng = Seed::from_u64(1).stream("fuzz");
    let now = Instant::from_millis(1000);
    let mut machine = LocalDiscovery::new(&mut rng, now);
    if let Some((addr, hashes)) = machine.datagram(party(3), party(4).ip(), data, now) {
        assert!(addr.port() != 0 && !hashes.is_empty());
    }
}
