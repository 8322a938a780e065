//! One large swarm of real engines: a seed, a tracker, leechers that come and go.

use std::time::Duration;

use eddyline::{Config, Transports};

use crate::content::Content;
use crate::net::{Access, Weather};
use crate::scenario::Verdict;
use crate::tracker::{Registry, Tracker};
use crate::world::{PeerOptions, World};

const TRACKER: &str = "http://tracker.example/announce";
const PIECE: u32 = 256 << 10;
/// Virtual hours in which everyone has to finish.
const PATIENCE_HOURS: u64 = 12;
/// One engine in this many crashes and comes back.
const CHURN: usize = 50;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct LargeSwarm {
    /// Where everything random comes from.
    pub seed: u64,
    /// Engines, the seed included.
    pub engines: usize,
    /// Bytes of content.
    pub size: u64,
    /// Check every engine after every step.
    pub check: bool,
    /// What they speak.
    pub transports: Transports,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Report {
    /// Until the last one was done.
    pub virtual_time: Duration,
    /// Of all engines.
    pub steps: u64,
    /// Bytes of engine state for each connected peer, as a snapshot holds it.
    pub bytes_per_peer: u64,
    /// Connections that stood at one time, counted at both ends.
    pub peers: u64,
    /// How often the seed sent its content.
    pub copies: f64,
    /// Digest of all histories.
    pub digest: u64,
}

impl LargeSwarm {
    /// Runs it.
    ///
    /// # Errors
    /// A broken rule, or engines that do not finish.
    pub fn run(self) -> Result<Report, Verdict> {
        let content = Content::tracked("large", self.size, PIECE, &[TRACKER]);
        let mut world = self.build(&content);
        let began = world.now();
        let mut peers = 0;
        let mut bytes_per_peer = 0;
        let mut crashed = 0;
        for second in 0..PATIENCE_HOURS * 3600 {
            let all = self.engines - 1;
            let done = |world: &World| world.nodes().skip(1).filter(|n| n.finished > 0).count();
            let finished =
                world.try_until(1, |world| done(world) == all).map_err(Verdict::Invariant)?;
            if second % 10 == 5 {
                let (now, bytes) = measure(&world);
                if now > peers {
                    (peers, bytes_per_peer) = (now, bytes / now.max(1));
                }
            }
            // Some lose their power in the middle and begin again with what their disk holds.
            if second % 5 == 4 && crashed < self.engines / CHURN {
                crashed += 1;
                let victim = crashed * CHURN - 1;
                if world.node(victim).finished == 0 {
                    world.crash(victim);
                }
            }
            if finished {
                return self.report(&world, &content, began, peers, bytes_per_peer);
            }
        }
        let left = world.nodes().skip(1).filter(|node| node.finished == 0).count();
        Err(Verdict::Liveness(format!("{left} engines did not finish in {PATIENCE_HOURS} hours")))
    }

    fn report(
        self,
        world: &World,
        content: &Content,
        began: eddyline::base::time::Instant,
        peers: u64,
        bytes_per_peer: u64,
    ) -> Result<Report, Verdict> {
        for node in world.nodes().skip(1) {
            if !node.torrents().iter().all(|torrent| node.disk.is_right(*torrent)) {
                return Err(Verdict::Correctness(format!("wrong bytes at {}", node.addr)));
            }
        }
        world.check_links().map_err(Verdict::Correctness)?;
        let sent = world.node(0).engine.stats().sent as f64;
        Ok(Report {
            virtual_time: world.now().since(began),
            steps: world.nodes().map(|node| node.steps).sum(),
            bytes_per_peer,
            peers,
            copies: sent / content.bytes.len() as f64,
            digest: world.nodes().fold(0, |sum, node| sum.rotate_left(7) ^ node.digest()),
        })
    }

    fn build(self, content: &Content) -> World {
        let mut world = World::new(self.seed);
        world.watch = false;
        world.splits = false;
        world.quantum = Duration::from_millis(5);
        world.weather = Weather {
            latency: Duration::from_millis(30),
            jitter: Duration::from_millis(10),
            loss: 20,
            doubled: 0,
        };
        let registry = Some(Registry::default());
        let tracker = Tracker { registry, forgetful: true, interval: 300, ..Tracker::default() };
        world.trackers.insert(TRACKER.into(), tracker);
        let transports = self.transports;
        let config = Config { max_connections_per_torrent: 40, transports, ..Config::default() };
        for number in 0..self.engines {
            let node = world.add_node_with(config.clone());
            let machine = world.node_mut(node);
            machine.check = self.check;
            machine.keep_notices = false;
            machine.disk.may_crash = (number + 1).is_multiple_of(CHURN);
            let rate = if number == 0 { 20_000_000 } else { 2_000_000 };
            machine.access = Access { up: Some(rate), ..Access::default() };
            let has_content = number == 0;
            world.add(node, content, PeerOptions { has_content, ..PeerOptions::default() });
        }
        world
    }
}

/// Connections, and bytes of the states of all engines.
fn measure(world: &World) -> (u64, u64) {
    let mut peers = 0;
    let mut bytes = 0;
    for node in world.nodes().step_by(50) {
        peers += u64::from(node.engine.stats().connections);
        bytes += node.engine.snapshot().len() as u64;
    }
    (peers * 50, bytes * 50)
}
