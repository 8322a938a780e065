//! A step in words: what came, what was asked for. Names are kept from step to step, so that a
//! connection goes by its address, a reply by its address on the web, an outcome by its order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, SocketToken};
use eddyline::base::time::Instant;
use eddyline::trace::{LastStep, Who};
use eddyline::wire::{FrameAssembler, HANDSHAKE_LENGTH, Message};
use eddyline::{
    Action, Command, DiskOp, Event, HttpAction, Notice, StreamAction, StreamEvent, Wakeup,
};

use super::super::exit::{Failure, USAGE};
use super::super::output::printable;
use super::super::passkeys::without_passkey;
use super::words::{self, count};

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
    pub fn from_flags(peer: Option<&str>, piece: Option<u32>) -> Result<Option<Self>, Failure> {
        if let Some(text) = peer {
            return text.parse().map(|who| Some(Self::Peer(who))).map_err(|()| {
                let text = format!("'{text}' is neither an address nor a connection like 3.1");
                Failure::new(USAGE, text)
            });
        }
        Ok(piece.map(Self::Piece))
    }
}

/// Seconds since the run began.
pub fn clock(now: Instant, began: Instant) -> String {
    format!("{:.3} s", now.since(began).as_secs_f64())
}

/// Number, time and cause of a step.
pub fn heading(number: u64, step: &LastStep, began: Instant) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let cause = match (step.events.len(), step.woken_by) {
        (0, Wakeup::At { reason, .. }) => words::timer(reason),
        (0, _) => "work was left over".to_owned(),
        (events, _) => count(events, "event"),
    };
    let actions = count(step.actions.len(), "action");
    format!("step {number} at {}: {cause}; {actions}", clock(step.now, began))
}

/// A line of a step.
#[derive(Debug)]
pub struct Line {
    /// What happened or was asked for.
    pub text: String,
    /// The connection that it is about.
    pub conn: Option<ConnId>,
    /// The pieces that it is about.
    pub pieces: Vec<u32>,
}

impl Line {
    fn new(text: String, conn: Option<ConnId>, pieces: Vec<u32>) -> Self {
        Self { text, conn, pieces }
    }
}

/// Follows the conversations of a run.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Fields of the engine are shown as they are, and not in words.
    pub raw: bool,
    sockets: BTreeMap<SocketToken, SocketAddr>,
    addrs: BTreeMap<ConnId, SocketAddr>,
    /// What web seeds are asked for, by its address.
    servers: BTreeMap<ConnId, String>,
    heard: BTreeMap<ConnId, (FrameAssembler, bool)>,
    /// Connections whose bytes are deciphered before they are on record.
    clear: BTreeSet<ConnId>,
    ops: BTreeMap<DiskOpId, (Option<u32>, String)>,
    exchanges: BTreeMap<ExchangeId, String>,
    lookups: BTreeMap<LookupId, String>,
}

impl Transcript {
    /// A transcript in words, or of raw fields.
    pub fn new(raw: bool) -> Self {
        Self { raw, ..Self::default() }
    }

    /// The lines of a step: events, then actions. Steps must come in order.
    pub fn lines(&mut self, step: &LastStep) -> (Vec<Line>, Vec<Line>) {
        let events = step.events.iter().map(|event| self.event(event)).collect();
        (events, step.actions.iter().map(|action| self.action(action)).collect())
    }

    /// The lines of a step, or those of them that concern `subject`. Steps must come in order.
    pub fn of_step(&mut self, step: &LastStep, subject: Option<&Subject>) -> Vec<String> {
        let (events, actions) = self.lines(step);
        let events = events.iter().map(|line| ("←", line));
        let all = events.chain(actions.iter().map(|line| ("→", line)));
        let shown = all.filter(|(_, line)| subject.is_none_or(|s| self.concerns(s, line)));
        shown.map(|(arrow, line)| format!("  {arrow} {}", line.text)).collect()
    }

    /// Whether a line is about a subject.
    pub fn concerns(&self, subject: &Subject, line: &Line) -> bool {
        match subject {
            Subject::Piece(piece) => line.pieces.contains(piece),
            Subject::Peer(who) => line.conn.is_some_and(|conn| {
                let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                who.is(conn, self.addrs.get(&conn).copied().unwrap_or(nowhere))
            }),
        }
    }

    fn who(&self, conn: ConnId) -> String {
        let addr = self.addrs.get(&conn).map(ToString::to_string);
        let addr = addr.or_else(|| self.servers.get(&conn).cloned());
        addr.unwrap_or_else(|| format!("connection {conn:?}"))
    }

    fn event(&mut self, event: &Event) -> Line {
        let line = match event {
            Event::Incoming { socket, remote } => {
                self.sockets.insert(*socket, *remote);
                Line::new(format!("{remote} connects to us"), None, Vec::new())
            }
            Event::Stream(conn, event) => self.stream_event(*conn, event),
            Event::Disk(op, outcome) => {
                let (piece, what) = self.ops.remove(op).unwrap_or((None, "disk".to_owned()));
                let text = format!("{what}: {}", words::disk_outcome(outcome));
                Line::new(text, None, piece.into_iter().collect())
            }
            Event::Datagram { from, data, .. } => {
                let text = format!("{from} sends {}", words::datagram(data, from.is_ipv6()));
                Line::new(text, None, Vec::new())
            }
            Event::Resolved(id, found) => {
                let name = self.lookups.remove(id).unwrap_or_else(|| "a name".to_owned());
                let text = match found {
                    Ok(ips) => format!("{name} has {} addresses", ips.len()),
                    Err(_) => format!("{name} has no address"),
                };
                Line::new(text, None, Vec::new())
            }
            Event::Http(id, event) => {
                let url = self.exchanges.get(id).map_or("a web server", String::as_str);
                Line::new(format!("{url} {}", words::http(event)), None, Vec::new())
            }
            Event::Command(..) => Line::new(brief(event), None, Vec::new()),
        };
        if self.raw { Line { text: raw_event(event, &line.text), ..line } } else { line }
    }

    fn stream_event(&mut self, conn: ConnId, event: &StreamEvent) -> Line {
        let who = self.who(conn);
        let mut pieces = Vec::new();
        let text = match event {
            StreamEvent::Connected => format!("the connection to {who} is made"),
            StreamEvent::ConnectFailed(why) => {
                format!("no connection to {who}: {}", words::connect_failure(*why))
            }
            StreamEvent::Received(bytes) => {
                let (said, about) = self.add_bytes(conn, bytes);
                pieces = about;
                format!("{who} sends {said}")
            }
            StreamEvent::Sent(sent) => format!("{} on the way to {who}", count(*sent, "byte")),
            StreamEvent::Closed(kind) => format!("{who} {}", words::close_kind(*kind)),
            StreamEvent::Offered(at_hand) => {
                format!("{} for {who} at hand", count(*at_hand, "byte"))
            }
            StreamEvent::Answered(head) => format!("{who} {}", words::http_head(head)),
            StreamEvent::NotFetched(why) => format!("{who} gives no reply: {why}"),
        };
        Line::new(text, Some(conn), pieces)
    }

    /// What a peer says with these bytes, and of which pieces.
    fn add_bytes(&mut self, conn: ConnId, bytes: &Bytes) -> (String, Vec<u32>) {
        let length = count(bytes.len(), "byte");
        if !self.addrs.contains_key(&conn) {
            // It began before this transcript did; where its messages begin is not known.
            return (length, Vec::new());
        }
        let (assembler, shaken) = self.heard.entry(conn).or_default();
        assembler.push(bytes.clone());
        let (mut said, mut pieces) = (Vec::new(), Vec::new());
        if !*shaken {
            match assembler.take_handshake() {
                Ok(Some(_)) => {
                    *shaken = true;
                    said.push("handshake".to_owned());
                }
                Ok(None) => return ("part of a handshake".to_owned(), pieces),
                // Behind an encrypted one it may lie in what was deciphered elsewhere.
                Err(_) if self.clear.contains(&conn) => return (length, pieces),
                Err(_) => return (format!("{length} of an encrypted handshake"), pieces),
            }
        }
        loop {
            match assembler.next_message() {
                Ok(Some(message)) => {
                    pieces.extend(piece_of(&message));
                    said.push(words::message(&message));
                }
                Ok(None) => break,
                Err(error) => {
                    said.push(format!("something malformed ({error})"));
                    break;
                }
            }
        }
        match (said.is_empty(), assembler.buffered()) {
            (true, _) => (format!("{length} of a message"), pieces),
            (false, 0) => (said.join(", "), pieces),
            (false, rest) => {
                (format!("{}, {} of the next", said.join(", "), count(rest, "byte")), pieces)
            }
        }
    }

    fn action(&mut self, action: &Action) -> Line {
        let line = match action {
            Action::Stream(conn, what) => self.stream_action(*conn, what),
            Action::Disk(op, what) => {
                let (text, piece) = (words::disk_order(what), piece_of_order(what));
                self.ops.insert(*op, (piece, text.clone()));
                Line::new(text, None, piece.into_iter().collect())
            }
            Action::Notify(notice) => {
                let (conn, pieces) = match notice {
                    Notice::PieceVerified(_, piece) | Notice::PieceFailed(_, piece) => {
                        (None, vec![*piece])
                    }
                    Notice::PeerConnected { conn, .. } | Notice::PeerClosed { conn, .. } => {
                        (Some(*conn), Vec::new())
                    }
                    _ => (None, Vec::new()),
                };
                Line::new(format!("tell: {}", words::notice(notice)), conn, pieces)
            }
            Action::SendDatagram { to, data, .. } => {
                let text = format!("send {to} {}", words::datagram(data, to.is_ipv6()));
                Line::new(text, None, Vec::new())
            }
            Action::Transmit(_, packet) => {
                let length = count(packet.length(), "byte");
                let text = format!("send {} {length} over uTP", packet.to);
                Line::new(text, packet.stream, Vec::new())
            }
            Action::Refuse { socket } => {
                let addr = self.sockets.remove(socket).map(|addr| addr.to_string());
                let text = format!("turn {} away", addr.unwrap_or_else(|| "somebody".to_owned()));
                Line::new(text, None, Vec::new())
            }
            Action::Resolve(id, name) => {
                self.lookups.insert(*id, printable(name));
                Line::new(format!("look up {name}"), None, Vec::new())
            }
            Action::Http(id, HttpAction::Get(get)) => {
                let url = without_passkey(&get.url, 0);
                let url = printable(url.split('?').next().unwrap_or_default());
                self.exchanges.insert(*id, url.clone());
                Line::new(format!("ask {url}"), None, Vec::new())
            }
        };
        if self.raw { Line { text: raw_action(action), ..line } } else { line }
    }

    fn stream_action(&mut self, conn: ConnId, what: &StreamAction) -> Line {
        match what {
            StreamAction::Connect { remote } | StreamAction::OpenUtp { remote } => {
                self.addrs.insert(conn, *remote);
            }
            StreamAction::Fetch(get) => {
                let url = without_passkey(&get.url, 0);
                let url = printable(url.split('?').next().unwrap_or_default());
                self.servers.insert(conn, url);
            }
            StreamAction::Decipher(_) => {
                // What comes from here on is as it was meant.
                self.heard.remove(&conn);
                self.clear.insert(conn);
            }
            StreamAction::Adopt { socket } => {
                let addr = self.sockets.remove(socket);
                self.addrs.extend(addr.map(|addr| (conn, addr)));
            }
            _ => {}
        }
        let who = self.who(conn);
        let mut pieces = Vec::new();
        let text = match what {
            StreamAction::Connect { .. } => format!("connect to {who}"),
            StreamAction::Fetch(get) => {
                format!("ask {who} for its bytes {} to {}", get.first, get.last)
            }
            StreamAction::Adopt { .. } => format!("let {who} in"),
            StreamAction::GrantRead(room) => {
                format!("read up to {} more from {who}", count(*room, "byte"))
            }
            StreamAction::Send(bytes) => {
                let messages = said(bytes);
                pieces = messages.iter().filter_map(piece_of).collect();
                format!("send {who} {}", in_words(bytes, &messages))
            }
            StreamAction::SendBlock(bytes) => {
                format!("send {who} {} of a block", count(bytes.len(), "byte"))
            }
            StreamAction::Close(mode) => format!("{who}: {}", words::close_mode(*mode)),
            StreamAction::Encipher(key) => {
                format!("what is sent to {who} {}", words::cipher(key, "enciphered"))
            }
            StreamAction::Decipher(key) => {
                format!("what is granted to {who} {}", words::cipher(key, "deciphered"))
            }
            StreamAction::OpenUtp { .. } => format!("the connection to {who} goes over µTP"),
            StreamAction::Deliver(payload) => {
                format!("{} of {who} came in order", count(payload.len(), "byte"))
            }
            StreamAction::Release(up_to) => {
                format!("{who} has the first {}", count(*up_to, "byte"))
            }
            StreamAction::SendStored(block) => {
                pieces.push(block.piece);
                format!("send {who} block {}+{} from the disk", block.piece, block.begin)
            }
        };
        Line::new(text, Some(conn), pieces)
    }
}

/// An event in one line. What is long in it, a torrent or a reply, is cut.
pub fn brief(event: &Event) -> String {
    match event {
        Event::Command(_, Command::Add(add)) => {
            let hash = add.source.info_hashes().wire().to_hex();
            let (peers, name) = (add.peers.len(), printable(&add.source.name()));
            format!("the user adds {name} ({}…) with {}", &hash[..8], count(peers, "peer"))
        }
        Event::Command(_, command) => format!("the user's command: {}", words::command(command)),
        other => shorten(&format!("{other:?}")),
    }
}

fn raw_event(event: &Event, words: &str) -> String {
    match event {
        Event::Command(_, Command::Add(_)) => words.to_owned(),
        Event::Stream(_, StreamEvent::Received(_)) | Event::Disk(..) => {
            shorten(&format!("{event:?}: {words}"))
        }
        other => shorten(&format!("{other:?}")),
    }
}

fn raw_action(action: &Action) -> String {
    match action {
        Action::Stream(conn, StreamAction::Send(bytes)) => {
            let words = in_words(bytes, &said(bytes));
            format!("{conn:?} Send({} bytes): {words}", bytes.len())
        }
        other => shorten(&format!("{other:?}")),
    }
}

fn shorten(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Actions in words, without the run before them.
pub fn describe_actions(actions: &[Action]) -> Vec<String> {
    let mut transcript = Transcript::default();
    actions.iter().map(|action| transcript.action(action).text).collect()
}

fn in_words(bytes: &Bytes, messages: &[Message]) -> String {
    let greeting = bytes.starts_with(GREETING).then(|| "handshake".to_owned());
    let all: Vec<_> = greeting.into_iter().chain(messages.iter().map(words::message)).collect();
    if all.is_empty() { count(bytes.len(), "byte") } else { all.join(", ") }
}

/// The messages in one send. A block's header stands alone: its content is sent by itself.
pub fn said(bytes: &Bytes) -> Vec<Message> {
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

fn piece_of_order(op: &DiskOp) -> Option<u32> {
    match op {
        DiskOp::WriteBlock { piece, .. }
        | DiskOp::ReadBlock { piece, .. }
        | DiskOp::HashPiece { piece, .. }
        | DiskOp::HashBlocks { piece, .. } => Some(*piece),
        _ => None,
    }
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
