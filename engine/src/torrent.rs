//! One torrent: its pieces, peers, trackers and data, from the moment it is added until it is gone.
//!
//! The struct owns machines and ledgers, none of which sees another or the torrent. Six modules below change it, and
//! nothing else can: what happens is told to the machine that it concerns, and what that says is done:
//! - `lifecycle`: metadata, opening, checking, pausing, finishing, resting, leaving; the decisions of each step;
//! - `files`: what happens to its files, and what `storage` says; what is wanted of them;
//! - `peers`: where addresses come from, whom to connect to, who joins, who leaves;
//! - `messages`: what peers say, and what time makes of them;
//! - `transfer`: what is asked for, what comes, what is verified, what is served;
//! - `web`: what web seeds are asked for, and what of that comes.
//!
//! Machines and ledgers:
//! - `contents`: its pieces, or the search for the info dictionary that says which there are;
//! - `life`: whether it is alive, and what it is doing; `goal`: what is wanted of it, `reads`: by whom and when;
//! - `rest`: when it may rest;
//! - `storage`: its files;
//! - `blame`: who sent a bad block; `have_log`: verified pieces, for peers to be told;
//! - `traffic`: payload, and how fast it may be: `credit`, how much each peer may send; `upload`, what each is served;
//! - `exchange`: which peers others are told of; `punch`: who is introduced to whom;
//! - `metadata`: the info dictionary, for those who ask.
//!
//! Others look at it and change nothing: `places` (who gives way where there are too few), `calls` (how an address is
//! called), `introduction` (what a peer is told first), `urgency` (how soon peers bring what readers wait for),
//! `announce` (what an announce says), `view`, `audit`.

mod announce;
mod audit;
mod blame;
mod calls;
mod contents;
#[cfg(feature = "corruption")]
mod corrupt;
mod credit;
mod exchange;
mod files;
mod goal;
mod have_log;
mod introduction;
mod life;
mod lifecycle;
mod messages;
mod metadata;
mod peers;
mod places;
mod punch;
mod reads;
mod rest;
mod storage;
#[cfg(test)]
mod tests;
mod traffic;
mod transfer;
mod upload;
mod urgency;
mod view;
mod web;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::api::AddTorrent;
use crate::base::bits::Bits;
use crate::base::few::FewSet;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::timer_queue::Alarm;
use crate::candidates::Candidates;
use crate::context::{Context, Persona};
use crate::metainfo::Source;
use crate::peer::Peer;
use crate::peer_exchange::Journal;
use crate::picker::PeerKey;
use crate::tracker::Announcer;
use crate::webseed::WebSeeds;

use blame::Blame;
pub(crate) use contents::Contents;
pub(crate) use credit::Sharing;
use goal::Goal;
use have_log::HaveLog;
pub(crate) use life::{Exit, Life, Stage};
pub(crate) use places::MANY_OF_BLOCK;
use rest::Rest;
use storage::{Adoption, Arrangement, Storage};
use traffic::Traffic;

/// What is to be decided at the end of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Undecided {
    /// Peers about which something is.
    touched: FewSet<ConnId>,
    /// Blocks were given up: they may be of use to every peer that has something.
    reopened: bool,
}

/// When the torrent is to be looked at again, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Alarms {
    announce: Alarm,
    metadata: Alarm,
    candidates: Alarm,
    web: Alarm,
}

/// One torrent of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Torrent {
    id: TorrentId,
    /// Who we are to its peers and trackers.
    persona: Persona,
    life: Life,
    /// What is wanted of it, and how far that is.
    goal: Goal,
    /// Its pieces, or the search for the info dictionary.
    contents: Contents,
    /// Its files.
    storage: Storage,
    /// Each by itself: nodes of a tree are half empty where ids only grow.
    peers: BTreeMap<ConnId, Box<Peer>>,
    by_key: BTreeMap<PeerKey, ConnId>,
    candidates: Candidates,
    /// Connections being made or shaking hands.
    connecting: u32,
    announcer: Announcer,
    journal: Journal,
    /// Pieces verified, to be told to peers.
    haves: HaveLog,
    blame: Blame,
    rest: Rest,
    undecided: Undecided,
    alarms: Alarms,
    traffic: Traffic,
    /// Servers that have its files.
    web: WebSeeds,
}

impl Torrent {
    /// A torrent as `add` describes it, not opened yet.
    pub(crate) fn new(id: TorrentId, add: AddTorrent, ctx: &mut Context) -> Self {
        let info_hash = add.source.info_hashes().wire();
        let files = add.source.metainfo().map(|metainfo| metainfo.layout().files().len());
        let mut torrent = Self {
            id,
            persona: ctx.persona(info_hash),
            life: Life::new(add.paused, files.is_some(), add.hold_metadata),
            goal: Goal::new(files, add.priorities, add.select, add.sequential, ctx.now),
            storage: Storage::new(
                Arrangement::new(add.location, add.allocation, add.naming, add.read_only),
                Adoption::new(add.overwrite),
                add.resume,
            ),
            peers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            candidates: Candidates::default(),
            connecting: 0,
            announcer: announcer(&add.source, &add.trackers, ctx),
            journal: Journal::default(),
            haves: HaveLog::default(),
            blame: Blame::default(),
            rest: Rest::default(),
            undecided: Undecided::default(),
            alarms: Alarms::default(),
            traffic: Traffic::new(add.limits, ctx.now),
            web: web_seeds(&add.source, &add.mirrors),
            contents: Contents::new(add.source, ctx.config.max_metadata, &mut ctx.random.picks),
        };
        torrent.apply_readers();
        torrent.apply_priorities();
        torrent
    }

    /// True when every piece is verified.
    pub(crate) fn is_complete(&self) -> bool {
        self.contents.are_known() && self.contents.have().is_full()
    }

    /// True when the torrent takes part in its swarm.
    pub(crate) fn is_running(&self) -> bool {
        self.life.is_running()
    }

    /// True when peers are served and asked for blocks.
    pub(crate) fn is_transferring(&self) -> bool {
        self.life.is_transferring()
    }

    /// As handshakes and announces name it.
    pub(crate) fn info_hash(&self) -> Sha1Hash {
        self.contents.info_hashes().wire()
    }

    /// Verified pieces.
    pub(crate) fn have(&self) -> &Bits {
        self.contents.have()
    }

    /// Its number in the engine.
    pub(crate) fn id(&self) -> TorrentId {
        self.id
    }

    /// Who we are to its peers and trackers.
    pub(crate) fn persona(&self) -> &Persona {
        &self.persona
    }

    /// Whether it is alive, and what it is doing.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Its pieces, or the search for the info dictionary.
    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Its peers.
    pub(crate) fn peers(&self) -> &BTreeMap<ConnId, Box<Peer>> {
        &self.peers
    }

    /// The addresses that it knows.
    pub(crate) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Connections being made or shaking hands.
    pub(crate) fn connecting(&self) -> u32 {
        self.connecting
    }

    /// Its trackers.
    pub(crate) fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    /// Its payload, and how fast that may be.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Servers that have its files.
    pub(crate) fn web(&self) -> &WebSeeds {
        &self.web
    }
}

/// The trackers of a torrent, those that the user names behind its own.
fn announcer(source: &Source, more: &[String], ctx: &mut Context) -> Announcer {
    if !ctx.config.trackers {
        return Announcer::new(&[], ctx.config.announce, &mut ctx.random.misc);
    }
    let tiers = source.trackers();
    let mut announcer = Announcer::new(&tiers, ctx.config.announce, &mut ctx.random.misc);
    more.iter().for_each(|url| announcer.add(url, true));
    announcer
}

/// The web seeds of a torrent, and those that the user names.
fn web_seeds(source: &Source, mirrors: &[String]) -> WebSeeds {
    let mut web = WebSeeds::default();
    web.add_all(source, mirrors);
    web
}
