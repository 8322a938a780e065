//! Taking out of a trace whose run it was: addresses, names, hashes, keys and peer ids are replaced,
//! each by the same stand-in wherever it occurs.
//!
//! The stand-ins keep what decisions are meant to follow from: equality, order among their like,
//! address family and scope. A few decisions follow from the very bits of an address (BEP 40
//! priority, allowed-fast sets); where one of them turns out differently, the result says so.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;
use core::net::SocketAddr;

use super::format::{Origin, TraceError};
use super::read::Trace;
use super::record::Recorder;
use super::stand_ins::{StandIns, rewrite_extended, rewrite_reply};
use crate::api::{
    Action, Command, Config, DiskOp, DiskOutcome, Event, HttpEvent, StreamAction, StreamEvent,
};
use crate::base::ids::{ConnId, ExchangeId};
use crate::engine::Engine;
use crate::metainfo::Metainfo;
use crate::wire::{FrameAssembler, HANDSHAKE_LENGTH, Message};

/// Differences that are told one by one.
const MAX_TOLD: usize = 20;

/// A trace without names.
#[derive(Clone, Debug)]
pub struct Redacted {
    /// The trace; it replays.
    pub trace: Vec<u8>,
    /// Steps in which a decision depended on the bits of an address, with what was decided before
    /// and now.
    pub differences: Vec<(u64, String)>,
    /// How many addresses, hashes, peer ids and names were replaced.
    pub replaced: usize,
}

/// Why a trace cannot be redacted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RedactError {
    /// It is damaged.
    Trace(TraceError),
    /// It begins with a snapshot, whose state cannot be taken apart.
    Snapshot,
    /// A magnet's metadata came in it: that is known by its hash, so no other can stand in for it.
    Magnet,
}

impl fmt::Display for RedactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(error) => error.fmt(f),
            Self::Snapshot => f.write_str(
                "a trace that begins with a snapshot cannot be redacted; record from the start",
            ),
            Self::Magnet => f.write_str(
                "a trace of a magnet cannot be redacted, for its metadata is known by its hash; \
                 record a run with the .torrent file",
            ),
        }
    }
}

impl core::error::Error for RedactError {}

impl From<TraceError> for RedactError {
    fn from(error: TraceError) -> Self {
        Self::Trace(error)
    }
}

/// Redacts a trace.
///
/// # Errors
/// When it is damaged, or of a kind that cannot be redacted.
pub fn redact(trace: &Trace) -> Result<Redacted, RedactError> {
    let Origin::New(parts) = &trace.header().origin else { return Err(RedactError::Snapshot) };
    let mut survey = Survey::default();
    for number in 1..=trace.len() {
        let Some(step) = trace.step(number)? else { break };
        step.events.iter().for_each(|event| survey.look(event));
    }
    if survey.magnet {
        return Err(RedactError::Magnet);
    }
    let (config, seed, now) = &**parts;
    let mut original = Engine::new(config.clone(), *seed, *now);
    survey.stand_ins.settle();
    let patches = survey.patches();
    let mut stand_ins = survey.stand_ins;
    let nameless = Config { client: "x".repeat(config.client.len()), ..config.clone() };
    let mut engine = Engine::new(nameless, *seed, *now);
    engine.disguise();
    let origin = Origin::Snapshot(engine.snapshot().into());
    let mut recorder = Recorder::new(origin);
    let mut writer = Writer { stand_ins: &mut stand_ins, patches, offsets: BTreeMap::new() };
    let mut differences = Vec::new();
    for number in 1..=trace.len() {
        let Some(step) = trace.step(number)? else { break };
        let events: Vec<Event> = step.events.iter().map(|e| writer.rewrite(e.clone())).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        original.step(step.now, step.events, &mut before);
        recorder.step(&mut engine, step.now, events, &mut after);
        if differences.len() < MAX_TOLD
            && let Some(text) = difference(&before, &after)
        {
            differences.push((number, text));
        }
    }
    Ok(Redacted { trace: recorder.take(), differences, replaced: stand_ins.len() })
}

/// The first action that is of another shape, names apart.
fn difference(before: &[Action], after: &[Action]) -> Option<String> {
    let shapes = |actions: &[Action]| actions.iter().map(shape).collect::<Vec<_>>();
    let (before, after) = (shapes(before), shapes(after));
    let place = (0..before.len().max(after.len())).find(|at| before.get(*at) != after.get(*at))?;
    let text = |shapes: &[String]| shapes.get(place).cloned().unwrap_or_else(|| "nothing".into());
    Some(format!("{}, now {}", text(&before), text(&after)))
}

fn shape(action: &Action) -> String {
    match action {
        Action::Stream(conn, StreamAction::Connect { .. }) => format!("{conn:?} Connect"),
        Action::Stream(conn, StreamAction::Send(bytes)) => {
            format!("{conn:?} Send({} bytes)", bytes.len())
        }
        Action::Stream(..) | Action::Refuse { .. } => format!("{action:?}"),
        Action::SendDatagram { socket, .. } => format!("SendDatagram {socket:?}"),
        Action::Disk(op, DiskOp::Open { torrent, .. }) => format!("{op:?} Open {torrent:?}"),
        Action::Disk(op, DiskOp::StoreResume { torrent, .. }) => {
            format!("{op:?} StoreResume {torrent:?}")
        }
        Action::Disk(..) => format!("{action:?}"),
        Action::Resolve(lookup, _) => format!("{lookup:?} Resolve"),
        Action::Http(exchange, _) => format!("{exchange:?} Http"),
        Action::Notify(notice) => {
            let text = format!("{notice:?}");
            let end = text.find(['(', ' ']).unwrap_or(text.len());
            format!("Notify {}", &text[..end])
        }
    }
}

/// What one connection has said, as far as it holds names.
#[derive(Default)]
struct Heard {
    assembler: FrameAssembler,
    received: u64,
    shaken: bool,
    garbled: bool,
    /// Bytes with names in them, by their place in the stream.
    places: Vec<(u64, Bytes, Place)>,
}

#[derive(Clone, Copy)]
enum Place {
    Handshake,
    Extended(u8),
}

/// Looks through all events for what has to be replaced.
#[derive(Default)]
struct Survey {
    stand_ins: StandIns,
    heard: BTreeMap<ConnId, Heard>,
    bodies: BTreeMap<ExchangeId, BytesMut>,
    magnet: bool,
}

impl Survey {
    fn look(&mut self, event: &Event) {
        match event {
            Event::Incoming { remote, .. } => self.stand_ins.meet(remote.ip()),
            Event::Datagram { from, data, .. } => {
                self.stand_ins.meet(from.ip());
                self.stand_ins.meet_in_datagram(data, from.is_ipv6());
            }
            Event::Resolved(_, Ok(ips)) => ips.iter().for_each(|ip| self.stand_ins.meet(*ip)),
            Event::Http(id, HttpEvent::Body(bytes)) => {
                let body = self.bodies.entry(*id).or_default();
                body.extend_from_slice(bytes);
                let body = body.clone();
                self.stand_ins.meet_in_reply(&body);
            }
            Event::Command(Command::Add(add)) => {
                self.magnet |= !add.metainfo.is_known();
                add.peers.iter().for_each(|peer| self.stand_ins.meet(peer.ip()));
                let resumed = add.resume.iter().flat_map(|resume| &resume.peers);
                resumed.for_each(|peer| self.stand_ins.meet(peer.ip()));
            }
            Event::Command(Command::AddPeers(add)) => {
                add.peers.iter().for_each(|peer| self.stand_ins.meet(peer.ip()));
            }
            Event::Stream(conn, StreamEvent::Received(bytes)) => self.hear(*conn, bytes),
            _ => {}
        }
    }

    fn hear(&mut self, conn: ConnId, bytes: &Bytes) {
        let heard = self.heard.entry(conn).or_default();
        heard.received += bytes.len() as u64;
        if heard.garbled {
            return;
        }
        heard.assembler.push(bytes.clone());
        if !heard.shaken {
            match heard.assembler.take_handshake() {
                Ok(Some(handshake)) => {
                    heard.shaken = true;
                    self.stand_ins.meet_peer(handshake.peer_id);
                    let head = Bytes::copy_from_slice(&handshake.encode());
                    heard.places.push((0, head, Place::Handshake));
                }
                Ok(None) => return,
                Err(_) => heard.garbled = true,
            }
        }
        while !heard.garbled {
            match heard.assembler.next_message() {
                Ok(Some(Message::Extended { id, payload })) => {
                    self.stand_ins.meet_in_extended(id, &payload);
                    let end = heard.received - heard.assembler.buffered() as u64;
                    let at = end - payload.len() as u64;
                    heard.places.push((at, payload, Place::Extended(id)));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => heard.garbled = true,
            }
        }
    }

    /// New bytes for every place with names in it.
    fn patches(&mut self) -> Patches {
        let mut patches = Patches::default();
        for (conn, heard) in &self.heard {
            let list = patches.streams.entry(*conn).or_default();
            for (at, bytes, place) in &heard.places {
                let new = match place {
                    Place::Handshake => self.stand_ins.handshake(bytes),
                    Place::Extended(id) => rewrite_extended(&mut self.stand_ins, *id, bytes),
                };
                list.push((*at, new));
            }
        }
        for (exchange, body) in &self.bodies {
            patches.bodies.insert(*exchange, rewrite_reply(&mut self.stand_ins, body).into());
        }
        patches
    }
}

#[derive(Default)]
struct Patches {
    streams: BTreeMap<ConnId, Vec<(u64, Vec<u8>)>>,
    /// The whole reply, to be given with its first part.
    bodies: BTreeMap<ExchangeId, Bytes>,
}

struct Writer<'a> {
    stand_ins: &'a mut StandIns,
    patches: Patches,
    offsets: BTreeMap<ConnId, u64>,
}

impl Writer<'_> {
    fn rewrite(&mut self, event: Event) -> Event {
        match event {
            Event::Incoming { socket, remote } => {
                Event::Incoming { socket, remote: self.stand_ins.addr(remote) }
            }
            Event::Datagram { socket, from, data } => {
                let data = self.stand_ins.datagram(&data, from.is_ipv6()).into();
                Event::Datagram { socket, from: self.stand_ins.addr(from), data }
            }
            Event::Resolved(lookup, Ok(ips)) => Event::Resolved(
                lookup,
                Ok(ips.into_iter().map(|ip| self.stand_ins.ip(ip)).collect()),
            ),
            Event::Http(id, HttpEvent::Body(_)) => {
                let body = self.patches.bodies.get_mut(&id).map(core::mem::take);
                Event::Http(id, HttpEvent::Body(body.unwrap_or_default()))
            }
            Event::Http(id, HttpEvent::Head { status, location, scope }) => {
                let location = location.map(|url| self.stand_ins.url(&url));
                Event::Http(id, HttpEvent::Head { status, location, scope })
            }
            Event::Command(command) => Event::Command(self.command(command)),
            Event::Stream(conn, StreamEvent::Received(bytes)) => {
                Event::Stream(conn, StreamEvent::Received(self.patch(conn, &bytes)))
            }
            Event::Disk(op, DiskOutcome::PieceHashed(hash)) => {
                Event::Disk(op, DiskOutcome::PieceHashed(self.stand_ins.piece(hash)))
            }
            Event::Disk(op, DiskOutcome::BlocksHashed(hashes)) => {
                let hashes = hashes.iter().map(|hash| self.stand_ins.piece(*hash)).collect();
                Event::Disk(op, DiskOutcome::BlocksHashed(hashes))
            }
            other => other,
        }
    }

    fn patch(&mut self, conn: ConnId, bytes: &Bytes) -> Bytes {
        let start = *self.offsets.entry(conn).or_default();
        let end = start + bytes.len() as u64;
        self.offsets.insert(conn, end);
        let mut out = BytesMut::from(bytes.as_ref());
        if start == 0 && self.patches.streams.get(&conn).is_none_or(Vec::is_empty) {
            // Whatever it is, it is no handshake; nobody needs to know more.
            out.iter_mut().skip(HANDSHAKE_LENGTH).for_each(|byte| *byte = 0);
        }
        for (at, new) in self.patches.streams.get(&conn).into_iter().flatten() {
            for (offset, byte) in new.iter().enumerate() {
                let place = at + offset as u64;
                if (start..end).contains(&place) {
                    out[(place - start) as usize] = *byte;
                }
            }
        }
        out.freeze()
    }

    fn command(&mut self, command: Command) -> Command {
        let names = &mut *self.stand_ins;
        match command {
            Command::Add(mut add) => {
                add.metainfo = Arc::new(metainfo(names, &add.metainfo));
                rename(names, &mut add.peers);
                add.trackers.iter_mut().for_each(|url| *url = names.url(url));
                if let Some(resume) = &mut add.resume {
                    resume.info_hash = names.info_hash(resume.info_hash);
                    rename(names, &mut resume.peers);
                }
                Command::Add(add)
            }
            Command::AddPeers(mut add) => {
                rename(names, &mut add.peers);
                Command::AddPeers(Box::new(*add))
            }
            Command::StandBy { info_hash, announce } => {
                Command::StandBy { info_hash: names.info_hash(info_hash), announce }
            }
            Command::Forget(info_hash) => Command::Forget(names.info_hash(info_hash)),
            other => other,
        }
    }
}

fn rename(names: &mut StandIns, peers: &mut [SocketAddr]) {
    peers.iter_mut().for_each(|peer| *peer = names.addr(*peer));
}

fn metainfo(names: &mut StandIns, original: &Metainfo) -> Metainfo {
    let mut metainfo = original.clone();
    metainfo.info_hashes.v1 = metainfo.info_hashes.v1.map(|hash| names.info_hash(hash));
    metainfo.info_hashes.v2 = metainfo.info_hashes.v2.map(|hash| names.long_hash(hash));
    metainfo.name = names.name(&metainfo.name);
    metainfo.layout.rename(|part| names.name(part));
    let pieces = metainfo.piece_hashes.chunks_exact(20);
    let pieces = pieces.filter_map(crate::base::hash::Sha1Hash::from_slice);
    metainfo.piece_hashes = pieces.flat_map(|hash| names.piece(hash).0).collect::<Vec<_>>().into();
    metainfo.piece_layers.clear();
    metainfo.trackers.iter_mut().flatten().for_each(|url| *url = names.url(url));
    let seeds = metainfo.web_seeds.iter_mut().chain(&mut metainfo.http_seeds);
    seeds.for_each(|url| *url = names.url(url));
    metainfo.nodes.clear();
    metainfo.comment = None;
    metainfo.created_by = None;
    metainfo.creation_date = None;
    metainfo.source = None;
    // As long as it was: its length is told to peers.
    metainfo.info = alloc::vec![b'x'; metainfo.info.len()].into();
    metainfo
}
