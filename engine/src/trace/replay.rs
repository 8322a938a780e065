//! Running a trace again, forwards and backwards.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::chain::{ActionMark, Chain};
use super::format::{Step, TraceError};
use super::read::Trace;
use crate::api::{Action, Event, Wakeup};
use crate::base::time::Instant;
use crate::engine::Engine;

/// Steps between two snapshots, to begin with.
const INTERVAL: u64 = 1000;
/// Snapshots kept; beyond that every second one goes and the interval doubles.
const MAX_SNAPSHOTS: usize = 64;
/// Bytes of all snapshots as they would be written; in memory they take a few times as much. Beyond
/// that it is the same, but for the first and the last.
const MAX_SNAPSHOT_BYTES: usize = 32 << 20;

/// A step in which the engine did something else than was recorded.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Number of the step, counted from 1.
    pub step: u64,
    /// Its time.
    pub now: Instant,
    /// What is kept of the recorded actions.
    pub recorded: Vec<ActionMark>,
    /// Marks of the actions now.
    pub marks: Vec<ActionMark>,
    /// The actions now.
    pub actions: Vec<Action>,
}

/// How a step that was made again compares with the record.
#[must_use]
#[derive(Clone, Debug)]
pub enum Repeated {
    /// The engine did what it did then.
    Same,
    /// It did something else.
    Different(Divergence),
}

impl Repeated {
    /// What differs, as an error.
    ///
    /// # Errors
    /// When anything does.
    pub fn same(self) -> Result<(), Divergence> {
        match self {
            Self::Same => Ok(()),
            Self::Different(divergence) => Err(divergence),
        }
    }
}

/// An engine on its way through a trace.
#[derive(Clone, Debug)]
pub struct Replayer {
    trace: Trace,
    engine: Engine,
    chain: Chain,
    at: u64,
    last: Option<LastStep>,
    snapshots: BTreeMap<u64, Snapshot>,
    interval: u64,
    /// What the last step but one asked for: why the last step came about without an event.
    woken_by: Wakeup,
}

/// The state behind a step.
#[derive(Clone, Debug)]
struct Snapshot {
    engine: Engine,
    chain: Chain,
    /// Its length as it would be written.
    bytes: usize,
}

/// What the last step took in and gave out.
#[derive(Clone, Debug)]
pub struct LastStep {
    /// Its time.
    pub now: Instant,
    /// What had happened.
    pub events: Vec<Event>,
    /// What the engine asked for.
    pub actions: Vec<Action>,
    /// When it wanted to be called again.
    pub wakeup: Wakeup,
    /// What the step before had asked for.
    pub woken_by: Wakeup,
}

impl Replayer {
    /// An engine before the first step of `trace`.
    ///
    /// # Errors
    /// When the trace begins with a snapshot that cannot be restored.
    pub fn new(trace: Trace) -> Result<Self, TraceError> {
        let mut engine = trace.header().origin.engine()?;
        engine.watch_content();
        let first = Snapshot { engine: engine.clone(), chain: Chain::default(), bytes: 0 };
        let snapshots = BTreeMap::from([(0, first)]);
        Ok(Self {
            trace,
            engine,
            chain: Chain::default(),
            at: 0,
            last: None,
            snapshots,
            interval: INTERVAL,
            woken_by: Wakeup::Immediately,
        })
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The engine behind step [`Self::position`].
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Steps made.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The chain so far.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The step made last; `None` at the beginning and right after a jump to a snapshot.
    pub fn last(&self) -> Option<&LastStep> {
        self.last.as_ref()
    }

    /// Makes one step. `Ok(None)` at the end of the trace.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn forward(&mut self) -> Result<Option<Repeated>, TraceError> {
        let Some(step) = self.trace.step(self.at + 1)? else { return Ok(None) };
        let Step { now, events, marks: recorded, digest } = step;
        let mut actions = Vec::new();
        let wakeup = self.engine.step(now, events.iter().cloned(), &mut actions);
        let mut marks = Vec::with_capacity(actions.len());
        self.chain.absorb_with(&actions, wakeup, |mark| marks.push(mark));
        self.at += 1;
        let outcome = if self.chain.short() == digest {
            Repeated::Same
        } else {
            let actions = actions.clone();
            Repeated::Different(Divergence { step: self.at, now, recorded, marks, actions })
        };
        let woken_by = core::mem::replace(&mut self.woken_by, wakeup);
        self.last = Some(LastStep { now, events, actions, wakeup, woken_by });
        self.keep_snapshot();
        Ok(Some(outcome))
    }

    fn keep_snapshot(&mut self) {
        if !self.at.is_multiple_of(self.interval) {
            return;
        }
        let (engine, chain) = (self.engine.clone(), self.chain);
        let bytes = engine.snapshot().len();
        self.snapshots.insert(self.at, Snapshot { engine, chain, bytes });
        let (interval, newest) = (self.interval * 2, self.at);
        let bytes: usize = self.snapshots.values().map(|snapshot| snapshot.bytes).sum();
        if self.snapshots.len() > MAX_SNAPSHOTS || bytes > MAX_SNAPSHOT_BYTES {
            self.interval = interval;
            self.snapshots.retain(|at, _| at.is_multiple_of(interval) || *at == newest);
        }
    }

    /// Goes to behind step `number`, forwards or backwards; no further than the end.
    ///
    /// # Errors
    /// When a record on the way is damaged.
    pub fn go_to(&mut self, number: u64) -> Result<(), TraceError> {
        let number = number.min(self.trace.len());
        // One step early, so that the last step is known there.
        let wanted = number.saturating_sub(1);
        let nearest = self.snapshots.range(..=wanted).next_back();
        if number < self.at || nearest.is_some_and(|(at, _)| *at > self.at) {
            let Some((at, snapshot)) = nearest else { return Ok(()) };
            self.at = *at;
            self.engine = snapshot.engine.clone();
            self.chain = snapshot.chain;
            self.last = None;
            self.woken_by = Wakeup::Immediately;
        }
        while self.at < number && self.forward()?.is_some() {}
        Ok(())
    }

    /// The engine behind step `number`, without going there.
    ///
    /// # Errors
    /// When a record on the way is damaged.
    pub fn engine_at(&self, number: u64) -> Result<Engine, TraceError> {
        let mut there = self.clone();
        there.go_to(number)?;
        Ok(there.engine)
    }
}
