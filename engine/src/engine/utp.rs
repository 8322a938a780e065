//! µTP: datagrams in, and what the machine makes of them. A transport stands between the driver and [`incoming`]:
//! whoever adds another one tells the same things from here, namely that somebody came, that a connection stands,
//! that bytes are to be delivered, that some of what was sent is gone, and that it is over.
//!
//! [`incoming`]: super::incoming

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use eddyline_utp::{CloseReason as Ended, ConnectionId, Datagram, Output};

use super::Engine;
use crate::api::{
    Action, CloseMode, CloseReason, ConnectFailure, StreamAction, Transport, Transports, UtpPacket,
    ViolatedRule,
};
use crate::base::addr::normalise;
use crate::base::ids::ConnId;
use crate::base::payload::Payload;
use crate::context::{Conn, Phase, Timer};

/// Turns that the machine has in a step, each after what was decided in the last: more than there is reason for.
const MAX_TURNS: u32 = 64;
/// Seconds in which an address answers over µTP that has refused TCP: it is there, so that three SYNs reach it.
const REFUSED_SECONDS: u64 = 4;

impl Engine {
    /// Whether a datagram is one of µTP that we listen to.
    pub(super) fn is_utp(&self, data: &[u8]) -> bool {
        self.ctx.config.transports.include(Transport::Utp) && eddyline_utp::is_utp(data)
    }

    pub(super) fn utp_datagram(&mut self, from: SocketAddr, data: &Bytes, waited: u32) {
        self.ctx.net.utp.datagram(self.ctx.now, waited, from, data);
    }

    /// Lets the machine send and tell, and decides what follows, until it has nothing more to say.
    pub(super) fn carry(&mut self) {
        let mut outputs = Vec::new();
        for _ in 0..MAX_TURNS {
            if !self.ctx.net.utp.is_due(self.ctx.now) {
                break;
            }
            self.ctx.net.utp.advance(self.ctx.now, &mut outputs);
            for output in outputs.drain(..) {
                self.carried(output);
            }
            for (conn, count) in self.ctx.net.utp.take_sent() {
                self.utp_sent(conn, count);
            }
            self.conclude();
        }
        if let Some(at) = self.ctx.net.utp.next_deadline() {
            // The machine counts in microseconds, and has had its turn in this one.
            let at = at.max(self.ctx.now + Duration::from_micros(1));
            let ctx = &mut self.ctx;
            ctx.net.utp.alarm.set(&mut ctx.timers, at, ctx.now, Timer::Utp);
        }
    }

    fn carried(&mut self, output: Output) {
        match output {
            Output::Send(datagram) => self.transmit(datagram),
            Output::Accepted { connection, from } => self.utp_incoming(connection, from),
            Output::Connected { connection } => {
                if let Some(conn) = self.ctx.net.utp.name(connection) {
                    self.utp_connected(conn);
                }
            }
            Output::Received { connection, slices } => {
                if let Some(conn) = self.ctx.net.utp.name(connection) {
                    let payload = Payload::from_parts(slices);
                    self.ctx.net.utp.delivers(conn, payload.len().into());
                    self.ctx.stream(conn, StreamAction::Deliver(payload));
                }
            }
            Output::Ended { connection } => self.utp_over(connection, CloseReason::Remote),
            Output::Released { connection, up_to } => {
                if let Some(conn) = self.ctx.net.utp.name(connection) {
                    self.ctx.net.utp.released(conn, up_to);
                    self.ctx.stream(conn, StreamAction::Release(up_to));
                }
            }
            Output::Closed { connection, reason } => {
                let reason = match reason {
                    Ended::Fault(_) => CloseReason::Misbehaved,
                    Ended::NoAnswer => CloseReason::ConnectFailed,
                    Ended::TimedOut => CloseReason::Silent,
                    Ended::Finished { .. } | Ended::Reset { .. } | Ended::Aborted => {
                        CloseReason::Remote
                    }
                };
                self.utp_over(connection, reason);
            }
        }
    }

    fn transmit(&mut self, datagram: Datagram) {
        let Datagram { to, connection, header, payload, whole } = datagram;
        // A connection that was closed because its address is blocked says no farewell.
        if self.ctx.net.standing.filter().blocks(to.ip()) {
            return;
        }
        let stream = connection.and_then(|id| self.ctx.net.utp.name(id));
        let Some(socket) = self.ctx.net.identity.udp(to.is_ipv6()) else { return };
        if stream.is_none() && !payload.is_empty() {
            // We have ended the connection, and the driver has let go of its stream.
            return;
        }
        let stream = stream.filter(|_| !payload.is_empty());
        let packet = UtpPacket { to, header, stream, payload: payload.clone(), whole };
        self.ctx.out.actions.push(Action::Transmit(socket, Box::new(packet)));
        if let Some(conn) = stream {
            let again = self.ctx.net.utp.left(conn, payload);
            self.pay_for(conn, again);
        }
    }

    /// What is sent again counts under the limits as what is sent: a peer that acknowledges nothing has no more of us.
    fn pay_for(&mut self, conn: ConnId, bytes: u64) {
        let torrent = self.ctx.net.conns.get(conn).and_then(|entry| entry.torrent);
        let Some(torrent) = torrent.filter(|_| bytes > 0) else { return };
        self.ctx.limits.utp.up.take(bytes);
        if !self.ctx.limits_hold(Transport::Utp) {
            return;
        }
        self.ctx.limits.up.take(bytes);
        if let Some(torrent) = self.torrents.get_mut(torrent) {
            torrent.pay_for_resent(bytes);
        }
    }

    fn utp_sent(&mut self, conn: ConnId, count: u64) {
        let torrent = self.ctx.net.conns.get(conn).and_then(|entry| entry.torrent);
        self.sent(conn, torrent, Transport::Utp, u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Somebody's connection over µTP came about.
    fn utp_incoming(&mut self, connection: ConnectionId, from: SocketAddr) {
        let Some(conn) = self.greet(normalise(from)) else {
            return self.ctx.net.utp.refuse(connection);
        };
        if let Some(entry) = self.ctx.net.conns.get_mut(conn) {
            entry.transport = Transport::Utp;
        }
        self.ctx.net.utp.adopt(conn, connection);
        self.ctx.stream(conn, StreamAction::OpenUtp { remote: from });
        self.grant_stranger(conn);
    }

    /// An attempt over µTP was answered. The driver may know the connection by a name that stands for TCP; then it gets
    /// another one.
    fn utp_connected(&mut self, old: ConnId) {
        let Some(entry) = self.ctx.net.conns.get(old) else { return };
        let remote = entry.remote;
        if !matches!(entry.phase, Phase::Connecting) {
            return;
        }
        let mut conn = old;
        if self.ctx.net.utp.is_known_for_tcp(old) {
            let Some(new) = self.ctx.net.conns.rename(old) else { return };
            conn = new;
        }
        if self.ctx.net.utp.stands(old, conn) {
            // It is a name of nothing but the attempt with TCP.
            self.ctx.out.stream(old, StreamAction::Close(CloseMode::Now));
        }
        if let Some(entry) = self.ctx.net.conns.get_mut(conn) {
            entry.transport = Transport::Utp;
        }
        self.ctx.stream(conn, StreamAction::OpenUtp { remote });
        self.connected(conn);
    }

    /// A connection of the machine is over, or will bring nothing more.
    fn utp_over(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(conn) = self.ctx.net.utp.name(connection) else { return };
        if self.ctx.net.utp.has_opened(conn) {
            self.ctx.net.utp.ended(conn, reason);
            return self.look_whether_over(conn);
        }
        // It was an attempt.
        if !self.ctx.net.utp.give_up(conn) {
            self.lost(conn, CloseReason::ConnectFailed);
        }
    }

    /// Ends a connection over µTP of which everything that came has been given to it.
    fn look_whether_over(&mut self, conn: ConnId) {
        if let Some(reason) = self.ctx.net.utp.is_over(conn) {
            self.lost(conn, reason);
        }
    }

    /// The driver has deciphered bytes that were delivered to it, which the engine has taken in by now.
    pub(super) fn utp_returned(&mut self, conn: ConnId, count: u64) {
        if !self.ctx.net.utp.returned(conn, count) {
            self.violated(ViolatedRule::MoreThanGranted);
        }
        self.look_whether_over(conn);
    }

    /// The driver has bytes of a stream.
    pub(super) fn utp_offered(&mut self, conn: ConnId, count: u32) {
        if !self.ctx.net.utp.offered(conn, count) {
            self.violated(ViolatedRule::MoreThanSent);
        }
    }

    /// Tries an address that does not answer with the other transport too. Returns whether something is tried now.
    pub(super) fn try_otherwise(&mut self, conn: ConnId) -> bool {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return false };
        let remote = entry.remote;
        if self.ctx.config.transports != Transports::Both || entry.introduced {
            return false;
        }
        if !self.ctx.net.utp.carries(conn) {
            return self.ctx.connect_utp(conn, remote, true);
        }
        if !self.ctx.net.utp.is_known_for_tcp(conn) {
            self.ctx.net.utp.tries_tcp(conn);
            self.ctx.out.stream(conn, StreamAction::Connect { remote });
        }
        true
    }

    /// What came of an attempt with TCP is heard. Returns whether it matters: not so, where µTP is still tried.
    pub(super) fn tcp_failed(&mut self, conn: ConnId, why: ConnectFailure) -> bool {
        let connecting = |conn: &&mut Conn| matches!(conn.phase, Phase::Connecting);
        let Some(entry) = self.ctx.net.conns.get_mut(conn).filter(connecting) else { return true };
        if why == ConnectFailure::Refused {
            let soon = self.ctx.now + Duration::from_secs(REFUSED_SECONDS);
            (entry.refused, entry.deadline) = (true, entry.deadline.min(soon));
            self.ctx.timers.schedule(entry.deadline, Timer::Conn(conn));
        }
        if self.ctx.net.utp.carries(conn) {
            self.ctx.net.utp.tcp_failed(conn);
            return false;
        }
        if !self.try_otherwise(conn) {
            return true;
        }
        self.ctx.net.utp.tcp_failed(conn);
        false
    }
}
