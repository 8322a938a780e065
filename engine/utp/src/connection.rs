//! One connection: what packets mean for it. [`transmit`] says what it sends, and when.

mod transmit;

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::congestion::{Acked, Congestion};
use crate::delay::{Delay, Incoming};
use crate::delivery_rate::DeliveryRate;
use crate::multiplexer::ConnectionId;
use crate::output::{CloseReason, Output, Statistics};
use crate::pacing::Pacing;
use crate::packet::{HEADER, Kind, Packet};
use crate::path_mtu::PathMtu;
use crate::receive::Receiver;
use crate::round_trip::RoundTrip;
use crate::send::{Progress, Sender};
use crate::sequence::expand;
use crate::time::Time;
use crate::verdict::Verdict;

/// Rounds after which the best rate is forgotten.
const RATE_ROUNDS: u32 = 10;
/// How far back the numbers of late packets may lie, beyond the most that were ever under way at once: whoever sends in
/// the name of another has to guess them (RFC 5961, 5).
const BEHIND: u64 = 64;
/// For how long the other side may take to end its half after ours has ended, in microseconds.
const LINGER: u64 = 10_000_000;

/// Who a connection is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    pub peer: SocketAddr,
    /// The id of packets for us.
    pub receive_id: u16,
    /// The id of packets from us.
    pub send_id: u16,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    pub id: ConnectionId,
    pub route: Route,
    pub accepted: bool,
    sender: Sender,
    /// None until the other side has said where it begins.
    receiver: Option<Receiver>,
    granted_before: u64,
    trip: RoundTrip,
    delay: Delay,
    incoming: Incoming,
    rate: DeliveryRate,
    congestion: Congestion,
    pacing: Pacing,
    mtu: PathMtu,
    /// What our clock shows to the other side at our zero: who reads no packets of ours does not know it.
    clock: u32,
    /// How long the last packet to us was under way by both clocks, which is what ours tell the other side.
    difference: u32,
    /// A round trip ends when this number has arrived.
    round_end: u64,
    rounds: u32,
    limited: bool,
    backoff: u32,
    heard_since_timeout: bool,
    asked: bool,
    /// When the wait for an ack began, for the timeout and for the question that comes before it.
    waiting_since: Time,
    asking_since: Time,
    look_again: Option<Time>,
    shut_since: Option<Time>,
    last_sent: Time,
    until_held_back: u32,
    draw: u64,
    told_connected: bool,
    told_ended: bool,
    peer_code: Option<u32>,
    our_code: Option<u32>,
    finished_at: Option<Time>,
    /// Since when nothing but the end of our half is not acknowledged.
    ending_since: Option<Time>,
    pub closed: Option<CloseReason>,
    statistics: Statistics,
    ack_delay: u64,
    #[cfg(feature = "corruption")]
    no_timer: bool,
}

impl Connection {
    /// A connection whose first number is `ours`, and whose clock shows that at our zero; the other side's first is
    /// `theirs`, if that is known already.
    pub fn new(
        config: &Config,
        now: Time,
        (id, route): (ConnectionId, Route),
        (ours, clock): (u16, u32),
        theirs: Option<u16>,
        draw: u64,
    ) -> Self {
        // IPv6 has a header of 40 bytes rather than 20.
        let less = if route.peer.is_ipv6() && config.max_datagram <= 1_472 { 20 } else { 0 };
        let mtu = PathMtu::new(config.max_datagram - less);
        let packet = (mtu.datagram() - HEADER) as u64;
        let sender = Sender::new(ours);
        Self {
            id,
            route,
            accepted: theirs.is_some(),
            round_end: sender.next(),
            sender,
            receiver: theirs.map(|first| Receiver::new(first, config.ack_delay)),
            granted_before: 0,
            trip: RoundTrip::new(config.min_retransmission_timeout),
            delay: Delay::new(),
            incoming: Incoming::new(),
            rate: DeliveryRate::new(now),
            congestion: Congestion::new(config.target_delay, packet),
            pacing: Pacing::new(now),
            mtu,
            clock,
            difference: 0,
            rounds: 0,
            limited: false,
            backoff: 0,
            heard_since_timeout: false,
            asked: false,
            waiting_since: now,
            asking_since: now,
            look_again: None,
            shut_since: None,
            last_sent: now,
            until_held_back: 200 + (draw % 800) as u32,
            draw,
            told_connected: theirs.is_some(),
            told_ended: false,
            peer_code: None,
            our_code: None,
            finished_at: None,
            ending_since: None,
            closed: None,
            statistics: Statistics::default(),
            ack_delay: config.ack_delay,
            #[cfg(feature = "corruption")]
            no_timer: false,
        }
    }

    /// Takes the first number, which is that of a SYN.
    pub fn begin_syn(&mut self) {
        self.sender.cut_syn();
    }

    pub fn is_connected(&self) -> bool {
        self.receiver.is_some()
    }

    pub fn offer(&mut self, bytes: u64) {
        self.sender.offer(bytes);
    }

    pub fn grant(&mut self, bytes: u64) {
        match &mut self.receiver {
            Some(receiver) => receiver.grant(bytes),
            None => self.granted_before = self.granted_before.saturating_add(bytes),
        }
    }

    pub fn finish(&mut self, code: Option<u32>) {
        self.our_code = code;
        if self.is_connected() {
            self.sender.finish();
        } else {
            self.closed.get_or_insert(CloseReason::Aborted);
        }
    }

    pub fn abort(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
    }

    /// Numbers for a farewell to packets that come after the end: ours, and what we have of theirs.
    pub fn last_numbers(&self) -> (u16, u16) {
        let acknowledged = self.receiver.as_ref().map_or(0, Receiver::acknowledged);
        (self.sender.next() as u16, acknowledged)
    }

    /// A packet with an id of this connection. `received` is when it came, by the clock of `now`.
    pub fn packet(&mut self, now: Time, received: Time, packet: Packet, tests: bool) -> Verdict {
        if self.closed.is_some() {
            return Verdict::Ignored;
        }
        let acknowledged = expand(self.sender.next() - 1, packet.acknowledged);
        if packet.kind == Kind::Reset {
            return self.reset(acknowledged, &packet);
        }
        if packet.connection_id != self.route.receive_id {
            return Verdict::OutOfPlace;
        }
        if !self.sender.is_possible(acknowledged, &packet.selective_ack) {
            return Verdict::AcknowledgesUnsent;
        }
        if acknowledged + BEHIND + self.sender.most_under_way() < self.sender.first() {
            return Verdict::OutsideWindow;
        }
        if tests && self.sender.is_optimistic(acknowledged, &packet.selective_ack) {
            self.abort(CloseReason::Fault(Verdict::OptimisticAck));
            return Verdict::OptimisticAck;
        }
        if self.receiver.is_none() {
            // Only the answer itself says where the other side begins.
            if packet.kind != Kind::State || acknowledged < self.sender.first() {
                return Verdict::OutOfPlace;
            }
            let mut receiver = Receiver::new(packet.sequence, self.ack_delay);
            receiver.grant(self.granted_before);
            self.receiver = Some(receiver);
        }
        let verdict = self.content(now, &packet);
        if matches!(verdict, Verdict::OutsideWindow | Verdict::OutOfPlace) {
            return verdict;
        }
        self.heard_since_timeout = true;
        let shown = received.on_wire().wrapping_add(self.clock);
        self.difference = shown.wrapping_sub(packet.timestamp);
        self.incoming.measured(received, self.difference);
        if packet.close_reason.is_some() {
            self.peer_code = packet.close_reason;
        }
        self.acknowledge(now, received, acknowledged, &packet);
        verdict
    }

    fn reset(&mut self, acknowledged: u64, packet: &Packet) -> Verdict {
        let known = [self.route.receive_id, self.route.send_id].contains(&packet.connection_id);
        // It answers a packet of ours, so it has the number of one that is under way, or of a state packet, which is
        // the next.
        let fits = (self.sender.first() - 1..=self.sender.next()).contains(&acknowledged);
        if !known || !fits {
            return Verdict::ForgedReset;
        }
        self.abort(CloseReason::Reset { code: packet.close_reason });
        Verdict::Accepted
    }

    fn content(&mut self, now: Time, packet: &Packet) -> Verdict {
        let Some(receiver) = &mut self.receiver else { return Verdict::OutOfPlace };
        match packet.kind {
            Kind::State | Kind::Syn | Kind::Reset => Verdict::Accepted,
            // An empty one would take a number and bring nothing; some clients keep connections alive with it.
            Kind::Data => receiver.packet(now, packet.sequence, packet.payload.clone(), false),
            Kind::Fin => receiver.packet(now, packet.sequence, packet.payload.clone(), true),
        }
    }

    fn acknowledge(&mut self, now: Time, received: Time, acknowledged: u64, packet: &Packet) {
        if acknowledged + 1 < self.sender.first() {
            return;
        }
        let was_shut = self.sender.is_shut();
        let in_flight = self.sender.in_flight();
        let progress = self.sender.acknowledge(acknowledged, &packet.selective_ack);
        self.sender.set_window(packet.window);
        if was_shut && !self.sender.is_shut() {
            // What was sent to see whether there is room was dropped, as a rule.
            self.sender.lose_window_probe();
            self.backoff = 0;
        }
        if progress.bytes > 0 {
            self.progressed(now, received, &progress, packet.timestamp_difference, in_flight);
        }
        self.find_lost(now);
    }

    fn progressed(
        &mut self,
        now: Time,
        received: Time,
        progress: &Progress,
        one_way: u32,
        in_flight: u64,
    ) {
        (self.backoff, self.asked) = (0, false);
        (self.waiting_since, self.asking_since) = (now, now);
        if progress.late {
            self.sender.be_patient();
        }
        if let Some(size) = progress.probe {
            self.mtu.arrived(size);
            self.congestion.set_packet((self.mtu.datagram() - HEADER) as u64);
        }
        if progress.largest as usize + HEADER >= self.mtu.datagram() {
            self.mtu.confirmed();
        }
        self.rate.delivered(received, progress.bytes);
        let Some(newest) = progress.newest else { return };
        let trip = newest.once.then(|| received.since(newest.sent_at).max(1));
        if let Some(trip) = trip {
            self.trip.measured(trip);
        }
        if one_way != 0 {
            self.delay.measured(now, one_way, trip);
        }
        if let Some(mark) = &newest.mark {
            self.rate.sample(received, newest.sent_at, mark);
        }
        let round = newest.number >= self.round_end;
        if round {
            self.round_end = self.sender.next();
            self.rounds += 1;
            if self.rounds.is_multiple_of(RATE_ROUNDS) {
                self.rate.turn();
            }
        }
        self.congestion.acked(
            now,
            &Acked {
                bytes: progress.bytes,
                queue: self.delay.queue(),
                longest: self.delay.longest(),
                base: self.delay.base_round_trip().max(1),
                rate: self.rate.best(),
                limited: core::mem::take(&mut self.limited)
                    || in_flight + 2 * self.payload() as u64 >= self.congestion.window(),
                round,
                in_flight: self.sender.in_flight(),
            },
        );
    }

    fn find_lost(&mut self, now: Time) {
        let (mtu, congestion, lost) =
            (&mut self.mtu, &mut self.congestion, &mut self.statistics.lost);
        self.look_again = self.sender.find_lost(
            now,
            self.trip.shortest(),
            self.trip.latest(),
            |weight, probe| {
                *lost += 1;
                match probe {
                    Some(size) => mtu.vanished(now, size),
                    None => congestion.lost(now, weight),
                }
            },
        );
    }

    /// Payload of a full packet.
    fn payload(&self) -> usize {
        self.mtu.datagram() - HEADER
    }

    pub fn round_trip(&self) -> Option<u64> {
        self.trip.is_measured().then(|| self.trip.smoothed())
    }

    pub fn statistics(&self) -> Statistics {
        Statistics {
            congestion_window: self.congestion.window(),
            in_flight: self.sender.in_flight(),
            round_trip: self.trip.smoothed(),
            queueing_delay: self.delay.queue(),
            target_delay: self.congestion.target(),
            incoming_delay: self.incoming.queue(),
            datagram: self.mtu.datagram(),
            slow_downs: self.congestion.slow_downs,
            ..self.statistics
        }
    }

    pub fn violations(&self, config: &Config, out: &mut Vec<&'static str>) {
        self.sender.violations(out);
        self.congestion.violations(out);
        self.mtu.violations(out);
        if let Some(receiver) = &self.receiver {
            receiver.violations(out);
        }
        let busy = self.sender.in_flight() > 0
            || self.sender.wants_to_send() && self.is_connected()
            || self.sender.is_shut()
            || self.sender.held_back().is_some();
        let alive = self.closed.is_none();
        if alive && busy && self.deadline(config).is_none_or(|at| at == Time::from_micros(u64::MAX))
        {
            out.push("what waits for something has a timer");
        }
    }

    /// What happened, for the caller.
    fn tell(&mut self, out: &mut Vec<Output>) {
        let connection = self.id;
        if self.is_connected() && !core::mem::replace(&mut self.told_connected, true) {
            out.push(Output::Connected { connection });
        }
        if let Some(receiver) = &mut self.receiver {
            if receiver.has_ready() {
                out.push(Output::Received { connection, slices: receiver.take_ready() });
            }
            if receiver.has_ended() && !core::mem::replace(&mut self.told_ended, true) {
                out.push(Output::Ended { connection });
            }
        }
        if let Some(up_to) = self.sender.take_released() {
            out.push(Output::Released { connection, up_to });
        }
    }

    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, what: crate::Corruption) {
        match what {
            crate::Corruption::Timer => self.no_timer = true,
            crate::Corruption::PathMtu => self.mtu = PathMtu::broken(),
            _ => {
                self.sender.corrupt(what);
                self.congestion.corrupt(what);
                if let Some(receiver) = &mut self.receiver {
                    receiver.corrupt(what);
                }
            }
        }
    }
}
