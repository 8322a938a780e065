//! One machine of a world: an engine behind a simulated driver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, TorrentId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::Metainfo;
use eddyline::trace::{Chain, Origin, Recorder};
use eddyline::{
    Action, AddTorrent, CheckDepth, Command, Config, Engine, Event, Notice, StreamAction, Wakeup,
};

use crate::checks::{Checks, Cost, check_memory};
use crate::disk::SyntheticDisk;
use crate::journal::Journal;
use crate::net::{Access, Nat, NatState, NodeClock};
use crate::tamper::Tamper;
use crate::web_server::Download;
use crate::world::UtpStream;

/// Names a node of a world.
pub type NodeId = usize;

/// How often the thorough invariants are checked, in steps.
const FULL_CHECK: u64 = 64;

/// An engine with its disk, its events to come and its history.
#[derive(Debug)]
pub struct Node {
    /// The engine, as shipped.
    pub engine: Engine,
    /// Its disk.
    pub disk: SyntheticDisk,
    /// Where it listens, as others see it.
    pub addr: SocketAddr,
    /// Everything it told its embedder.
    pub notices: Vec<Notice>,
    /// Number of steps made.
    pub steps: u64,
    /// How often it has granted read credit.
    pub grants: u64,
    /// Its line.
    pub access: Access,
    /// What stands between it and the network.
    pub nat: Nat,
    /// Its clock.
    pub clock: NodeClock,
    /// Whether connections with TCP are answered at all: what stands before it may drop them silently.
    pub hears_tcp: bool,
    /// The same for packets of µTP.
    pub hears_utp: bool,
    /// Whether connections with TCP are taken where the engine speaks none: they end at once.
    pub takes_tcp: bool,
    /// How often it has called with TCP.
    pub tcp_calls: u64,
    /// Whether notices are kept; a large world does without.
    pub keep_notices: bool,
    /// Whether invariants are checked after every step.
    pub check: bool,
    /// Downloads that were finished.
    pub finished: u32,
    /// Messages that are changed on their way out, to show that a test would notice.
    pub tamper: Option<Tamper>,
    pub(crate) config: Config,
    pub(crate) seed: Seed,
    pub(crate) added: BTreeMap<Sha1Hash, AddTorrent>,
    /// Metadata of magnets.
    pub(crate) learned: BTreeMap<Sha1Hash, Arc<Metainfo>>,
    /// How often its power has failed.
    pub(crate) epoch: u32,
    pub(crate) group: u8,
    pub(crate) nat_state: NatState,
    pub(crate) pending: Vec<Event>,
    pub(crate) is_awake: bool,
    pub(crate) wakeup: Option<Instant>,
    /// Connections over µTP.
    pub(crate) streams: BTreeMap<ConnId, UtpStream>,
    pub(crate) wires: BTreeMap<ConnId, (usize, usize)>,
    /// Requests to web servers.
    pub(crate) downloads: BTreeMap<ConnId, Download>,
    pub(crate) torrents: Vec<TorrentId>,
    pub(crate) uplink_free: Instant,
    pub(crate) downlink_free: Instant,
    pub(crate) checks: Option<Checks>,
    /// Where it is noted what happens, for the report of a failure.
    pub(crate) journal: Option<Journal>,
    recorder: Option<Recorder>,
    recorded: Vec<u8>,
    chain: Chain,
    actions: Vec<Action>,
}

impl Node {
    pub(crate) fn new(config: Config, seed: Seed, addr: SocketAddr, now: Instant) -> Self {
        Self {
            engine: Engine::new(config.clone(), seed, now),
            disk: SyntheticDisk::default(),
            addr,
            notices: Vec::new(),
            steps: 0,
            grants: 0,
            access: Access::default(),
            nat: Nat::default(),
            clock: NodeClock::right(now),
            hears_tcp: true,
            takes_tcp: false,
            hears_utp: true,
            tcp_calls: 0,
            keep_notices: true,
            check: true,
            finished: 0,
            tamper: None,
            config,
            seed,
            added: BTreeMap::new(),
            learned: BTreeMap::new(),
            epoch: 0,
            group: 0,
            nat_state: NatState::default(),
            pending: Vec::new(),
            is_awake: false,
            wakeup: None,
            streams: BTreeMap::new(),
            wires: BTreeMap::new(),
            downloads: BTreeMap::new(),
            torrents: Vec::new(),
            uplink_free: Instant::ZERO,
            downlink_free: Instant::ZERO,
            checks: None,
            journal: None,
            recorder: None,
            recorded: Vec::new(),
            chain: Chain::default(),
            actions: Vec::new(),
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

    /// Records every step from now on. To be called before the first.
    pub fn record(&mut self) {
        assert_eq!(self.steps, 0, "a trace begins with the first step");
        self.begin_trace();
    }

    fn begin_trace(&mut self) {
        self.recorded.clear();
        let began = self.engine.now();
        let origin = Origin::New(Box::new((self.config.clone(), self.seed, began)));
        self.recorder = Some(Recorder::new(origin));
    }

    /// Everything recorded so far, as a trace.
    pub fn trace(&mut self) -> Bytes {
        if let Some(recorder) = &mut self.recorder {
            self.recorded.extend(recorder.take());
        }
        self.recorded.clone().into()
    }

    /// Watches every step with the checkers that stand outside the engine.
    pub fn watch(&mut self) {
        self.checks = Some(Checks::default());
    }

    /// What strangers gave and cost, where it is watched.
    pub fn cost(&self) -> Option<&Cost> {
        self.checks.as_ref().map(|checks| &checks.cost)
    }

    /// Whether the engine holds no more than what it was given accounts for.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check_memory(&self) -> Result<(), String> {
        self.cost().map_or(Ok(()), |cost| check_memory(&self.engine, cost.given()))
    }

    /// Starts again with what the disk holds, as after a crash. Returns the events that the driver
    /// begins with.
    pub(crate) fn restart(&mut self, now: Instant) -> Vec<Event> {
        self.epoch += 1;
        self.is_awake = false;
        self.seed.0[16] = self.seed.0[16].wrapping_add(1);
        let now = self.clock.at(now);
        self.engine = Engine::new(self.config.clone(), self.seed, now);
        self.pending.clear();
        self.wires.clear();
        self.streams.clear();
        self.downloads.clear();
        self.torrents.clear();
        self.wakeup = None;
        if self.recorder.is_some() {
            self.begin_trace();
        }
        if self.checks.is_some() {
            self.watch();
        }
        self.added.keys().filter_map(|hash| self.load(*hash)).collect()
    }

    /// Adds a torrent that rests again, with its metadata, as an embedder keeps it.
    pub(crate) fn wake(&self, hash: Sha1Hash) -> Option<Event> {
        let mut event = self.load(hash)?;
        if let (Event::Command(_, Command::Add(add)), Some(metainfo)) =
            (&mut event, self.learned.get(&hash))
        {
            add.source = metainfo.clone().into();
        }
        Some(event)
    }

    /// Adds a torrent again, with what the disk holds.
    fn load(&self, hash: Sha1Hash) -> Option<Event> {
        let mut add = self.added.get(&hash)?.clone();
        let resume = self.disk.resume.get(&hash);
        add.resume = resume.and_then(|data| eddyline::ResumeData::decode(data).ok()).map(Box::new);
        Some(add.into())
    }

    /// Steps the engine with what has happened, checks its invariants and returns its actions.
    pub(crate) fn step(&mut self, world: Instant) -> Result<Vec<Action>, String> {
        let now = self.clock.at(world);
        let events = std::mem::take(&mut self.pending);
        if let Some(checks) = &mut self.checks {
            self.engine.watch_content();
            checks.before_step(now, &events);
        }
        if let Some(journal) = &self.journal {
            journal.hears(now, self.addr, &events);
        }
        let mut actions = std::mem::take(&mut self.actions);
        let wakeup = match &mut self.recorder {
            None => self.engine.step(now, events, &mut actions),
            Some(recorder) => recorder.step(&mut self.engine, now, events, &mut actions),
        };
        self.steps += 1;
        let is_grant = |a: &&Action| matches!(a, Action::Stream(_, StreamAction::GrantRead(_)));
        self.grants += actions.iter().filter(is_grant).count() as u64;
        self.chain.absorb(&actions, wakeup);
        if let Some(journal) = &self.journal {
            journal.does(now, self.addr, &actions);
        }
        self.wakeup = match wakeup {
            Wakeup::Immediately => Some(world),
            Wakeup::At { deadline, .. } if deadline <= now => {
                return Err("a wake-up lies in the future".into());
            }
            Wakeup::At { deadline, .. } => Some(self.clock.when(deadline)),
            Wakeup::OnEvent => None,
        };
        if self.check {
            let full = self.steps.is_multiple_of(FULL_CHECK);
            let depth = if full { CheckDepth::Full } else { CheckDepth::Fast };
            let checked = self.engine.check_invariants(depth);
            checked.map_err(|violation| violation.to_string())?;
        }
        if let Some(checks) = &mut self.checks {
            checks.after_step(now, &self.engine, &actions)?;
            if wakeup != Wakeup::Immediately {
                checks.settle();
            }
        }
        Ok(actions)
    }

    /// Gives the vector of a step back, for its capacity.
    pub(crate) fn reuse(&mut self, mut actions: Vec<Action>) {
        actions.clear();
        self.actions = actions;
    }
}
