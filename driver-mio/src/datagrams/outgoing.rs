//! What is on its way to a socket: a train of datagrams that is being gathered, and those that the system had no room
//! for.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::Transmit;

/// Bytes of one call: what fits into an IP packet, which is what the system cuts.
const LONGEST: usize = 65_507;
/// Bytes that wait for room. What comes then is lost, as it would be on the way.
const MOST_UNSENT: usize = 1 << 20;

/// Datagrams to one address, of one length but for the last, which may be shorter.
#[derive(Debug)]
pub(super) struct Train {
    pub(super) to: SocketAddr,
    /// Routers must not split them.
    pub(super) whole: bool,
    /// Bytes of each.
    each: usize,
    contents: Vec<u8>,
}

impl Train {
    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.contents.len().div_ceil(self.each.max(1)).max(1)
    }

    /// All in one call, from `ours` if the system is not to choose.
    pub(super) fn as_transmit(&self, ours: Option<IpAddr>) -> Transmit<'_> {
        self.transmit(&self.contents, (self.count() > 1).then_some(self.each), ours)
    }

    /// One by one.
    pub(super) fn singles(&self, ours: Option<IpAddr>) -> impl Iterator<Item = Transmit<'_>> {
        let each = self.contents.chunks(self.each.max(1));
        each.map(move |contents| self.transmit(contents, None, ours))
    }

    fn transmit<'a>(
        &self,
        contents: &'a [u8],
        segment_size: Option<usize>,
        src_ip: Option<IpAddr>,
    ) -> Transmit<'a> {
        Transmit { destination: self.to, ecn: None, contents, segment_size, src_ip }
    }

    /// No other may follow the last.
    fn is_closed(&self) -> bool {
        !self.whole || self.each == 0 || !self.contents.len().is_multiple_of(self.each)
    }
}

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    ipv6: bool,
    gathered: Option<Train>,
    /// In order; the socket was full.
    unsent: VecDeque<Train>,
    unsent_bytes: usize,
    /// Memory for the next train.
    spare: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(ipv6: bool) -> Self {
        let (unsent, spare) = (VecDeque::new(), Vec::new());
        Self { ipv6, gathered: None, unsent, unsent_bytes: 0, spare }
    }

    pub(super) fn is_ipv6(&self) -> bool {
        self.ipv6
    }

    /// Whether a datagram may leave in one call with those that are gathered, of which there may be `most`.
    pub(super) fn joins(&self, to: SocketAddr, whole: bool, length: usize, most: usize) -> bool {
        let Some(train) = &self.gathered else { return true };
        train.to == to
            && whole
            && !train.is_closed()
            && (1..=train.each).contains(&length)
            && train.count() < most
            && train.contents.len() + length <= LONGEST
    }

    /// Adds one that joins them.
    pub(super) fn push(
        &mut self,
        to: SocketAddr,
        whole: bool,
        length: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let spare = &mut self.spare;
        let train = self.gathered.get_or_insert_with(|| {
            let contents = std::mem::take(spare);
            Train { to, whole, each: length, contents }
        });
        let before = train.contents.len();
        let filled = fill(&mut train.contents);
        // Whatever it did, the others begin where they should.
        let after = if filled { before + length } else { before };
        train.contents.resize(after, 0);
        if !filled && before == 0 {
            self.gathered = None;
        }
    }

    /// Those that are gathered.
    pub(super) fn take(&mut self) -> Option<Train> {
        self.gathered.take()
    }

    /// Takes back the memory of a train that has left.
    pub(super) fn give_back(&mut self, mut train: Train) {
        train.contents.clear();
        self.spare = train.contents;
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Holds a train until there is room. Returns how many datagrams are lost, where too many wait already.
    pub(super) fn hold(&mut self, train: Train) -> u64 {
        if self.unsent_bytes + train.contents.len() > MOST_UNSENT {
            return train.count() as u64;
        }
        self.unsent_bytes += train.contents.len();
        self.unsent.push_back(train);
        0
    }

    /// Holds a train that was the first in line.
    pub(super) fn hold_first(&mut self, train: Train) {
        self.unsent_bytes += train.contents.len();
        self.unsent.push_front(train);
    }

    pub(super) fn next_unsent(&mut self) -> Option<Train> {
        let train = self.unsent.pop_front()?;
        self.unsent_bytes -= train.contents.len();
        Some(train)
    }
}
