//! How much is done for strangers: budgets for each source and for all of them together, so that
//! nobody can use this node to flood somebody else, or to keep it busy.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

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

    /// An answer of so many bytes goes out.
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
