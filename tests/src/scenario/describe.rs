//! A scenario in few words, for the report of a failure.

use std::collections::BTreeSet;
use std::fmt::Write;

use eddyline::TorrentState;

use super::{BOUND, Scenario};
use crate::world::World;

impl Scenario {
    /// Two lines: the swarm, and what befalls it when.
    pub fn summary(&self) -> Vec<String> {
        let total: u64 = self.lengths.iter().sum();
        let mut swarm = format!(
            "{} seeds, {} leechers, {} bytes in {} files, pieces of {}, {} tracker",
            1 + self.extra_seeds,
            self.leechers,
            total,
            self.lengths.len(),
            self.piece_length,
            if self.udp { "UDP" } else { "HTTP" },
        );
        let traits = [
            (self.private, "private"),
            (self.trackerless, "DHT and local discovery"),
            (self.sequential, "in order"),
            (self.half_open, "an address that never answers"),
            (self.faults.is_some(), "faults"),
        ];
        for (_, name) in traits.iter().filter(|(has, _)| *has) {
            let _ = write!(swarm, ", {name}");
        }
        if let Some(manners) = &self.magnets {
            let _ = write!(swarm, ", magnets {manners:?}");
        }
        if !self.manners.is_empty() {
            let _ = write!(swarm, ", peers {:?}", self.manners);
        }
        if !self.web.is_empty() {
            let _ = write!(swarm, ", web seeds {}", super::web::describe(&self.web));
        }
        let blows = self.blows.iter().map(|(when, blow)| format!("{when} s {blow:?}"));
        let blows: Vec<String> = blows.collect();
        vec![swarm, format!("{}, healed at {} s", blows.join(", "), self.seconds + 30)]
    }

    /// The kinds of blows that it deals.
    pub fn blows(&self) -> Vec<String> {
        let name = |text: String| text.split(['(', ' ']).next().unwrap_or_default().to_owned();
        let kinds: BTreeSet<String> =
            self.blows.iter().map(|(_, blow)| name(format!("{blow:?}"))).collect();
        kinds.into_iter().collect()
    }

    /// Who has not completed what.
    pub(super) fn describe_stall(&self, world: &World) -> String {
        let mut words = Vec::new();
        for (id, node) in world.nodes().enumerate() {
            if node.torrents().is_empty() {
                words.push(format!("node {id} has no torrent"));
            }
            for torrent in node.torrents() {
                let Some(view) = node.engine.torrent(*torrent) else { continue };
                if !view.have.is_full() || view.state == TorrentState::Metadata {
                    words.push(format!(
                        "node {id} has {} of {} pieces, is {:?} ({:?}), {} peers, {} candidates",
                        view.have.count(),
                        view.have.len(),
                        view.state,
                        view.stall,
                        view.peers,
                        view.candidates
                    ));
                }
            }
        }
        format!("not complete {BOUND} s after the last fault: {}", words.join("; "))
    }
}
