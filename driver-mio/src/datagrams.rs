//! A socket for datagrams, which takes and sends many at a time where the system can: a train of datagrams from one
//! address comes in one buffer, and one to an address leaves in one call.
//!
//! Routers do not split what is sent, unless that is asked for, so that the longest datagram that passes can be found.

mod outgoing;
mod sources;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use crate::buffers::{Buffers, MESSAGES, Message};
use crate::platform;
use outgoing::{Outgoing, Train};
use sources::Sources;

/// Bytes that the system is asked to hold in each direction: what comes at a gigabit in 30 ms. It may give less.
const SYSTEM_BUFFER: usize = 4 << 20;
/// A datagram has not waited longer than this, whatever the clock says that was set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a socket has done, and what it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramStats {
    /// Datagrams that came.
    pub received: u64,
    /// System calls that brought them.
    pub receive_calls: u64,
    /// Datagrams that were sent.
    pub sent: u64,
    /// System calls that sent them.
    pub send_calls: u64,
    /// Datagrams that the system did not take: too long for the way, no route, or no room for a long time.
    pub refused: u64,
    /// How often something came, a datagram or a train of them, when the buffer of the socket was full; where the
    /// system tells.
    pub dropped: Option<u64>,
    /// Bytes that the system holds at most until they are received.
    pub receive_buffer: usize,
    /// Bytes that the system holds at most until they have left.
    pub send_buffer: usize,
}

/// A datagram that came.
#[derive(Debug)]
pub struct Arrival {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its content.
    pub data: Bytes,
    /// For how long it lay in the buffer of the socket.
    pub waited: Duration,
}

/// A socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
    outgoing: Outgoing,
    sources: Sources,
    /// Datagrams that one call sends at most.
    train: usize,
    /// The poll tells when there is room to send.
    heeds_room: bool,
    stats: DatagramStats,
    messages: Vec<Message>,
}

impl Datagrams {
    /// Takes over a socket that is bound.
    ///
    /// # Errors
    /// When the system refuses something basic. Buffers of the size that is wished for are not.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), SYSTEM_BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), SYSTEM_BUFFER);
        let stats = DatagramStats {
            receive_buffer: state.recv_buffer_size(UdpSockRef::from(&socket)).unwrap_or(0),
            send_buffer: state.send_buffer_size(UdpSockRef::from(&socket)).unwrap_or(0),
            ..DatagramStats::default()
        };
        let ours = socket.local_addr()?;
        let (outgoing, sources) = (Outgoing::new(ours.is_ipv6()), Sources::new(ours));
        let (train, heeds_room, messages) = (state.max_gso_segments(), false, Vec::new());
        Ok(Self { socket, state, outgoing, sources, train, heeds_room, stats, messages })
    }

    /// Has the poll tell, under `token`, when something came.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Leaves the poll, and is gone.
    pub fn deregister(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.socket);
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> DatagramStats {
        DatagramStats { dropped: platform::dropped_datagrams(&self.socket), ..self.stats }
    }

    /// Takes what one call brings and gives each datagram to `each`, in the order of arrival. Returns their number.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing; others tell of an earlier datagram, and the next call may bring one.
    pub fn receive(
        &mut self,
        buffers: &mut Buffers,
        mut each: impl FnMut(Arrival),
    ) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); MESSAGES];
        let (socket, state) = (UdpSockRef::from(&self.socket), &self.state);
        buffers.messages(
            |slices, lengths| {
                let count = state.recv(socket, slices, &mut metas)?;
                lengths.iter_mut().zip(&metas).for_each(|(length, meta)| *length = meta.len);
                Ok(count)
            },
            &mut self.messages,
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let mut total = 0;
        for (message, meta) in self.messages.drain(..).zip(&metas) {
            let waited = now.zip(meta.timestamp).map(|(now, at)| now.saturating_sub(at));
            let waited = waited.unwrap_or_default().min(LONGEST_WAIT);
            self.sources.note(meta.addr, meta.dst_ip);
            for data in cut(message, meta.stride) {
                total += 1;
                each(Arrival { from: meta.addr, data, waited });
            }
        }
        self.stats.received += total as u64;
        self.stats.receive_calls += 1;
        Ok(total)
    }

    /// Sends a datagram of `length` bytes, which `fill` appends to what it is given, with the next call of
    /// [`Self::flush`] or before it; nothing where `fill` says that it cannot. One that has to be `whole` is lost
    /// where the way is too narrow, which routers would split it for otherwise.
    pub fn send(
        &mut self,
        to: SocketAddr,
        whole: bool,
        length: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        if !self.outgoing.joins(to, whole, length, self.train) {
            self.flush();
        }
        self.outgoing.push(to, whole, length, fill);
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) {
        if let Some(train) = self.outgoing.take() {
            if self.outgoing.has_unsent() {
                self.stats.refused += self.outgoing.hold(train);
            } else {
                self.leave(train);
            }
        }
    }

    /// There may be room again: sends what waits for it.
    pub fn resume(&mut self) {
        while let Some(train) = self.outgoing.next_unsent() {
            if !self.leave(train) {
                return;
            }
        }
    }

    /// Has the poll tell when there is room, while something waits for it. Otherwise each datagram that has left would
    /// wake the loop.
    pub fn heed(&mut self, registry: &Registry, token: Token) {
        let waits = self.outgoing.has_unsent();
        if waits == self.heeds_room {
            return;
        }
        let room = if waits { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if registry.reregister(&mut self.socket, token, room).is_ok() {
            self.heeds_room = waits;
        }
    }

    /// Sends a train, or holds it until there is room. Returns whether it is gone.
    fn leave(&mut self, train: Train) -> bool {
        let count = train.count() as u64;
        if !train.whole {
            // For this one only: what is sent next is not split again.
            platform::let_routers_split(&self.socket, self.outgoing.is_ipv6(), true);
        }
        let transmit = train.as_transmit(self.sources.of(train.to));
        let outcome = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        if !train.whole {
            platform::let_routers_split(&self.socket, self.outgoing.is_ipv6(), false);
        }
        self.stats.send_calls += 1;
        match outcome {
            Ok(()) => {
                self.stats.sent += count;
                self.outgoing.give_back(train);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outgoing.hold_first(train);
                return false;
            }
            Err(_) => {
                self.refused(&train);
                self.outgoing.give_back(train);
            }
        }
        true
    }

    /// The system does not take a train. Network cards that cannot cut one show it here: each goes by itself then.
    fn refused(&mut self, train: &Train) {
        let (count, mut sent) = (train.count() as u64, 0);
        let ours = self.sources.of(train.to);
        if count > 1 {
            for single in train.singles(ours) {
                let outcome = self.state.try_send(UdpSockRef::from(&self.socket), &single);
                sent += u64::from(outcome.is_ok());
            }
            self.stats.send_calls += count;
        }
        self.stats.sent += sent;
        self.stats.refused += count - sent;
        if sent == 0 {
            self.sources.forget(train.to);
        }
        if sent > 0 {
            self.train = self.state.max_gso_segments();
        } else if self.state.max_gso_segments() < self.train {
            // It is the address that is no good, and must not cost others their trains.
            match UdpSocketState::new(UdpSockRef::from(&self.socket)) {
                Ok(state) => self.state = state,
                Err(_) => self.train = 1,
            }
        }
    }
}

/// The datagrams of a message, which are of one length but for the last.
fn cut(message: Message, stride: usize) -> impl Iterator<Item = Bytes> {
    let (mut rest, copied) = match message {
        Message::Whole(bytes) => (bytes, false),
        Message::Copied(bytes) => (bytes, true),
    };
    let mut first = true;
    std::iter::from_fn(move || {
        // An empty datagram is one too.
        if rest.is_empty() && !first {
            return None;
        }
        first = false;
        let length = if stride == 0 { rest.len() } else { stride.min(rest.len()) };
        let part = rest.split_to(length);
        Some(if copied { Bytes::copy_from_slice(&part) } else { part })
    })
}
