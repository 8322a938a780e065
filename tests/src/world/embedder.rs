//! What an embedder does with what its engine tells it.

use std::time::Duration;

use eddyline::Notice;

use super::{AtNode, World};
use crate::node::NodeId;

/// Longest time that an embedder takes to load a torrent.
const LOADING: Duration = Duration::from_millis(200);

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
