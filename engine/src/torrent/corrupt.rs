//! Deliberate damage to a torrent, for the tests that show that each rule of `audit` fires.

use alloc::sync::Arc;

use super::{Contents, Torrent};
use crate::base::ids::ConnId;
use crate::context::Context;

/// A connection that nobody has.
const NOBODY: ConnId = ConnId::from_u64(9 << 32 | 999);

impl Torrent {
    /// Breaks a rule; `None` where there is nothing to break it with.
    pub(crate) fn corrupt(&mut self, ctx: &mut Context, rule: &str) -> Option<()> {
        match rule {
            "connections being made equal the recount" => self.connecting += 1,
            "no decision is left over after a step" => self.haves.add(0),
            "peers are found by their keys" => *self.by_key.values_mut().next()? = NOBODY,
            "every key belongs to a peer" => {
                self.by_key.insert(1_000_000, NOBODY);
            }
            "interest is shown only in peers that have something" => {
                self.peers.values_mut().for_each(|peer| peer.interesting = 0);
            }
            "interest equals the recount of bit fields" => {
                self.peers.values_mut().find(|peer| peer.interesting > 1)?.interesting -= 1;
            }
            "a private torrent knows only peers of its trackers" => {
                match &mut self.contents {
                    Contents::Known(metainfo, _) => Arc::make_mut(metainfo).corrupt_private(),
                    Contents::Unknown(..) => return None,
                }
                self.candidates.corrupt(rule)?;
            }
            _ => {
                return self.corrupt_machines(rule).or_else(|| self.corrupt_peer(ctx, rule));
            }
        }
        Some(())
    }

    fn corrupt_machines(&mut self, rule: &str) -> Option<()> {
        let damaged = match &mut self.contents {
            Contents::Known(_, picker) => picker.corrupt(rule),
            Contents::Unknown(_, fetch) => fetch.corrupt(rule),
        };
        damaged
            .or_else(|| self.candidates.corrupt(rule))
            .or_else(|| self.storage.corrupt(rule))
            .or_else(|| self.blame.corrupt(rule))
            .or_else(|| self.web.corrupt(rule))
    }

    fn corrupt_peer(&mut self, ctx: &mut Context, rule: &str) -> Option<()> {
        let peer = self.peers.values_mut().next()?;
        match rule {
            "a peer interests by missing pieces only" => peer.interesting = 100_000,
            "whoever was not told of every piece is on the list" => peer.haves_told = Some(0),
            "whoever has not been heard stands in line once" => peer.awaits_turn = true,
            "bytes that wait are accounted for" => {
                peer.assembling += 1;
                ctx.budgets.assembling.take(1);
            }
            _ => {
                let damaged = peer.requests.corrupt(rule);
                return damaged
                    .or_else(|| peer.outbox.corrupt(rule))
                    .or_else(|| peer.metadata.corrupt(rule));
            }
        }
        Some(())
    }
}
