//! What a connection sends, and when it wants to be called.

use alloc::vec::Vec;

use super::{Connection, LINGER};
use crate::config::Config;
use crate::output::{CloseReason, Datagram, Output};
use crate::packet::{HEADER, Header, HeaderBytes, Kind};
use crate::receive::{Owed, Receiver};
use crate::send::{Segment, What};
use crate::time::Time;

/// Packets of a window below which none is held back: there would be none behind it.
const HOLD_BACK_FROM: u64 = 12;

impl Connection {
    /// Does what is due, and says what there is to do.
    pub fn advance(&mut self, config: &Config, now: Time, out: &mut Vec<Output>) {
        if self.closed.is_none() {
            self.timers(config, now);
        }
        self.tell(out);
        if self.closed.is_none() {
            self.transmit(config, now, out);
            self.acknowledge_now(config, now, out);
            self.end(now);
        }
        if let Some(CloseReason::Aborted | CloseReason::Fault(_)) = self.closed {
            self.send_reset(now, out);
        }
    }

    /// When it wants to be called, if nothing happens before.
    pub fn deadline(&self, config: &Config) -> Option<Time> {
        #[cfg(feature = "corruption")]
        if self.no_timer {
            return None;
        }
        let mut at = self.last_sent + config.keep_alive;
        let mut no_later = |time: Time| at = at.min(time);
        match self.receiver.as_ref().map_or(Owed::Nothing, Receiver::owed) {
            Owed::Nothing => {}
            Owed::By(time) => no_later(time),
            Owed::Now => no_later(Time::ZERO),
        }
        if self.sender.in_flight() > 0 || self.sender.has_lost() {
            no_later(self.waiting_since + self.trip.timeout(self.backoff));
            if self.may_ask() {
                no_later(self.asking_since + self.trip.probe_timeout(self.is_alone()));
            }
        }
        if let Some(time) = self.look_again {
            no_later(time);
        }
        if let Some((_, since)) = self.sender.held_back() {
            no_later(since + self.hold());
        }
        if let Some(since) = self.shut_since {
            no_later(since + self.trip.timeout(0));
        }
        if self.wants_to_send() && self.has_room() {
            no_later(self.pacing.ready_at(self.congestion.pace(self.trip.smoothed())));
        }
        for since in [self.finished_at, self.ending_since].into_iter().flatten() {
            no_later(since + LINGER);
        }
        Some(at)
    }

    fn wants_to_send(&self) -> bool {
        self.sender.wants_to_send() && (self.is_connected() || self.sender.has_lost())
    }

    /// Whether congestion control lets another packet go. One always may.
    fn has_room(&self) -> bool {
        let in_flight = self.sender.in_flight();
        in_flight == 0 || in_flight + (HEADER + self.payload()) as u64 <= self.congestion.window()
    }

    fn is_alone(&self) -> bool {
        self.sender.in_flight() <= (HEADER + self.payload()) as u64
    }

    fn may_ask(&self) -> bool {
        !self.asked && self.backoff == 0 && self.trip.is_measured() && self.sender.in_flight() > 0
    }

    /// For how long a packet is held back.
    fn hold(&self) -> u64 {
        (self.trip.smoothed() / 8).clamp(1_000, 20_000)
    }

    fn timers(&mut self, config: &Config, now: Time) {
        if self.look_again.is_some_and(|at| at <= now) {
            self.find_lost(now);
        }
        let waits = self.sender.in_flight() > 0 || self.sender.has_lost();
        if waits && self.waiting_since + self.trip.timeout(self.backoff) <= now {
            self.time_out(config, now);
        }
        if self.finished_at.is_some_and(|since| since + LINGER <= now) {
            self.closed = Some(CloseReason::Finished { code: self.peer_code });
        }
        if self.sender.only_end_is_left() {
            // Whoever does not acknowledge the end within that time has gone, whatever else it says.
            let since = *self.ending_since.get_or_insert(now);
            if since + LINGER <= now {
                self.closed.get_or_insert(CloseReason::Aborted);
            }
        } else {
            self.ending_since = None;
        }
        if self.sender.is_worn_out() {
            self.closed.get_or_insert(CloseReason::TimedOut);
        }
    }

    fn time_out(&mut self, config: &Config, now: Time) {
        let most = if self.is_connected() { config.max_timeouts } else { config.max_syn_timeouts };
        self.backoff += 1;
        self.statistics.timeouts += 1;
        // Who says that it has no room is alive.
        let waits = self.heard_since_timeout && self.sender.has_little_room();
        // The end needs no room.
        let waits = waits && !self.sender.only_end_is_left();
        self.heard_since_timeout = false;
        if self.backoff > most && !waits {
            let silent = CloseReason::TimedOut;
            let reason = if self.is_connected() { silent } else { CloseReason::NoAnswer };
            self.closed = Some(reason);
            return;
        }
        self.waiting_since = now;
        let (mtu, lost) = (&mut self.mtu, &mut self.statistics.lost);
        self.sender.lose_all(|_, probe| {
            *lost += 1;
            if probe.is_some() {
                mtu.forgotten();
            }
        });
        let full = self.sender.first_lost().and_then(|number| self.sender.segment(number));
        if full.is_some_and(|segment| segment.length as usize + HEADER >= self.mtu.datagram())
            && self.mtu.silence(now)
        {
            self.congestion.set_packet(self.payload() as u64);
        }
        if !waits {
            self.congestion.timed_out();
        }
    }

    fn transmit(&mut self, config: &Config, now: Time, out: &mut Vec<Output>) {
        if let Some((number, since)) = self.sender.held_back()
            && since + self.hold() <= now
        {
            self.send(now, number, None, out);
        }
        let rate = self.congestion.pace(self.trip.smoothed());
        let late = rate.saturating_mul(config.lateness) / 1_000_000;
        self.pacing.fill(now, rate, config.burst.max(late));
        while self.wants_to_send() && self.has_room() && self.pacing.may_send() {
            let Some((number, probe)) = self.pick(config, now) else { break };
            if self.sender.held_back().is_some_and(|(held, _)| held == number) {
                continue;
            }
            self.send(now, number, probe, out);
        }
        if self.wants_to_send() && !self.has_room() {
            self.limited = true;
        }
        self.ask(now, out);
        self.try_the_window(now, out);
    }

    /// The packet that goes next: what was lost before what is new.
    fn pick(&mut self, config: &Config, now: Time) -> Option<(u64, Option<usize>)> {
        if let Some(number) = self.sender.first_lost() {
            return Some((number, None));
        }
        let full = self.payload();
        let number = self.sender.cut(full, false)?;
        if self.sender.segment(number).is_none_or(|segment| (segment.length as usize) < full) {
            return Some((number, None));
        }
        let roomy = self.congestion.window() >= HOLD_BACK_FROM * full as u64;
        self.until_held_back = self.until_held_back.saturating_sub(1);
        let more = self.sender.waiting() > 8 * full as u64 && self.sender.room() > 8 * full as u64;
        if config.tests_acks
            && self.until_held_back == 0
            && roomy
            && more
            && self.sender.held_back().is_none()
        {
            self.draw = self.draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.until_held_back = 200 + (self.draw >> 33) as u32 % 800;
            self.sender.hold_back(now, number);
            return Some((number, None));
        }
        let probe = if self.congestion.is_slowing_down() { None } else { self.mtu.probe(now) };
        Some((number, probe))
    }

    /// When the last packets are not acknowledged, one is sent again: its ack shows what was lost.
    fn ask(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.may_ask() || self.sender.has_lost() {
            return;
        }
        if self.asking_since + self.trip.probe_timeout(self.is_alone()) <= now {
            self.asked = true;
            self.waiting_since = now;
            if let Some(number) = self.sender.last_in_flight() {
                self.send(now, number, None, out);
            }
        }
    }

    /// A window that stays shut is tried with a packet, in case the news of its opening was lost.
    fn try_the_window(&mut self, now: Time, out: &mut Vec<Output>) {
        let shut = self.sender.is_shut() && self.sender.in_flight() == 0 && !self.sender.has_lost();
        if !shut {
            self.shut_since = None;
            return;
        }
        let since = *self.shut_since.get_or_insert(now);
        if since + self.trip.timeout(0) <= now {
            self.shut_since = None;
            if let Some(number) = self.sender.cut(self.payload(), true) {
                self.send(now, number, None, out);
            }
        }
    }

    fn send(&mut self, now: Time, number: u64, probe: Option<usize>, out: &mut Vec<Output>) {
        if self.sender.in_flight() == 0 {
            self.waiting_since = now;
        }
        self.asking_since = now;
        let mark = self.rate.sent(now, self.sender.in_flight() == 0);
        self.sender.sent(now, number, mark, probe);
        if probe.is_some() {
            self.mtu.probing();
        }
        let Some(segment) = self.sender.segment(number) else { return };
        let plain = HEADER + segment.length as usize;
        // What is sent again in silence may be too large for what the path has become.
        let whole = self.backoff == 0 && plain <= self.mtu.datagram();
        let payload = segment.start..segment.start + u64::from(segment.length);
        let header =
            self.header(now, segment, number, probe.map_or(0, |size| size.saturating_sub(plain)));
        self.statistics.sent += u64::from(!payload.is_empty());
        self.pacing.take(header.len() as u64 + u64::from(segment.length));
        self.emit(now, header, payload, whole, out);
        // A packet tells what an ack would, but for what is held out of order.
        if let Some(receiver) = &mut self.receiver
            && receiver.selective_ack().is_empty()
        {
            receiver.acknowledged_now();
        }
    }

    fn header(&self, now: Time, segment: &Segment, number: u64, padding: usize) -> HeaderBytes {
        let (kind, id) = match segment.what {
            What::Syn => (Kind::Syn, self.route.receive_id),
            What::Data => (Kind::Data, self.route.send_id),
            What::Fin => (Kind::Fin, self.route.send_id),
        };
        let reason = if kind == Kind::Fin { self.our_code } else { None };
        let receiver = self.receiver.as_ref();
        Header {
            kind,
            connection_id: id,
            timestamp: now.on_wire().wrapping_add(self.clock),
            timestamp_difference: self.difference,
            window: receiver.map_or(0, Receiver::window),
            sequence: number as u16,
            acknowledged: receiver.map_or(0, Receiver::acknowledged),
            selective_ack: &[],
            close_reason: reason,
            padding,
        }
        .encode()
    }

    fn emit(
        &mut self,
        now: Time,
        header: HeaderBytes,
        payload: core::ops::Range<u64>,
        whole: bool,
        out: &mut Vec<Output>,
    ) {
        self.last_sent = now;
        let connection = Some(self.id);
        out.push(Output::Send(Datagram {
            to: self.route.peer,
            connection,
            header,
            payload,
            whole,
        }));
    }

    /// Sends an ack if one is due, or a sign of life.
    fn acknowledge_now(&mut self, config: &Config, now: Time, out: &mut Vec<Output>) {
        let Some(receiver) = &mut self.receiver else { return };
        let due = match receiver.owed() {
            Owed::Nothing => now.since(self.last_sent) >= config.keep_alive,
            Owed::By(time) => time <= now,
            Owed::Now => true,
        };
        if due {
            receiver.acknowledged_now();
            let header = self.bare(now, Kind::State);
            self.emit(now, header, 0..0, true, out);
        }
    }

    fn bare(&self, now: Time, kind: Kind) -> HeaderBytes {
        let receiver = self.receiver.as_ref();
        let sack = receiver.map(Receiver::selective_ack).unwrap_or_default();
        Header {
            kind,
            connection_id: self.route.send_id,
            timestamp: now.on_wire().wrapping_add(self.clock),
            timestamp_difference: self.difference,
            window: receiver.map_or(0, Receiver::window),
            sequence: self.sender.next() as u16,
            acknowledged: receiver.map_or(0, Receiver::acknowledged),
            selective_ack: if kind == Kind::State { &sack } else { &[] },
            close_reason: if kind == Kind::Reset { self.our_code } else { None },
            padding: 0,
        }
        .encode()
    }

    fn send_reset(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.is_connected() {
            let header = self.bare(now, Kind::Reset);
            self.emit(now, header, 0..0, true, out);
        }
    }

    /// Whether both halves are over.
    fn end(&mut self, now: Time) {
        if !self.sender.is_done() {
            return;
        }
        self.finished_at.get_or_insert(now);
        if self.receiver.as_ref().is_some_and(Receiver::has_ended) {
            self.closed = Some(CloseReason::Finished { code: self.peer_code });
        }
    }
}
