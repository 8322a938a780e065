//! The sending half: what is under way, and what of it is lost.
//!
//! A packet counts as lost when one that was sent sufficiently later has arrived (RACK, RFC 8985), so it is time and
//! not number that decides, and a packet that was sent again can be found lost again. The tolerance for reordering
//! begins at a quarter of the shortest round trip, and grows when packets turn out to have been late only.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::delivery_rate::Mark;
use crate::sequence::begin;
use crate::time::Time;

/// Room for fewer bytes is not worth a packet, where more wait and the window was ever larger.
const LEAST: u64 = 1_024;
/// How often one packet may be found lost while others arrive: with three of ten packets lost, once in millions.
const MAX_LOSSES: u32 = 12;

/// What a packet on its way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum What {
    /// The request for a connection.
    Syn,
    /// A part of the stream.
    Data,
    /// The end of the stream.
    Fin,
}

/// How a packet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum State {
    /// Has a number and never left: see [`crate::Config::tests_acks`].
    HeldBack,
    /// Under way.
    InFlight,
    /// Found lost, and to be sent again.
    Lost,
    /// Has arrived.
    Arrived,
}

/// A packet whose number is taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Segment {
    /// What it is.
    pub what: What,
    /// Where in the stream it begins.
    pub start: u64,
    /// Bytes of payload.
    pub length: u32,
    pub state: State,
    pub sent_at: Time,
    pub sends: u32,
    /// How often it was found lost because others arrived.
    pub losses: u32,
    pub mark: Option<Mark>,
    /// The size of the datagram, when it is a probe for the path MTU.
    pub probe: Option<usize>,
}

impl Segment {
    /// What it counts for while it is under way: no packet is free.
    pub fn weight(&self) -> u64 {
        u64::from(self.length) + crate::packet::HEADER as u64
    }
}

/// The newest packet that an ack is about.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// When it was sent.
    pub sent_at: Time,
    pub number: u64,
    pub mark: Option<Mark>,
    /// It was sent once, so the time until its ack is a round trip.
    pub once: bool,
}

/// What an ack brought.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Weight of what has arrived.
    pub bytes: u64,
    pub newest: Option<Newest>,
    /// The size of a probe that has arrived.
    pub probe: Option<usize>,
    /// The largest datagram without padding that has arrived.
    pub largest: u32,
    /// Something that was believed lost was late only.
    pub late: bool,
}

/// The sending half of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sender {
    segments: VecDeque<Segment>,
    /// The number of the first segment.
    first: u64,
    /// Bytes that the caller has offered.
    offered: u64,
    /// Up to where numbers are taken.
    cut: u64,
    /// Up to where the other side has everything.
    released: u64,
    told_released: u64,
    in_flight: u64,
    lost: BTreeSet<u64>,
    /// What left, in that order, with its time: entries that are no longer true are skipped.
    order: VecDeque<(Time, u64)>,
    /// When the newest packet that has arrived was sent.
    newest_arrived: (Time, u64),
    /// Sixteenths of the shortest round trip for which a packet may be late.
    tolerance: u64,
    /// The other side has said how much it takes.
    window: u64,
    /// The most that it has ever taken.
    largest_window: u64,
    window_known: bool,
    /// The furthest position that the other side ever had room for.
    edge: u64,
    fin_wanted: bool,
    fin_cut: bool,
    /// The number that is held back, and since when.
    held_back: Option<(u64, Time)>,
    /// The packet that was sent to see whether a window is still shut.
    window_probe: Option<u64>,
    most: u64,
    worn_out: bool,
}

impl Sender {
    pub fn new(first: u16) -> Self {
        Self {
            segments: VecDeque::new(),
            first: begin(first),
            offered: 0,
            cut: 0,
            released: 0,
            told_released: 0,
            in_flight: 0,
            lost: BTreeSet::new(),
            order: VecDeque::new(),
            newest_arrived: (Time::ZERO, 0),
            tolerance: 4,
            window: 0,
            largest_window: 0,
            window_known: false,
            edge: 0,
            fin_wanted: false,
            fin_cut: false,
            held_back: None,
            window_probe: None,
            most: 0,
            worn_out: false,
        }
    }

    /// The number that the next new packet will have.
    pub fn next(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    /// The most numbers that were in use at once.
    pub fn most_under_way(&self) -> u64 {
        self.most
    }

    /// The number of the oldest packet that was not acknowledged.
    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn offer(&mut self, bytes: u64) {
        if !self.fin_wanted {
            self.offered = self.offered.saturating_add(bytes);
        }
    }

    pub fn finish(&mut self) {
        self.fin_wanted = true;
    }

    /// Whether all that there will ever be has arrived.
    pub fn is_done(&self) -> bool {
        self.fin_cut && self.segments.is_empty()
    }

    pub fn set_window(&mut self, window: u32) {
        (self.window, self.window_known) = (u64::from(window), true);
        self.largest_window = self.largest_window.max(self.window);
        self.edge = self.edge.max(self.released.saturating_add(self.window));
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Bytes that were offered and have no number yet.
    pub fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.cut)
    }

    /// Bytes that the other side takes beyond what has a number.
    pub fn room(&self) -> u64 {
        self.window.saturating_sub(self.cut - self.released)
    }

    /// Whether the room is worth a packet. A window that opens by a few bytes would have us send packets of a few bytes
    /// (RFC 1122, 4.2.3.4).
    fn has_room(&self) -> bool {
        let worth = self.waiting().min(LEAST).min(self.largest_window / 2).max(1);
        self.room() >= worth
    }

    /// Whether the other side has said that it takes hardly anything.
    pub fn has_little_room(&self) -> bool {
        self.window < LEAST
    }

    /// Whether there is something to send that nothing but congestion control and pacing hold back.
    pub fn wants_to_send(&self) -> bool {
        self.has_lost() || self.may_cut()
    }

    fn may_cut(&self) -> bool {
        let numbers = (self.segments.len() as u64) < crate::receive::MAX_AHEAD;
        let fin = self.fin_wanted && !self.fin_cut && self.waiting() == 0;
        numbers && (fin || self.waiting() > 0 && self.has_room())
    }

    /// Whether there is something to send and the other side has no room for it.
    pub fn is_shut(&self) -> bool {
        self.window_known && self.waiting() > 0 && !self.has_room()
    }

    /// Whether everything has arrived but the end of the stream, which has left.
    pub fn only_end_is_left(&self) -> bool {
        self.fin_cut && self.segments.len() == 1
    }

    /// Whether a packet was found lost so often that it cannot be by chance: others arrive meanwhile.
    pub fn is_worn_out(&self) -> bool {
        self.worn_out
    }

    /// The oldest packet that was found lost.
    pub fn first_lost(&self) -> Option<u64> {
        self.lost.first().copied()
    }

    pub fn segment(&self, number: u64) -> Option<&Segment> {
        let at = number.checked_sub(self.first)?;
        self.segments.get(usize::try_from(at).ok()?)
    }

    fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let at = number.checked_sub(self.first)?;
        self.segments.get_mut(usize::try_from(at).ok()?)
    }

    /// Gives the next number to a SYN, which is then to be sent.
    pub fn cut_syn(&mut self) {
        let number = self.push(What::Syn, 0);
        self.segments.iter_mut().for_each(|segment| segment.state = State::Lost);
        self.lost.insert(number);
    }

    /// Gives the next number to at most `most` bytes of the stream, or to its end. `beyond_window` is for a probe
    /// whether the window is still shut.
    pub fn cut(&mut self, most: usize, beyond_window: bool) -> Option<u64> {
        let room = if beyond_window { u64::MAX } else { self.room() };
        let length = self.waiting().min(most as u64).min(room);
        if length > 0 && (self.may_cut() || beyond_window) {
            if beyond_window {
                self.edge = self.edge.max(self.cut + length);
                self.window_probe = Some(self.next());
            }
            return Some(self.push(What::Data, length as u32));
        }
        if self.may_cut() && self.waiting() == 0 {
            self.fin_cut = true;
            return Some(self.push(What::Fin, 0));
        }
        None
    }

    fn push(&mut self, what: What, length: u32) -> u64 {
        let number = self.next();
        self.segments.push_back(Segment {
            what,
            start: self.cut,
            length,
            state: State::HeldBack,
            sent_at: Time::ZERO,
            sends: 0,
            losses: 0,
            mark: None,
            probe: None,
        });
        self.cut += u64::from(length);
        self.most = self.most.max(self.segments.len() as u64);
        number
    }

    /// The packet stays here for a moment though its number is taken.
    pub fn hold_back(&mut self, now: Time, number: u64) {
        self.held_back = Some((number, now));
    }

    pub fn held_back(&self) -> Option<(u64, Time)> {
        self.held_back
    }

    /// A packet leaves.
    pub fn sent(&mut self, now: Time, number: u64, mark: Mark, probe: Option<usize>) {
        if self.held_back.is_some_and(|(held, _)| held == number) {
            self.held_back = None;
        }
        self.lost.remove(&number);
        let Some(segment) = self.segment_mut(number) else { return };
        let weight = if segment.state == State::InFlight { 0 } else { segment.weight() };
        (segment.state, segment.sent_at) = (State::InFlight, now);
        (segment.mark, segment.probe) = (Some(mark), probe);
        segment.sends += 1;
        self.in_flight += weight;
        self.order.push_back((now, number));
    }

    /// Whether an ack speaks only of what was sent.
    pub fn is_possible(&self, acknowledged: u64, sack: &[u8]) -> bool {
        acknowledged < self.next()
            && self.highest(acknowledged, sack).is_none_or(|top| top < self.next())
    }

    /// Whether an ack speaks of what is held back.
    pub fn is_optimistic(&self, acknowledged: u64, sack: &[u8]) -> bool {
        let Some((held, _)) = self.held_back else { return false };
        if acknowledged >= held {
            return true;
        }
        let Some(bit) = held.checked_sub(acknowledged + 2) else { return false };
        sack.get((bit / 8) as usize).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
    }

    fn highest(&self, acknowledged: u64, sack: &[u8]) -> Option<u64> {
        let (at, byte) = sack.iter().enumerate().rfind(|(_, byte)| **byte != 0)?;
        Some(acknowledged + 2 + at as u64 * 8 + u64::from(byte.ilog2()))
    }

    /// Takes an ack. It must be possible.
    pub fn acknowledge(&mut self, acknowledged: u64, sack: &[u8]) -> Progress {
        let mut progress = Progress::default();
        while self.first <= acknowledged {
            let number = self.first;
            self.arrive(number, &mut progress);
            let Some(segment) = self.segments.pop_front() else { break };
            self.first += 1;
            self.released = segment.start + u64::from(segment.length);
        }
        for (at, byte) in sack.iter().enumerate() {
            let mut bits = *byte;
            while bits != 0 {
                let bit = u64::from(bits.trailing_zeros());
                bits &= bits - 1;
                self.arrive(acknowledged + 2 + at as u64 * 8 + bit, &mut progress);
            }
        }
        if let Some(newest) = progress.newest {
            self.newest_arrived = self.newest_arrived.max((newest.sent_at, newest.number));
        }
        progress
    }

    fn arrive(&mut self, number: u64, progress: &mut Progress) {
        let Some(segment) = self.segment_mut(number) else { return };
        let before = segment.state;
        if matches!(before, State::Arrived | State::HeldBack) {
            return;
        }
        segment.state = State::Arrived;
        let weight = segment.weight();
        progress.bytes += weight;
        progress.largest = progress.largest.max(segment.length);
        progress.probe = progress.probe.max(segment.probe);
        let (sent_at, mark, once) = (segment.sent_at, segment.mark, segment.sends == 1);
        if before == State::Lost {
            // It was not sent again yet.
            progress.late = true;
            self.lost.remove(&number);
        } else {
            self.in_flight -= weight;
        }
        if progress.newest.is_none_or(|newest| (newest.sent_at, newest.number) <= (sent_at, number))
        {
            progress.newest = Some(Newest { sent_at, number, mark, once });
        }
    }

    /// More patience with what is late, up to a whole round trip.
    pub fn be_patient(&mut self) {
        self.tolerance = (self.tolerance + 2).min(16);
    }

    /// Finds what is lost: the packets that were sent sufficiently before the newest that has arrived. `each` is given
    /// their weight and the size of probes. The result is when to look again.
    pub fn find_lost(
        &mut self,
        now: Time,
        shortest: u64,
        latest: u64,
        mut each: impl FnMut(u64, Option<usize>),
    ) -> Option<Time> {
        let tolerance = (shortest * self.tolerance / 16).max(1_000);
        while let Some((sent_at, number)) = self.order.front().copied() {
            let newest = self.newest_arrived;
            let current = self
                .segment(number)
                .is_some_and(|s| s.state == State::InFlight && s.sent_at == sent_at);
            if current {
                if (sent_at, number) >= newest {
                    return None;
                }
                let due = sent_at + (latest + tolerance);
                if due > now {
                    return Some(due);
                }
                self.lose(number, &mut each);
                let segment = self.segment_mut(number);
                self.worn_out |= segment.is_some_and(|segment| {
                    segment.losses += 1;
                    segment.losses > MAX_LOSSES
                });
            }
            self.order.pop_front();
        }
        None
    }

    fn lose(&mut self, number: u64, each: &mut impl FnMut(u64, Option<usize>)) {
        let Some(segment) = self.segment_mut(number) else { return };
        let (weight, probe) = (segment.weight(), segment.probe.take());
        segment.state = State::Lost;
        self.in_flight -= weight;
        self.lost.insert(number);
        each(weight, probe);
    }

    /// A window has opened: what was sent to see whether it has was dropped, as a rule.
    pub fn lose_window_probe(&mut self) {
        let probe = self.window_probe.take();
        let under_way = |number: &u64| {
            self.segment(*number).is_some_and(|segment| segment.state == State::InFlight)
        };
        if let Some(number) = probe.filter(under_way) {
            self.lose(number, &mut |_, _| {});
        }
    }

    /// The timeout has passed without an acknowledgement: everything under way counts as lost.
    pub fn lose_all(&mut self, mut each: impl FnMut(u64, Option<usize>)) {
        for (_, number) in core::mem::take(&mut self.order) {
            if self.segment(number).is_some_and(|segment| segment.state == State::InFlight) {
                self.lose(number, &mut each);
            }
        }
    }

    /// The packet that is sent again to ask for an ack: the last one under way.
    pub fn last_in_flight(&self) -> Option<u64> {
        let back =
            self.segments.iter().rev().position(|segment| segment.state == State::InFlight)?;
        Some(self.next() - 1 - back as u64)
    }

    /// The position before which nothing is needed any more, when it has moved.
    pub fn take_released(&mut self) -> Option<u64> {
        (self.released > self.told_released).then(|| {
            self.told_released = self.released;
            self.released
        })
    }

    pub fn violations(&self, out: &mut Vec<&'static str>) {
        let of = |state: State| self.segments.iter().filter(move |segment| segment.state == state);
        if of(State::InFlight).map(Segment::weight).sum::<u64>() != self.in_flight {
            out.push("bytes in flight are those of the packets in flight");
        }
        let marked =
            self.lost.iter().all(|n| self.segment(*n).is_some_and(|s| s.state == State::Lost));
        if !marked || of(State::Lost).count() != self.lost.len() {
            out.push("the list of lost packets is that of packets in that state");
        }
        let mut at = self.released;
        let joined = self.segments.iter().all(|segment| {
            let fits = segment.start == at;
            at += u64::from(segment.length);
            fits
        });
        if !joined || at != self.cut || self.cut > self.offered {
            out.push("packets follow each other in the stream, up to what was offered");
        }
        let held = |n: &u64| self.held_back.is_some_and(|(held, _)| held == *n);
        let numbered = self.segments.iter().zip(self.first..);
        if numbered.filter(|(s, n)| s.state == State::HeldBack && !held(n)).count() != 0 {
            out.push("a packet with a number has left, or is held back");
        }
        if self.cut > self.edge {
            out.push(
                "nothing is sent that the other side never had room for, but to see whether it has",
            );
        }
        if self.segments.len() as u64 > crate::receive::MAX_AHEAD + 1 {
            out.push("no more numbers are in use than half of those that there are");
        }
        let ordered = self.order.iter().zip(self.order.iter().skip(1)).all(|(a, b)| a.0 <= b.0);
        if !ordered {
            out.push("what left is listed in that order");
        }
    }

    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, what: crate::Corruption) {
        match what {
            crate::Corruption::InFlight => self.in_flight += 1,
            crate::Corruption::Lost => _ = self.lost.insert(self.first + 99_999),
            crate::Corruption::Cut => self.cut += 1,
            crate::Corruption::PeerWindow => self.edge = 0,
            crate::Corruption::HeldBack => _ = self.push(What::Data, 0),
            crate::Corruption::Numbers => {
                while (self.segments.len() as u64) < crate::receive::MAX_AHEAD + 2 {
                    let number = self.push(What::Data, 0);
                    self.segments.back_mut().expect("just pushed").state = State::Arrived;
                    debug_assert!(self.segment(number).is_some());
                }
            }
            crate::Corruption::Order => {
                self.order.push_front((Time::from_micros(u64::MAX), 0));
                self.order.push_front((Time::from_micros(u64::MAX), 0));
                self.order.push_back((Time::ZERO, 0));
            }
            _ => {}
        }
    }
}
