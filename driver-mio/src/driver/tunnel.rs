//! Peers through a proxy: what is said to the proxy before a connection is one. The engine's time for a call counts
//! for all of it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::ids::ConnId;
use eddyline::{ConnectFailure, Event, StreamEvent};
use mio::net::TcpStream;

use super::Driver;
use super::perform::slot_of;
use super::relay::Relay;
use crate::platform::QUIET;
use crate::proxy::handshake::{Handshake, Refusal, Wish};
use crate::proxy::{Gate, Traffic};
use crate::stream::Stream;

/// How often the name of a proxy that nobody finds, or that does not answer, is looked up.
const LOOK: Duration = Duration::from_secs(5);

/// What leads through a proxy.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// The way of datagrams.
    pub(super) relay: Option<Relay>,
    /// Calls that wait until it is known where the proxy is.
    waiting: Vec<(ConnId, SocketAddr)>,
    /// When the proxy was looked for last.
    looked: Option<Instant>,
}

impl Tunnels {
    /// Those of a proxy, where there is one.
    pub(super) fn new(gate: Option<&Arc<Gate>>) -> Self {
        Self { relay: gate.and_then(Relay::new), ..Self::default() }
    }
}

/// How it goes on with a proxy.
#[derive(Debug)]
pub(super) enum Progress {
    Done,
    Waits,
    Refused(Refusal),
    /// The proxy has hung up, or cannot be reached.
    Broken,
}

impl Driver {
    /// Calls a peer through a proxy.
    pub(super) fn connect_through(&mut self, conn: ConnId, remote: SocketAddr, gate: &Gate) {
        let Some(target) = gate.names.meaning(remote) else {
            return self.call_failed(conn, ConnectFailure::Unreachable);
        };
        let Some(proxy) = self.proxy_address(gate) else {
            return self.tunnels.waiting.push((conn, remote));
        };
        match self.policy.connect_to_proxy(proxy) {
            Ok(socket) => {
                self.add_stream(conn, socket, false);
                let stream = self.streams.get_mut(slot_of(conn)).and_then(Option::as_mut);
                if let Some(stream) = stream.filter(|stream| stream.conn == conn) {
                    let handshake = Handshake::new(&gate.proxy, &Wish::Connect(target));
                    stream.tunnel = Some(Box::new(handshake));
                }
            }
            Err(error) => {
                gate.fails(&error);
                self.call_failed(conn, ConnectFailure::Unreachable);
            }
        }
    }

    pub(super) fn call_failed(&mut self, conn: ConnId, failure: ConnectFailure) {
        self.events.push(Event::Stream(conn, StreamEvent::ConnectFailed(failure)));
    }

    /// A call that waits is not wanted any more.
    pub(super) fn forget_call(&mut self, conn: ConnId) {
        self.tunnels.waiting.retain(|(waiting, _)| *waiting != conn);
    }

    /// Makes the calls that have waited, where it is known by now where the proxy is, or that nobody knows.
    pub(super) fn make_waiting_calls(&mut self) {
        if self.tunnels.waiting.is_empty() {
            return;
        }
        let Some(gate) = self.policy.gate(Traffic::Peers).cloned() else { return };
        if gate.addresses().is_some() {
            for (conn, remote) in std::mem::take(&mut self.tunnels.waiting) {
                self.connect_through(conn, remote, &gate);
            }
        } else if gate.trouble().is_some() {
            for (conn, _) in std::mem::take(&mut self.tunnels.waiting) {
                self.call_failed(conn, ConnectFailure::Unreachable);
            }
        }
    }

    /// Where the proxy is. While that is not known it is looked for.
    pub(super) fn proxy_address(&mut self, gate: &Gate) -> Option<SocketAddr> {
        let mut found = gate.addresses().unwrap_or_default().into_iter();
        if let Some(ip) = found.find(|ip| self.policy.reaches(*ip)) {
            return Some(SocketAddr::new(ip, gate.proxy.port()));
        }
        if self.tunnels.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return None;
        }
        self.tunnels.looked = Some(Instant::now());
        let gate = self.policy.same_gate(gate)?;
        let names = self.dns.names();
        let (resolver, mailbox) = (names.resolver().clone(), self.mailbox.clone());
        let work = async move {
            let found = resolver.look_up(&gate.proxy.host().to_string(), None).await;
            found_or_not(&gate, found);
            mailbox.wake();
        };
        match names.thread().handle() {
            Ok(thread) => drop(thread.spawn(work)),
            Err(_) => drop(work),
        }
        None
    }

    /// Goes on with the proxy of a connection.
    pub(super) fn negotiate(&mut self, slot: usize) -> Progress {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return Progress::Broken };
        let Stream { socket, tunnel, readable, writable, .. } = stream;
        let Some(handshake) = tunnel else { return Progress::Done };
        let progress = proceed(handshake, socket, readable, writable);
        let gate = self.policy.gate(Traffic::Peers);
        match &progress {
            Progress::Done => {
                *tunnel = None;
                gate.iter().for_each(|gate| gate.seen(None));
            }
            Progress::Refused(why) => gate.iter().for_each(|gate| gate.refuses(*why)),
            Progress::Waits | Progress::Broken => {}
        }
        progress
    }
}

fn found_or_not(gate: &Arc<Gate>, found: io::Result<Vec<std::net::IpAddr>>) {
    match found {
        Ok(found) => gate.found(found),
        Err(_) => gate.seen(Some("its name is not found".into())),
    }
}

/// Why a call has failed, by what the proxy says.
pub(super) fn failure_of(refusal: Refusal) -> ConnectFailure {
    match refusal {
        Refusal::Refused => ConnectFailure::Refused,
        Refusal::TimedOut => ConnectFailure::TimedOut,
        _ => ConnectFailure::Unreachable,
    }
}

/// Sends and reads as far as both sides can.
pub(super) fn proceed(
    handshake: &mut Handshake,
    socket: &mut TcpStream,
    readable: &mut bool,
    writable: &mut bool,
) -> Progress {
    loop {
        if handshake.is_done() {
            return Progress::Done;
        }
        let sends = !handshake.outgoing().is_empty();
        let ready = if sends { &mut *writable } else { &mut *readable };
        if !*ready {
            return Progress::Waits;
        }
        let moved = if sends {
            let sent = rustix::net::send(&*socket, handshake.outgoing(), QUIET);
            sent.map(|count| handshake.sent(count)).map(Ok).map_err(io::Error::from)
        } else {
            let mut bytes = [0; 512];
            let most = handshake.wants().min(bytes.len());
            match socket.read(&mut bytes[..most]) {
                Ok(0) => return Progress::Broken,
                Ok(count) => Ok(handshake.received(&bytes[..count])),
                Err(error) => Err(error),
            }
        };
        match moved {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return Progress::Refused(refusal),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *ready = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Progress::Broken,
        }
    }
}
