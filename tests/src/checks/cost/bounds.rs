//! The bounds: an allowance, and an amount for each byte, connection or packet, and second.

use std::fmt;

use eddyline::Engine;
use eddyline::base::time::Instant;

use super::account::{Account, Measure, Stranger};

/// A bound on what one stranger may cause.
#[derive(Clone, Copy, Debug)]
struct Bound {
    measure: Measure,
    rule: &'static str,
    /// So much is nobody's fault.
    once: u64,
    /// For a thousand bytes that it sent.
    per_kilobyte: u64,
    /// For each connection, and each packet from it.
    per_visit: u64,
    /// For each minute since it was heard of first, and each torrent.
    per_minute: u64,
    /// For each torrent of the engine.
    per_torrent: u64,
    /// For each piece of the largest torrent.
    per_piece: u64,
}

impl Bound {
    const fn new(measure: Measure, rule: &'static str) -> Self {
        Self {
            measure,
            rule,
            once: 0,
            per_kilobyte: 0,
            per_visit: 0,
            per_minute: 0,
            per_torrent: 0,
            per_piece: 0,
        }
    }

    /// What is allowed.
    fn allowed(&self, account: &Account, now: Instant, scale: Scale) -> u64 {
        let minutes = now.since(account.since).as_secs() / 60 + 1;
        self.once
            + account.given * self.per_kilobyte / 1000
            + account.visits * self.per_visit
            + minutes * self.per_minute * scale.torrents
            + scale.torrents * self.per_torrent
            + scale.pieces * self.per_piece
    }
}

/// All bounds.
const BOUNDS: &[Bound] = &[
    Bound {
        once: 20_000,
        per_kilobyte: 1000,
        per_visit: 200,
        per_minute: 200,
        per_piece: 4,
        ..Bound::new(Measure::Work, "nobody causes more work than its bytes are worth")
    },
    Bound {
        once: 20_000,
        per_kilobyte: 4000,
        per_visit: 2000,
        per_minute: 2000,
        per_piece: 20,
        ..Bound::new(Measure::Protocol, "nobody is told much more than it says")
    },
    Bound {
        once: 2_000,
        per_kilobyte: 8000,
        per_minute: 8000,
        ..Bound::new(Measure::Packets, "nobody is sent many more packets than it sends")
    },
    Bound {
        once: 10,
        per_minute: 6,
        per_torrent: 20,
        ..Bound::new(Measure::Exchanges, "no server is asked all the time")
    },
    Bound {
        once: 20,
        per_kilobyte: 1000,
        ..Bound::new(Measure::Requests, "nobody sends us to others out of proportion")
    },
];

/// What some bounds grow with.
#[derive(Clone, Copy, Debug)]
struct Scale {
    torrents: u64,
    pieces: u64,
}

impl Scale {
    /// For an engine with this many torrents, without looking at them.
    fn quick(torrents: u32) -> Self {
        Self { torrents: u64::from(torrents).max(1), pieces: 0 }
    }

    /// Of an engine as it is.
    fn of(engine: &Engine, torrents: u32) -> Self {
        let geometry = |id| engine.metainfo(id).map_or(0, |metainfo| metainfo.geometry().pieces());
        let pieces = engine.torrents().map(geometry).max().unwrap_or(0);
        Self { pieces: pieces.into(), ..Self::quick(torrents) }
    }
}

/// How near to each bound anybody came, in thousandths of what is allowed, in the order of the bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Strain([u64; BOUNDS.len()]);

impl Strain {
    /// Takes in what another node or another run saw.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = (*mine).max(theirs);
        }
    }

    /// For all of them, with the rules.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        BOUNDS.iter().zip(self.0).map(|(bound, strain)| (bound.rule, strain))
    }

    /// For one measure.
    pub fn of(&self, measure: Measure) -> u64 {
        let place = BOUNDS.iter().position(|bound| bound.measure == measure);
        place.map_or(0, |place| self.0[place])
    }
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bound, strain) in BOUNDS.iter().zip(self.0) {
            writeln!(f, "{:56} at most {strain} thousandths of its bound", bound.rule)?;
        }
        Ok(())
    }
}

/// Holds an account against all bounds.
///
/// # Errors
/// The bound that it broke.
pub(super) fn check(
    stranger: &Stranger,
    account: &Account,
    now: Instant,
    engine: &Engine,
    torrents: u32,
    strain: &mut Strain,
) -> Result<(), String> {
    for (bound, strain) in BOUNDS.iter().zip(&mut strain.0) {
        let caused = account.caused(bound.measure);
        let mut allowed = bound.allowed(account, now, Scale::quick(torrents));
        if caused > allowed {
            // Torrents are looked at only where it matters.
            allowed = bound.allowed(account, now, Scale::of(engine, torrents));
        }
        if caused > allowed {
            let (rule, given) = (bound.rule, account.given);
            return Err(format!("{rule}: {caused} of {allowed} for {given} bytes of {stranger}"));
        }
        *strain = (*strain).max(caused * 1000 / allowed.max(1));
    }
    if account.content > account.asked {
        return Err(format!("nobody is sent content that it did not ask for: {stranger}"));
    }
    if account.metadata > account.asked_metadata {
        return Err(format!("nobody is sent metadata that it did not ask for: {stranger}"));
    }
    Ok(())
}
