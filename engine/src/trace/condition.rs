//! What one may look for in a run, and noticing the step that brings it about.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;

use crate::api::{Action, Notice, PeerView};
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::engine::Engine;

/// Something that comes about in one step.
///
/// Written as words: `piece 812 verified`, `piece 812 failed`, `torrent complete`,
/// `torrent failed`, `tracker answered`, `tracker failed`, `resume saved`, `time 90s`,
/// `contract violated`, or `peer X` with `connected`, `closed`, `banned`, `choked`, `unchoked`
/// (whether it serves us), `served`, `unserved` (whether we serve it), `interested`, `snubbed`,
/// where X is an address or a connection such as `3.1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// A piece is verified.
    PieceVerified(u32),
    /// A piece fails its hash.
    PieceFailed(u32),
    /// Everything wanted is verified and durable.
    TorrentComplete,
    /// A torrent stands still because of an error.
    TorrentFailed,
    /// A tracker answers.
    TrackerAnswered,
    /// A tracker fails.
    TrackerFailed,
    /// Resume data is stored.
    ResumeSaved,
    /// So much time has passed since the engine began.
    Time(Duration),
    /// The driver breaks its contract.
    ContractViolated,
    /// Something about a peer.
    Peer(Who, PeerState),
}

/// Which peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Whoever has this address.
    Addr(SocketAddr),
    /// This connection.
    Conn(ConnId),
}

/// What becomes of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// Its handshake comes.
    Connected,
    /// Its connection ends.
    Closed,
    /// It is banned.
    Banned,
    /// It ceases to serve us.
    Choked,
    /// It begins to serve us.
    Unchoked,
    /// We begin to serve it.
    Served,
    /// We cease to serve it.
    Unserved,
    /// We begin to want something that it has.
    Interested,
    /// It ceases to deliver.
    Snubbed,
}

/// The words are no condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConditionError(pub String);

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is nothing to look for; try 'piece 812 verified', 'peer 10.0.0.1:6881 choked', \
             'torrent complete', 'tracker failed', 'time 90s'",
            self.0
        )
    }
}

impl core::error::Error for ConditionError {}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let error = || ConditionError(text.into());
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let condition = match (word(), word(), word()) {
            ("piece", number, "verified") => {
                Self::PieceVerified(number.parse().map_err(|_| error())?)
            }
            ("piece", number, "failed") => Self::PieceFailed(number.parse().map_err(|_| error())?),
            ("torrent", "complete", "") => Self::TorrentComplete,
            ("torrent", "failed", "") => Self::TorrentFailed,
            ("tracker", "answered", "") => Self::TrackerAnswered,
            ("tracker", "failed", "") => Self::TrackerFailed,
            ("resume", "saved", "") => Self::ResumeSaved,
            ("contract", "violated", "") => Self::ContractViolated,
            ("time", span, "") => Self::Time(parse_span(span).ok_or_else(error)?),
            ("peer", who, state) => {
                Self::Peer(who.parse().map_err(|()| error())?, state.parse().map_err(|()| error())?)
            }
            _ => return Err(error()),
        };
        if words.next().is_some() { Err(error()) } else { Ok(condition) }
    }
}

/// `90s`, `1500ms`, `5m` or `2h`; a bare number counts seconds.
fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => number,
        "" | "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

impl FromStr for Who {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(addr) = text.parse() {
            return Ok(Self::Addr(addr));
        }
        let (slot, generation) = text.split_once('.').ok_or(())?;
        let (slot, generation): (u32, u32) =
            (slot.parse().map_err(|_| ())?, generation.parse().map_err(|_| ())?);
        Ok(Self::Conn(ConnId::from_u64(u64::from(generation) << 32 | u64::from(slot))))
    }
}

impl FromStr for PeerState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "connected" => Self::Connected,
            "closed" => Self::Closed,
            "banned" => Self::Banned,
            "choked" => Self::Choked,
            "unchoked" => Self::Unchoked,
            "served" => Self::Served,
            "unserved" => Self::Unserved,
            "interested" => Self::Interested,
            "snubbed" => Self::Snubbed,
            _ => return Err(()),
        })
    }
}

impl Who {
    /// Whether a peer with this connection and address is meant.
    pub fn is(self, conn: ConnId, addr: SocketAddr) -> bool {
        match self {
            Self::Addr(wanted) => wanted == addr,
            Self::Conn(wanted) => wanted == conn,
        }
    }
}

/// Looks at an engine after each step and notices when a condition comes about.
#[derive(Clone, Debug)]
pub struct Watch {
    condition: Condition,
    began: Instant,
    held: bool,
}

impl Watch {
    /// Looks for `condition` from now on, in an engine that began at `began`.
    pub fn new(condition: Condition, began: Instant, engine: &Engine) -> Self {
        let mut watch = Self { condition, began, held: false };
        watch.held = watch.holds(engine);
        watch
    }

    /// Whether the step that gave `actions` brought the condition about.
    pub fn after_step(&mut self, engine: &Engine, actions: &[Action]) -> bool {
        let holds = self.holds(engine);
        let held = core::mem::replace(&mut self.held, holds);
        let told = actions.iter().any(|action| match action {
            Action::Notify(notice) => self.told_by(notice),
            _ => false,
        });
        told || (self.held && !held)
    }

    fn told_by(&self, notice: &Notice) -> bool {
        match (&self.condition, notice) {
            (Condition::PieceVerified(wanted), Notice::PieceVerified(_, piece))
            | (Condition::PieceFailed(wanted), Notice::PieceFailed(_, piece)) => wanted == piece,
            (Condition::TorrentComplete, Notice::Finished(_))
            | (Condition::TorrentFailed, Notice::TorrentFailed(..))
            | (Condition::TrackerAnswered, Notice::TrackerReplied { .. })
            | (Condition::TrackerFailed, Notice::TrackerFailed { .. })
            | (Condition::ResumeSaved, Notice::ResumeSaved(_)) => true,
            (
                Condition::Peer(who, PeerState::Connected),
                Notice::PeerConnected { conn, addr, .. },
            )
            | (Condition::Peer(who, PeerState::Closed), Notice::PeerClosed { conn, addr, .. }) => {
                who.is(*conn, *addr)
            }
            (
                Condition::Peer(Who::Addr(wanted), PeerState::Banned),
                Notice::PeerBanned(_, addr),
            ) => wanted == addr,
            _ => false,
        }
    }

    fn holds(&self, engine: &Engine) -> bool {
        match &self.condition {
            Condition::Time(span) => engine.now().since(self.began) >= *span,
            Condition::ContractViolated => engine.stats().violations > 0,
            Condition::Peer(who, state) => engine
                .torrents()
                .flat_map(|torrent| engine.peers(torrent))
                .any(|peer| who.is(peer.conn, peer.addr) && holds_for(*state, &peer)),
            _ => false,
        }
    }
}

fn holds_for(state: PeerState, peer: &PeerView) -> bool {
    match state {
        PeerState::Choked => peer.peer_choking,
        PeerState::Unchoked => !peer.peer_choking,
        PeerState::Served => !peer.am_choking,
        PeerState::Unserved => peer.am_choking,
        PeerState::Interested => peer.am_interested,
        PeerState::Snubbed => peer.snubbed,
        PeerState::Connected | PeerState::Closed | PeerState::Banned => false,
    }
}
