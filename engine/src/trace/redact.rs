//! Taking out of a trace whose run it was. Nothing of it is taken over unless it is known to name
//! nobody: numbers, lengths, times, and shapes that are understood. Addresses, names, hashes, keys, ids
//! and texts get stand-ins, each the same wherever it occurs; what is not understood becomes zeros.
//!
//! The run is repeated by an engine with another seed, so that neither our peer ids nor announce
//! keys, conversations or places in the DHT follow from the result. Only the streams of randomness by
//! which pieces and peers are chosen go on as they were: they name nobody, and without them no decision
//! would be the same. They do not lead back to the seed, which is hashed into each of them. The same holds for the
//! ids of connections over µTP: who has the trace of a run that goes on could guess those to come.
//!
//! The stand-ins keep what decisions are meant to follow from: equality, order among their like,
//! address family and scope. What the DHT said is left out, and a few decisions follow from the very
//! bits of an address (BEP 40 priority, allowed-fast sets); where something turns out differently, the
//! result says so.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::allowed;
use super::answers::Answers;
use super::commands;
use super::format::{Origin, TraceError};
use super::read::Trace;
use super::record::Recorder;
use super::rerun::content_of;
use super::stand_ins::StandIns;
use super::survey::{Patches, Survey};
use crate::api::{
    Action, Config, DiskOp, DiskOutcome, Encryption, EncryptionPolicy, Event, FileStatus,
    HttpEvent, HttpHead, StreamAction, StreamEvent,
};
use crate::base::fault::Fault;
use crate::base::ids::ConnId;
use crate::base::rng::Seed;
use crate::engine::Engine;

/// Differences that are told one by one.
const MAX_TOLD: usize = 20;
/// What is kept of the length of the client's name: it is told to peers.
const MAX_CLIENT: usize = 64;

/// A trace without names.
#[derive(Clone, Debug)]
pub struct Redacted {
    /// The trace; it replays.
    pub trace: Vec<u8>,
    /// Steps in which something was decided that followed from what was taken out, such as the bits of
    /// an address, with what was decided before and now; the first twenty.
    pub differences: Vec<(u64, String)>,
    /// How many addresses, hashes, peer ids and names were replaced.
    pub replaced: usize,
}

/// Why a trace cannot be redacted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// It is damaged.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It begins with a snapshot, whose state cannot be taken apart.
    #[error("a trace that begins with a snapshot cannot be redacted; record from the start")]
    Snapshot,
    /// A magnet's metadata came in it: that is known by its hash, so no other can stand in for it.
    #[error(
        "a trace of a magnet cannot be redacted, for its metadata is known by its hash; \
         record a run with the .torrent file"
    )]
    Magnet,
}

impl RedactError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Trace(error) => error.fault(),
            Self::Snapshot | Self::Magnet => Fault::Caller,
        }
    }
}

/// Redacts a trace.
///
/// # Errors
/// When it is damaged, or of a kind that cannot be redacted.
pub fn redact(trace: &Trace) -> Result<Redacted, RedactError> {
    let Origin::New(parts) = &trace.header().origin else { return Err(RedactError::Snapshot) };
    let (config, seed, now) = &**parts;
    let mut clear = Cleartext::of(trace, &mut Engine::new(config.clone(), *seed, *now))?;
    let mut survey = Survey::default();
    let mut left = trace.most_kept();
    for number in 1..=trace.len() {
        let Some(step) = trace.step(number)? else { break };
        // What was left out may be written out again, where it turns out to be no content.
        let brought = step.events.iter().map(content_of).sum();
        left = left.checked_sub(brought).ok_or(TraceError::TooMuch(number))?;
        clear.apply(number, step.events).iter().for_each(|event| survey.look(event));
    }
    if survey.magnet {
        return Err(RedactError::Magnet);
    }
    let mut original = Engine::new(config.clone(), *seed, *now);
    let (mut stand_ins, patches) = survey.settle();
    let nameless = nameless(&mut stand_ins, config);
    let mut engine = Engine::new(nameless, OTHER_SEED, *now);
    engine.choose_as(&original);
    let origin = Origin::Snapshot(engine.snapshot().into());
    let mut recorder = Recorder::new(origin);
    let (stand_ins_of, offsets, answers) = (&mut stand_ins, BTreeMap::new(), Answers::default());
    let mut writer = Writer { stand_ins: stand_ins_of, patches, offsets, answers };
    let mut differences = Vec::new();
    for number in 1..=trace.len() {
        let Some(step) = trace.step(number)? else { break };
        let seen = clear.apply(number, step.events.clone());
        let events: Vec<Event> = seen.iter().map(|event| writer.rewrite(event)).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let _ = original.step(step.now, step.events, &mut before);
        let _ = recorder.step(&mut engine, step.now, events, &mut after);
        pair_transactions(writer.stand_ins, &before, &after);
        writer.answers.pair(&before, &after);
        if differences.len() < MAX_TOLD
            && let Some(text) = difference(&before, &after)
        {
            differences.push((number, text));
        }
    }
    Ok(Redacted { trace: recorder.take(), differences, replaced: stand_ins.len() })
}

/// What says nothing of a run: the seed of all redacted ones.
const OTHER_SEED: Seed = Seed(*b"a redacted run has no seed here.");

/// The configuration without what names somebody. All else in it is numbers and switches.
fn nameless(names: &mut StandIns, config: &Config) -> Config {
    Config {
        client: "x".repeat(config.client.len().min(MAX_CLIENT)),
        peer_id_prefix: *b"-XX0000-",
        encryption: Encryption::default(),
        dht_bootstrap: config.dht_bootstrap.iter().map(|host| names.host(host)).collect(),
        ..config.clone()
    }
}

/// What peers said in encrypted connections before the driver deciphered it. The redacted run has none of them: its
/// keys follow from a seed that is not told, so its connections are plain.
struct Cleartext(BTreeMap<(u64, u32), Bytes>);

impl Cleartext {
    /// Repeats a run to hear what was said in it.
    fn of(trace: &Trace, engine: &mut Engine) -> Result<Self, RedactError> {
        let mut clear = BTreeMap::new();
        if engine.config().encryption.policy == EncryptionPolicy::Disable {
            return Ok(Self(clear));
        }
        engine.watch_content();
        let (mut actions, mut left) = (Vec::new(), trace.most_kept());
        for number in 1..=trace.len() {
            let Some(step) = trace.step(number)? else { break };
            let brought = step.events.iter().map(content_of).sum();
            left = left.checked_sub(brought).ok_or(TraceError::TooMuch(number))?;
            let _ = engine.step(step.now, step.events, &mut actions);
            actions.clear();
            let said = engine.deciphered_events().iter();
            clear.extend(said.map(|(event, bytes)| ((number, *event), bytes.clone())));
        }
        Ok(Self(clear))
    }

    /// The events of a step as they would have been without encryption.
    fn apply(&mut self, step: u64, mut events: Vec<Event>) -> Vec<Event> {
        for ((_, event), bytes) in self.0.range((step, 0)..=(step, u32::MAX)) {
            if let Some(Event::Stream(_, StreamEvent::Received(received))) =
                events.get_mut(*event as usize)
            {
                *received = bytes.clone();
            }
        }
        events
    }
}

/// Requests to UDP trackers that both runs made in a step: an answer to one is an answer to the other.
fn pair_transactions(names: &mut StandIns, before: &[Action], after: &[Action]) {
    let requests = |actions: &[Action]| -> Vec<u32> {
        let sent = actions.iter().filter_map(|action| match action {
            Action::SendDatagram { data, .. } => allowed::transaction_of(data),
            _ => None,
        });
        sent.collect()
    };
    let (before, after) = (requests(before), requests(after));
    before.into_iter().zip(after).for_each(|(recorded, now)| names.pair(recorded, now));
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
        Action::Stream(conn, StreamAction::OpenUtp { .. }) => format!("{conn:?} OpenUtp"),
        Action::Stream(conn, StreamAction::Fetch(get)) => {
            format!("{conn:?} Fetch {}-{}", get.first, get.last)
        }
        Action::Stream(conn, StreamAction::Send(bytes)) => {
            format!("{conn:?} Send({} bytes)", bytes.len())
        }
        Action::Stream(..) | Action::Refuse { .. } => format!("{action:?}"),
        Action::SendDatagram { socket, .. } => format!("SendDatagram {socket:?}"),
        Action::Transmit(socket, packet) => {
            format!("Transmit {socket:?} {:?} of {:?}", packet.payload, packet.stream)
        }
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

/// Makes of each event one that names nobody.
struct Writer<'a> {
    stand_ins: &'a mut StandIns,
    patches: Patches,
    offsets: BTreeMap<ConnId, u64>,
    answers: Answers,
}

impl Writer<'_> {
    /// Every kind of event by itself, and no kind by default.
    fn rewrite(&mut self, event: &Event) -> Event {
        let names = &mut *self.stand_ins;
        match event {
            // A number that the embedder chose may say anything.
            Event::Command(_, command) => commands::rewrite(names, command).into(),
            Event::Incoming { socket, remote } => {
                Event::Incoming { socket: *socket, remote: names.addr(*remote) }
            }
            Event::Stream(conn, event) => Event::Stream(*conn, self.stream(*conn, event)),
            Event::Datagram { socket, from, data, waited } => {
                let data = match eddyline_utp::is_utp(data) {
                    true => self.answers.rewrite(*from, data).into(),
                    false => allowed::datagram(names, data, from.is_ipv6()).into(),
                };
                let (socket, from, waited) = (*socket, names.addr(*from), *waited);
                Event::Datagram { socket, from, data, waited }
            }
            Event::Disk(op, outcome) => Event::Disk(*op, disk(names, outcome)),
            Event::Resolved(lookup, Ok(ips)) => {
                Event::Resolved(*lookup, Ok(ips.iter().map(|ip| names.ip(*ip)).collect()))
            }
            Event::Resolved(lookup, Err(error)) => Event::Resolved(*lookup, Err(*error)),
            Event::Http(id, HttpEvent::Head { status, location, scope }) => {
                let location = location.as_ref().map(|url| names.url(url));
                Event::Http(*id, HttpEvent::Head { status: *status, location, scope: *scope })
            }
            Event::Http(id, HttpEvent::Body(_)) => {
                let body = self.patches.bodies.get_mut(id).map(core::mem::take);
                Event::Http(*id, HttpEvent::Body(body.unwrap_or_default()))
            }
            Event::Http(id, HttpEvent::Finished) => Event::Http(*id, HttpEvent::Finished),
            Event::Http(id, HttpEvent::Failed(failure)) => {
                Event::Http(*id, HttpEvent::Failed(*failure))
            }
        }
    }

    fn stream(&mut self, conn: ConnId, event: &StreamEvent) -> StreamEvent {
        match event {
            StreamEvent::Received(bytes) => StreamEvent::Received(self.received(conn, bytes.len())),
            StreamEvent::Connected => StreamEvent::Connected,
            StreamEvent::ConnectFailed(failure) => StreamEvent::ConnectFailed(*failure),
            StreamEvent::Sent(count) => StreamEvent::Sent(*count),
            StreamEvent::Closed(kind) => StreamEvent::Closed(*kind),
            StreamEvent::Offered(count) => StreamEvent::Offered(*count),
            StreamEvent::Answered(head) => {
                let HttpHead { status, location, scope, range, length, retry_after } = &**head;
                let location = location.as_ref().map(|url| self.stand_ins.url(url));
                StreamEvent::Answered(Box::new(HttpHead {
                    status: *status,
                    location,
                    scope: *scope,
                    range: *range,
                    length: *length,
                    retry_after: *retry_after,
                }))
            }
            StreamEvent::NotFetched(failure) => StreamEvent::NotFetched(*failure),
        }
    }

    /// The next bytes of a connection: zeros, and what may be told of them.
    fn received(&mut self, conn: ConnId, count: usize) -> Bytes {
        let offset = self.offsets.entry(conn).or_default();
        let (start, end) = (*offset, *offset + count as u64);
        *offset = end;
        let mut out = BytesMut::zeroed(count);
        let Some(places) = self.patches.streams.get_mut(&conn) else { return out.freeze() };
        while let Some((at, new)) = places.front() {
            let behind = at + new.len() as u64;
            let (from, to) = (start.max(*at), end.min(behind));
            if from < to {
                let part = &new[(from - at) as usize..(to - at) as usize];
                out[(from - start) as usize..(to - start) as usize].copy_from_slice(part);
            }
            if behind > end {
                break;
            }
            places.pop_front();
        }
        out.freeze()
    }
}

fn disk(names: &mut StandIns, outcome: &DiskOutcome) -> DiskOutcome {
    let mut files = |files: &[FileStatus]| files.iter().map(|file| status(names, *file)).collect();
    match outcome {
        DiskOutcome::Opened(found) => DiskOutcome::Opened(files(found)),
        DiskOutcome::Synced(found) => DiskOutcome::Synced(files(found)),
        DiskOutcome::Written => DiskOutcome::Written,
        DiskOutcome::Read(bytes) => DiskOutcome::Read(BytesMut::zeroed(bytes.len()).freeze()),
        DiskOutcome::PieceHashed(hash) => DiskOutcome::PieceHashed(names.piece(*hash)),
        DiskOutcome::BlocksHashed(hashes) => {
            DiskOutcome::BlocksHashed(hashes.iter().map(|hash| names.piece(*hash)).collect())
        }
        DiskOutcome::Done => DiskOutcome::Done,
        DiskOutcome::Failed(error) => DiskOutcome::Failed(*error),
        DiskOutcome::Ready => DiskOutcome::Ready,
        DiskOutcome::Changed(found) => {
            let told = found.iter().map(|(file, seen)| (*file, status(names, *seen)));
            DiskOutcome::Changed(told.collect())
        }
        DiskOutcome::OpenedAs(found, paths) => {
            let found = files(found);
            let mut path = |parts: &[String]| parts.iter().map(|part| names.name(part)).collect();
            let paths = paths.iter().map(|(file, parts)| (*file, path(parts))).collect();
            DiskOutcome::OpenedAs(found, paths)
        }
    }
}

/// Lengths of files are those of the torrent; when they were changed is nobody's business.
pub(super) fn status(names: &mut StandIns, file: FileStatus) -> FileStatus {
    let FileStatus { length, modified } = file;
    FileStatus { length, modified: names.moment(modified) }
}
