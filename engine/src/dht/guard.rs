//! How much is done for strangers: budgets for each host, each block of addresses and all of them together, so that
//! nobody can use this node to flood somebody else, or to keep it busy; and how much is asked of one
//! address.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, PaceLedger, owner};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// Bytes of answers in all in a window.
const BYTES_IN_ALL: u32 = 600_000;
/// The same for those who have had some: the rest is for others.
const BYTES_FOR_MORE: u32 = 450_000;
/// Signatures that are verified in a window; each takes some tens of microseconds.
const SIGNATURES: u32 = 200;
/// What one block of addresses (/24, /48), which may have one owner, may have of all that in a window.
const OF_BLOCK: Spent = Spent { queries: 400, bytes: 75_000, signatures: 50, hosts: 64 };
/// What one address, or /64, may have.
const OF_HOST: Spent = Spent { queries: 50, bytes: 20_000, signatures: 20, hosts: 1 };
/// The window.
const WINDOW: Duration = Duration::from_secs(10);
/// Hosts that are told apart, and blocks. A host beyond those counts with its block only, and blocks beyond those
/// count as one.
const MAX_SOURCES: usize = 2000;

/// Queries to one address that may stay without an answer: 20 at once, then one in three
/// seconds. Whoever answers begins again.
const UNANSWERED: Pace = Pace::new(20, 3000);
/// Addresses whose queries are counted.
const MAX_ASKED: usize = 2000;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    queries: u32,
    /// Bytes of answers: a spoofed source is sent no more than that.
    bytes: u32,
    signatures: u32,
    /// Hosts that are told apart.
    hosts: u32,
}

impl Spent {
    fn add(&mut self, more: Self) {
        self.queries = self.queries.saturating_add(more.queries);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.signatures = self.signatures.saturating_add(more.signatures);
    }

    /// Whether there was room for a query or a signature that has just been counted.
    fn is_within(&self, most: Self, counted: Self) -> bool {
        self.queries <= most.queries
            && self.bytes < most.bytes
            && (counted.signatures == 0 || self.signatures <= most.signatures)
    }
}

/// What was spent in this window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Guard {
    began: Instant,
    hosts: BTreeMap<Prefix, Spent>,
    blocks: BTreeMap<Prefix, Spent>,
    others: Spent,
    bytes: u32,
    signatures: u32,
    own_signatures: u32,
    /// Packets that were dropped, ever.
    pub dropped: u64,
}

impl Guard {
    fn turn(&mut self, now: Instant) {
        if now.since(self.began) >= WINDOW {
            self.began = now;
            self.hosts.clear();
            self.blocks.clear();
            self.others = Spent::default();
            (self.bytes, self.signatures, self.own_signatures) = (0, 0, 0);
        }
    }

    /// Counts what somebody has of us. Returns what its block had before, if it is within its shares now.
    fn spend(&mut self, ip: IpAddr, more: Spent) -> Option<Spent> {
        let host = Prefix::of(ip);
        let room = self.hosts.len() < MAX_SOURCES;
        // In a local network blocks mean nothing.
        let mut block = Prefix::block_of(ip).map(|block| {
            if self.blocks.contains_key(&block) || self.blocks.len() < MAX_SOURCES {
                self.blocks.entry(block).or_default()
            } else {
                &mut self.others
            }
        });
        let may_enter = room && block.as_ref().is_none_or(|block| block.hosts < OF_BLOCK.hosts);
        let host = if self.hosts.contains_key(&host) {
            self.hosts.get_mut(&host)
        } else if may_enter {
            if let Some(block) = &mut block {
                block.hosts += 1;
            }
            Some(self.hosts.entry(host).or_default())
        } else if block.is_none() {
            block = Some(&mut self.others);
            None
        } else {
            None
        };
        let before = block.as_deref().or(host.as_deref()).copied().unwrap_or_default();
        let within = |spent: Option<&mut Spent>, most| {
            spent.is_none_or(|spent| {
                spent.add(more);
                spent.is_within(most, more)
            })
        };
        let of_host = within(host, OF_HOST);
        (within(block, OF_BLOCK) && of_host).then_some(before)
    }

    /// Somebody asks something. Returns whether it is looked at.
    pub fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        self.turn(now);
        let all = self.bytes;
        let before = self.spend(ip, Spent { queries: 1, ..Spent::default() });
        let fine = before.is_some_and(|before| {
            all < if before.bytes == 0 { BYTES_IN_ALL } else { BYTES_FOR_MORE }
        });
        self.dropped += u64::from(!fine);
        fine
    }

    /// An answer of `bytes` bytes goes out.
    pub fn answered(&mut self, ip: IpAddr, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.spend(ip, Spent { bytes, ..Spent::default() });
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A signature of somebody is to be verified. Returns whether there is time for it.
    pub fn admit_signature(&mut self, ip: IpAddr, now: Instant) -> bool {
        self.turn(now);
        let within = self.spend(ip, Spent { signatures: 1, ..Spent::default() }).is_some();
        let fine = within && self.signatures < SIGNATURES;
        self.signatures += u32::from(fine);
        fine
    }

    /// The same for one that we asked for: strangers have no part in that.
    pub fn admit_own_signature(&mut self, now: Instant) -> bool {
        self.turn(now);
        self.own_signatures += 1;
        self.own_signatures <= SIGNATURES
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.hosts.len() <= MAX_SOURCES && self.blocks.len() <= MAX_SOURCES
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
