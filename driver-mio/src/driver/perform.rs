//! Performs what the engine asks for.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eddyline::base::ids::{ConnId, DiskOpId, LookupId, TorrentId, UdpSocketId};
use eddyline::{
    Action, CloseKind, CloseMode, ConnectFailure, DiskOp, Engine, Event, HttpAction, LookupError,
    StreamAction, StreamEvent,
};
use mio::net::TcpStream;
use mio::{Interest, Token};

use super::reads::BlockRead;
use super::relay::Way;
use super::{Driver, FIRST_STREAM, LOCAL, UDP};
use crate::proxy::Traffic;
use crate::stream::Stream;

/// How long a piece waits for others, if the engine has nothing against it.
struct Patience {
    /// To be written with.
    write: Duration,
    /// To be hashed with, where they come so fast that this makes enough of them.
    hash: Duration,
}

/// Where peers lack pieces: they wait for this one.
const SHORT: Patience =
    Patience { write: Duration::from_millis(50), hash: Duration::from_millis(100) };
/// Where all peers have everything. A download at 20 MB/s brings a piece of 256 KiB in 13 ms, and sixteen in 200.
const LONG: Patience = Patience { write: Duration::from_secs(1), hash: Duration::from_secs(2) };

/// Bytes of a datagram that passes everywhere whole: what IPv6 promises, less its headers and those of a tunnel.
const PASSES: usize = 1_200;

impl Driver {
    /// Performs what the engine asks for.
    pub(super) fn perform(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Stream(conn, action) => self.stream(conn, action),
                Action::Refuse { socket } => drop(self.waiting.remove(&socket)),
                Action::SendDatagram { socket, to, data } => self.send_datagram(socket, to, &data),
                Action::Transmit(socket, packet) => self.transmit(socket, &packet),
                Action::Disk(id, op) => self.disk_op(id, op),
                Action::Resolve(id, name) => self.resolve(id, name),
                Action::Http(id, HttpAction::Get(get)) => self.http.get(id, *get),
                Action::Notify(notice) => self.notices.push(notice),
            }
        }
        self.actions = actions;
        self.send_datagrams();
        self.tell_of_utp();
        self.reads.lent.clear();
        self.read_blocks();
        let now = Instant::now();
        self.writes.extend(self.blocks.take_due(now));
        if self.hash_due.is_some_and(|due| due <= now) {
            self.hash_due = self.disk.look();
        }
        if !self.writes.is_empty() {
            self.disk.write(self.writes.drain(..));
        }
    }

    fn send_datagram(&mut self, socket: UdpSocketId, to: SocketAddr, data: &[u8]) {
        let (index, whole) = (socket.0 as usize, data.len() <= PASSES);
        let fill = |datagram: &mut Vec<u8>| {
            datagram.extend_from_slice(data);
            true
        };
        // What is for the local network passes no proxy.
        match if index < LOCAL { self.way(to, Some(data)) } else { Way::Direct } {
            Way::Nowhere => {}
            Way::Through(target) => self.send_through(&target, whole, data.len(), fill),
            Way::Direct => {
                if let Some(Some(socket)) = self.udp.get_mut(index) {
                    socket.send(to, whole, data.len(), fill);
                }
            }
        }
    }

    /// Looks a name up, or lets a proxy do so when it is called.
    fn resolve(&mut self, id: LookupId, name: String) {
        let for_tracker = self.engine.looks_up_for_tracker(id);
        let what = if for_tracker { Traffic::Trackers } else { Traffic::Peers };
        let Some(gate) = self.policy.gate(what) else { return self.dns.resolve(id, name) };
        let stands_for_it = gate.names.of(&name).map(|ip| vec![ip]);
        self.events.push(Event::Resolved(id, stands_for_it.ok_or(LookupError::NotFound)));
    }

    /// Sends the datagrams that were gathered.
    fn send_datagrams(&mut self) {
        for (index, socket) in self.udp.iter_mut().enumerate() {
            if let Some(socket) = socket {
                socket.flush();
                socket.heed(self.poll.registry(), Token(UDP + index));
            }
        }
    }

    fn disk_op(&mut self, id: DiskOpId, op: DiskOp) {
        match &op {
            DiskOp::WriteBlock { torrent, piece, .. } => {
                let metainfo = self.engine.metainfo(*torrent);
                let size = metainfo.map_or(0, |metainfo| metainfo.geometry().piece_size(*piece));
                let torrent = *torrent;
                let piece = *piece;
                let may_wait = || Some(patience(&self.engine, torrent, piece)?.write);
                let ripe = self.blocks.add((id, op), size, may_wait, Instant::now());
                return self.writes.extend(ripe);
            }
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                let (torrent, piece, begin, length) = (*torrent, *piece, *begin, *length);
                return self.reads.wanted.push(BlockRead { id, torrent, piece, begin, length });
            }
            DiskOp::HashPiece { torrent, piece } => {
                let patience = patience(&self.engine, *torrent, *piece);
                let patiently = patience.map(|patience| patience.hash);
                let due = self.disk.hash(id, *torrent, *piece, patiently);
                self.hash_due = self.hash_due.into_iter().chain(due).min();
                return;
            }
            _ => {}
        }
        self.disk.submit(vec![(id, op)]);
    }

    fn stream(&mut self, conn: ConnId, action: StreamAction) {
        let slot = slot_of(conn);
        if self.is_utp(conn) {
            return self.utp_stream(conn, action);
        }
        let Some(action) = self.http.stream(conn, action) else { return };
        match action {
            StreamAction::OpenUtp { .. } => return self.open_utp(conn),
            StreamAction::Connect { remote } => return self.connect(conn, remote),
            StreamAction::Adopt { socket } => {
                if let Some(stream) = self.waiting.remove(&socket) {
                    let _ = stream.set_nodelay(true);
                    self.add_stream(conn, stream, true);
                }
                return;
            }
            StreamAction::Close(CloseMode::Now) => {
                self.forget_call(conn);
                // Tries once to send what is queued: a choke, a reject, a goodbye.
                let ours = self.streams.get(slot).and_then(Option::as_ref);
                if ours.is_some_and(|stream| stream.conn == conn) {
                    if let Some(stream) = self.streams[slot].as_mut() {
                        let _ = stream.wants_write().then(|| stream.write());
                    }
                    self.drop_stream(slot);
                }
                return;
            }
            _ => {}
        }
        let span = match action {
            StreamAction::SendStored(block) => self.lent(block),
            _ => None,
        };
        let stream = self.streams.get_mut(slot).and_then(Option::as_mut);
        let Some(stream) = stream.filter(|stream| stream.conn == conn) else { return };
        match action {
            StreamAction::GrantRead(count) => stream.credit += count,
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => stream.send(bytes),
            StreamAction::SendStored(_) => match span {
                // Its header is sent: nothing else can follow where it is gone.
                Some((span, seen)) => {
                    if stream.send_stored(span, seen, &mut self.buffers).is_err() {
                        return self.closed(slot, CloseKind::Reset);
                    }
                }
                None => return self.closed(slot, CloseKind::Reset),
            },
            StreamAction::Encipher(key) => stream.encipher(&key),
            StreamAction::Decipher(key) => stream.decipher(&key),
            StreamAction::Close(_) => stream.closing = true,
            StreamAction::OpenUtp { .. } | StreamAction::Deliver(_) | StreamAction::Release(_) => {}
            StreamAction::Connect { .. } | StreamAction::Adopt { .. } | StreamAction::Fetch(_) => {}
        }
        let readable = stream.readable && stream.credit > 0;
        if readable || stream.wants_write() || stream.closing {
            self.hot.push(slot);
        }
    }

    fn connect(&mut self, conn: ConnId, remote: SocketAddr) {
        if let Some(gate) = self.policy.gate(Traffic::Peers).cloned() {
            return self.connect_through(conn, remote, &gate);
        }
        match self.policy.connect(remote) {
            Ok(socket) => self.add_stream(conn, socket, false),
            Err(error) => {
                let failure = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
                    _ => ConnectFailure::Unreachable,
                };
                self.events.push(Event::Stream(conn, StreamEvent::ConnectFailed(failure)));
            }
        }
    }

    pub(super) fn add_stream(&mut self, conn: ConnId, mut socket: TcpStream, connected: bool) {
        let slot = slot_of(conn);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(FIRST_STREAM + slot);
        if self.poll.registry().register(&mut socket, token, interest).is_err() {
            let event = if connected {
                StreamEvent::Closed(CloseKind::Reset)
            } else {
                StreamEvent::ConnectFailed(ConnectFailure::Unreachable)
            };
            return self.events.push(Event::Stream(conn, event));
        }
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot] = Some(Stream::new(conn, socket, connected));
    }
}

/// How long a piece that is here may wait for others.
fn patience(engine: &Engine, torrent: TorrentId, piece: u32) -> Option<Patience> {
    let patience = if engine.has_takers(torrent) { SHORT } else { LONG };
    engine.may_wait(torrent, piece).then_some(patience)
}

/// The dense part of a connection's id.
pub(super) fn slot_of(conn: ConnId) -> usize {
    conn.slot() as usize
}
