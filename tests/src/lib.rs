//! Deterministic worlds to test the engine in: real engines, virtual time, simulated links, disks,
//! clocks, names and trackers. The same seed gives the same run, to the byte, on any machine.
//!
//! ```
//! use eddyline_sim::{Access, Content, World};
//!
//! // What everyone exchanges: a function of its place, so that no disk has to hold it.
//! let content = Content::new("hello.bin", 300_000, 32_768);
//! // Everything random follows from the seed.
//! let mut world = World::new(7);
//! let (seed, leech) = (world.add_node(), world.add_node());
//! world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
//! world.seed(seed, &content);
//! world.leech(leech, &content, &[seed]);
//! // Up to a minute of virtual time, or until it is done.
//! assert!(world.run_until(60, |world| world.is_complete(leech)));
//! assert!(world.node(leech).disk.is_right(world.torrent(leech)));
//! ```
//!
//! After every step of every node the engine's invariants are checked, and with [`World::watch`],
//! as is usual, the checkers that stand outside it; a run panics with the name of the rule that is
//! broken. What can be made to go wrong:
//!
//! - the network: [`Weather`] (latency, jitter, loss, doubling), [`Access`] (rates of a node's line),
//!   [`Nat`], [`World::divide`] and [`World::heal`];
//! - disks: [`DiskSpeed`], [`DiskFault`], [`SyntheticDisk::damage`], [`World::crash`];
//! - clocks: [`World::drift_clock`], [`World::jump_clock`];
//! - every action in every way that it can fail: [`World::faults`] with [`FaultRates`], counted in
//!   [`World::coverage`];
//! - peers: [`Manner`] has the usual suspects, [`Puppet`] and [`Script`] make others;
//! - trackers: [`Tracker`] and [`UdpTracker`];
//! - the engine itself: [`Tamper`], to show that a test would notice.
//!
//! [`Node::record`] makes a trace of a node, for `eddyline replay` and for
//! [`Replayer`](eddyline::trace::Replayer). [`Scenario`] draws all of that at random;
//! the `swarm` program runs any number of them. `examples/bad_disk.rs` is a swarm of fifty.

mod adversary;
pub mod campaign;
mod checks;
pub mod command_line;
mod content;
mod dht_world;
pub mod direct;
mod disk;
mod entropy;
mod explore;
mod faults;
pub mod fuzzing;
mod journal;
mod large;
mod metadata_manner;
mod net;
mod node;
pub mod oracle;
mod packets;
mod puppet;
mod report;
mod scenario;
mod scenarios;
mod scripted;
mod tamper;
mod tracker;
mod web_server;
mod world;

pub use adversary::{
    Arena, Damage, Foe, Found, Harm, Search, Strategy, Surroundings, adversary_table, worsened,
};
pub use checks::{Account, Cost, Measure, Strain, Stranger, check_anonymous};
pub use content::Content;
pub use dht_world::{DhtManner, DhtWorld, LookupReport, dht_table};
pub use disk::{DiskFault, DiskSpeed, SyntheticDisk};
pub use entropy::Entropy;
pub use explore::{Explored, SmallWorld, explore_choker};
pub use faults::{Coverage, Fault, FaultRates, TABLE as FAULT_TABLE};
pub use journal::Journal;
pub use large::{LargeSwarm, Report};
pub use metadata_manner::MetadataManner;
pub use net::{Access, Nat, NodeClock, Partition, Weather};
pub use node::{Node, NodeId};
pub use packets::{first_packet, packet};
pub use puppet::{Heard, Manner, Puppet, encode};
pub use report::swarm_table;
pub use scenario::{Outcome, Scenario, Suspect, Verdict};
pub use scenarios::scenario_digests;
pub use scripted::{Script, ScriptAction};
pub use tamper::Tamper;
pub use tracker::{Announce, Reach, Registry, Tracker, UdpTracker};
pub use web_server::{Manners, Web, WebServer};
pub use world::{PeerOptions, World};
