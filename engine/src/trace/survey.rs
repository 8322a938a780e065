//! Looking through a whole run for what has to be replaced in it, before anything is.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::allowed;
use super::stand_ins::StandIns;
#[cfg(feature = "dht")]
use crate::api::DhtRequest;
use crate::api::{Command, Event, HttpEvent, StreamEvent, TorrentCommand};
use crate::base::ids::{ConnId, ExchangeId};
use crate::wire::{FrameAssembler, HANDSHAKE_LENGTH, Handshake, Message};

/// Bytes of a message that is not whole which may be told: its length and its id.
const HEAD: usize = 5;
/// The beginning of a handshake that everybody sends.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// What one connection has said.
#[derive(Default)]
struct PeerStream {
    assembler: FrameAssembler,
    /// Bytes that came.
    received: u64,
    /// Where the message begins that is not whole yet, and its first bytes.
    begins: u64,
    head: Vec<u8>,
    shaken: bool,
    garbled: bool,
    /// What was understood, by its place in the stream.
    places: Vec<(u64, Said)>,
}

enum Said {
    Handshake(Handshake),
    /// An extended message, the only one with names in it.
    Extended(u8, Bytes),
    /// What may be told of another message.
    Plain(Vec<u8>),
}

/// Looks through all events.
#[derive(Default)]
pub(super) struct Survey {
    stand_ins: StandIns,
    streams: BTreeMap<ConnId, PeerStream>,
    bodies: BTreeMap<ExchangeId, BytesMut>,
    /// A torrent was added of which only the identity was known.
    pub(super) magnet: bool,
}

/// What takes the place of what strangers said.
#[derive(Default)]
pub(super) struct Patches {
    /// Bytes that are not zero, by their place in the stream, in order.
    pub(super) streams: BTreeMap<ConnId, VecDeque<(u64, Vec<u8>)>>,
    /// The whole reply, to be given with its first part.
    pub(super) bodies: BTreeMap<ExchangeId, Bytes>,
}

impl Survey {
    pub(super) fn look(&mut self, event: &Event) {
        let names = &mut self.stand_ins;
        match event {
            Event::Incoming { remote, .. } => names.meet(remote.ip()),
            Event::Datagram { from, data, .. } => {
                names.meet(from.ip());
                allowed::meet_in_datagram(names, data, from.is_ipv6());
            }
            Event::Resolved(_, Ok(ips)) => ips.iter().for_each(|ip| names.meet(*ip)),
            Event::Http(id, HttpEvent::Body(bytes)) => {
                self.bodies.entry(*id).or_default().extend_from_slice(bytes);
            }
            Event::Http(_, HttpEvent::Head { location: Some(url), .. }) => names.meet_in_url(url),
            Event::Command(_, command) => self.command(command),
            Event::Stream(_, StreamEvent::Answered(head)) => {
                head.location.iter().for_each(|url| names.meet_in_url(url));
            }
            Event::Stream(conn, StreamEvent::Received(bytes)) => self.add_bytes(*conn, bytes),
            Event::Stream(..) | Event::Resolved(_, Err(_)) | Event::Disk(..) | Event::Http(..) => {}
        }
    }

    fn command(&mut self, command: &Command) {
        let names = &mut self.stand_ins;
        match command {
            Command::Add(add) => {
                self.magnet |= add.source.metainfo().is_none();
                add.peers.iter().for_each(|peer| names.meet(peer.ip()));
                let resumed = add.resume.iter().flat_map(|resume| &resume.peers);
                resumed.for_each(|peer| names.meet(peer.ip()));
                let (source, tiers) = (&add.source, add.source.trackers());
                let trackers = tiers.iter().flatten().chain(&add.trackers).chain(&add.mirrors);
                let http = source.metainfo().map_or(&[][..], |metainfo| metainfo.http_seeds());
                let seeds = source.web_seeds().iter().chain(http);
                trackers.chain(seeds).for_each(|url| names.meet_in_url(url));
            }
            Command::Torrent(_, TorrentCommand::AddPeers { peers, .. }) => {
                peers.iter().for_each(|peer| names.meet(peer.ip()));
            }
            #[cfg(feature = "dht")]
            Command::RestoreDht(state) => {
                state.nodes.iter().for_each(|node| names.meet(node.addr.ip()));
            }
            #[cfg(feature = "dht")]
            Command::Dht(request) => {
                if let DhtRequest::Contact(host) = &**request {
                    names.meet_in_url(host);
                }
            }
            _ => {}
        }
    }

    fn add_bytes(&mut self, conn: ConnId, bytes: &Bytes) {
        let stream = self.streams.entry(conn).or_default();
        let before = stream.received;
        stream.received += bytes.len() as u64;
        if stream.garbled {
            return;
        }
        stream.assembler.push(bytes.clone());
        while stream.understand() {}
        stream.keep_head(before, bytes);
        if stream.garbled {
            stream.assembler = FrameAssembler::default();
        }
    }

    /// All stand-ins, and new bytes for everything that was said.
    pub(super) fn settle(mut self) -> (StandIns, Patches) {
        let names = &mut self.stand_ins;
        for stream in self.streams.values() {
            for (_, said) in &stream.places {
                match said {
                    Said::Handshake(handshake) => names.meet_peer(handshake.peer_id),
                    Said::Extended(id, payload) => drop(allowed::extended(names, *id, payload)),
                    Said::Plain(_) => {}
                }
            }
        }
        self.bodies.values().for_each(|body| drop(allowed::reply(names, body)));
        names.settle();
        let mut patches = Patches::default();
        for (conn, stream) in &self.streams {
            patches.streams.insert(*conn, stream.told(names));
        }
        for (exchange, body) in &self.bodies {
            patches.bodies.insert(*exchange, allowed::reply(names, body).into());
        }
        (self.stand_ins, patches)
    }
}

impl Said {
    /// Nothing is kept of what is zeros anyway: content that was left out reads like many empty
    /// messages.
    fn of(message: Message) -> Option<Self> {
        match message {
            Message::KeepAlive => None,
            Message::Extended { id, payload } => Some(Self::Extended(id, payload)),
            other => Some(Self::Plain(allowed::plain(&other))),
        }
    }
}

impl PeerStream {
    /// Takes the next thing that is whole. Returns whether there may be another.
    fn understand(&mut self) -> bool {
        let said = if self.shaken {
            self.assembler.next_message().map(|message| message.map(Said::of))
        } else {
            self.assembler.take_handshake().map(|shaken| shaken.map(Said::Handshake).map(Some))
        };
        match said {
            Ok(Some(said)) => {
                self.shaken = true;
                self.places.extend(said.map(|said| (self.begins, said)));
                self.begins = self.received - self.assembler.buffered() as u64;
                self.head.clear();
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.garbled = true;
                false
            }
        }
    }

    /// Of `bytes`, which came behind `before` others, what belongs to the head of what is not whole.
    fn keep_head(&mut self, before: u64, bytes: &[u8]) {
        let room = if self.shaken { HEAD } else { PROTOCOL.len() };
        let from = (self.begins + self.head.len() as u64).saturating_sub(before);
        let rest = usize::try_from(from).ok().and_then(|from| bytes.get(from..));
        let count = room.saturating_sub(self.head.len());
        self.head.extend(rest.into_iter().flatten().take(count));
    }

    /// What may be told of it.
    fn told(&self, names: &mut StandIns) -> VecDeque<(u64, Vec<u8>)> {
        let mut told = VecDeque::new();
        for (at, said) in &self.places {
            let bytes = match said {
                Said::Handshake(handshake) => allowed::handshake(names, handshake),
                Said::Extended(id, payload) => {
                    let payload = allowed::extended(names, *id, payload).into();
                    let mut out = BytesMut::new();
                    Message::Extended { id: *id, payload }.encode(&mut out);
                    out.to_vec()
                }
                Said::Plain(bytes) => bytes.clone(),
            };
            told.push_back((*at, bytes));
        }
        let shared = self.head.iter().zip(PROTOCOL).take_while(|(a, b)| a == b).count();
        let known = if self.shaken { self.head.len() } else { shared };
        told.push_back((self.begins, self.head[..known].to_vec()));
        debug_assert!(!self.shaken || self.begins >= HANDSHAKE_LENGTH as u64);
        told
    }
}
