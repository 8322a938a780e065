//! One machine of a world: an engine behind a simulated driver.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use eddyline::base::digest::Digest;
use eddyline::base::ids::{ConnId, TorrentId};
use eddyline::base::time::Instant;
use eddyline::{Action, CheckDepth, Engine, Event, Notice, Wakeup};

use crate::disk::MemoryDisk;

/// Names a node of a world.
pub type NodeId = usize;

/// An engine with its disk, its events to come and its history.
#[derive(Clone, Debug)]
pub struct Node {
    /// The engine, as shipped.
    pub engine: Engine,
    /// Its disk.
    pub disk: MemoryDisk,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Everything it told its embedder.
    pub notices: Vec<Notice>,
    /// Number of steps made.
    pub steps: u64,
    /// Bytes per second that it can send, over all connections.
    pub up_rate: Option<u64>,
    pub(crate) pending: Vec<Event>,
    pub(crate) wakeup: Option<Instant>,
    pub(crate) wires: BTreeMap<ConnId, (usize, usize)>,
    pub(crate) torrents: Vec<TorrentId>,
    chain: Digest,
}

impl Node {
    pub(crate) fn new(engine: Engine, addr: SocketAddr) -> Self {
        Self {
            engine,
            disk: MemoryDisk::default(),
            addr,
            notices: Vec::new(),
            steps: 0,
            up_rate: None,
            pending: Vec::new(),
            wakeup: None,
            wires: BTreeMap::new(),
            torrents: Vec::new(),
            chain: Digest::default(),
        }
    }

    /// Digest of all actions of all steps: equal histories have equal digests.
    pub fn digest(&self) -> u64 {
        self.chain.value()
    }

    /// The torrents, in the order in which they were added.
    pub fn torrents(&self) -> &[TorrentId] {
        &self.torrents
    }

    /// Steps the engine with what has happened, checks its invariants and returns its actions.
    pub(crate) fn step(&mut self, now: Instant) -> Vec<Action> {
        let events = std::mem::take(&mut self.pending);
        let mut actions = Vec::new();
        let wakeup = self.engine.step(now, events, &mut actions);
        self.steps += 1;
        for action in &actions {
            self.chain.absorb_debug(action);
        }
        self.chain.absorb_debug(&wakeup);
        let depth = if self.steps.is_multiple_of(64) { CheckDepth::Full } else { CheckDepth::Fast };
        if let Err(violation) = self.engine.check_invariants(depth) {
            panic!("{violation} (node at {}, step {})", self.addr, self.steps);
        }
        self.wakeup = match wakeup {
            Wakeup::Immediately => Some(now),
            Wakeup::At { deadline, .. } => {
                assert!(deadline > now, "a wake-up lies in the future");
                Some(deadline)
            }
            Wakeup::OnEvent => None,
        };
        actions
    }
}
