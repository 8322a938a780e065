//! Random scenarios: a swarm, everything that goes wrong in it, and what must hold all the same.
//!
//! One source of entropy decides all of it, so that property tests, fuzzers and long runs are three
//! callers of one function. A run has two phases. First faults: lines break, disks fail, clocks jump,
//! power goes, peers lie. Then all of that ends, and every download has to complete in time, with
//! the right bytes.

mod describe;
mod draw;
mod filters;
mod web;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use eddyline::{
    Command, Config, Encryption, FilePriority, FileRange, LocationId, Notice, PeerSource, Priority,
    RateLimits, ReadAhead, ReaderId, Rename, TorrentCommand, TorrentState, Transports,
};

use crate::adversary::{Foe, Strategy, Surroundings};
use crate::checks::Strain;
use crate::content::Content;
use crate::entropy::Entropy;
use crate::faults::{Coverage, FaultRates};
use crate::journal::Journal;
use crate::metadata_manner::MetadataManner;
use crate::net::{Access, Nat, Partition, Weather};
use crate::node::{Node, NodeId};
use crate::puppet::Manner;
use crate::tracker::{Registry, Tracker, UdpTracker};
use crate::world::{PeerOptions, World};
use draw::{draw_access, draw_blow, draw_config, draw_encryption, draw_reads, draw_transports};
use filters::draw_filters;

/// Virtual seconds in which everything completes once nothing goes wrong any more: the longest
/// back-off of trackers is an hour, that of addresses 22 minutes, and the transfer takes its time.
pub const BOUND: u64 = 2 * 3600;

const HTTP: &str = "http://tracker.example/announce";
const UDP: &str = "udp://tracker.example:80/announce";

/// Something that happens in the first phase.
#[derive(Clone, Debug)]
enum Blow {
    Divide(Vec<NodeId>, Partition),
    Heal,
    Crash(NodeId),
    Jump(NodeId, u32),
    Drift(NodeId, i64),
    Pause(NodeId),
    Resume(NodeId),
    Recheck(NodeId),
    Limit(NodeId, Option<u64>, Option<u64>),
    Skip(NodeId),
    Want(NodeId),
    Remove(NodeId),
    Delete(NodeId),
    Move(NodeId, u32),
    Rename(NodeId),
    Stop(NodeId),
    Announce(NodeId),
    Save(NodeId),
    Know(NodeId, NodeId),
    Trackers(bool),
    /// Somebody reads, or waits for a range: from which thousandth of a file on, and within how many seconds.
    Read(NodeId, u32, u32),
    /// One blocks addresses from then on: those from this one on, as many as that.
    Filter(NodeId, u8, u8),
}

/// A scenario: everything that is decided before it runs.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    leechers: usize,
    extra_seeds: usize,
    lengths: Vec<u64>,
    piece_length: u32,
    weather: Weather,
    access: Vec<Access>,
    nats: Vec<Nat>,
    config: Config,
    sequential: bool,
    manners: Vec<Manner>,
    half_open: bool,
    /// Whether leechers begin with no more than a magnet, and who lies about the metadata.
    magnets: Option<Vec<MetadataManner>>,
    /// Whether there are DHT and local discovery.
    trackerless: bool,
    private: bool,
    faults: Option<FaultRates>,
    udp: bool,
    blows: Vec<(u32, Blow)>,
    seconds: u32,
    /// Strangers whose aim is damage, each with the seed of what it does.
    foes: Vec<(Strategy, u64)>,
    /// The seed of what some foes have beside that: blocks of addresses, encryption, a taste for what is served.
    further: Option<u64>,
    /// How each node encrypts its connections; no node does where it is empty.
    encryption: Vec<Encryption>,
    /// What each node speaks; TCP alone where it is empty.
    transports: Vec<Transports>,
    /// Web seeds that the torrent names.
    web: Vec<web::Drawn>,
}

/// What came of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything held.
    Fine,
    /// An engine broke a rule.
    Invariant(String),
    /// Something did not complete in time.
    Liveness(String),
    /// Something is complete and wrong.
    Correctness(String),
}

/// A verdict and the figures of the run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What came of it.
    pub verdict: Verdict,
    /// Digest of all histories.
    pub digest: u64,
    /// Steps of all engines.
    pub steps: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// What went wrong on purpose.
    pub coverage: Coverage,
    /// How near strangers came to the bounds on what they cost.
    pub strain: Strain,
    /// The engine that broke a rule, or is not as it should be.
    pub suspect: Option<Suspect>,
    /// Its trace, where traces were wanted.
    pub trace: Option<Bytes>,
}

/// Whose fault it seems to be that a scenario failed, and when that was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspect {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub addr: SocketAddr,
    /// Steps that it had made.
    pub step: u64,
    /// Virtual time from the beginning.
    pub at: Duration,
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, addr, step, at } = self;
        write!(f, "node {node} at {addr}, step {step}, {:.3} s", at.as_secs_f64())
    }
}

impl Scenario {
    /// Draws a scenario.
    pub fn draw(entropy: &mut Entropy) -> Self {
        let leechers = entropy.between(1, 5) as usize;
        let extra_seeds = entropy.below(3) as usize;
        let nodes = 1 + extra_seeds + leechers;
        let piece_length = entropy.choose(&[16_384, 32_768, 65_536, 40_000, 5_000]);
        let lengths = (0..entropy.choose(&[1, 1, 1, 3, 8]))
            .map(|_| u64::from(entropy.choose(&[0u32, 1, 16_384, 70_000, 200_003, 600_000])))
            .collect();
        let weather = Weather {
            latency: Duration::from_millis(entropy.choose(&[1u32, 10, 50, 200]).into()),
            jitter: Duration::from_millis(entropy.choose(&[0u32, 0, 5, 100]).into()),
            loss: entropy.choose(&[0, 0, 20, 100]),
            doubled: entropy.choose(&[0, 50]),
        };
        let access = (0..nodes).map(|_| draw_access(entropy)).collect();
        let hidden = [Nat::Restricted, Nat::PortRestricted, Nat::Symmetric, Nat::FullCone];
        let nats = (0..nodes)
            .map(|_| if entropy.chance(1, 4) { entropy.choose(&hidden) } else { Nat::Open })
            .collect();
        let mut scenario = Self {
            leechers,
            extra_seeds,
            lengths,
            piece_length,
            weather,
            access,
            nats,
            config: draw_config(entropy),
            sequential: entropy.chance(1, 5),
            manners: (0..entropy.below(4)).map(|_| entropy.choose(&Manner::ALL)).collect(),
            half_open: entropy.chance(1, 4),
            magnets: None,
            trackerless: false,
            private: false,
            faults: entropy.chance(3, 4).then(|| FaultRates::draw(entropy)),
            udp: entropy.chance(1, 3),
            blows: Vec::new(),
            seconds: entropy.between(5, 120),
            seed: 0,
            foes: Vec::new(),
            further: None,
            encryption: Vec::new(),
            transports: Vec::new(),
            web: Vec::new(),
        };
        for _ in 0..entropy.below(10) {
            let when = entropy.below(scenario.seconds);
            scenario.blows.push((when, draw_blow(entropy, nodes)));
        }
        scenario.blows.sort_by_key(|(when, _)| *when);
        scenario.seed = entropy.seed();
        scenario.draw_later(entropy, nodes);
        scenario
    }

    /// What came to be drawn later, so that seeds of earlier days still stand for the same scenarios.
    fn draw_later(&mut self, entropy: &mut Entropy, nodes: usize) {
        self.magnets = entropy
            .chance(1, 3)
            .then(|| (0..entropy.below(4)).map(|_| entropy.choose(&MetadataManner::ALL)).collect());
        self.trackerless = entropy.chance(1, 3);
        self.config.pex = entropy.chance(3, 4);
        self.config.dht_bootstrap = vec!["10.0.0.1:6881".into()];
        self.private = entropy.chance(1, 8);
        if entropy.below(8) == 7 {
            let count = entropy.choose(&[1, 1, 2, 5, 20, 100]);
            let foe = |_| (entropy.choose(&Strategy::ALL), entropy.seed());
            self.foes = (0..count).map(foe).collect();
        }
        if entropy.below(3) == 2 {
            self.encryption = (0..nodes).map(|_| draw_encryption(entropy)).collect();
        }
        if entropy.below(4) == 3 {
            self.transports = (0..nodes).map(|_| draw_transports(entropy)).collect();
        }
        if entropy.below(4) == 3 {
            self.blows.extend(draw_reads(entropy, self.seconds, nodes));
        }
        if entropy.below(4) == 3 {
            self.web = web::draw(entropy);
        }
        if self.has_foes() && entropy.below(2) == 1 {
            self.further = Some(entropy.seed());
        }
        if entropy.below(4) == 3 {
            self.blows.extend(draw_filters(entropy, self.seconds, nodes));
        }
        self.blows.sort_by_key(|(when, _)| *when);
    }

    /// The scenario that follows from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self::draw(&mut Entropy::seeded(seed))
    }

    /// Whether there are strangers in it whose aim is damage.
    pub fn has_foes(&self) -> bool {
        !self.foes.is_empty()
    }

    /// Every fault there is, often: for seeing each of them.
    pub fn stormy(seed: u64) -> Self {
        let mut scenario = Self::seeded(seed);
        scenario.faults = Some(FaultRates::all(25));
        scenario.manners.push(Manner::Lying(5));
        scenario
    }

    /// Runs it. With `record`, the trace of an engine that breaks a rule is kept.
    pub fn run(&self, record: bool) -> Outcome {
        self.judge(self.build(record), record)
    }

    /// Runs it, and notes in `journal` what engines do. What is there of a world is kept apart from
    /// it, so that a panic leaves the journal.
    pub fn watched(&self, journal: &Journal) -> Outcome {
        let mut world = self.build(false);
        for id in 0..self.nodes() {
            world.node_mut(id).journal = Some(journal.clone());
        }
        self.judge(world, false)
    }

    fn judge(&self, mut world: World, record: bool) -> Outcome {
        let verdict = self.play(&mut world);
        // Of the engine that broke a rule, or else of the first one that is not as it should be.
        let suspect = match &world.violation {
            Some((node, _)) => Some(*node),
            None => {
                let liar = (0..self.nodes()).find(|id| wrong_claim_of(&world, *id).is_some());
                liar.or_else(|| (0..self.nodes()).find(|id| !world.is_complete(*id)))
            }
        };
        let at = world.now().since(eddyline::base::time::Instant::from_millis(1000));
        let told = suspect.map(|node| {
            let Node { addr, steps, .. } = world.node(node);
            Suspect { node, addr: *addr, step: *steps, at }
        });
        let trace = suspect.filter(|_| record).map(|node| world.node_mut(node).trace());
        let digest = world.nodes().fold(0u64, |sum, node| sum.rotate_left(7) ^ node.digest());
        let mut strain = Strain::default();
        world.nodes().filter_map(Node::cost).for_each(|cost| strain.add(cost.strain()));
        Outcome {
            suspect: told.filter(|_| verdict != Verdict::Fine),
            verdict,
            strain,
            digest,
            steps: world.nodes().map(|node| node.steps).sum(),
            virtual_time: at,
            coverage: world.coverage,
            trace,
        }
    }

    /// Runs it and returns the traces of all its engines, each from its last start on.
    pub fn traces(&self) -> Vec<Bytes> {
        let mut world = self.build(true);
        self.play(&mut world);
        (0..self.nodes()).map(|node| world.node_mut(node).trace()).collect()
    }

    fn content(&self) -> Content {
        let tracker = if self.udp { UDP } else { HTTP };
        let content = match self.lengths.as_slice() {
            [only] => Content::tracked("random", *only, self.piece_length, &[tracker]),
            many => Content::with_files("random", many, self.piece_length, &[tracker]),
        };
        let content = if self.private { content.private() } else { content };
        web::named(content, &self.web)
    }

    fn nodes(&self) -> usize {
        1 + self.extra_seeds + self.leechers
    }

    fn build(&self, record: bool) -> World {
        let content = self.content();
        let mut world = World::new(self.seed);
        world.weather = self.weather;
        world.trackerless = self.trackerless;
        web::settle(&self.web, &content, &mut world);
        let registry = Some(Registry::default());
        let tracker = Tracker { registry, forgetful: true, ..Tracker::default() };
        let named =
            self.foes().iter().flat_map(|foe| foe.settle_in(&mut world, &content)).collect();
        world.trackers.insert(HTTP.into(), Tracker { peers: named, ..tracker });
        let tracker_ip = IpAddr::from(Ipv4Addr::new(10, 9, 0, 1));
        world.udp_trackers.insert(SocketAddr::new(tracker_ip, 80), UdpTracker::default());
        world.names.insert("tracker.example".into(), vec![tracker_ip]);
        // The seed on which everything depends.
        world.spared.push(0);
        let mut peers = vec![SocketAddr::from(([10, 0, 0, 1], 6881))];
        for (number, manner) in self.manners.iter().copied().enumerate() {
            let content = content.clone();
            peers.push(world.add_script(move || manner.peer(&content, b'a' + number as u8)));
        }
        for (number, manner) in self.magnets.iter().flatten().copied().enumerate() {
            let content = content.clone();
            peers.push(world.add_script(move || manner.peer(&content, b'm' + number as u8)));
        }
        if self.half_open {
            peers.push(world.add_half_open());
        }
        for id in 0..self.nodes() {
            let encryption = self.encryption.get(id).copied().unwrap_or_default();
            let transports = self.transports.get(id).copied().unwrap_or_default();
            let node =
                world.add_node_with(Config { encryption, transports, ..self.config.clone() });
            let machine = world.node_mut(node);
            machine.access = self.access[id];
            if id == 0 {
                // Whoever floods a thin line cuts the seed off, and no engine can help that.
                machine.access.down = None;
            }
            machine.nat = if id == 0 { Nat::Open } else { self.nats[id] };
            machine.disk.may_crash = true;
            if record {
                machine.record();
            }
            if id <= self.extra_seeds {
                world.seed(node, &content);
            } else {
                let options = PeerOptions {
                    peers: peers.clone(),
                    sequential: self.sequential,
                    ..PeerOptions::default()
                };
                match self.magnets {
                    Some(_) => world.add_magnet(node, &content, options),
                    None => world.add(node, &content, options),
                }
            }
        }
        world.faults.clone_from(&self.faults);
        world
    }

    /// Lets time pass, in which foes act once a second.
    fn pass(&self, world: &mut World, foes: &mut [Foe], seconds: u32) -> Result<(), String> {
        if foes.is_empty() {
            return world.try_until(seconds.into(), |_| false).map(drop);
        }
        let content = self.content();
        for _ in 0..seconds {
            foes.iter_mut().for_each(|foe| foe.act(world, &content, self.nodes()));
            world.prompt_scripts();
            world.try_until(1, |_| false)?;
        }
        world.nodes().try_for_each(Node::check_memory)
    }

    fn foes(&self) -> Vec<Foe> {
        let count = self.foes.len() as u32;
        let around = Surroundings {
            encrypted: !self.encryption.is_empty(),
            // Over µTP they meet engines in the search alone.
            utp: false,
            two_torrents: false,
        };
        let mut further = self.further.map(Entropy::seeded);
        let foes = self.foes.iter().zip(1..);
        foes.map(|((strategy, seed), number)| {
            let foe = Foe::draw(*strategy, &mut Entropy::seeded(*seed), number);
            let foe = match &mut further {
                Some(entropy) => foe.vary(entropy, number, count, around),
                None => foe,
            };
            foe.among(count)
        })
        .collect()
    }

    fn play(&self, world: &mut World) -> Verdict {
        let (mut clock, mut foes) = (0, self.foes());
        for (when, blow) in &self.blows {
            if let Err(rule) = self.pass(world, &mut foes, when - clock) {
                return Verdict::Invariant(rule);
            }
            clock = *when;
            self.strike(world, blow);
            if let Some(fault) = self.wrong_claim(world) {
                return Verdict::Correctness(fault);
            }
        }
        if let Err(rule) = self.pass(world, &mut foes, self.seconds - clock) {
            return Verdict::Invariant(rule);
        }
        if !foes.is_empty() {
            world.drive_out(|ip| foes.iter().any(|foe| foe.owns(ip)));
            world.trackers.values_mut().for_each(|tracker| tracker.peers.clear());
        }
        // What is under way ends first: a torrent being removed, a disk that answers late.
        world.faults = None;
        if let Err(rule) = world.try_until(30, |_| false) {
            return Verdict::Invariant(rule);
        }
        self.heal(world);
        let complete = |world: &World| (0..self.nodes()).all(|node| world.is_complete(node));
        match world.try_until(BOUND, complete) {
            Err(rule) => Verdict::Invariant(rule),
            Ok(false) => Verdict::Liveness(self.describe_stall(world)),
            Ok(true) => match self.wrong_claim(world).or_else(|| world.check_links().err()) {
                Some(fault) => Verdict::Correctness(fault),
                None => Verdict::Fine,
            },
        }
    }

    /// Everything that goes wrong ends. What needs a user's word gets it.
    fn heal(&self, world: &mut World) {
        world.faults = None;
        world.heal();
        world.weather = Weather::default();
        if let Some(tracker) = world.trackers.get_mut(HTTP) {
            tracker.down = false;
        }
        world.udp_trackers.values_mut().for_each(|tracker| tracker.down = false);
        self.lift_filters(world);
        let content = self.content();
        for id in 0..self.nodes() {
            world.drift_clock(id, 0);
            world.node_mut(id).disk.fault = None;
            if world.node(id).notices.contains(&Notice::ShutDown) {
                world.crash(id);
                world.run(1);
            }
            if world.node(id).torrents().is_empty() {
                let peers = vec![SocketAddr::from(([10, 0, 0, 1], 6881))];
                world.add(id, &content, PeerOptions { peers, ..PeerOptions::default() });
            }
            for torrent in world.node(id).torrents().to_vec() {
                world.command(id, TorrentCommand::Resume.of(torrent));
                let all = (0..self.lengths.len() as u32)
                    .map(|file| FilePriority { file, priority: Priority::Normal });
                world.command(id, TorrentCommand::SetPriorities(all.collect()).of(torrent));
                world.command(id, TorrentCommand::SetLimits(RateLimits::default()).of(torrent));
            }
        }
    }

    fn strike(&self, world: &mut World, blow: &Blow) {
        let torrent = |world: &World, node: NodeId| world.node(node).torrents().first().copied();
        let tell = |world: &mut World, node: NodeId, command: TorrentCommand| {
            if let Some(torrent) = torrent(world, node) {
                world.command(node, command.of(torrent));
            }
        };
        match blow {
            Blow::Divide(group, partition) => world.divide(group, *partition),
            Blow::Heal => world.heal(),
            Blow::Crash(node) => world.crash(*node),
            Blow::Jump(node, seconds) => {
                world.jump_clock(*node, Duration::from_secs(u64::from(*seconds)));
            }
            Blow::Drift(node, parts) => world.drift_clock(*node, *parts),
            Blow::Pause(node) => tell(world, *node, TorrentCommand::Pause),
            Blow::Resume(node) => tell(world, *node, TorrentCommand::Resume),
            Blow::Recheck(node) => tell(world, *node, TorrentCommand::Recheck),
            Blow::Announce(node) => tell(world, *node, TorrentCommand::Announce),
            Blow::Save(node) => tell(world, *node, TorrentCommand::SaveResume),
            Blow::Remove(node) => tell(world, *node, TorrentCommand::Remove),
            Blow::Stop(node) => world.command(*node, Command::ShutDown),
            Blow::Delete(node) => tell(world, *node, TorrentCommand::RemoveWithData),
            Blow::Move(node, to) => {
                tell(world, *node, TorrentCommand::Move(LocationId(*to)));
            }
            Blow::Rename(node) => {
                let name = Rename::Torrent("another name".into());
                tell(world, *node, TorrentCommand::Rename(name));
            }
            Blow::Limit(node, down, up) => {
                let limits = RateLimits { down: *down, up: *up };
                tell(world, *node, TorrentCommand::SetLimits(limits));
            }
            Blow::Skip(node) | Blow::Want(node) => {
                let skip = matches!(blow, Blow::Skip(_));
                let priority = if skip { Priority::Skip } else { Priority::High };
                let change = vec![FilePriority { file: 0, priority }];
                tell(world, *node, TorrentCommand::SetPriorities(change));
            }
            Blow::Know(node, other) => {
                let peers = vec![world.node(*other).addr];
                tell(world, *node, TorrentCommand::AddPeers { peers, source: PeerSource::User });
            }
            Blow::Read(node, at, within) => {
                let file = at % self.lengths.len() as u32;
                let length = self.lengths[file as usize];
                let offset = length * u64::from(*at) / 1000;
                let range = FileRange { file, offset, length: (length - offset).min(200_000) };
                let within = Duration::from_secs(u64::from(*within));
                let rate = NonZeroU64::new(u64::from(*at) * 100);
                // One that has read enough leaves.
                let ahead = (at % 5 > 0).then_some(ReadAhead { range, within, rate });
                let reader = ReaderId(at % 3);
                tell(world, *node, TorrentCommand::SetReader { reader, ahead });
                tell(world, *node, TorrentCommand::Read { range, within });
            }
            Blow::Filter(node, first, count) => filters::block(world, *node, *first, *count),
            Blow::Trackers(down) => {
                if let Some(tracker) = world.trackers.get_mut(HTTP) {
                    tracker.down = *down;
                }
                world.udp_trackers.values_mut().for_each(|tracker| tracker.down = *down);
            }
        }
    }

    fn wrong_claim(&self, world: &World) -> Option<String> {
        (0..self.nodes()).find_map(|id| wrong_claim_of(world, id))
    }
}

/// A piece that an engine says it has and whose bytes on the disk are wrong.
fn wrong_claim_of(world: &World, id: NodeId) -> Option<String> {
    let node = world.node(id);
    for torrent in node.torrents() {
        let Some(view) = node.engine.torrent(*torrent) else { continue };
        let settled = !matches!(view.state, TorrentState::Opening);
        let wrong = view.have.ones().find(|piece| !node.disk.is_piece_right(*torrent, *piece));
        if let Some(piece) = wrong.filter(|_| settled) {
            return Some(format!("node {id} claims piece {piece}, which is wrong on disk"));
        }
    }
    None
}
