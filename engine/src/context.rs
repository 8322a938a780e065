//! What the parts of an engine share during a step: time, configuration, budgets, the actions to
//! be returned. It decides nothing.

mod conn_table;
mod dials;
mod disk_ledger;
mod identity;
mod introductions;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::{ASSEMBLY_SHARE, Action, Config, DiskOp, Notice, READ_FLOOR, StreamAction};
use crate::bandwidth::TokenBucket;
use crate::base::budget::Budget;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, DiskOpId, TorrentId};
use crate::base::rate::RateMeter;
use crate::base::rng::{Rng, Seed};
use crate::base::time::Instant;
use crate::base::timer_queue::{Alarm, TimerQueue};
use crate::base::waiting_line::WaitingLine;
use crate::base::work::Work;
use crate::standing::Standing;
use crate::tracker::Order;

pub use conn_table::{Conn, ConnTable, Handshaking, Phase};
pub use dials::Dials;
pub use disk_ledger::{DiskJob, DiskLedger, HashPurpose};
pub use identity::{Identity, Persona};
pub use introductions::Introductions;

/// What a timer wakes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Timer {
    /// Tokens for those who wait for them.
    Bandwidth,
    /// A round of choking.
    ChokeRound,
    /// A peer's time-outs, or the deadline of a connection that is being made.
    Conn(ConnId),
    /// A torrent's duties: candidates that may be tried again, resume data.
    Torrent(TorrentId),
    /// A torrent's next announce.
    Announce(TorrentId),
    /// Retransmissions to UDP trackers.
    UdpTrackers,
    /// Time-outs and upkeep of the DHT.
    Dht,
    /// Announcements on the local network.
    LocalDiscovery,
    /// The end of patience at shut-down.
    ShutDown,
    /// Torrents on standby that are due.
    Standby,
}

/// Shared by all parts of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Context {
    /// The time of this step.
    pub now: Instant,
    /// Configuration.
    pub config: Config,
    /// What this step asks of the world.
    #[serde(skip)]
    pub actions: Vec<Action>,
    /// What this step has cost so far.
    #[serde(skip)]
    pub work: Work,
    /// Deadlines.
    pub timers: TimerQueue<Timer>,
    /// Disk operations in progress.
    pub disk: DiskLedger,
    /// Connections.
    pub conns: ConnTable,
    /// Who we are.
    pub identity: Identity,
    /// What is held against addresses.
    pub standing: Standing,
    /// Randomness for picking pieces.
    pub picks: Rng,
    /// Randomness for transactions with trackers.
    pub transactions: Rng,
    /// Randomness for choking.
    pub chokes: Rng,
    /// Randomness for everything else.
    pub misc: Rng,
    /// Limit on all downloads.
    pub down_limit: TokenBucket,
    /// Limit on all uploads.
    pub up_limit: TokenBucket,
    /// All payload uploaded, for the number of slots.
    pub up_meter: RateMeter,
    /// The highest upload rate seen lately.
    pub up_capacity: u64,
    /// Bytes granted and not received.
    pub credit: Budget,
    /// Bytes of blocks being read for upload, or given to sockets and not taken.
    pub sending: Budget,
    /// Bytes of messages that are not complete, or wait for their turn or for the metadata.
    pub assembling: Budget,
    /// Peers with something to send or to be granted at the end of the step.
    pub flush: BTreeSet<ConnId>,
    /// Torrents with decisions to make at the end of the step.
    pub touched: BTreeSet<TorrentId>,
    /// Peers that get no credit until the disk has caught up.
    pub throttled: BTreeSet<ConnId>,
    /// Peers that wait for download tokens, in order.
    pub starved_down: WaitingLine,
    /// Peers that wait for upload tokens or send budget, in order.
    pub starved_up: WaitingLine,
    /// Somebody in that line waits for send budget, which may come with any event.
    pub starved_of_room: bool,
    /// Torrents with pieces that wait for a hash job.
    pub awaiting_hash: BTreeSet<TorrentId>,
    /// The torrent that got the last hash job.
    pub hashed_last: TorrentId,
    /// Torrents that would connect to more peers if there were room in the engine.
    pub awaiting_room: BTreeSet<TorrentId>,
    /// Announces to be made.
    pub orders: Vec<(TorrentId, Order)>,
    /// Where streams of randomness come from.
    pub seed: Seed,
    /// Whether we are a node of the DHT.
    pub dht_runs: bool,
    /// Torrents that want to be looked for in the DHT soon.
    pub dht_wishes: BTreeSet<TorrentId>,
    /// Torrents that the DHT must hear no more of: they turned out to be private.
    pub dht_secrets: BTreeSet<TorrentId>,
    /// Connections that we have begun, by address, since somebody there was a peer.
    pub dials: Dials,
    /// Nodes of the DHT that peers told of.
    pub introductions: Introductions,
    /// There is something new to announce on the local network.
    pub lsd_hurry: bool,
    /// Torrents that nothing has happened to since then.
    pub idle: BTreeSet<(TorrentId, Instant)>,
    /// Torrents that have come back from standby in this step.
    pub woken: BTreeSet<TorrentId>,
    /// For when the bandwidth timer is set.
    pub bandwidth_alarm: Alarm,
    /// When those who wait for tokens may have a turn, if somebody new waits or a limit was changed.
    pub next_turn: Instant,
    /// When there is something for those who waited at the last turn.
    pub tokens_at: Instant,
    /// An interested peer came or a slot fell free since the last round.
    pub slots_changed: bool,
    /// Bytes received, protocol included.
    pub received: u64,
    /// Bytes sent, protocol included.
    pub sent: u64,
    /// Whether the engine is stopping.
    pub stopping: bool,
}

impl Context {
    /// A context for an engine that starts at `now`.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        Self {
            now,
            identity: Identity::default(),
            standing: Standing::default(),
            credit: Budget::new(config.read_credit.into(), READ_FLOOR.into()),
            sending: Budget::new(config.send_budget.into(), config.send_share()),
            assembling: Budget::new(config.assembly_budget.into(), ASSEMBLY_SHARE.into()),
            config,
            actions: Vec::new(),
            work: Work::default(),
            timers: TimerQueue::default(),
            disk: DiskLedger::default(),
            conns: ConnTable::default(),
            picks: seed.stream("picker"),
            transactions: seed.stream("transactions"),
            chokes: seed.stream("choker"),
            misc: seed.stream("misc"),
            seed,
            down_limit: TokenBucket::for_bytes(None, now),
            up_limit: TokenBucket::for_blocks(None, now),
            up_meter: RateMeter::default(),
            up_capacity: 0,
            flush: BTreeSet::new(),
            touched: BTreeSet::new(),
            throttled: BTreeSet::new(),
            starved_down: WaitingLine::default(),
            starved_up: WaitingLine::default(),
            starved_of_room: false,
            awaiting_hash: BTreeSet::new(),
            hashed_last: TorrentId::from_u64(0),
            awaiting_room: BTreeSet::new(),
            orders: Vec::new(),
            dht_runs: false,
            dht_wishes: BTreeSet::new(),
            dht_secrets: BTreeSet::new(),
            dials: Dials::default(),
            introductions: Introductions::default(),
            lsd_hurry: false,
            idle: BTreeSet::new(),
            woken: BTreeSet::new(),
            bandwidth_alarm: Alarm::default(),
            next_turn: Instant::ZERO,
            tokens_at: Instant::ZERO,
            slots_changed: false,
            received: 0,
            sent: 0,
            stopping: false,
        }
    }

    /// Asks for something about a connection.
    pub fn stream(&mut self, conn: ConnId, action: StreamAction) {
        self.actions.push(Action::Stream(conn, action));
    }

    /// Who we are in the torrent of `info_hash`.
    pub fn persona(&self, info_hash: Sha1Hash) -> Persona {
        Persona::new(self.config.peer_id_prefix, &self.seed, info_hash)
    }

    /// Tells the embedder something.
    pub fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }

    /// Asks for a disk operation and remembers what it is for.
    pub fn disk(&mut self, job: DiskJob, op: DiskOp) -> DiskOpId {
        let id = self.disk.begin(job);
        self.actions.push(Action::Disk(id, op));
        id
    }

    /// Whether the disk is so far behind that no more blocks are read: above the mark, and then
    /// until half of it is written. Few large reads cost less than many small ones.
    pub fn disk_is_behind(&self) -> bool {
        let mark = u64::from(self.config.disk_intake);
        let mark = if self.throttled.is_empty() { mark } else { mark / 2 };
        self.disk.intake() > mark
    }

    /// A torrent is in its swarm from now on: DHT and local network are asked for its peers.
    pub fn look_for_peers(&mut self, torrent: TorrentId) {
        self.dht_wishes.insert(torrent);
        self.lsd_hurry = true;
    }

    /// There is room for another connection: whoever waits for it decides in this step.
    pub fn room_for_connections(&mut self) {
        self.touched.append(&mut self.awaiting_room);
    }
}
