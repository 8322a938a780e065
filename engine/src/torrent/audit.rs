//! Invariants of a torrent, checked in tests and simulation after every step.

use alloc::collections::BTreeSet;

use super::Torrent;
use crate::api::PeerSource;
use crate::context::Context;
use crate::picker::{PeerPieces, Picker};

impl Torrent {
    /// What must hold after every step; costs as much as there are peers.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub(crate) fn check_fast(&self, ctx: &Context) -> Result<(), &'static str> {
        if !self.undecided.touched.is_empty() || self.undecided.reopened || self.haves.has_news() {
            return Err("no decision is left over after a step");
        }
        let picker = self.contents.picker();
        for (conn, peer) in &self.peers {
            if self.by_key.get(&peer.intro.key) != Some(conn) {
                return Err("peers are found by their keys");
            }
            if ctx.net.conns.get(*conn).and_then(|c| c.torrent) != Some(self.id) {
                return Err("every peer is a connection of its torrent");
            }
            let depth = ctx.config.max_outstanding_requests.max(8);
            if peer.requests.len() > depth {
                return Err("outstanding requests stay within the depth");
            }
            let missing = picker.map_or(0, |picker| picker.missing().count());
            if self.life.is_active() && peer.interesting > missing {
                return Err("a peer interests by missing pieces only");
            }
            if peer.am_interested && peer.interesting == 0 {
                return Err("interest is shown only in peers that have something");
            }
            if peer.uploads.len() > ctx.config.max_queued_requests {
                return Err("the upload queue stays within reqq");
            }
            if peer.haves_told.is_some() && !self.haves.behind().contains(conn) {
                return Err("whoever was not told of every piece is on the list");
            }
            let silent = picker.is_some_and(|picker| picker.is_silent(peer.intro.key));
            if peer.requests.is_snubbed() != silent {
                return Err("whoever does not deliver is known as silent");
            }
            peer.outbox.check()?;
            peer.metadata.check()?;
            if peer.assembling != peer.waiting_bytes() {
                return Err("bytes that wait are accounted for");
            }
        }
        if self.by_key.len() != self.peers.len() {
            return Err("every key belongs to a peer");
        }
        self.storage.check(ctx.now, self.blocks_asked())?;
        self.blame.check()?;
        self.web.check()?;
        if let Some(fetch) = self.contents.fetch() {
            fetch.check()?;
        }
        Ok(())
    }

    /// What a torrent is made with and every step keeps: lists that are as long as there are pieces
    /// and files. To be checked before the rest of what was read from bytes.
    ///
    /// # Errors
    /// The name of the rule.
    pub(crate) fn check_shape(&self) -> Result<(), &'static str> {
        let geometry = self.contents.geometry();
        if let Some(picker) = self.contents.picker() {
            picker.check_shape()?;
        }
        let fits = self.contents.picker().is_none_or(|picker| picker.geometry() == geometry)
            && (!self.is_known() || self.goal.priorities.len() == self.contents.files().len())
            && self.web.fits(self.contents.metainfo().map(|metainfo| &**metainfo))
            && self.peers.values().all(|peer| match &peer.pieces {
                PeerPieces::All => true,
                PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => {
                    bits.len() == geometry.pieces()
                }
            });
        if fits { Ok(()) } else { Err("every list of a torrent has its length") }
    }

    /// What must hold as well, recounted from scratch.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub(crate) fn check_full(&self, ctx: &Context) -> Result<(), &'static str> {
        if self.contents.are_private() && self.candidates.sources().any(PeerSource::is_hearsay) {
            return Err("a private torrent knows only peers of its trackers");
        }
        let config = &ctx.config;
        self.candidates.check(config.max_candidates, config.max_connections_per_torrent)?;
        match self.contents.picker() {
            Some(picker) => self.check_picker(picker),
            None => Ok(()),
        }
    }

    /// That what the picker knows of peers is what they have and were asked for.
    fn check_picker(&self, picker: &Picker) -> Result<(), &'static str> {
        picker.check()?;
        picker.check_availability(self.peers.values().map(|peer| &peer.pieces))?;
        let mut outstanding = BTreeSet::new();
        for peer in self.peers.values() {
            outstanding.extend(peer.requests.iter().map(|r| (r.at, peer.intro.key)));
            if peer.interesting != picker.interesting(&peer.pieces) {
                return Err("interest equals the recount of bit fields");
            }
        }
        outstanding.extend(self.web.requests());
        let on_record: BTreeSet<_> = picker.requests().into_iter().collect();
        if outstanding != on_record {
            return Err("requests on record equal those outstanding at peers");
        }
        Ok(())
    }
}
