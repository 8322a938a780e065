//! What the parts of an engine share during a step: time, configuration, budgets, the actions to
//! be returned. It decides nothing.

mod actions;
mod agenda;
mod budgets;
mod conn_table;
mod dials;
mod discovery;
mod disk_ledger;
mod exchanges;
mod identity;
mod idlers;
mod introductions;
mod limits;
mod network;
mod randomness;
mod reach;
mod utp;
mod waiting_room;

use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use crate::api::{
    Action, CommandError, Config, DiskOp, Notice, StreamAction, Tag, Transport, Transports,
};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, DiskOpId, TorrentId};
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::base::timer_queue::TimerQueue;
use crate::base::work::Work;
use crate::mixed_mode::Way;

pub use actions::Actions;
pub use agenda::Agenda;
pub use budgets::Budgets;
pub use conn_table::{Conn, ConnTable, Handshaking, NamedBy, Opening, Phase};
pub use dials::Dials;
pub use discovery::{DiscoveryRequest, DiscoveryRequests};
pub use disk_ledger::{DiskJob, DiskLedger, HashPurpose};
pub use exchanges::Exchanges;
pub use identity::{Identity, Persona};
pub use idlers::Idlers;
pub use introductions::Introductions;
pub use limits::Limits;
pub use network::Network;
pub use randomness::Randomness;
pub use reach::Reach;
pub use utp::{ACCEPT_ROOM, Utp};
pub use waiting_room::WaitingRoom;

/// What a timer wakes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Timer {
    /// Tokens for those who wait for them.
    Bandwidth,
    /// A round of choking.
    ChokeRound,
    /// A peer's time-outs, or the deadline of a connection that is being made.
    Conn(ConnId),
    /// A key may be worked out for a stranger that waits for one.
    Keys,
    /// A torrent's duties: candidates that may be tried again, resume data.
    Torrent(TorrentId),
    /// A torrent's next announce.
    Announce(TorrentId),
    /// Turns at trackers, and retransmissions to them.
    Trackers,
    /// Time-outs and upkeep of the DHT.
    Dht,
    /// Announcements on the local network.
    LocalDiscovery,
    /// The end of patience at shut-down.
    ShutDown,
    /// Torrents on standby that are due.
    Standby,
    /// What µTP has to send or to give up.
    Utp,
    /// How much TCP leaves to µTP is decided again.
    MixedMode,
}

/// Shared by all parts of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Context {
    /// The time of this step.
    pub now: Instant,
    /// Configuration.
    pub config: Config,
    /// What this step asks of the world.
    pub out: Actions,
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
    /// How fast all torrents may be together, and who waits for that.
    pub limits: Limits,
    /// Randomness.
    pub random: Randomness,
    /// Whether the engine is stopping.
    pub stopping: bool,
}

impl Context {
    /// A context for an engine that starts at `now`.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        Self {
            now,
            budgets: Budgets::new(&config),
            limits: Limits::new(&config, now),
            config,
            out: Actions::default(),
            work: Work::default(),
            timers: TimerQueue::default(),
            disk: DiskLedger::default(),
            net: Network::new(Utp::new(&seed)),
            agenda: Agenda::default(),
            random: Randomness::new(seed),
            stopping: false,
        }
    }

    /// Whether rate limits hold for what goes over a transport.
    pub const fn limits_hold(&self, transport: Transport) -> bool {
        self.config.limit_utp || matches!(transport, Transport::Tcp)
    }

    /// Bytes of a stream have come or gone.
    pub fn carried(&mut self, way: Way, transport: Transport, bytes: u64) {
        // Where there is one transport, nothing is shared.
        if !self.config.mixed_mode || self.config.transports != Transports::Both {
            return;
        }
        let utp = transport == Transport::Utp;
        if let Some(at) = self.limits.mixed.carried(self.now, way, utp, bytes) {
            self.timers.schedule(at, Timer::MixedMode);
        }
    }

    /// Asks for something about a connection.
    pub fn stream(&mut self, conn: ConnId, action: StreamAction) {
        if self.net.utp.asked(conn, &action) {
            self.out.stream(conn, action);
        }
    }

    /// Begins a connection to an address at which `last` was spoken last. False when there is no place for it.
    pub fn connect(&mut self, conn: ConnId, remote: SocketAddr, last: Option<Transport>) -> bool {
        let first = match self.config.transports {
            Transports::Tcp => Transport::Tcp,
            Transports::Utp => Transport::Utp,
            Transports::Both => last.unwrap_or_default(),
        };
        if first == Transport::Utp && self.connect_utp(conn, remote, false) {
            return true;
        }
        if self.config.transports == Transports::Utp {
            return false;
        }
        self.stream(conn, StreamAction::Connect { remote });
        true
    }

    /// Begins a connection over µTP, beside one with TCP or without.
    pub fn connect_utp(&mut self, conn: ConnId, remote: SocketAddr, tcp: bool) -> bool {
        let speaks = self.net.identity.udp(remote.is_ipv6()).is_some();
        speaks && self.net.utp.connect(conn, remote, tcp, self.now)
    }

    /// Who we are in the torrent of `info_hash`.
    pub fn persona(&self, info_hash: Sha1Hash) -> Persona {
        let prefix = (!self.config.anonymous).then_some(self.config.peer_id_prefix);
        Persona::new(prefix, &self.random.seed, info_hash)
    }

    /// Tells the embedder something.
    pub fn notify(&mut self, notice: Notice) {
        self.out.notify(notice);
    }

    /// Tells whether others can connect to us.
    pub fn tell_reachability(&mut self) {
        let identity = &self.net.identity;
        let address = identity.settled(false).or_else(|| identity.settled(true));
        self.notify(Notice::Reachability { state: self.net.reach.told(), address });
    }

    /// Says that a command cannot be carried out.
    pub fn reject(&mut self, tag: Tag, error: CommandError) {
        self.notify(Notice::CommandRejected { tag, error, torrent: None });
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
        let mark = if self.limits.awaiting_disk.is_empty() { mark } else { mark / 2 };
        self.disk.intake() > mark
    }

    /// A torrent is in its swarm from now on: DHT and local network are asked for its peers.
    pub fn look_for_peers(&mut self, torrent: TorrentId) {
        self.agenda.discovery.add(torrent, DiscoveryRequest::FindPeers);
    }

    /// There is room for another connection: whoever waits for it decides in this step.
    pub fn room_for_connections(&mut self) {
        self.agenda.room_for_connections();
    }
}
