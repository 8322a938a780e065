//! One torrent: its pieces, peers, trackers and data, from the moment it is added until it is gone.
//!
//! The struct holds the ledgers; each module below owns one responsibility:
//! - `lifecycle`: opening, checking, pausing, finishing, failing;
//! - `peers`: who joins, who leaves, who is connected to;
//! - `messages`: what peers say;
//! - `adoption`: what was there before;
//! - `doubt`: verified pieces that may not be what they were;
//! - `arrangement`: how the files lie: skipped, renamed, moved;
//! - `full_disk`: what is done while there is no room;
//! - `have_log`: verified pieces, for peers to be told;
//! - `download`: what is asked for, what comes, what is verified;
//! - `upload`: what is served;
//! - `places`: who gets a place among the peers, and who gives way;
//! - `blame`: who sent a bad block;
//! - `credit`: how much each peer may send;
//! - `saving`: resume data;
//! - `metadata`: the info dictionary, for magnets and for those who ask;
//! - `exchange`: addresses of peers, told and heard;
//! - `discovery`: trackers;
//! - `rest`: going to rest, and coming back.

mod adoption;
mod arrangement;
mod audit;
mod blame;
#[cfg(feature = "corruption")]
mod corrupt;
mod credit;
mod discovery;
mod doubt;
mod download;
mod exchange;
mod full_disk;
mod have_log;
mod lifecycle;
mod messages;
mod metadata;
mod peers;
mod places;
mod rest;
mod saving;
mod upload;
mod view;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::{AddTorrent, Priority, TorrentError};
use crate::bandwidth::TokenBucket;
use crate::base::bits::Bits;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::candidates::Candidates;
use crate::context::{Context, Persona};
use crate::metadata_fetch::MetadataFetch;
use crate::metainfo::Metainfo;
use crate::peer::Peer;
use crate::peer_exchange::Journal;
use crate::picker::{PeerKey, Picker};
use crate::resume::ResumeData;
use crate::tracker::Announcer;

use adoption::Adoption;
use arrangement::Arrangement;
use blame::Blame;
use doubt::Doubt;
use full_disk::FullDisk;
use have_log::HaveLog;
use rest::Rest;
use saving::Saving;

/// Where a torrent is in its life, apart from being paused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The info dictionary is not known yet, or the user has not said to go on from there.
    Metadata,
    /// The files are being looked at.
    Opening,
    /// Some pieces are still to be hashed, or being hashed.
    Checking {
        /// Not begun.
        queue: BTreeSet<u32>,
        /// In progress.
        hashing: u32,
    },
    /// Pieces are fetched and served.
    Active,
    /// On the way out: resume data is saved, then the files are closed.
    Closing {
        /// There is something to save first.
        save: bool,
        /// The files are being closed.
        last: bool,
    },
}

/// One torrent of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Torrent {
    pub(crate) id: TorrentId,
    pub(crate) metainfo: Arc<Metainfo>,
    /// As handshakes and announces name it.
    pub(crate) info_hash: Sha1Hash,
    /// Who we are to its peers and trackers.
    pub(crate) persona: Persona,
    pub(crate) stage: Stage,
    pub(crate) paused: bool,
    pub(crate) error: Option<TorrentError>,
    /// To be forgotten once its files are closed.
    pub(crate) removed: bool,
    /// Then its files go too.
    pub(crate) delete_data: bool,
    pub(crate) picker: Picker,
    /// Each by itself: nodes of a tree are half empty where ids only grow.
    pub(crate) peers: BTreeMap<ConnId, Box<Peer>>,
    by_key: BTreeMap<PeerKey, ConnId>,
    pub(crate) candidates: Candidates,
    /// Connections being made or shaking hands.
    pub(crate) connecting: u32,
    pub(crate) announcer: Announcer,
    announce_alarm: Alarm,
    metadata_alarm: Alarm,
    journal: Journal,
    candidate_alarm: Alarm,
    /// Peers about which something is to be decided in this step.
    touched: BTreeSet<ConnId>,
    /// Blocks were given up in this step: they may be of use to every peer that has something.
    reopened: bool,
    /// Pieces verified, to be told to peers.
    haves: HaveLog,
    /// Pieces whose blocks are all written.
    hash_queue: BTreeSet<u32>,
    blame: Blame,
    saving: Saving,
    doubt: Doubt,
    arrangement: Arrangement,
    rest: Rest,
    /// Nothing durable says yet that the files are ours; nothing is written before that.
    unclaimed: bool,
    adoption: Adoption,
    /// Pieces begun in an earlier run and not complete: blocks that are on disk if a check does not
    /// find the whole piece.
    begun_before: Vec<(u32, Bits)>,
    /// What an earlier run left, until what is there is known to be ours.
    resume: Option<Box<ResumeData>>,
    priorities: Vec<Priority>,
    /// The search for the info dictionary, while it is not known.
    fetch: Option<MetadataFetch>,
    /// Files to fetch once they are known.
    select: Option<Vec<u32>>,
    /// Go no further than the metadata until told to.
    hold: bool,
    sequential: bool,
    /// There was no room on the disk.
    full_disk: Option<FullDisk>,
    /// Something was missing when the torrent became active or since.
    was_incomplete: bool,
    /// The end of the download has been dealt with.
    finished: bool,
    pub(crate) down_limit: TokenBucket,
    pub(crate) up_limit: TokenBucket,
    pub(crate) down: RateMeter,
    pub(crate) up: RateMeter,
    /// Payload of earlier runs, received and sent.
    earlier: (u64, u64),
    wasted: u64,
    /// When a piece was last verified.
    pub(crate) progress_at: Instant,
}

impl Torrent {
    /// A torrent as `add` describes it, not opened yet.
    pub(crate) fn new(id: TorrentId, add: AddTorrent, ctx: &mut Context) -> Self {
        let AddTorrent {
            metainfo,
            resume,
            paused,
            sequential,
            priorities,
            trackers,
            limits,
            select,
            hold_metadata,
            location,
            allocation,
            overwrite,
            naming,
            read_only,
            ..
        } = add;
        let mut torrent = Self {
            id,
            info_hash: metainfo.info_hashes.wire(),
            persona: ctx.persona(metainfo.info_hashes.wire()),
            stage: Stage::Opening,
            paused,
            error: None,
            removed: false,
            delete_data: false,
            picker: picker(&metainfo, sequential, ctx),
            peers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            candidates: Candidates::default(),
            connecting: 0,
            announcer: announcer(&metainfo, trackers, ctx),
            announce_alarm: Alarm::default(),
            metadata_alarm: Alarm::default(),
            journal: Journal::default(),
            candidate_alarm: Alarm::default(),
            touched: BTreeSet::new(),
            reopened: false,
            haves: HaveLog::default(),
            hash_queue: BTreeSet::new(),
            blame: Blame::default(),
            saving: Saving::default(),
            doubt: Doubt::default(),
            arrangement: Arrangement::new(location, allocation, naming, read_only),
            rest: Rest::default(),
            unclaimed: false,
            adoption: Adoption::new(overwrite),
            begun_before: Vec::new(),
            resume,
            priorities: priorities_of(&metainfo, priorities),
            fetch: None,
            select,
            hold: hold_metadata,
            sequential,
            full_disk: None,
            was_incomplete: false,
            finished: false,
            down_limit: TokenBucket::for_bytes(limits.down, ctx.now),
            up_limit: TokenBucket::for_blocks(limits.up, ctx.now),
            down: RateMeter::default(),
            up: RateMeter::default(),
            earlier: (0, 0),
            wasted: 0,
            progress_at: ctx.now,
            metainfo,
        };
        torrent.apply_priorities();
        torrent
    }

    /// True when every piece is verified.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_known() && self.picker.have().is_full()
    }

    /// True when the torrent takes part in its swarm.
    pub(crate) fn is_running(&self) -> bool {
        let stage = matches!(self.stage, Stage::Active | Stage::Metadata);
        stage && !self.paused && self.error.is_none()
    }

    /// True when peers are served and asked for blocks.
    pub(crate) fn is_transferring(&self) -> bool {
        self.stage == Stage::Active && self.is_running()
    }

    /// Verified pieces.
    pub(crate) fn have(&self) -> &Bits {
        self.picker.have()
    }

    /// Fetches pieces in order from now on, or not.
    pub(crate) fn set_sequential(&mut self, on: bool) {
        self.sequential = on;
        self.picker.set_sequential(on);
    }

    /// Marks a peer, and with it the torrent, for the decisions at the end of the step.
    pub(crate) fn touch(&mut self, ctx: &mut Context, conn: ConnId) {
        self.touched.insert(conn);
        ctx.agenda.touched.insert(self.id);
    }

    /// Takes the decisions that the events of this step call for.
    pub(crate) fn settle(&mut self, ctx: &mut Context) {
        self.tell_haves(ctx);
        self.look_for_room(ctx);
        self.offer_reopened(ctx);
        for conn in core::mem::take(&mut self.touched) {
            self.update_interest(ctx, conn);
            self.fill_requests(ctx, conn);
            self.serve(ctx, conn);
            self.refuse_excess(ctx, conn);
            self.send_metadata(ctx, conn);
        }
        self.poll_metadata(ctx);
        self.arrange(ctx);
        if self.awaits_hash() {
            ctx.agenda.awaiting_hash.insert(self.id);
        }
        self.connect_more(ctx);
        self.finish_if_done(ctx);
        self.poll_announces(ctx);
        self.save_if_due(ctx);
        self.look_for_rest(ctx);
    }
}

fn picker(metainfo: &Metainfo, sequential: bool, ctx: &mut Context) -> Picker {
    let mut picker = Picker::new(metainfo.geometry, &mut ctx.random.picks);
    picker.set_sequential(sequential);
    picker
}

/// A priority for each file, as far as the files are known.
fn priorities_of(metainfo: &Metainfo, mut given: Vec<Priority>) -> Vec<Priority> {
    if metainfo.is_known() {
        given.resize(metainfo.layout.files().len(), Priority::Normal);
    }
    given
}

/// The trackers of a torrent, those that the user names behind its own.
fn announcer(metainfo: &Metainfo, more: Vec<String>, ctx: &mut Context) -> Announcer {
    if !ctx.config.trackers {
        return Announcer::new(&[], &mut ctx.random.misc);
    }
    let mut announcer = Announcer::new(&metainfo.trackers, &mut ctx.random.misc);
    more.iter().for_each(|url| announcer.add(url, true));
    announcer
}
