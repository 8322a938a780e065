//! How much is done for strangers: budgets for each source and for all of them together, so that
//! nobody can use this node to flood somebody else, or to keep it busy; and how much is asked of one
//! address.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, PaceLedger, owner};
use crate::base::time::Instant;

/// What one address may ask in a window.
const QUERIES_PER_SOURCE: u32 = 50;
/// Bytes of answers to one address in a window: a spoofed source gets no more than that.
const BYTES_PER_SOURCE: u32 = 20_000;
/// Bytes of answers in all in a window.
const BYTES_IN_ALL: u32 = 600_000;
/// Signatures that are verified in a window; each takes some tens of microseconds.
const SIGNATURES: u32 = 200;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);
/// Sources that are told apart; beyond that they share one budget.
const MAX_SOURCES: usize = 2000;

/// Queries to one address that may stay without an answer: 20 at once, then one in three
/// seconds. Whoever answers begins again.
const UNANSWERED: Pace = Pace::new(20, 3000);
/// Addresses whose queries are counted.
const MAX_ASKED: usize = 2000;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    queries: u32,
    bytes: u32,
}

/// What was spent in this window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Guard {
    began: Instant,
    sources: BTreeMap<IpAddr, Spent>,
    others: Spent,
    bytes: u32,
    signatures: u32,
    /// Packets that were dropped, ever.
    pub dropped: u64,
}

impl Guard {
    fn turn(&mut self, now: Instant) {
        if now.since(self.began) >= WINDOW {
            self.began = now;
            self.sources.clear();
            (self.others, self.bytes, self.signatures) = (Spent::default(), 0, 0);
        }
    }

    fn of(&mut self, ip: IpAddr) -> &mut Spent {
        let ip = ip.to_canonical();
        if self.sources.contains_key(&ip) || self.sources.len() < MAX_SOURCES {
            self.sources.entry(ip).or_default()
        } else {
            &mut self.others
        }
    }

    /// Somebody asks something. Returns whether it is looked at.
    pub fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        self.turn(now);
        let full = self.bytes >= BYTES_IN_ALL;
        let spent = self.of(ip);
        spent.queries += 1;
        let fine = !full && spent.queries <= QUERIES_PER_SOURCE && spent.bytes < BYTES_PER_SOURCE;
        self.dropped += u64::from(!fine);
        fine
    }

    /// An answer of `bytes` bytes goes out.
    pub fn answered(&mut self, ip: IpAddr, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let spent = self.of(ip);
        spent.bytes = spent.bytes.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A signature is to be verified. Returns whether there is time for it.
    pub fn admit_signature(&mut self, now: Instant) -> bool {
        self.turn(now);
        self.signatures += 1;
        self.signatures <= SIGNATURES
    }
}

/// Bounds queries to addresses that do not answer: an address that others name as thousands of nodes without
/// being one gets few packets from us.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Courtesy {
    unanswered: PaceLedger<IpAddr>,
}

impl Default for Courtesy {
    fn default() -> Self {
        Self { unanswered: PaceLedger::new(MAX_ASKED) }
    }
}

impl Courtesy {
    /// Whether a query may go to that address, which then counts. On one machine ports tell nodes
    /// apart, and nobody else is bothered.
    pub fn may_ask(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let ip = addr.ip().to_canonical();
        ip.is_loopback() || self.unanswered.take(owner(ip), UNANSWERED, now)
    }

    /// There is a node at that address.
    pub fn answered(&mut self, ip: IpAddr) {
        self.unanswered.forgive(&owner(ip));
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.unanswered.is_bounded()
    }
}
