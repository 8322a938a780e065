//! A step in words: what came, what was asked for, in the terms of the protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, DiskOpId, SocketToken};
use eddyline::trace::{LastStep, Who};
use eddyline::wire::{FrameAssembler, HANDSHAKE_LENGTH, Message};
use eddyline::{Action, Command, DiskOp, Event, Notice, StreamAction, StreamEvent, Wakeup};

use super::super::exit::{Failure, USAGE};
use super::super::output::printable;

/// Longest text of an event or action, in characters.
const LONGEST: usize = 400;

/// How a handshake begins.
const GREETING: &[u8] = b"\x13BitTorrent protocol";

/// What one wants to see.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// Everything about a peer.
    Peer(Who),
    /// Everything about a piece.
    Piece(u32),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(Who::Addr(addr)) => write!(f, "peer {addr}"),
            Self::Peer(Who::Conn(conn)) => write!(f, "peer {conn:?}"),
            Self::Piece(piece) => write!(f, "piece {piece}"),
        }
    }
}

impl Subject {
    /// Reads `--peer` and `--piece`.
    pub fn from_flags(peer: Option<&String>, piece: Option<&u32>) -> Result<Option<Self>, Failure> {
        if let Some(text) = peer {
            return text.parse().map(|who| Some(Self::Peer(who))).map_err(|()| {
                let text = format!("'{text}' is neither an address nor a connection like 3.1");
                Failure::new(USAGE, text)
            });
        }
        Ok(piece.map(|piece| Self::Piece(*piece)))
    }
}

/// Number, time and cause of a step.
pub fn heading(number: u64, step: &LastStep) -> String {
    let cause = match (step.events.len(), step.woken_by) {
        (0, Wakeup::At { reason, .. }) => format!("woken by the {reason:?} timer"),
        (0, _) => "without an event".to_owned(),
        (1, _) => "1 event".to_owned(),
        (count, _) => format!("{count} events"),
    };
    let seconds = step.now.as_nanos() as f64 / 1e9;
    format!("step {number} at {seconds:.6} s, {cause}, {} actions", step.actions.len())
}

/// Follows the conversations of a run, so that messages can be told by their names.
#[derive(Debug, Default)]
pub struct Transcript {
    sockets: BTreeMap<SocketToken, SocketAddr>,
    addrs: BTreeMap<ConnId, SocketAddr>,
    heard: BTreeMap<ConnId, (FrameAssembler, bool)>,
    ops: BTreeMap<DiskOpId, (u32, String)>,
}

impl Transcript {
    /// The lines of a step, or those of them that concern `subject`. Steps must come in order.
    pub fn of_step(&mut self, step: &LastStep, subject: Option<&Subject>) -> Vec<String> {
        let mut lines = Vec::new();
        for event in &step.events {
            let (text, conn, pieces) = self.event(event);
            if self.concerns(subject, conn, &pieces) {
                lines.push(format!("  ← {text}"));
            }
        }
        for action in &step.actions {
            let (conn, pieces) = self.action(action);
            if self.concerns(subject, conn, &pieces) {
                lines.push(format!("  → {}", describe(action)));
            }
        }
        lines
    }

    fn concerns(&self, subject: Option<&Subject>, conn: Option<ConnId>, pieces: &[u32]) -> bool {
        match subject {
            None => true,
            Some(Subject::Piece(piece)) => pieces.contains(piece),
            Some(Subject::Peer(who)) => conn.is_some_and(|conn| {
                let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                who.is(conn, self.addrs.get(&conn).copied().unwrap_or(nowhere))
            }),
        }
    }

    fn event(&mut self, event: &Event) -> (String, Option<ConnId>, Vec<u32>) {
        match event {
            Event::Incoming { socket, remote } => {
                self.sockets.insert(*socket, *remote);
                (format!("Incoming {socket:?} from {remote}"), None, Vec::new())
            }
            Event::Stream(conn, StreamEvent::Received(bytes)) => {
                let (messages, pieces) = self.hear(*conn, bytes);
                let colon = if messages.is_empty() { "" } else { ": " };
                let text = format!("{conn:?} Received({} bytes){colon}{messages}", bytes.len());
                (text, Some(*conn), pieces)
            }
            Event::Stream(conn, event) => (format!("{conn:?} {event:?}"), Some(*conn), Vec::new()),
            Event::Disk(op, outcome) => {
                let (piece, what) = self.ops.remove(op).unwrap_or((u32::MAX, String::new()));
                let what = if what.is_empty() { what } else { format!(" {what}") };
                (format!("{op:?}{what} → {outcome:?}"), None, vec![piece])
            }
            other => (brief(other), None, Vec::new()),
        }
    }

    fn hear(&mut self, conn: ConnId, bytes: &Bytes) -> (String, Vec<u32>) {
        if !self.addrs.contains_key(&conn) {
            // It began before this transcript did; where its messages begin is not known.
            return (String::new(), Vec::new());
        }
        let (assembler, shaken) = self.heard.entry(conn).or_default();
        assembler.push(bytes.clone());
        let mut words = Vec::new();
        let mut pieces = Vec::new();
        if !*shaken {
            match assembler.take_handshake() {
                Ok(Some(_)) => {
                    *shaken = true;
                    words.push("handshake".to_owned());
                }
                Ok(None) => return ("part of a handshake".to_owned(), pieces),
                Err(_) => return ("no handshake".to_owned(), pieces),
            }
        }
        loop {
            match assembler.next_message() {
                Ok(Some(message)) => {
                    pieces.extend(piece_of(&message));
                    words.push(name(&message));
                }
                Ok(None) => break,
                Err(error) => {
                    words.push(format!("nonsense ({error})"));
                    break;
                }
            }
        }
        let rest = assembler.buffered();
        if rest > 0 {
            words.push(format!("{rest} bytes of the next message"));
        }
        (words.join(", "), pieces)
    }

    fn action(&mut self, action: &Action) -> (Option<ConnId>, Vec<u32>) {
        match action {
            Action::Stream(conn, what) => {
                match what {
                    StreamAction::Connect { remote } => {
                        self.addrs.insert(*conn, *remote);
                    }
                    StreamAction::Adopt { socket } => {
                        let addr = self.sockets.remove(socket);
                        self.addrs.extend(addr.map(|addr| (*conn, addr)));
                    }
                    _ => {}
                }
                let pieces = match what {
                    StreamAction::Send(bytes) => said(bytes).iter().filter_map(piece_of).collect(),
                    _ => Vec::new(),
                };
                (Some(*conn), pieces)
            }
            Action::Disk(op, what) => {
                let piece = match what {
                    DiskOp::WriteBlock { piece, .. }
                    | DiskOp::ReadBlock { piece, .. }
                    | DiskOp::HashPiece { piece, .. }
                    | DiskOp::HashBlocks { piece, .. } => *piece,
                    _ => u32::MAX,
                };
                self.ops.insert(*op, (piece, format!("{what:?}")));
                (None, vec![piece])
            }
            Action::Notify(Notice::PieceVerified(_, piece) | Notice::PieceFailed(_, piece)) => {
                (None, vec![*piece])
            }
            Action::Notify(
                Notice::PeerConnected { conn, .. } | Notice::PeerClosed { conn, .. },
            ) => (Some(*conn), Vec::new()),
            _ => (None, Vec::new()),
        }
    }
}

/// An event in one line. What is long in it, a torrent or a reply, is cut.
pub fn brief(event: &Event) -> String {
    if let Event::Command(Command::Add(add)) = event {
        let hashes = add.metainfo.info_hashes;
        let (peers, name) = (add.peers.len(), printable(&add.metainfo.name));
        return format!("Command(Add {name}, {hashes:?}, {peers} peers)");
    }
    shorten(&format!("{event:?}"))
}

fn shorten(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Actions in words.
pub fn describe_actions(actions: &[Action]) -> Vec<String> {
    actions.iter().map(describe).collect()
}

fn describe(action: &Action) -> String {
    match action {
        Action::Stream(conn, StreamAction::Send(bytes)) => {
            let greeting = bytes.starts_with(GREETING).then(|| "handshake".to_owned());
            let messages = said(bytes);
            let words: Vec<_> = greeting.into_iter().chain(messages.iter().map(name)).collect();
            format!("{conn:?} Send({} bytes): {}", bytes.len(), words.join(", "))
        }
        other => shorten(&format!("{other:?}")),
    }
}

/// The messages in one send. A block's header stands alone: its content is sent by itself.
fn said(bytes: &Bytes) -> Vec<Message> {
    let mut assembler = FrameAssembler::default();
    let mut rest = bytes.clone();
    if rest.starts_with(GREETING) && rest.len() >= HANDSHAKE_LENGTH {
        let _ = rest.split_to(HANDSHAKE_LENGTH);
    }
    assembler.push(rest);
    let mut messages = Vec::new();
    while let Ok(Some(message)) = assembler.next_message() {
        messages.push(message);
    }
    messages
}

fn piece_of(message: &Message) -> Option<u32> {
    match message {
        Message::Have(piece)
        | Message::Suggest(piece)
        | Message::AllowedFast(piece)
        | Message::Piece { piece, .. } => Some(*piece),
        Message::Request(block) | Message::Cancel(block) | Message::Reject(block) => {
            Some(block.piece)
        }
        _ => None,
    }
}

fn name(message: &Message) -> String {
    match message {
        Message::Request(block) => format!("request {}+{}", block.piece, block.begin),
        Message::Cancel(block) => format!("cancel {}+{}", block.piece, block.begin),
        Message::Reject(block) => format!("reject {}+{}", block.piece, block.begin),
        Message::Piece { piece, begin, .. } => format!("block {piece}+{begin}"),
        Message::Have(piece) => format!("have {piece}"),
        Message::Bitfield(bits) => format!("bitfield of {} bytes", bits.len()),
        Message::Extended { id: 0, .. } => "extended handshake".to_owned(),
        Message::Extended { id, payload } => format!("extended {id} ({} bytes)", payload.len()),
        Message::AllowedFast(piece) => format!("allowed fast {piece}"),
        Message::Suggest(piece) => format!("suggest {piece}"),
        Message::KeepAlive => "keep-alive".to_owned(),
        Message::NotInterested => "not interested".to_owned(),
        Message::HaveAll => "have all".to_owned(),
        Message::HaveNone => "have none".to_owned(),
        other => printable(&format!("{other:?}").to_lowercase()),
    }
}
