//! The engine: the one value that an embedder holds.
//!
//! A step is a loop of work with fixed phases, each in a module of its own:
//!
//! 1. `turns`: connections in line from the step before act on their messages, up to half of the step's work;
//! 2. `ingest`: each event is dealt with; whoever breaks a rule is closed at once;
//! 3. `turns`: those in line go on, until the step's work is done;
//! 4. `timers`: what is due fires;
//! 5. `Engine::decide`: torrents settle, messages and credit are flushed, announces are made;
//! 6. `discovery`: peers are looked for in the DHT and on the local network;
//! 7. decide again, while torrents are touched by that;
//! 8. `standby`: who is due is asked for;
//! 9. `utp`: packets leave, what came in order is delivered, and what follows from that is decided in the same way.
//!
//! `audit` checks what is left.

mod audit;
mod bans;
mod choking;
mod content;
#[cfg(feature = "corruption")]
mod corrupt;
#[cfg(feature = "dht")]
mod dht;
#[cfg(not(feature = "dht"))]
#[path = "engine/without_dht.rs"]
mod dht;
mod discovery;
mod encryption;
mod filter;
mod flush;
mod incoming;
mod ingest;
mod local;
mod mixed_mode;
mod snapshot;
mod standby;
mod strangers;
mod timers;
mod trackers;
mod turns;
mod utp;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::api::{
    Action, Config, EngineStats, Event, Notice, PeerView, Reachability, TorrentState, TorrentView,
    ViolatedRule, WakeReason, Wakeup, WebSeedView,
};
use crate::base::digest::Digest;
use crate::base::hash::Sha1Hash;
use crate::base::ids::TorrentId;
use crate::base::rng::Seed;
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::base::work::{Payer, STEP_UNITS, Work};
use crate::choker::Choker;
use crate::context::{Context, Timer};
use crate::lookups::Lookups;
use crate::metainfo::Metainfo;
use crate::standby::Standby;
use crate::torrent::{Exit, Torrent};
use crate::tracker::TrackerClient;
use turns::Turns;

pub use audit::{CheckDepth, InvariantViolation};
pub use content::ContentRange;
use content::ContentWatch;
use dht::DhtService;
use encryption::TorrentHashes;
use local::LocalService;
pub use snapshot::SnapshotError;

/// A `BitTorrent` engine. See the crate's front page for how to run one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    ctx: Context,
    torrents: SlotMap<TorrentId, Box<Torrent>>,
    turns: Turns,
    by_hash: BTreeMap<Sha1Hash, TorrentId>,
    torrent_hashes: TorrentHashes,
    choker: Choker,
    choke_timer: bool,
    choke_round_at: Instant,
    trackers: TrackerClient,
    trackers_alarm: Alarm,
    lookups: Lookups,
    dht: DhtService,
    dht_alarm: Alarm,
    local: LocalService,
    standby: Standby,
    standby_alarm: Alarm,
    shut_down: ShutDown,
    violations: BTreeMap<ViolatedRule, u32>,
    #[serde(skip)]
    content: ContentWatch,
}

/// How far a tidy stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum ShutDown {
    No,
    /// Waiting for disk and trackers, until then.
    Waiting(Instant),
    Done,
}

impl Engine {
    /// A new engine whose clock stands at `now`. Everything random follows from `seed`.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        Self {
            ctx: Context::new(config, seed, now),
            torrents: SlotMap::default(),
            turns: Turns::default(),
            by_hash: BTreeMap::new(),
            torrent_hashes: TorrentHashes::default(),
            choker: Choker::default(),
            choke_timer: false,
            choke_round_at: Instant::ZERO,
            trackers: TrackerClient::default(),
            trackers_alarm: Alarm::default(),
            lookups: Lookups::default(),
            dht: DhtService::default(),
            dht_alarm: Alarm::default(),
            local: LocalService::default(),
            standby: Standby::default(),
            standby_alarm: Alarm::default(),
            shut_down: ShutDown::No,
            violations: BTreeMap::new(),
            content: ContentWatch::default(),
        }
    }

    /// Takes in everything that happened up to `now`, appends to `actions` what the world has to
    /// do, and says when to call again. Without events it lets time pass.
    pub fn step(
        &mut self,
        now: Instant,
        events: impl IntoIterator<Item = Event>,
        actions: &mut Vec<Action>,
    ) -> Wakeup {
        self.begin(now, actions);
        for event in events {
            self.ingest(event);
            self.content.events += 1;
        }
        self.finish(actions)
    }

    /// Begins a step: first those who wait in line from the step before.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now < self.ctx.now {
            self.violated(ViolatedRule::TimeWentBackwards);
        }
        self.ctx.now = self.ctx.now.max(now);
        self.content.begin_step();
        self.ctx.work.begin_step();
        // The caller's vector is used directly, which keeps its capacity between steps.
        core::mem::swap(&mut self.ctx.out.actions, actions);
        self.give_first_turns();
    }

    /// Ends a step: everything that follows from its events.
    fn finish(&mut self, actions: &mut Vec<Action>) -> Wakeup {
        self.give_turns(STEP_UNITS);
        self.ctx.work.charge(Payer::Engine);
        self.fire_timers();
        self.conclude();
        self.carry();
        self.finish_shut_down();
        core::mem::swap(&mut self.ctx.out.actions, actions);
        self.wakeup()
    }

    /// Decides on everything that has happened.
    fn conclude(&mut self) {
        self.decide();
        self.begin_searches();
        while !self.ctx.agenda.touched.is_empty() {
            // Searches may have found addresses to connect to, and flushing may have closed peers.
            self.decide();
        }
        self.call_due();
    }

    /// Settles, flushes, and makes the announces that were wanted, until none is left: a tracker that fails at
    /// once hands over to the next in the same step.
    fn decide(&mut self) {
        self.settle();
        self.flush();
        while self.make_announces() {
            self.settle();
            self.flush();
        }
    }

    /// Takes the decisions of every torrent that something happened to, and runs a choking round
    /// early when slots are free.
    fn settle(&mut self) {
        loop {
            while let Some(id) = self.ctx.agenda.touched.pop_first() {
                if let Some(torrent) = self.torrents.get_mut(id) {
                    torrent.settle(&mut self.ctx);
                }
            }
            self.enforce_bans();
            self.make_room_for_web_seeds();
            self.give_hash_jobs();
            self.rest_and_wake();
            if core::mem::take(&mut self.ctx.agenda.slots_changed) {
                self.fill_free_slots();
            } else if self.ctx.agenda.touched.is_empty() {
                break;
            }
        }
    }

    /// A torrent waits for a place to ask a web seed in: the slowest request of all gives way.
    fn make_room_for_web_seeds(&mut self) {
        if !self.ctx.net.web_hosts.wants_room(self.ctx.now) {
            return;
        }
        self.ctx.work.add_steps(self.torrents.len() as u64);
        let now = self.ctx.now;
        let slowest = self.torrents.iter().filter_map(|(id, torrent)| {
            let (rate, _) = torrent.web().slowest(now)?;
            Some((rate, id))
        });
        if let Some((_, id)) = slowest.min()
            && let Some(torrent) = self.torrents.get_mut(id)
        {
            torrent.make_room_for_web(&mut self.ctx);
        }
    }

    fn wakeup(&self) -> Wakeup {
        match self.ctx.timers.next_deadline() {
            _ if !self.turns.is_empty() => Wakeup::Immediately,
            None => Wakeup::OnEvent,
            Some((at, _)) if at <= self.ctx.now => Wakeup::Immediately,
            Some((deadline, timer)) => Wakeup::At { deadline, reason: reason(timer) },
        }
    }

    fn violated(&mut self, rule: ViolatedRule) {
        *self.violations.entry(rule).or_default() += 1;
    }

    /// What the last step cost, and on whose behalf: the same numbers on every machine.
    pub fn work(&self) -> &Work {
        &self.ctx.work
    }

    /// The time of the last step.
    pub fn now(&self) -> Instant {
        self.ctx.now
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.ctx.config
    }

    /// All torrents.
    pub fn torrents(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.torrents.iter().map(|(id, _)| id)
    }

    /// Whether others can connect to us, as far as it can be inferred; [`Notice::Reachability`] tells of changes.
    pub fn reachability(&self) -> Reachability {
        self.ctx.net.reach.told()
    }

    /// Our address on the internet, where enough of those who see it agree.
    pub fn external_address(&self, ipv6: bool) -> Option<IpAddr> {
        self.ctx.net.identity.settled(ipv6)
    }

    /// One torrent; costs as much as it has pieces.
    pub fn torrent(&self, id: TorrentId) -> Option<TorrentView> {
        self.torrents.get(id).map(|torrent| torrent.view(&self.ctx))
    }

    /// What a torrent is; `None` for one that is added by a magnet, until [`Notice::MetadataReady`].
    pub fn metainfo(&self, id: TorrentId) -> Option<&Arc<Metainfo>> {
        self.torrents.get(id).and_then(|torrent| torrent.contents().metainfo())
    }

    /// What a file of a torrent is called at its location now, by index.
    pub fn file_path(&self, id: TorrentId, file: u32) -> Option<Vec<String>> {
        self.torrents.get(id).and_then(|torrent| torrent.path_now(file))
    }

    /// Whether a piece of which all blocks are here may wait to be written and hashed with others: more blocks are
    /// about to come, and all who sent some of it are connected and have proven themselves. Others could be gone, or
    /// send more, before it is known that it is bad. Costs as much as the piece has blocks.
    pub fn may_wait(&self, id: TorrentId, piece: u32) -> bool {
        self.torrents.get(id).is_some_and(|torrent| {
            let comes = torrent.web().is_busy()
                || torrent.peers().values().any(|peer| !peer.requests.is_empty());
            comes && torrent.is_of_proven_peers(piece)
        })
    }

    /// Whether a peer of a torrent lacks pieces: it may wait for what was fetched to be verified.
    pub fn has_takers(&self, id: TorrentId) -> bool {
        let torrent = self.torrents.get(id);
        torrent.is_some_and(|t| t.peers().values().any(|peer| !peer.is_upload_only()))
    }

    /// Bytes of blocks that the disk was given and has not written.
    pub fn disk_intake(&self) -> u64 {
        self.ctx.disk.intake()
    }

    /// Whether pieces wait for others to be hashed: then the end of a hash job is what the next one waits for.
    pub fn has_pieces_waiting_for_hashes(&self) -> bool {
        !self.ctx.agenda.awaiting_hash.is_empty()
    }

    /// Where a torrent is in its life; cheap, unlike [`Self::torrent`].
    pub fn torrent_state(&self, id: TorrentId) -> Option<TorrentState> {
        self.torrents.get(id).map(|torrent| torrent.state())
    }

    /// The peers of a torrent.
    pub fn peers(&self, id: TorrentId) -> Vec<PeerView> {
        self.torrents.get(id).map(|torrent| torrent.peer_views(self.ctx.now)).unwrap_or_default()
    }

    /// The web seeds of a torrent.
    pub fn web_seeds(&self, id: TorrentId) -> Vec<WebSeedView> {
        self.torrents.get(id).map(|torrent| torrent.web().views(self.ctx.now)).unwrap_or_default()
    }

    /// The engine as a whole.
    pub fn stats(&self) -> EngineStats {
        let unchoked = self.torrents.iter().flat_map(|(_, torrent)| torrent.peers().values());
        let unread = self.torrents.iter().flat_map(|(_, torrent)| torrent.peers().values());
        EngineStats {
            torrents: self.torrents.len() as u32,
            standby: self.standby.len(),
            connections: self.ctx.net.conns.len(),
            utp: self.ctx.net.utp.len() as u32,
            tcp_limits: self.ctx.limits.tcp_limits(),
            half_open: self.ctx.net.conns.half_open(),
            waiting: self.ctx.net.conns.waiting().count(),
            handshaking: self.ctx.net.conns.handshaking(),
            read_credit: self.ctx.budgets.credit.used(),
            disk_intake: self.ctx.disk.intake(),
            hash_jobs: self.ctx.disk.hashing(),
            send_budget: self.ctx.budgets.sending.used(),
            unread: unread.map(|peer| peer.outbox.unread()).sum(),
            assembling: self.ctx.budgets.assembling.used(),
            unchoke_slots: self.slots(),
            unchoked: unchoked.filter(|peer| !peer.am_choking).count() as u32,
            violations: self.violations.values().sum(),
            received: self.ctx.net.received,
            sent: self.ctx.net.sent,
        }
    }

    /// How often each rule of the driver contract was broken.
    pub fn violations(&self) -> impl Iterator<Item = (ViolatedRule, u32)> + '_ {
        self.violations.iter().map(|(rule, count)| (*rule, *count))
    }

    /// A checksum over the whole state: equal for equal histories, on any machine.
    pub fn state_digest(&self) -> u64 {
        let mut digest = Digest::default();
        digest.absorb_debug(self);
        digest.value()
    }

    /// Begins a tidy stop.
    fn begin_shut_down(&mut self) {
        if self.shut_down != ShutDown::No {
            return;
        }
        self.ctx.stopping = true;
        let deadline = self.ctx.now + core::time::Duration::from_secs(5);
        self.shut_down = ShutDown::Waiting(deadline);
        self.ctx.timers.schedule(deadline, Timer::ShutDown);
        for (_, torrent) in self.torrents.iter_mut() {
            torrent.close(&mut self.ctx, Exit::Stop);
        }
        self.close_unshaken();
    }

    /// Ends the tidy stop when nothing is in progress any more, or its deadline has passed.
    fn finish_shut_down(&mut self) {
        let ShutDown::Waiting(deadline) = self.shut_down else { return };
        let idle = self.ctx.disk.is_empty() && self.trackers.is_idle();
        if idle || self.ctx.now >= deadline {
            self.shut_down = ShutDown::Done;
            self.ctx.notify(Notice::ShutDown);
        }
    }
}

fn reason(timer: Timer) -> WakeReason {
    match timer {
        Timer::Bandwidth | Timer::MixedMode => WakeReason::Bandwidth,
        Timer::ChokeRound => WakeReason::ChokeRound,
        Timer::Conn(_) | Timer::Keys | Timer::Utp => WakeReason::Connection,
        Timer::Torrent(_) => WakeReason::Torrent,
        Timer::Announce(_) | Timer::Trackers => WakeReason::Tracker,
        Timer::Dht => WakeReason::Dht,
        Timer::LocalDiscovery => WakeReason::LocalDiscovery,
        Timer::ShutDown => WakeReason::ShutDown,
        Timer::Standby => WakeReason::Torrent,
    }
}
