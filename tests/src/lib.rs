//! Deterministic worlds to test the engine in: real engines, virtual time, simulated wires, disks
//! and trackers. The same seed gives the same run, to the byte, on any machine.
//!
//! ```
//! use eddyline_sim::{Content, World};
//!
//! let content = Content::new("hello.bin", 300_000, 32_768);
//! let mut world = World::new(7);
//! let seed = world.add_node();
//! let leech = world.add_node();
//! world.seed(seed, &content);
//! world.leech(leech, &content, &[seed]);
//! world.run_until(60, |world| world.is_complete(leech));
//! assert!(world.is_complete(leech));
//! ```

mod content;
mod disk;
mod net;
mod node;
mod scenarios;
mod scripted;
mod tracker;
mod world;

pub use content::Content;
pub use disk::{DiskFault, MemoryDisk};
pub use node::{Node, NodeId};
pub use scenarios::scenario_digests;
pub use scripted::{Script, ScriptAction};
pub use tracker::{Announce, Reach, Tracker};
pub use world::{PeerOptions, World};
