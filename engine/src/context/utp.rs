//! Connections over µTP: the machine, and whose stream each of its connections carries.
//!
//! A peer does not know its transport. What is asked of a connection comes by here on its way to the driver
//! ([`Context::stream`](super::Context::stream)), and the machine is told of it: what may be received, that it is over.
//! What the machine says in return is taken by `engine/utp.rs`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use eddyline_utp::{ConnectionId, Multiplexer, Output, Time, Verdict};
use serde::{Deserialize, Serialize};

use bytes::Bytes;

use crate::api::{CloseReason, StreamAction, UTP_UNDER_WAY as UNDER_WAY};
use crate::base::ids::ConnId;
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;

/// How late a driver may wake up, in microseconds: where it polls with whole milliseconds, up to two.
const LATENESS: u64 = 2_000;

/// Bytes that the machine lets a connection receive before anything was granted here.
pub const ACCEPT_ROOM: u32 = 4096;
/// Bytes of a stream that count as sent while they are on their way, as those do that a kernel has taken: of one
/// connection, and of all together. The rest counts when it has arrived.
const UNDER_WAY_OF_ONE: u64 = 8 << 20;

/// From which delay on packets to us wait in a queue, in microseconds: below it is what radio does.
const QUEUE: u64 = 5_000;

/// Whether the packets of a connection wait at the bottleneck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    /// Those that come.
    pub down: bool,
    /// Those that go.
    pub up: bool,
}

/// How the stream of one connection goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What the machine calls it.
    id: ConnectionId,
    /// Whether the driver keeps its outgoing stream: since it stands.
    open: bool,
    /// Whether TCP is tried as well, and whether it ever was: then the driver knows the connection for that.
    tcp: bool,
    known: bool,
    /// Bytes that were given to be sent, that the driver has, that left, that arrived, and that the peer's part of the
    /// engine was told of as sent.
    given: u64,
    offered: u64,
    left: u64,
    released: u64,
    told: u64,
    /// Bytes that went to the driver and have not come back.
    delivering: u64,
    /// What was granted when the connection came, and is not granted twice.
    granted: u32,
    /// Why it has ended. What is on its way through the driver comes first.
    over: Option<CloseReason>,
}

/// All connections over µTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Utp {
    machine: Multiplexer,
    lines: BTreeMap<ConnId, Line>,
    names: BTreeMap<ConnectionId, ConnId>,
    /// Bytes of all streams that were told of as sent and have not arrived.
    under_way: u64,
    /// What counts as sent since the peers were told.
    #[serde(skip)]
    sent: Vec<(ConnId, u64)>,
    /// For when the machine wants a turn.
    pub alarm: Alarm,
}

fn time(now: Instant) -> Time {
    Time::from_micros(now.as_nanos() / 1000)
}

impl Utp {
    /// No connection. Ids follow from `seed`.
    pub fn new(seed: &Seed) -> Self {
        let mut rng = seed.stream("utp");
        let mut key = [0; 16];
        rng.fill(&mut key);
        let (a, b) = key.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let config = eddyline_utp::Config {
            accept_room: ACCEPT_ROOM.into(),
            lateness: LATENESS,
            ..Default::default()
        };
        Self {
            machine: Multiplexer::new(config, [half(a), half(b)]),
            lines: BTreeMap::new(),
            names: BTreeMap::new(),
            under_way: 0,
            sent: Vec::new(),
            alarm: Alarm::default(),
        }
    }

    /// How many connections there are, those that are being made too.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether a connection is made over µTP, or is tried to.
    pub fn carries(&self, conn: ConnId) -> bool {
        self.lines.contains_key(&conn)
    }

    /// Whether it stands over µTP.
    pub fn has_opened(&self, conn: ConnId) -> bool {
        self.lines.get(&conn).is_some_and(|line| line.open)
    }

    /// Whether packets of a connection wait at the bottleneck, in both directions; `None` for one that is not over µTP.
    pub fn waits(&self, conn: ConnId) -> Option<Waits> {
        let said = self.machine.statistics(self.lines.get(&conn)?.id).unwrap_or_default();
        let up = said.queueing_delay * 4 >= said.target_delay && said.target_delay > 0;
        Some(Waits { down: said.incoming_delay >= QUEUE, up })
    }

    /// How long a round trip of a connection takes, once it is known.
    pub fn round_trip(&self, conn: ConnId) -> Option<Duration> {
        let micros = self.machine.round_trip(self.lines.get(&conn)?.id)?;
        Some(Duration::from_micros(micros))
    }

    /// Begins a connection; `tcp` says that it is tried as well. False when there is no place for it.
    pub fn connect(&mut self, conn: ConnId, remote: SocketAddr, tcp: bool, now: Instant) -> bool {
        let Ok(id) = self.machine.connect(time(now), remote) else { return false };
        self.insert(conn, id, false, tcp);
        true
    }

    /// Somebody's connection is `conn` from now on.
    pub fn adopt(&mut self, conn: ConnId, id: ConnectionId) {
        self.insert(conn, id, true, false);
        if let Some(line) = self.lines.get_mut(&conn) {
            line.granted = ACCEPT_ROOM;
        }
    }

    /// Nobody wants that connection.
    pub fn refuse(&mut self, id: ConnectionId) {
        self.machine.abort(id);
    }

    fn insert(&mut self, conn: ConnId, id: ConnectionId, open: bool, tcp: bool) {
        let line = Line {
            id,
            open,
            tcp,
            known: tcp,
            given: 0,
            offered: 0,
            left: 0,
            released: 0,
            told: 0,
            delivering: 0,
            granted: 0,
            over: None,
        };
        self.lines.insert(conn, line);
        self.names.insert(id, conn);
    }

    /// TCP is tried as well from now on.
    pub fn tries_tcp(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get_mut(&conn) {
            (line.tcp, line.known) = (true, true);
        }
    }

    /// A connection stands, and is `conn` from now on. Returns whether TCP was tried as well under its old name.
    pub fn stands(&mut self, old: ConnId, conn: ConnId) -> bool {
        let Some(mut line) = self.lines.remove(&old) else { return false };
        let tcp = core::mem::take(&mut line.tcp);
        (line.open, line.known) = (true, false);
        self.names.insert(line.id, conn);
        self.lines.insert(conn, line);
        tcp
    }

    /// The attempt over µTP is given up. Returns whether TCP is still tried.
    pub fn give_up(&mut self, conn: ConnId) -> bool {
        let Some(line) = self.lines.remove(&conn) else { return false };
        self.names.remove(&line.id);
        self.machine.abort(line.id);
        line.tcp
    }

    /// Whether TCP is tried too, beside an attempt over µTP, or was.
    pub fn is_known_for_tcp(&self, conn: ConnId) -> bool {
        self.lines.get(&conn).is_some_and(|line| line.known)
    }

    /// TCP has failed; what is left is µTP.
    pub fn tcp_failed(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.tcp = false;
        }
    }

    /// The driver has let go of a stream by itself.
    pub fn dropped(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get_mut(&conn) {
            (line.open, line.tcp) = (false, false);
        }
    }

    /// Something is asked of a connection. Returns whether the driver is told.
    pub fn asked(&mut self, conn: ConnId, action: &StreamAction) -> bool {
        let Some(line) = self.lines.get_mut(&conn) else { return true };
        match action {
            StreamAction::GrantRead(count) => {
                let before = line.granted.min(*count);
                line.granted -= before;
                self.machine.grant(line.id, (*count - before).into());
            }
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
                line.given += bytes.len() as u64;
            }
            StreamAction::SendStored(block) => line.given += u64::from(block.length),
            StreamAction::Close(_) => return self.close(conn),
            _ => {}
        }
        true
    }

    /// We end a connection: in order, where all that was sent has arrived. Somebody who was sent nothing has nothing to
    /// wait for.
    fn close(&mut self, conn: ConnId) -> bool {
        let Some(line) = self.lines.remove(&conn) else { return true };
        self.names.remove(&line.id);
        self.under_way -= line.told - line.released;
        let sent = line.given.max(line.offered);
        if line.open && sent > 0 && sent == line.released {
            self.machine.close(line.id, None);
        } else {
            self.machine.abort(line.id);
        }
        line.open || line.tcp
    }

    /// The driver has more bytes of a stream. False when there are not that many; they count all the same, since in a
    /// redacted run something shorter may have been sent.
    pub fn offered(&mut self, conn: ConnId, count: u32) -> bool {
        let Some(line) = self.lines.get_mut(&conn) else { return true };
        let count = u64::from(count);
        line.offered += count;
        self.machine.offer(line.id, count);
        line.offered <= line.given
    }

    /// Bytes go to the driver, to be deciphered.
    pub fn delivers(&mut self, conn: ConnId, count: u64) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.delivering += count;
        }
    }

    /// Bytes have come back. False when they never went.
    pub fn returned(&mut self, conn: ConnId, count: u64) -> bool {
        let Some(line) = self.lines.get_mut(&conn) else { return true };
        let known = count <= line.delivering;
        line.delivering = line.delivering.saturating_sub(count);
        known
    }

    /// A connection has ended on the other side.
    pub fn ended(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.over.get_or_insert(reason);
        }
    }

    /// Why a connection is over, when nothing of it is on its way any more.
    pub fn is_over(&self, conn: ConnId) -> Option<CloseReason> {
        let line = self.lines.get(&conn).filter(|line| line.delivering == 0)?;
        line.over
    }

    /// Bytes of a stream have left. Returns how many of them not for the first time.
    pub fn left(&mut self, conn: ConnId, bytes: core::ops::Range<u64>) -> u64 {
        let Some(line) = self.lines.get_mut(&conn) else { return 0 };
        let again = line.left.min(bytes.end).saturating_sub(bytes.start);
        line.left = line.left.max(bytes.end);
        self.tell(conn, 0);
        again
    }

    /// What counts as sent since this was asked last.
    pub fn take_sent(&mut self) -> Vec<(ConnId, u64)> {
        core::mem::take(&mut self.sent)
    }

    /// Bytes up to a position have arrived.
    pub fn released(&mut self, conn: ConnId, up_to: u64) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let (told, under_way) = (line.told, line.told - line.released);
        line.released = up_to.clamp(line.released, line.offered);
        line.told = told.max(line.released);
        self.under_way = self.under_way - under_way + (line.told - line.released);
        let arrived = line.told - told;
        self.tell(conn, arrived);
    }

    /// What has arrived counts as sent, and what has left as far as there is room.
    fn tell(&mut self, conn: ConnId, arrived: u64) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let ahead = UNDER_WAY_OF_ONE.saturating_sub(line.told - line.released);
        let more = (line.left.max(line.told) - line.told)
            .min(ahead)
            .min(UNDER_WAY.saturating_sub(self.under_way));
        line.told += more;
        self.under_way += more;
        match self.sent.last_mut() {
            _ if arrived + more == 0 => {}
            Some((last, sent)) if *last == conn => *sent += arrived + more,
            _ => self.sent.push((conn, arrived + more)),
        }
    }

    /// A datagram of µTP.
    pub fn datagram(
        &mut self,
        now: Instant,
        waited: u32,
        from: SocketAddr,
        data: &Bytes,
    ) -> Verdict {
        let micros = (now.as_nanos() / 1000).saturating_sub(waited.into());
        self.machine.datagram(time(now), Time::from_micros(micros), from, data)
    }

    /// Who a connection of the machine is.
    pub fn name(&self, id: ConnectionId) -> Option<ConnId> {
        self.names.get(&id).copied()
    }

    /// Whether the machine has a turn at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.machine.has_news() || self.machine.next_deadline().is_some_and(|at| at <= time(now))
    }

    /// Lets the machine do what is due.
    pub fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.machine.advance(time(now), out);
    }

    /// When the machine wants its next turn.
    pub fn next_deadline(&self) -> Option<Instant> {
        let at = self.machine.next_deadline()?;
        Some(Instant::from_nanos(at.as_micros().saturating_mul(1000)))
    }

    /// Checks the machine, and that its connections and ours are the same.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check(&self, lives: impl Fn(ConnId) -> bool) -> Result<(), &'static str> {
        let named = |(conn, line): (&ConnId, &Line)| self.names.get(&line.id) == Some(conn);
        if self.lines.len() != self.names.len() || !self.lines.iter().all(named) {
            return Err("every stream over µTP has a connection of the machine");
        }
        if !self.lines.keys().all(|conn| lives(*conn)) {
            return Err("every stream over µTP is that of a connection");
        }
        let order = |line: &Line| {
            line.released <= line.told && line.told <= line.offered && line.left <= line.offered
        };
        if !self.lines.values().all(order) {
            return Err("bytes are offered, sent and released in this order");
        }
        let under_way: u64 = self.lines.values().map(|line| line.told - line.released).sum();
        if under_way != self.under_way || under_way > UNDER_WAY {
            return Err("bytes under way over µTP are counted and bounded");
        }
        if self.machine.has_news() {
            return Err("the machine of µTP has said everything after a step");
        }
        Ok(())
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        let conn = *self.lines.iter().find(|(_, line)| line.open)?.0;
        let line = self.lines.get_mut(&conn)?;
        match rule {
            "every stream over µTP has a connection of the machine" => self.names.clear(),
            "every stream over µTP is that of a connection" => {
                let nobody = ConnId::from_u64(u64::MAX);
                let line = self.lines.remove(&conn)?;
                self.names.insert(line.id, nobody);
                self.lines.insert(nobody, line);
            }
            "bytes are offered, sent and released in this order" => line.offered = 0,
            "bytes under way over µTP are counted and bounded" => self.under_way += 1,
            "the machine of µTP has said everything after a step" => {
                self.machine.offer(line.id, 0);
            }
            _ => return None,
        }
        Some(())
    }

    /// Checks everything in the machine.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check_machine(&self) -> Result<(), &'static str> {
        self.machine.violations().first().map_or(Ok(()), |rule| Err(*rule))
    }
}
