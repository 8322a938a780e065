//! Whose messages wait for the next step: a step does a bounded amount of work for peers, and who has
//! sent more than its turn allows stands in line with everybody else.

use alloc::collections::VecDeque;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::ViolatedRule;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::work::{Payer, STEP_UNITS};
use crate::wire::FrameAssembler;

/// The line of connections in whose buffers complete messages wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Turns {
    waiting: VecDeque<ConnId>,
}

impl Turns {
    /// A connection joins the line. It must not stand in it.
    pub(super) fn wait(&mut self, conn: ConnId) {
        self.waiting.push_back(conn);
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everybody in the line; those whose connection is gone are still in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.waiting.iter().copied()
    }
}

impl Engine {
    /// Bytes came from a peer.
    pub(super) fn bytes_received(
        &mut self,
        conn: ConnId,
        torrent: Option<TorrentId>,
        bytes: Bytes,
    ) {
        self.ctx.net.received += bytes.len() as u64;
        let Some(torrent) = torrent.and_then(|id| self.torrents.get_mut(id)) else { return };
        let (count, watch) = (bytes.len(), &mut self.content);
        let content = |assembler: &FrameAssembler| {
            if watch.on {
                for range in assembler.content_in_tail(count) {
                    watch.note(range.start, range.end);
                }
            }
        };
        let Some(taken) = torrent.bytes_received(&mut self.ctx, conn, bytes, content) else {
            return;
        };
        if taken.awaits_turn {
            self.turns.wait(conn);
        }
        if taken.too_many {
            self.violated(ViolatedRule::MoreThanGranted);
        }
    }

    /// Gives those in the line one turn after the other, until the work of this step has reached
    /// `until`.
    pub(super) fn give_turns(&mut self, until: u64) {
        while self.ctx.work.total() < until
            && let Some(conn) = self.turns.waiting.pop_front()
        {
            self.ctx.work.charge(Payer::Conn(conn));
            if let Some((torrent, ctx)) = self.torrent_of(conn)
                && torrent.act_on_messages(ctx, conn)
            {
                self.turns.wait(conn);
            }
        }
    }

    /// Messages left from the step before get up to half of the work of this one, so that neither they nor new
    /// ones can starve the other.
    pub(super) fn give_first_turns(&mut self) {
        self.give_turns(STEP_UNITS / 2);
    }
}
