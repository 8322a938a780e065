//! An honest swarm, once by itself and once beside foes: what they cost it.

use eddyline::{Config, Encryption, Transports};

use super::{FOUL_TRACKER, Foe, Strategy};
use crate::checks::{Measure, Strain};
use crate::content::Content;
use crate::entropy::Entropy;
use crate::net::Access;
use crate::node::{Node, NodeId};
use crate::tracker::{Registry, Tracker};
use crate::world::{PeerOptions, World};

/// The most by which foes may delay an honest swarm: a factor, and seconds on top.
const DELAY: (u64, u64) = (2, 60);
/// Virtual seconds after which a swarm counts as stopped.
const PATIENCE: u64 = 1800;
/// Virtual seconds that a run takes at least, so that foes have time to spend.
const LEAST: u64 = 60;
/// Seconds between two looks at the size of engines.
const SAMPLE: u64 = 5;
/// Bytes per second of each line out.
const LINE: u64 = 40_000;
const TRACKER: &str = "http://tracker.example/announce";
const LEECHERS: usize = 2;

/// A kind of damage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Harm {
    /// Time until the honest are done, in hundredths of what it takes without foes.
    Delay,
    /// Bytes of state and of unsent answers in one engine, beyond what it holds without foes, for a
    /// thousand bytes of the foes.
    Memory,
    /// Something caused, for a thousand bytes of the foes.
    Caused(Measure),
}

impl Harm {
    /// Every kind that is looked for.
    pub const ALL: [Self; 7] = [
        Self::Delay,
        Self::Memory,
        Self::Caused(Measure::Work),
        Self::Caused(Measure::Protocol),
        Self::Caused(Measure::Packets),
        Self::Caused(Measure::Exchanges),
        Self::Caused(Measure::Requests),
    ];

    /// Its name at the head of a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay %",
            Self::Memory => "memory",
            Self::Caused(Measure::Work) => "work",
            Self::Caused(Measure::Protocol) => "protocol",
            Self::Caused(Measure::Content) => "content",
            Self::Caused(Measure::Metadata) => "metadata",
            Self::Caused(Measure::Packets) => "packets",
            Self::Caused(Measure::Exchanges) => "http",
            Self::Caused(Measure::Requests) => "requests",
        }
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Virtual milliseconds until every download was done; `None` if one never was.
    pub finished: Option<u64>,
    /// The most bytes that one engine held: state, and answers on their way.
    pub held: u64,
    /// Bytes that the foes sent.
    pub given: u64,
    /// What they caused, in the order of [`Measure::ALL`].
    pub caused: [u64; Measure::ALL.len()],
    /// How near they came to the bounds.
    pub strain: Strain,
    /// The rule that an engine broke.
    pub broken: Option<String>,
}

impl Damage {
    /// How much harm was done, against a run without foes.
    pub fn harm(&self, harm: Harm, without: &Self) -> u64 {
        let thousands = |caused: u64| caused * 1000 / (self.given + 1000);
        let time = |damage: &Self| damage.finished.unwrap_or(PATIENCE * 1000);
        if self.broken.is_some() {
            // The run was cut short.
            return 0;
        }
        match harm {
            Harm::Delay => time(self) * 100 / time(without).max(1),
            Harm::Memory => thousands(self.held.saturating_sub(without.held)),
            Harm::Caused(measure) => {
                let place = Measure::ALL.iter().position(|known| *known == measure);
                thousands(place.map_or(0, |place| self.caused[place]))
            }
        }
    }

    /// The promise that was broken, if one was.
    pub fn verdict(&self, without: &Self) -> Option<String> {
        if let Some(rule) = &self.broken {
            return Some(rule.clone());
        }
        let usual = without.finished.unwrap_or(PATIENCE * 1000);
        let most = usual * DELAY.0 + DELAY.1 * 1000;
        match self.finished {
            None => Some(format!("the honest are not done after {PATIENCE} s")),
            Some(time) if time > most => {
                Some(format!("the honest are delayed from {usual} ms to {time} ms"))
            }
            Some(_) => None,
        }
    }
}

/// What the swarm is like, by a genome.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Surroundings {
    /// Encrypted connections are taken.
    pub encrypted: bool,
    /// Each of the honest has another torrent as well.
    pub two_torrents: bool,
    /// They speak µTP as well as TCP.
    pub utp: bool,
}

impl Surroundings {
    /// The first byte says it, beside how many foes there are.
    pub fn of(genome: &[u8]) -> Self {
        let first = genome.first().copied().unwrap_or(0);
        Self { encrypted: first & 4 > 0, two_torrents: first & 8 > 0, utp: first & 16 > 0 }
    }
}

/// A place where foes of one strategy meet an honest swarm.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    /// What the foes try.
    pub strategy: Strategy,
}

impl Arena {
    /// Runs the swarm beside the foes that follow from `genome`.
    pub fn run(self, genome: &[u8]) -> Damage {
        self.run_with(self.foes(genome), Surroundings::of(genome))
    }

    /// Runs the swarm by itself.
    pub fn alone(self, surroundings: Surroundings) -> Damage {
        self.run_with(Vec::new(), surroundings)
    }

    /// What the foes of a genome are held against, which is the swarm by itself. Where they take what they are served,
    /// it may last as long as beside as many honest newcomers: to be served is nobody's fault.
    pub fn fair(self, genome: &[u8], mut alone: Damage) -> Damage {
        let foes: Vec<Foe> = self.foes(genome).into_iter().filter(|foe| foe.peer.fetches).collect();
        if self.strategy.is_peer() && !foes.is_empty() {
            let crowd = foes.into_iter().map(Foe::tamed).collect();
            let crowd = self.run_with(crowd, Surroundings::of(genome));
            alone.finished =
                alone.finished.zip(crowd.finished).map(|(alone, crowd)| alone.max(crowd));
        }
        alone
    }

    fn run_with(self, mut foes: Vec<Foe>, surroundings: Surroundings) -> Damage {
        let content = self.content();
        let mut world = World::new(140);
        world.trackerless = self.strategy.wants_trackerless();
        let named = foes.iter().flat_map(|foe| foe.settle_in(&mut world, &content)).collect();
        let registry = Some(Registry::default());
        let tracker = Tracker { registry, peers: named, forgetful: true, ..Tracker::default() };
        world.trackers.insert(TRACKER.into(), tracker);
        self.populate(&mut world, &content, surroundings);
        let began = world.now();
        let (mut finished, mut held) = (None, 0);
        let mut broken = None;
        for second in 0..PATIENCE {
            foes.iter_mut().for_each(|foe| foe.act(&mut world, &content, 1 + LEECHERS));
            world.prompt_scripts();
            let until = |world: &World| finished.is_none() && is_done(world);
            match world.try_until(1, until) {
                Err(rule) => {
                    broken = Some(rule);
                    break;
                }
                Ok(true) => finished = Some(world.now().since(began).as_millis() as u64),
                Ok(false) => {}
            }
            if second % SAMPLE == 0 {
                let sizes = (0..=LEECHERS).map(|node| held_by(&world, node));
                held = sizes.fold(held, u64::max);
                if let Err(rule) = world.nodes().try_for_each(Node::check_memory) {
                    broken = Some(rule);
                    break;
                }
            }
            if finished.is_some() && second >= LEAST {
                break;
            }
        }
        damage(&world, &foes, finished, held, broken)
    }

    fn content(self) -> Content {
        let trackers: &[&str] = match self.strategy {
            Strategy::SpendTracker => &[FOUL_TRACKER, TRACKER],
            _ => &[TRACKER],
        };
        // Enough of a dictionary for two pieces of metadata, where those are what matters.
        let (length, piece) =
            if self.strategy.wants_magnets() { (900_000, 1000) } else { (600_000, 4096) };
        Content::tracked("arena", length, piece, trackers)
    }

    /// The foes that follow from a genome: the first byte says how many.
    fn foes(self, genome: &[u8]) -> Vec<Foe> {
        let (count, rest) = genome.split_first().map_or((0, genome), |(n, rest)| (*n, rest));
        let count = [1, 1, 3, 8][usize::from(count % 4)];
        let foe = |number| {
            let mut entropy = Entropy::given(rest);
            let foe = Foe::draw(self.strategy, &mut entropy, number);
            foe.vary(&mut entropy, number, count.into(), Surroundings::of(genome))
        };
        (1..=count).map(foe).map(|foe| foe.among_equals(count.into())).collect()
    }

    fn populate(self, world: &mut World, content: &Content, surroundings: Surroundings) {
        let Surroundings { encrypted, two_torrents, utp } = surroundings;
        let transports = if utp { Transports::Both } else { Transports::Tcp };
        let encryption = if encrypted { Encryption::PREFERRED } else { Encryption::default() };
        for id in 0..=LEECHERS {
            let dht_bootstrap = vec!["10.0.0.1:6881".into()];
            let config = Config { dht_bootstrap, encryption, transports, ..Config::default() };
            let node = world.add_node_with(config);
            world.node_mut(node).access = Access { up: Some(LINE), ..Access::default() };
            // Who is asked for peers by hostile means only has to know somebody.
            let knows = self.strategy == Strategy::SpendTracker;
            let peers = if knows { vec![world.node(0).addr] } else { Vec::new() };
            let options = PeerOptions { peers, has_content: id == 0, ..PeerOptions::default() };
            if id > 0 && self.strategy.wants_magnets() {
                world.add_magnet(node, content, options);
            } else {
                world.add(node, content, options);
            }
            if two_torrents {
                let options = PeerOptions { has_content: true, ..PeerOptions::default() };
                world.add(node, &aside(), options);
            }
        }
    }
}

/// The other torrent that all of them have.
pub(super) fn aside() -> Content {
    Content::new("aside", 300_000, 4096)
}

fn is_done(world: &World) -> bool {
    (0..=LEECHERS).all(|node| world.is_complete(node))
}

/// Bytes that an engine holds: its state, and what it sent and nobody took.
fn held_by(world: &World, node: NodeId) -> u64 {
    world.node(node).engine.snapshot().len() as u64 + world.backlog(node)
}

fn damage(
    world: &World,
    foes: &[Foe],
    finished: Option<u64>,
    held: u64,
    broken: Option<String>,
) -> Damage {
    let mut damage = Damage {
        finished,
        held,
        given: 0,
        caused: [0; Measure::ALL.len()],
        strain: Strain::default(),
        broken,
    };
    for cost in world.nodes().filter_map(Node::cost) {
        for (stranger, account) in cost.accounts() {
            let foul = match stranger.ip() {
                Some(ip) => !world.is_node(ip),
                None => stranger.to_string().contains("foul.example"),
            };
            if foul && !foes.is_empty() {
                damage.given += account.given;
                let caused = damage.caused.iter_mut().zip(Measure::ALL);
                caused.for_each(|(sum, measure)| *sum += account.caused(measure));
            }
        }
        damage.strain.add(cost.strain());
    }
    damage
}
