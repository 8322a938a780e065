//! Metadata, opening, checking, pausing, finishing, failing, resting and leaving.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::storage::{Belief, Storage};
use super::{Contents, Exit, Stage, Torrent, metadata};
use crate::api::{AddTorrent, CloseReason, DiskError, DiskOp, Notice, PeerSource, TorrentError};
use crate::base::bits::Bits;
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::candidates::Namer;
use crate::context::{Agenda, Context, DiscoveryRequest, DiskJob, HashPurpose, Timer};
use crate::metainfo::Metainfo;
use crate::resume::ResumeData;
use crate::standby::Kept;
use crate::wire::{ExtendedHandshake, Message};

/// Pieces found on disk that are told one by one to peers who came before they were known.
const MAX_LATE_HAVES: u32 = 5_000;

impl Torrent {
    /// Whether files and pieces are known.
    pub(crate) fn is_known(&self) -> bool {
        self.contents.are_known()
    }

    /// The info dictionary, once it is known.
    pub(super) fn info(&self) -> Option<&Bytes> {
        self.contents.info()
    }

    /// Begins to look for the info dictionary.
    pub(crate) fn begin_metadata(&mut self, ctx: &mut Context) {
        if !self.life.is_paused() {
            self.announcer.start();
            ctx.look_for_peers(self.id);
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// The info dictionary is here.
    pub(super) fn metadata_complete(&mut self, ctx: &mut Context, info: &[u8]) {
        let Contents::Unknown(magnet, _) = &self.contents else { return };
        match magnet.with_info(info) {
            Ok(metainfo) => self.adopt_metainfo(ctx, Arc::new(metainfo)),
            // Its hash is right, so nobody has a better one.
            Err(_) => self.stand_still(ctx, TorrentError::Metadata),
        }
    }

    /// Takes the whole description of a torrent of which only the identity was known.
    pub(crate) fn adopt_metainfo(&mut self, ctx: &mut Context, metainfo: Arc<Metainfo>) {
        if self.is_known() || !self.life.awaits_metadata() {
            return;
        }
        self.web.add_named(metainfo.web_seeds(), metainfo.http_seeds());
        self.contents = Contents::known(metainfo, &mut ctx.random.picks);
        self.apply_readers();
        self.goal.learn_files(self.contents.files().len());
        self.apply_priorities();
        if self.contents.are_private() {
            self.forget_hearsay(ctx);
        }
        ctx.notify(Notice::MetadataReady(self.id));
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.introduce_late(ctx, conn);
        }
        if *self.life.stage() != (Stage::Metadata { hold: true }) {
            self.open(ctx);
        }
    }

    /// A peer that was there before the metadata: what it said of pieces means something now.
    fn introduce_late(&mut self, ctx: &mut Context, conn: ConnId) {
        let geometry = self.contents.geometry();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.learn_geometry(geometry).is_err() {
            // Availability counts it with no pieces until now, and has to go on doing so while it is closed.
            let pieces = crate::base::bits::Bits::new(geometry.pieces());
            peer.pieces = crate::picker::PeerPieces::Some(pieces);
            return self.close_peer(ctx, conn, CloseReason::Misbehaved, true);
        }
        ctx.budgets.assembling.give(peer.assembling);
        peer.assembling = peer.waiting_bytes();
        ctx.budgets.assembling.take(peer.assembling);
        if let Some(picker) = self.contents.picker_mut() {
            picker.peer_joined(&peer.pieces);
            peer.interesting = picker.interesting(&peer.pieces);
        }
        if peer.extended {
            let mut handshake = ExtendedHandshake::default();
            self.offer_extensions(ctx, &mut handshake);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.send(&Message::Extended { id: 0, payload: handshake.encode().into() });
            }
        }
        ctx.agenda.flush.insert(conn);
        self.touch(&mut ctx.agenda, conn);
    }

    /// The torrent is private (BEP 27): what DHT, peer exchange and local discovery told is
    /// forgotten, and whoever came by them goes.
    fn forget_hearsay(&mut self, ctx: &mut Context) {
        ctx.agenda.discovery.add(self.id, DiscoveryRequest::LeaveDht);
        let conns = self.peers.values().filter(|peer| peer.intro.source.is_hearsay());
        let conns: Vec<ConnId> = conns.map(|peer| peer.intro.conn).collect();
        for conn in conns {
            self.close_peer(ctx, conn, CloseReason::Private, true);
        }
        self.close_pending(ctx, CloseReason::Private, PeerSource::is_hearsay);
        self.candidates.forget_sources(PeerSource::is_hearsay);
    }

    /// Pieces that were found on disk after peers had been told that there are none.
    pub(super) fn tell_late_haves(&mut self, ctx: &mut Context) {
        if self.peers.is_empty() {
            return;
        }
        if self.have().count() > MAX_LATE_HAVES {
            return self.close_all(ctx, CloseReason::Stopped);
        }
        let have: Vec<u32> = self.have().ones().collect();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            if let Some(peer) = self.peers.get_mut(&conn) {
                have.iter().for_each(|piece| peer.send(&Message::Have(*piece)));
            }
            ctx.agenda.flush.insert(conn);
            self.touch(&mut ctx.agenda, conn);
        }
    }

    /// Makes the files known to the driver.
    pub(crate) fn open(&mut self, ctx: &mut Context) {
        self.life.enter(Stage::Opening);
        let metainfo = self.contents.metainfo();
        if let Some(resume) = metainfo.and_then(|metainfo| self.storage.on_record(metainfo)) {
            self.announcer.remember(&resume.trackers);
        }
        self.go_on_announcing(ctx.now);
        let skipped = self.goal.skipped_files();
        self.tell_storage(ctx, |storage, around, out| storage.open(around, skipped, out));
    }

    /// The files have been looked at: takes over what is believed of them, and hashes the rest.
    pub(super) fn opened(
        &mut self,
        ctx: &mut Context,
        belief: Belief,
        resume: Option<Box<ResumeData>>,
    ) {
        let Some(picker) = self.contents.picker_mut() else { return };
        belief.good.into_iter().for_each(|piece| picker.set_have(piece));
        for (piece, blocks) in &belief.begun {
            picker.restore_partial(*piece, blocks);
        }
        if let Some(resume) = resume {
            self.traffic.resume(resume.downloaded, resume.uploaded);
            // After a rest these addresses are stale: whoever was there then comes by itself.
            let peers = if self.is_coming_or_going() { Vec::new() } else { resume.peers };
            for addr in peers {
                self.add_candidate(ctx, addr, Namer::all(PeerSource::Resume));
            }
        }
        self.recount_interest();
        self.begin_check(ctx, belief.check);
    }

    /// What is missing has changed in more than one place: recounts for every peer how much of it
    /// it has.
    pub(super) fn recount_interest(&mut self) {
        let Some(picker) = self.contents.picker() else { return };
        for peer in self.peers.values_mut() {
            peer.interesting = picker.interesting(&peer.pieces);
        }
    }

    fn begin_check(&mut self, ctx: &mut Context, queue: BTreeSet<u32>) {
        if !queue.is_empty() {
            self.storage.mark();
        }
        self.life.enter(Stage::Checking { queue, hashing: 0 });
        self.go_on_checking(ctx);
    }

    /// Hashes more pieces, as far as there are jobs; goes active when all are done.
    pub(crate) fn go_on_checking(&mut self, ctx: &mut Context) {
        let Stage::Checking { queue, hashing } = self.life.stage() else { return };
        // Blocks may still be on their way to the disk; a piece must not be hashed before they are written.
        if self.life.is_paused() || self.life.has_failed() || ctx.disk.is_writing(self.id) {
            return;
        }
        if !queue.is_empty() {
            ctx.agenda.awaiting_hash.insert(self.id);
        } else if *hashing == 0 {
            self.tell_storage(ctx, Storage::checked);
        }
    }

    /// Begins to hash one piece of a check. Returns whether it did.
    pub(super) fn check_one(&mut self, ctx: &mut Context) -> bool {
        if self.life.is_paused() || ctx.disk.is_writing(self.id) {
            return false;
        }
        let Stage::Checking { queue, hashing } = self.life.stage_mut() else { return false };
        let Some(piece) = queue.pop_first() else { return false };
        *hashing += 1;
        let (torrent, purpose) = (self.id, HashPurpose::Check);
        let job = DiskJob::Hash { torrent, piece, purpose };
        ctx.disk(job, DiskOp::HashPiece { torrent, piece });
        true
    }

    /// A piece was hashed to find out what is on disk.
    pub(super) fn checked(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        outcome: Result<Sha1Hash, DiskError>,
    ) {
        let Stage::Checking { queue, hashing } = self.life.stage_mut() else { return };
        let Contents::Known(metainfo, picker) = &mut self.contents else { return };
        *hashing -= 1;
        match outcome {
            // A piece that cannot be read now may still be good: it is hashed again later.
            Err(error) if error != DiskError::Missing => {
                queue.insert(piece);
                return self.fail(ctx, error);
            }
            Ok(hash) if metainfo.piece_hash(piece) == Some(hash) => {
                let was_missing = picker.is_missing(piece);
                picker.set_have(piece);
                // Peers that came before the metadata are still connected.
                for peer in self.peers.values_mut().filter(|_| was_missing) {
                    peer.interesting -= u32::from(peer.pieces.has(piece));
                }
            }
            Ok(_) | Err(_) => {}
        }
        self.go_on_checking(ctx);
    }

    /// The files are ours; blocks of pieces that an earlier run began are there.
    pub(super) fn go_active(&mut self, ctx: &mut Context, begun: Vec<(u32, Bits)>) {
        let Some(picker) = self.contents.picker_mut() else { return };
        self.life.enter(Stage::Active);
        for (piece, blocks) in begun {
            picker.restore_partial(piece, &blocks);
        }
        self.goal.progress_at = ctx.now;
        self.goal.finished = picker.is_finished();
        self.goal.was_incomplete = !self.is_complete();
        ctx.notify(Notice::Checked(self.id, self.have().count()));
        if !self.is_coming_or_going() {
            self.storage.mark();
        }
        self.tell_late_haves(ctx);
        let known = self.rest.has_come();
        if known.is_some() {
            ctx.agenda.woken.insert(self.id);
        }
        if !self.life.is_paused() {
            self.announcer.start();
            if known != Some(true) {
                ctx.look_for_peers(self.id);
            }
        }
        self.hash_again(ctx);
        ctx.agenda.touched.insert(self.id);
    }

    /// Pieces restored with all their blocks wait for their hash.
    fn hash_again(&mut self, ctx: &mut Context) {
        self.tell_storage(ctx, |storage, around, _| storage.hash_again(around));
    }

    /// Hashes everything again.
    pub(crate) fn recheck(&mut self, ctx: &mut Context) {
        if !self.life.is_active() {
            return;
        }
        self.close_all(ctx, CloseReason::Stopped);
        self.storage.recheck();
        let geometry = self.contents.geometry();
        self.forget_pieces(ctx);
        self.life.recover();
        self.begin_check(ctx, (0..geometry.pieces()).collect());
    }

    /// Stands still: peers go, trackers hear `stopped`, resume data is saved.
    pub(crate) fn pause(&mut self, ctx: &mut Context) {
        if self.life.pause() {
            self.leave_swarm(ctx, CloseReason::Stopped);
        }
    }

    pub(super) fn leave_swarm(&mut self, ctx: &mut Context, reason: CloseReason) {
        self.close_all(ctx, reason);
        for order in self.announcer.stop() {
            ctx.agenda.discovery.add(self.id, DiscoveryRequest::Announce(order));
        }
        self.storage.save_soon();
        ctx.agenda.touched.insert(self.id);
    }

    /// Goes on after a pause or an error.
    pub(crate) fn resume(&mut self, ctx: &mut Context) {
        self.life.unpause();
        // The user says that there is room.
        self.storage.try_again();
        if self.tell_storage(ctx, Storage::look_at_once) {
            return;
        }
        let failed = self.life.recover();
        match self.life.stage() {
            Stage::Active => {
                self.announcer.start();
                ctx.look_for_peers(self.id);
                self.hash_again(ctx);
                ctx.agenda.touched.insert(self.id);
            }
            Stage::Checking { .. } => self.go_on_checking(ctx),
            Stage::Metadata { .. } => {
                self.life.enter(Stage::Metadata { hold: false });
                if self.is_known() {
                    self.open(ctx);
                } else {
                    self.announcer.start();
                    ctx.look_for_peers(self.id);
                }
                ctx.agenda.touched.insert(self.id);
            }
            Stage::Opening if failed => self.open(ctx),
            Stage::Opening | Stage::Closing { .. } => {}
        }
    }

    /// Nothing more is done until the user says otherwise.
    pub(super) fn stand_still(&mut self, ctx: &mut Context, error: TorrentError) {
        if self.life.fail(error) {
            ctx.notify(Notice::TorrentFailed(self.id, error));
            self.leave_swarm(ctx, CloseReason::Stopped);
        }
    }

    /// Ends the torrent: peers go, trackers hear `stopped`, resume data is saved, files are closed.
    pub(crate) fn close(&mut self, ctx: &mut Context, exit: Exit) {
        if self.life.is_closing() {
            self.life.leave(exit);
            return;
        }
        self.leave_swarm(ctx, CloseReason::Stopped);
        let unread = self.goal.reads.take_hopeless(|_, _| true);
        self.end_reads(ctx, unread, false);
        self.life.leave(exit);
        self.go_on_closing(ctx);
    }

    /// Disk operations end in any order, so each waits for those before it: first whatever is in
    /// progress, then a save of what that left, then the files are closed.
    pub(crate) fn go_on_closing(&mut self, ctx: &mut Context) {
        // Asked after every disk operation.
        if !self.life.is_closing() {
            return;
        }
        let (torrent, info_hash) = (self.id, self.info_hash());
        let Stage::Closing { exit, save, last } = self.life.stage_mut() else { return };
        if last.is_some() || ctx.disk.is_busy_with(torrent) {
            return;
        }
        if core::mem::take(save) {
            return self.tell_storage(ctx, Storage::save_now);
        }
        *last = Some(*exit);
        let op = match exit {
            // Files that were never on record as ours may be somebody else's.
            Exit::Remove { data } => {
                DiskOp::Delete { torrent, info_hash, data: *data && !self.storage.is_unclaimed() }
            }
            Exit::Stop | Exit::Rest => DiskOp::Close { torrent },
        };
        ctx.disk(DiskJob::Close(torrent), op);
    }

    /// It was on standby. One that comes back as a magnet starts from the beginning.
    pub(crate) fn returns(&mut self, kept: Kept) {
        if self.is_known() {
            self.rest.returns(kept);
        }
    }

    /// It is between rest and work: whoever wants it waits.
    pub(crate) fn is_coming_or_going(&self) -> bool {
        self.rest.is_coming() || self.life.was_going_to_rest()
    }

    /// Trackers are to hear of it when they expect to, in the session that they know.
    fn go_on_announcing(&mut self, now: Instant) {
        let Some((at, kept)) = self.rest.take_session() else { return };
        self.announcer.go_on(at, kept.told, kept.failures);
        self.traffic.down.carry(now, kept.received);
        self.traffic.up.carry(now, kept.sent);
    }

    /// What it goes on with when it is wanted again.
    pub(crate) fn kept(&self) -> Kept {
        let announce = self.announcer.next_of_all();
        let (received, sent) = (self.traffic.down.total(), self.traffic.up.total());
        let (told, failures) = (self.announcer.told(), self.announcer.least_failures());
        let hosts = self.announcer.hosts_waited_for();
        Kept { announce, told, failures, hosts, dht: None, received, sent }
    }

    /// Notes whether there is nothing to do.
    pub(super) fn look_for_rest(&mut self, ctx: &mut Context) {
        let idle = ctx.config.rest_after.is_some() && self.has_nothing_to_do(ctx);
        if let Some(since) = self.rest.look(ctx.now, idle) {
            ctx.agenda.idle.insert((self.id, since));
        }
    }

    fn has_nothing_to_do(&self, ctx: &Context) -> bool {
        self.is_transferring()
            && !ctx.stopping
            && self.goal.finished
            && self.peers.is_empty()
            && self.connecting == 0
            && !self.web.is_busy()
            && self.candidates.next_deadline().is_none_or(|at| at > ctx.now)
            && self.storage.is_at_rest()
            && self.announcer.is_at_rest(ctx.now)
            && !ctx.disk.is_busy_with(self.id)
    }

    /// Nothing has happened since then: closes the files, if that is long enough.
    pub(crate) fn rest(&mut self, ctx: &mut Context, since: Instant, announce_only: bool) {
        let Some(patience) = ctx.config.rest_after else { return };
        let at = self.rest.begins(since, announce_only, patience);
        if at > ctx.now {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            return self.rest.alarm.set(queue, at, now, Timer::Torrent(self.id));
        }
        self.life.leave(Exit::Rest);
        self.go_on_closing(ctx);
    }

    /// Deals with the end of the download, once.
    pub(super) fn finish_if_done(&mut self, agenda: &mut Agenda) {
        if !self.life.is_active() || self.goal.finished || !self.contents.are_finished() {
            return;
        }
        self.goal.finished = true;
        if self.is_complete() && core::mem::take(&mut self.goal.was_incomplete) {
            self.announcer.complete();
        }
        self.storage.finished();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.tell_upload_only(conn);
            agenda.flush.insert(conn);
            self.touch(agenda, conn);
        }
    }

    /// Tells a peer that we download nothing any more (BEP 21).
    fn tell_upload_only(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn).filter(|peer| peer.extended) else { return };
        let handshake =
            ExtendedHandshake { upload_only: Some(true), ..ExtendedHandshake::default() };
        peer.send(&Message::Extended { id: 0, payload: handshake.encode().into() });
    }

    /// What is added a second time is one torrent: what the second source knows is of use to it.
    pub(crate) fn merge(&mut self, ctx: &mut Context, add: &AddTorrent) {
        if self.life.is_going_to_rest() {
            return;
        }
        if let Some(metainfo) = add.source.metainfo() {
            self.adopt_metainfo(ctx, metainfo.clone());
        }
        if ctx.config.trackers {
            add.source.trackers().iter().flatten().for_each(|url| self.announcer.add(url, false));
            add.trackers.iter().for_each(|url| self.announcer.add(url, true));
        }
        self.web.add_all(&add.source, &add.mirrors);
        for addr in &add.peers {
            self.add_candidate(ctx, *addr, Namer::all(PeerSource::User));
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// Its files are closed: it is at rest, gone, or removed on its way to rest (`None`).
    pub(crate) fn closed(&mut self) -> Option<Exit> {
        self.life.closed()
    }

    /// Marks a peer, and with it the torrent, for the decisions at the end of the step.
    pub(crate) fn touch(&mut self, agenda: &mut Agenda, conn: ConnId) {
        self.undecided.touched.insert(conn);
        agenda.touched.insert(self.id);
    }

    /// Takes the decisions that the events of this step call for.
    pub(crate) fn settle(&mut self, ctx: &mut Context) {
        self.tell_haves(ctx);
        self.look_for_room(ctx);
        self.ask_web_seeds(ctx);
        self.offer_reopened(&mut ctx.work);
        for conn in core::mem::take(&mut self.undecided.touched) {
            self.update_interest(&mut ctx.agenda, conn);
            self.fill_requests(ctx, conn);
            self.serve(ctx, conn);
            self.part_when_both_complete(ctx, conn);
            if let Some(peer) = self.peers.get_mut(&conn) {
                metadata::send(ctx, &mut self.traffic.up_limit, self.contents.info(), peer);
            }
        }
        self.poll_metadata(ctx);
        self.tell_storage(ctx, Storage::settle);
        if self.awaits_hash() {
            ctx.agenda.awaiting_hash.insert(self.id);
        }
        self.connect_more(ctx);
        self.finish_if_done(&mut ctx.agenda);
        self.answer_reads(ctx);
        self.poll_announces(ctx);
        self.save_if_due(ctx);
        self.look_for_rest(ctx);
    }
}
