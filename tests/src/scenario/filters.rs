//! Nodes that block addresses for a while, as their users' lists say.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use eddyline::filter::{Filter, FilterBuilder};
use eddyline::{Command, PeerSource, TorrentCommand};

use super::{Blow, Scenario};
use crate::entropy::Entropy;
use crate::node::NodeId;
use crate::world::World;

/// Who blocks whom, and when.
pub(super) fn draw_filters(entropy: &mut Entropy, seconds: u32, nodes: usize) -> Vec<(u32, Blow)> {
    let filter = |entropy: &mut Entropy| {
        let (when, node) = (entropy.below(seconds), entropy.below(nodes as u32) as usize);
        // Nodes, scripted peers and strangers, or nobody: then everything is as before.
        let first = entropy.below(nodes as u32 + 4) as u8;
        (when, Blow::Filter(node, first, entropy.choose(&[0, 1, 1, 2, 200])))
    };
    (0..entropy.between(1, 8)).map(|_| filter(entropy)).collect()
}

/// Has a node block addresses of its network, and none but these.
pub(super) fn block(world: &mut World, node: NodeId, first: u8, count: u8) {
    let mut builder = FilterBuilder::default();
    if count > 0 {
        let last = first.saturating_add(count - 1);
        for net in 0..=2 {
            builder.block(IpAddr::from([10, 0, net, first]), IpAddr::from([10, 0, net, last]));
        }
    }
    world.command(node, Command::SetFilter(Arc::new(builder.build())));
}

impl Scenario {
    /// Nobody is blocked any more. Whom the user had named was forgotten, and is named again.
    pub(super) fn lift_filters(&self, world: &mut World) {
        if !self.blows.iter().any(|(_, blow)| matches!(blow, Blow::Filter(..))) {
            return;
        }
        for node in 0..self.nodes() {
            world.command(node, Command::SetFilter(Arc::new(Filter::default())));
            for torrent in world.node(node).torrents().to_vec() {
                let peers = vec![SocketAddr::from(([10, 0, 0, 1], 6881))];
                let source = PeerSource::User;
                world.command(node, TorrentCommand::AddPeers { peers, source }.of(torrent));
            }
        }
    }
}
