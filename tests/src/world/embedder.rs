//! What an embedder asks of its engine, and does with what that tells it.

use std::net::SocketAddr;
use std::time::Duration;

use eddyline::{Notice, RateLimits};

use super::{AtNode, World};
use crate::node::NodeId;

/// Longest time that an embedder takes to load a torrent.
const LOADING: Duration = Duration::from_millis(200);

/// How a torrent is added to a node.
#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    /// Peers to connect to.
    pub peers: Vec<SocketAddr>,
    /// Fetch in order.
    pub sequential: bool,
    /// Limits of the torrent.
    pub limits: RateLimits,
    /// The disk holds the content already.
    pub has_content: bool,
    /// Files in which nothing of the torrent is found are left alone.
    pub careful: bool,
}

impl World {
    pub(super) fn noticed(&mut self, id: NodeId, notice: Notice) {
        // An embedder that has a torrent loads it when it is wanted, in its own time.
        if let Notice::Wanted(hash) = &notice
            && let Some(event) = self.nodes[id].wake(*hash)
        {
            let when = self.soon(LOADING);
            self.at_node(when, id, AtNode::Tell(event));
        }
        let node = &mut self.nodes[id];
        match &notice {
            Notice::TorrentAdded { torrent, .. } => node.torrents.push(*torrent),
            Notice::TorrentRemoved(torrent) | Notice::Rested(torrent, _) => {
                node.torrents.retain(|known| known != torrent);
            }
            Notice::Finished(_) => node.finished += 1,
            Notice::MetadataReady(torrent) => {
                if let Some(metainfo) = node.engine.metainfo(*torrent) {
                    node.learned.insert(metainfo.info_hashes().wire(), metainfo.clone());
                }
            }
            _ => {}
        }
        if node.keep_notices {
            node.notices.push(notice);
        }
    }
}
