//! A count of work in place of a clock: loops whose length a stranger influences add to it, so that
//! the cost of what it sent is the same number on every machine and in every run.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::ids::{ConnId, ExchangeId};

/// Units of work that one step does for messages of peers; what is left waits for the next, which
/// [`Wakeup::Immediately`](crate::Wakeup::Immediately) asks for. A unit is a message of a few bytes,
/// about a microsecond, so this bounds a step to some ten milliseconds.
pub const STEP_UNITS: u64 = 8192;

/// Units of work that one connection gets in its turn. A large read of blocks is some forty.
pub const TURN_UNITS: u64 = 1024;

/// Steps through a bit field or over a plain number that make one unit.
pub const STEPS_A_UNIT: u64 = 64;

/// On whose behalf work is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payer {
    /// Ours: timers, commands, decisions.
    Engine,
    /// The peer at the other end of a connection.
    Conn(ConnId),
    /// Whoever sent a datagram from there.
    Datagram(SocketAddr),
    /// The server that answered an HTTP request.
    Exchange(ExchangeId),
}

/// The work of one step, with who caused it. No part of the state: it begins with each step.
#[derive(Clone, Default)]
pub struct Work {
    spent: Vec<(Payer, u64)>,
    total: u64,
}

impl Work {
    /// Forgets the step before.
    pub fn begin_step(&mut self) {
        self.spent.clear();
        self.total = 0;
    }

    /// What is added from now on is done for `payer`.
    #[inline]
    pub fn charge(&mut self, payer: Payer) {
        // Mostly it is the one before, a connection or ourselves: told at a glance.
        let same = match (self.spent.last(), payer) {
            (Some((Payer::Conn(last), _)), Payer::Conn(conn)) => *last == conn,
            (Some((last, _)), payer) => *last == payer,
            (None, _) => false,
        };
        if !same {
            self.spent.push((payer, 0));
        }
    }

    /// Adds units of work.
    #[inline]
    pub fn add(&mut self, units: u64) {
        self.total += units;
        match self.spent.last_mut() {
            Some((_, spent)) => *spent += units,
            None => self.spent.push((Payer::Engine, units)),
        }
    }

    /// Adds a number of small steps: bits looked at, numbers compared.
    pub fn add_steps(&mut self, steps: u64) {
        self.add(steps.div_ceil(STEPS_A_UNIT));
    }

    /// All units of this step.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Units of this step by payer, in the order in which the work was done; a payer may stand there
    /// more than once.
    pub fn spent(&self) -> &[(Payer, u64)] {
        &self.spent
    }
}

impl core::fmt::Debug for Work {
    /// No part of the state.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Work")
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the count.

    use super::*;

    #[test]
    fn work_is_counted_for_whoever_caused_it() {
        let mut work = Work::default();
        work.add(1);
        let (one, two) = (Payer::Conn(ConnId::from_u64(1)), Payer::Conn(ConnId::from_u64(2)));
        for (payer, units) in [(one, 3), (two, 4), (one, 5), (one, 6)] {
            work.charge(payer);
            work.add(units);
        }
        work.add_steps(STEPS_A_UNIT + 1);
        assert_eq!(work.spent(), [(Payer::Engine, 1), (one, 3), (two, 4), (one, 13)]);
        assert_eq!(work.total(), 21);
        work.begin_step();
        assert_eq!((work.total(), work.spent().len()), (0, 0));
    }
}
