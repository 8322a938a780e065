//! The info dictionary (BEP 9): fetched where a magnet began the torrent, served to whoever asks.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Stage, Torrent};
use crate::api::{CloseReason, Notice, PeerSource, TorrentError};
use crate::base::ids::ConnId;
use crate::context::{Context, Timer, Wish};
use crate::metadata_fetch::{Arrival, MetadataFetch, length, pieces};
use crate::metainfo::Metainfo;
use crate::peer::{Misbehaviour, OUR_METADATA_ID, OUR_PEX_ID, Peer, PeerError};
use crate::picker::{PeerKey, Picker};
use crate::wire::{ExtendedHandshake, Message, MetadataMessage};

/// Pieces that do not exist, asked for by one peer, beyond which it is no accident.
const MAX_IMPOSSIBLE: u32 = 16;
/// Pieces found on disk that are told one by one to peers who came before they were known.
const MAX_LATE_HAVES: u32 = 5_000;

impl Torrent {
    /// Whether files and pieces are known.
    pub(crate) fn is_known(&self) -> bool {
        self.metainfo.is_known()
    }

    /// Begins to look for the info dictionary.
    pub(crate) fn begin_metadata(&mut self, ctx: &mut Context) {
        let hashes = self.metainfo.info_hashes();
        self.fetch = Some(MetadataFetch::new(hashes, ctx.config.max_metadata));
        if !self.life.is_paused() {
            self.announcer.start();
            ctx.look_for_peers(self.id);
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// The extensions that we take, and how long our info dictionary is.
    pub(super) fn offer_extensions(&self, ctx: &Context, handshake: &mut ExtendedHandshake) {
        handshake.m.insert("ut_metadata".into(), OUR_METADATA_ID);
        if self.exchanges_peers(ctx) {
            handshake.m.insert("ut_pex".into(), OUR_PEX_ID);
        }
        if self.is_known() {
            handshake.metadata_size = i64::try_from(self.metainfo.info().len()).ok();
        }
    }

    /// A peer said in its handshake what it can do for us.
    pub(super) fn metadata_offered(&mut self, ctx: &mut Context, conn: ConnId, size: Option<i64>) {
        let (Some(fetch), Some(peer)) = (&mut self.fetch, self.peers.get(&conn)) else { return };
        let (Some(size), Some(_)) = (size, peer.extensions.metadata) else { return };
        // A length that cannot be is no crime: it may have another torrent in mind. It is not asked.
        if fetch.offered(peer.intro.key, peer.intro.addr.ip(), size, ctx.now).is_ok() {
            ctx.agenda.touched.insert(self.id);
        }
    }

    /// Asks for what is due to be asked.
    pub(super) fn poll_metadata(&mut self, ctx: &mut Context) {
        if !self.life.awaits_metadata() || !self.is_running() {
            return;
        }
        let Some(fetch) = &mut self.fetch else { return };
        for (key, piece) in fetch.poll(ctx.now) {
            let conn = self.by_key.get(&key);
            let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) else { continue };
            let Some(id) = peer.extensions.metadata else { continue };
            say(peer, id, &MetadataMessage::Request(piece));
            ctx.agenda.flush.insert(peer.intro.conn);
        }
        if let Some(at) = fetch.next_deadline() {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.metadata.set(queue, at, now, Timer::Torrent(self.id));
        }
    }

    /// A peer says something about the info dictionary.
    pub(super) fn metadata_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        message: MetadataMessage,
    ) -> Result<(), PeerError> {
        match message {
            MetadataMessage::Request(piece) => return self.serve_metadata(ctx, conn, piece),
            MetadataMessage::Data { piece, total_size, data } => {
                return self.metadata_arrived(ctx, conn, piece, total_size, &data);
            }
            MetadataMessage::Reject(piece) => {
                let Some(peer) = self.peers.get(&conn) else { return Ok(()) };
                if let Some(fetch) = &mut self.fetch {
                    fetch.rejected(peer.intro.key, piece, ctx.now);
                    ctx.agenda.touched.insert(self.id);
                }
            }
            MetadataMessage::Unknown { .. } => {}
        }
        Ok(())
    }

    fn metadata_arrived(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        piece: u32,
        total_size: Option<u32>,
        data: &Bytes,
    ) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        // Somebody else was faster.
        let Some(fetch) = &mut self.fetch else { return Ok(()) };
        let arrival = fetch.arrived(peer.intro.key, piece, total_size, data);
        let arrival = arrival.map_err(|_| Misbehaviour::Metadata)?;
        peer.useful_at = ctx.now;
        self.remember_sender(conn);
        ctx.agenda.touched.insert(self.id);
        match arrival {
            Arrival::More => {}
            Arrival::Wrong(liar) => self.metadata_wrong(ctx, liar),
            Arrival::Complete(info) => self.metadata_complete(ctx, &info),
        }
        Ok(())
    }

    /// The dictionary has the wrong hash: bans the peer that sent all of it, if one peer did.
    fn metadata_wrong(&mut self, ctx: &mut Context, liar: Option<PeerKey>) {
        if let Some(key) = liar {
            self.ban(ctx, key);
        }
    }

    /// The info dictionary is here.
    fn metadata_complete(&mut self, ctx: &mut Context, info: &[u8]) {
        match self.metainfo.with_info(info) {
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
        self.fetch = None;
        self.metainfo = metainfo;
        let geometry = self.metainfo.geometry();
        self.picker = Picker::new(geometry, &mut ctx.random.picks);
        self.picker.set_sequential(self.goal.sequential);
        self.goal.learn_files(self.metainfo.layout().files().len());
        self.apply_priorities();
        if self.metainfo.is_private() {
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
        let geometry = self.metainfo.geometry();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.learn_geometry(geometry).is_err() {
            // It is counted with nothing, as it was.
            let pieces = crate::base::bits::Bits::new(geometry.pieces());
            peer.pieces = crate::picker::PeerPieces::Some(pieces);
            return self.close_peer(ctx, conn, CloseReason::Misbehaved, true);
        }
        ctx.budgets.assembling.give(peer.assembling);
        peer.assembling = peer.waiting_bytes();
        ctx.budgets.assembling.take(peer.assembling);
        self.picker.peer_joined(&peer.pieces);
        peer.interesting = self.picker.interesting(&peer.pieces);
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
        ctx.agenda.wishes.add(self.id, Wish::LeaveDht);
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

    /// Gives a peer a piece of the dictionary, as often as is decent.
    fn serve_metadata(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        piece: u32,
    ) -> Result<(), PeerError> {
        let size = self.metainfo.info().len() as u32;
        let known = self.is_known();
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        let Some(id) = peer.extensions.metadata else { return Ok(()) };
        ctx.agenda.flush.insert(conn);
        let exists = piece < pieces(size);
        if known && !exists {
            peer.impossible_metadata += 1;
            if peer.impossible_metadata > MAX_IMPOSSIBLE {
                return Self::misbehaves(Misbehaviour::MetadataRange);
            }
        }
        if !exists || !peer.metadata.ask(piece, length(size, piece), size, ctx.now) {
            say(peer, id, &MetadataMessage::Reject(piece));
            return Ok(());
        }
        self.send_metadata(ctx, conn);
        Ok(())
    }

    /// Sends a peer what was granted to it of the dictionary, as fast as it reads.
    pub(super) fn send_metadata(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(id) = peer.extensions.metadata else { return };
        let info = self.metainfo.info();
        let size = info.len() as u32;
        while let Some(piece) = peer.metadata.next(peer.outbox.unread()) {
            let start = piece as usize * crate::wire::METADATA_PIECE as usize;
            let bytes = length(size, piece);
            let data = info.slice(start..start + bytes as usize);
            // Metadata counts against the upload limit, as late as everything that cannot wait.
            ctx.limits.up.take(u64::from(bytes));
            self.traffic.up_limit.take(u64::from(bytes));
            say(peer, id, &MetadataMessage::Data { piece, total_size: Some(size), data });
            ctx.agenda.flush.insert(conn);
        }
    }
}

fn say(peer: &mut Peer, id: u8, message: &MetadataMessage) {
    peer.send(&Message::Extended { id, payload: message.encode().into() });
}
