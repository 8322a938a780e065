//! What the parts of an engine share during a step: time, configuration, budgets, the actions to
//! be returned. It decides nothing.

mod agenda;
mod budgets;
mod conn_table;
mod dials;
mod disk_ledger;
mod identity;
mod introductions;
mod network;
mod outbox;
mod randomness;
mod wishes;

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::api::{Action, Config, DiskOp, Notice, StreamAction};
use crate::bandwidth::TokenBucket;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, DiskOpId, TorrentId};
use crate::base::rate::RateMeter;
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::base::timer_queue::{Alarm, TimerQueue};
use crate::base::waiting_line::WaitingLine;
use crate::base::work::Work;

pub use agenda::Agenda;
pub use budgets::Budgets;
pub use conn_table::{Conn, ConnTable, Handshaking, Phase};
pub use dials::Dials;
pub use disk_ledger::{DiskJob, DiskLedger, HashPurpose};
pub use identity::{Identity, Persona};
pub use introductions::Introductions;
pub use network::Network;
pub use outbox::Outbox;
pub use randomness::Randomness;
pub use wishes::{Wish, Wishes};

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
    pub out: Outbox,
    /// What this step has cost so far.
    #[serde(skip)]
    pub work: Work,
    /// Deadlines.
    pub timers: TimerQueue<Timer>,
    /// Disk operations in progress.
    pub disk: DiskLedger,
    /// Who is out there.
    pub net: Network,
    /// Bytes that are held for connections.
    pub budgets: Budgets,
    /// What is still to be done in this step.
    pub agenda: Agenda,
    /// Randomness.
    pub random: Randomness,
    /// Limit on all downloads.
    pub down_limit: TokenBucket,
    /// Limit on all uploads.
    pub up_limit: TokenBucket,
    /// All payload uploaded, for the number of slots.
    pub up_meter: RateMeter,
    /// The highest upload rate seen lately.
    pub up_capacity: u64,
    /// Peers that get no credit until the disk has caught up.
    pub throttled: BTreeSet<ConnId>,
    /// Peers that wait for download tokens, in order.
    pub starved_down: WaitingLine,
    /// Peers that wait for upload tokens or send budget, in order.
    pub starved_up: WaitingLine,
    /// Somebody in that line waits for send budget, which may come with any event.
    pub starved_of_room: bool,
    /// For when the bandwidth timer is set.
    pub bandwidth_alarm: Alarm,
    /// When those who wait for tokens may have a turn, if somebody new waits or a limit was changed.
    pub next_turn: Instant,
    /// When there is something for those who waited at the last turn.
    pub tokens_at: Instant,
    /// Whether the engine is stopping.
    pub stopping: bool,
}

impl Context {
    /// A context for an engine that starts at `now`.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        Self {
            now,
            budgets: Budgets::new(&config),
            config,
            out: Outbox::default(),
            work: Work::default(),
            timers: TimerQueue::default(),
            disk: DiskLedger::default(),
            net: Network::default(),
            agenda: Agenda::default(),
            random: Randomness::new(seed),
            down_limit: TokenBucket::for_bytes(None, now),
            up_limit: TokenBucket::for_blocks(None, now),
            up_meter: RateMeter::default(),
            up_capacity: 0,
            throttled: BTreeSet::new(),
            starved_down: WaitingLine::default(),
            starved_up: WaitingLine::default(),
            starved_of_room: false,
            bandwidth_alarm: Alarm::default(),
            next_turn: Instant::ZERO,
            tokens_at: Instant::ZERO,
            stopping: false,
        }
    }

    /// Asks for something about a connection.
    pub fn stream(&mut self, conn: ConnId, action: StreamAction) {
        self.out.stream(conn, action);
    }

    /// Who we are in the torrent of `info_hash`.
    pub fn persona(&self, info_hash: Sha1Hash) -> Persona {
        Persona::new(self.config.peer_id_prefix, &self.random.seed, info_hash)
    }

    /// Tells the embedder something.
    pub fn notify(&mut self, notice: Notice) {
        self.out.notify(notice);
    }

    /// Asks for a disk operation and remembers what it is for.
    pub fn disk(&mut self, job: DiskJob, op: DiskOp) -> DiskOpId {
        let id = self.disk.begin(job);
        self.out.actions.push(Action::Disk(id, op));
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
        self.agenda.wishes.add(torrent, Wish::FindPeers);
    }

    /// There is room for another connection: whoever waits for it decides in this step.
    pub fn room_for_connections(&mut self) {
        self.agenda.room_for_connections();
    }
}
