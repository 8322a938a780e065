//! What has happened since the last turn, as events: readiness of sockets, and what workers left.

use std::io;
use std::time::{Duration, Instant};

use eddyline::base::addr::normalise;
use eddyline::base::ids::{ConnId, SocketToken, UdpSocketId};
use eddyline::{CloseKind, ConnectFailure, Event, StreamEvent};
use mio::net::TcpStream;
use mio::{Events, Token};

use super::relay::is_of_tracker;
use super::tunnel::{Progress, failure_of};
use super::{Driver, FIRST_STREAM, LISTENERS, LOCAL, RELAY, RELAY_CONTROL, UDP, WAKER};
use crate::proxy::Traffic;
use crate::stream::{ReadOutcome, Stream};

/// Datagrams after which no more are taken from one socket in one turn. The rest comes with the next turn, which
/// begins at once, so that a flood of them holds up neither the other sockets nor itself. The last call may bring a
/// thousand more.
const MAX_DATAGRAMS: usize = 256;
/// Calls of one turn that bring nothing but errors of datagrams that were sent.
const MAX_ERRORS: usize = 64;
/// Connections taken from one listener in one turn.
const MAX_ACCEPTED: usize = 64;
/// How long a listener rests that the system gives no socket for: there may be descriptors then.
const ACCEPT_REST: Duration = Duration::from_millis(100);

impl Driver {
    /// Collects everything that happened as events.
    pub(super) fn collect_events(&mut self) {
        let ready = std::mem::replace(&mut self.ready, Events::with_capacity(0));
        for event in &ready {
            match event.token() {
                WAKER => {}
                Token(RELAY_CONTROL) => {
                    let reads = event.is_readable() || event.is_read_closed() || event.is_error();
                    self.relay_is_ready(reads, event.is_writable());
                }
                Token(token) if token < FIRST_STREAM => {
                    self.pending.insert(token);
                    if event.is_writable() {
                        self.resume_sending(token);
                    }
                }
                Token(token) => {
                    let slot = token - FIRST_STREAM;
                    if let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) {
                        stream.readable |= event.is_readable() || event.is_read_closed();
                        stream.readable |= event.is_error();
                        stream.writable |= event.is_writable() || event.is_error();
                        self.hot.push(slot);
                    }
                }
            }
        }
        self.ready = ready;
        self.look_after_relay();
        self.make_waiting_calls();
        self.serve_doors();
        self.disk.turn_begins();
        let from = self.events.len();
        self.mailbox.collect(&mut self.events);
        self.http.sift(&mut self.events, from);
        self.warm_up();
        let mut hot = std::mem::take(&mut self.hot);
        hot.sort_unstable();
        hot.dedup();
        for slot in hot {
            self.serve(slot);
        }
    }

    /// Takes what came to listeners and datagram sockets. The poll tells of each only once, so one
    /// that is not empty stays pending.
    fn serve_doors(&mut self) {
        if self.accept_rest.is_some_and(|until| until <= Instant::now()) {
            self.accept_rest = None;
        }
        for token in std::mem::take(&mut self.pending) {
            let more = match token {
                token if token >= LISTENERS => self.accept(token - LISTENERS),
                token => self.receive_datagrams(token - UDP),
            };
            if more {
                self.pending.insert(token);
            }
        }
    }

    /// Whether something waits that the poll will not tell of again.
    pub(super) fn has_pending(&self) -> bool {
        let resting = self.accept_rest.is_some();
        self.pending.iter().any(|token| *token < LISTENERS || !resting)
    }

    /// How long until a listener that rests is tried again.
    pub(super) fn until_accept(&self) -> Duration {
        let until = self.accept_rest.filter(|_| !self.pending.is_empty());
        until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Those that waited for something to be in memory try again.
    fn warm_up(&mut self) {
        for slot in self.cold.drain(..) {
            if let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) {
                stream.cold = false;
                self.hot.push(slot);
            }
        }
    }

    /// Connects, writes and reads as far as a stream can.
    fn serve(&mut self, slot: usize) {
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else { return };
        let conn = stream.conn;
        if !stream.connected && (stream.writable || stream.readable) {
            match finished_connecting(&stream.socket) {
                Some(Ok(())) => {
                    if !self.connected(slot, conn) {
                        return;
                    }
                }
                Some(Err(failure)) => {
                    let tunnelled = stream.tunnel.is_some();
                    self.drop_stream(slot);
                    return self.never_connected(conn, failure, tunnelled);
                }
                None => return,
            }
        }
        if !self.write(slot) {
            return;
        }
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else { return };
        let outcome = stream.read(&mut self.buffers, &mut self.received);
        stream.heed(self.poll.registry(), Token(FIRST_STREAM + slot));
        match outcome {
            ReadOutcome::Bytes => {
                if stream.readable && stream.credit > 0 {
                    self.hot.push(slot);
                }
                let received = self.received.drain(..).map(StreamEvent::Received);
                self.events.extend(received.map(|event| Event::Stream(conn, event)));
            }
            ReadOutcome::Nothing => {}
            ReadOutcome::End => self.closed(slot, CloseKind::Eof),
            ReadOutcome::Broken => self.closed(slot, CloseKind::Reset),
        }
    }

    /// A socket has connected. Returns whether whoever was called is at the other end.
    fn connected(&mut self, slot: usize, conn: ConnId) -> bool {
        let failure = match self.negotiate(slot) {
            Progress::Done => {
                let Some(Some(stream)) = self.streams.get_mut(slot) else { return false };
                stream.connected = true;
                let _ = stream.socket.set_nodelay(true);
                self.events.push(Event::Stream(conn, StreamEvent::Connected));
                return true;
            }
            Progress::Waits => return false,
            Progress::Refused(why) => failure_of(why),
            Progress::Broken => ConnectFailure::Unreachable,
        };
        self.drop_stream(slot);
        self.call_failed(conn, failure);
        false
    }

    /// A socket could not connect; where it was to a proxy, that says nothing of whoever was called.
    fn never_connected(&mut self, conn: ConnId, failure: ConnectFailure, tunnelled: bool) {
        if let Some(gate) = self.policy.gate(Traffic::Peers).filter(|_| tunnelled) {
            gate.fails(&io::ErrorKind::ConnectionRefused.into());
        }
        let failure = if tunnelled { ConnectFailure::Unreachable } else { failure };
        self.call_failed(conn, failure);
    }

    /// Writes what is queued. Returns false when the stream is gone.
    fn write(&mut self, slot: usize) -> bool {
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else {
            return false;
        };
        if stream.wants_write() {
            match stream.write() {
                Ok(0) => {}
                Ok(count) => {
                    self.events.push(Event::Stream(stream.conn, StreamEvent::Sent(count)));
                }
                Err(_) => {
                    self.closed(slot, CloseKind::Reset);
                    return false;
                }
            }
            if stream.cold {
                self.cold.push(slot);
            }
        }
        let done = stream.closing && stream.is_flushed();
        if done {
            self.drop_stream(slot);
        }
        !done
    }

    pub(super) fn closed(&mut self, slot: usize, kind: CloseKind) {
        if let Some(stream) = self.drop_stream(slot)
            && !stream.closing
        {
            self.events.push(Event::Stream(stream.conn, StreamEvent::Closed(kind)));
        }
    }

    pub(super) fn drop_stream(&mut self, slot: usize) -> Option<Stream> {
        let mut stream = self.streams.get_mut(slot)?.take()?;
        let _ = self.poll.registry().deregister(&mut stream.socket);
        Some(stream)
    }

    /// Accepts who waits. Returns whether there may be more.
    fn accept(&mut self, listener: usize) -> bool {
        if self.accept_rest.is_some() {
            return true;
        }
        for _ in 0..MAX_ACCEPTED {
            let Some(listener) = self.listeners.get(listener) else { return false };
            match listener.accept() {
                // Who is blocked costs no more than this.
                Ok((_, remote)) if self.policy.filter().blocks(remote.ip()) => {}
                Ok((socket, remote)) => {
                    let token = SocketToken(self.next_socket);
                    self.next_socket += 1;
                    self.waiting.insert(token, socket);
                    let remote = normalise(remote);
                    self.events.push(Event::Incoming { socket: token, remote });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // Whoever hung up while it waited.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Out of descriptors: whoever waits still waits when there are some again.
                Err(_) => {
                    self.accept_rest = Some(Instant::now() + ACCEPT_REST);
                    return true;
                }
            }
        }
        true
    }

    /// Takes datagrams. Returns whether there may be more.
    fn receive_datagrams(&mut self, index: usize) -> bool {
        if index == RELAY || index < LOCAL && self.policy.hides_peers() {
            return self.receive_for_some(index);
        }
        let Some(Some(socket)) = self.udp.get_mut(index) else { return false };
        let (mut taken, mut errors) = (0, 0);
        while taken < MAX_DATAGRAMS && errors < MAX_ERRORS {
            let events = &mut self.events;
            let outcome = socket.receive(&mut self.messages, |arrival| {
                events.push(Event::Datagram {
                    socket: UdpSocketId(index as u32),
                    from: normalise(arrival.from),
                    data: arrival.data,
                    waited: arrival.waited.as_micros() as u32,
                });
            });
            match outcome {
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP error of an earlier packet; the next one may be good.
                Err(_) => errors += 1,
            }
        }
        true
    }

    /// Takes datagrams where not all are for us: those of a proxy, and where peers are reached through one, those of
    /// trackers that are not.
    fn receive_for_some(&mut self, index: usize) -> bool {
        let (mut arrivals, mut errors) = (Vec::new(), 0);
        let mut more = true;
        while more && arrivals.len() < MAX_DATAGRAMS && errors < MAX_ERRORS {
            let Some(Some(socket)) = self.udp.get_mut(index) else { return false };
            match socket.receive(&mut self.messages, |arrival| arrivals.push(arrival)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => more = false,
                Err(_) => errors += 1,
            }
        }
        for arrival in arrivals {
            let event = if index == RELAY {
                self.relayed(arrival)
            } else {
                let (socket, from) = (UdpSocketId(index as u32), normalise(arrival.from));
                let waited = arrival.waited.as_micros() as u32;
                let asked = is_of_tracker(&arrival.data) && self.engine.asks_tracker_at(from);
                asked.then_some(Event::Datagram { socket, from, data: arrival.data, waited })
            };
            self.events.extend(event);
        }
        more
    }

    /// A socket for datagrams has room again.
    fn resume_sending(&mut self, token: usize) {
        let socket = token.checked_sub(UDP).and_then(|index| self.udp.get_mut(index)?.as_mut());
        if let Some(socket) = socket {
            socket.resume();
            socket.heed(self.poll.registry(), Token(token));
        }
    }
}

/// Whether a connection attempt has ended, and how.
pub(super) fn finished_connecting(socket: &TcpStream) -> Option<Result<(), ConnectFailure>> {
    match socket.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => {
            return Some(Err(match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
                io::ErrorKind::TimedOut => ConnectFailure::TimedOut,
                _ => ConnectFailure::Unreachable,
            }));
        }
    }
    match socket.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        Err(_) => Some(Err(ConnectFailure::Unreachable)),
    }
}
