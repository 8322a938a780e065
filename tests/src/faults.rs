//! What can go wrong with each kind of action, how often it shall, and how often it did.

use std::collections::BTreeMap;
use std::fmt;

use crate::entropy::Entropy;

/// Every kind of fault that any action can have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// The other side says no.
    Refused,
    /// No answer.
    TimedOut,
    /// It takes long.
    Late,
    /// It was there and is gone.
    Gone,
    /// Credit is there, and nothing comes for a while.
    Stalled,
    /// Bytes come in the smallest pieces.
    Split,
    /// The connection breaks in the middle.
    Broken,
    /// It never arrives.
    Lost,
    /// It arrives twice.
    Doubled,
    /// The operation fails.
    Failed,
    /// There is no space left.
    Full,
    /// Other bytes than were written.
    Rotten,
    /// A wrong answer.
    Wrong,
    /// An answer that makes no sense.
    Garbage,
    /// An error of the server.
    ServerError,
}

/// Kinds of actions and the faults that each can have. `Refuse` and `Notify` can have none.
pub const TABLE: &[(&str, &[Fault])] = &[
    ("Connect", &[Fault::Refused, Fault::TimedOut, Fault::Late]),
    ("Adopt", &[Fault::Gone]),
    ("GrantRead", &[Fault::Stalled, Fault::Split]),
    ("Send", &[Fault::Late, Fault::Broken]),
    ("SendBlock", &[Fault::Late, Fault::Broken]),
    ("SendStored", &[Fault::Late, Fault::Broken]),
    ("Close", &[Fault::Late]),
    ("Fetch", &[Fault::Failed, Fault::ServerError, Fault::Broken, Fault::Late]),
    ("SendDatagram", &[Fault::Lost, Fault::Doubled, Fault::Late]),
    ("Open", &[Fault::Failed, Fault::Late]),
    ("WriteBlock", &[Fault::Failed, Fault::Full, Fault::Late]),
    ("ReadBlock", &[Fault::Failed, Fault::Rotten, Fault::Late]),
    ("HashPiece", &[Fault::Failed, Fault::Late]),
    ("HashBlocks", &[Fault::Failed, Fault::Late]),
    ("Sync", &[Fault::Failed, Fault::Late]),
    ("StoreResume", &[Fault::Failed, Fault::Late]),
    ("Select", &[Fault::Failed, Fault::Full, Fault::Late]),
    ("Move", &[Fault::Failed, Fault::Full, Fault::Late]),
    ("Discard", &[Fault::Failed, Fault::Late]),
    ("Rename", &[Fault::Failed, Fault::Late]),
    ("CloseFiles", &[Fault::Failed, Fault::Late]),
    ("Delete", &[Fault::Failed, Fault::Late]),
    ("Resolve", &[Fault::Failed, Fault::Wrong, Fault::Late]),
    ("Http", &[Fault::Failed, Fault::Garbage, Fault::ServerError, Fault::Split, Fault::Late]),
];

/// How often each fault happens, in thousandths of all actions of its kind.
#[derive(Clone, Debug, Default)]
pub struct FaultRates {
    rates: BTreeMap<(&'static str, Fault), u32>,
}

impl FaultRates {
    /// A mix: each fault is left out of half of all mixes, and rare or frequent in the others.
    pub fn draw(entropy: &mut Entropy) -> Self {
        let mut rates = BTreeMap::new();
        for (action, faults) in TABLE {
            for fault in *faults {
                if entropy.chance(1, 2) {
                    rates.insert((*action, *fault), entropy.choose(&[5, 20, 60]));
                }
            }
        }
        Self { rates }
    }

    /// Every fault with the same rate.
    pub fn all(thousandths: u32) -> Self {
        let pairs = TABLE.iter().flat_map(|(action, faults)| faults.iter().map(|f| (*action, *f)));
        Self { rates: pairs.map(|pair| (pair, thousandths)).collect() }
    }

    /// One fault with its rate, and no other.
    pub fn only(action: &'static str, fault: Fault, thousandths: u32) -> Self {
        Self { rates: BTreeMap::from([((action, fault), thousandths)]) }
    }

    /// Leaves out a fault.
    pub fn without(mut self, action: &'static str, fault: Fault) -> Self {
        self.rates.remove(&(action, fault));
        self
    }

    /// Thousandths for one fault of one kind of action.
    pub fn of(&self, action: &'static str, fault: Fault) -> u32 {
        self.rates.get(&(action, fault)).copied().unwrap_or(0)
    }
}

/// How often each fault happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<(&'static str, Fault), u64>,
}

impl Coverage {
    /// Counts one.
    pub fn note(&mut self, action: &'static str, fault: Fault) {
        *self.counts.entry((action, fault)).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.counts {
            *self.counts.entry(*pair).or_default() += count;
        }
    }

    /// How often a fault happened.
    pub fn count(&self, action: &'static str, fault: Fault) -> u64 {
        self.counts.get(&(action, fault)).copied().unwrap_or(0)
    }

    /// Every fault that happened, and how often.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Fault, u64)> + '_ {
        self.counts.iter().map(|((action, fault), count)| (*action, *fault, *count))
    }

    /// Faults of the table that never happened.
    pub fn missing(&self) -> Vec<(&'static str, Fault)> {
        let pairs = TABLE.iter().flat_map(|(action, faults)| faults.iter().map(|f| (*action, *f)));
        pairs.filter(|(action, fault)| self.count(action, *fault) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (action, faults) in TABLE {
            write!(f, "{action:14}")?;
            for fault in *faults {
                let name = format!("{fault:?}");
                write!(f, " {name} {}", self.count(action, *fault))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
