//! What crosses the line between the engine and the world: plain data, no behaviour.

mod action;
mod command;
mod config;
#[cfg(feature = "dht")]
pub(crate) mod dht;
#[cfg(not(feature = "dht"))]
#[path = "without_dht.rs"]
pub(crate) mod dht;
mod error;
mod event;
mod notice;
mod read;
mod resume;
mod storage;
mod transport;
mod views;
mod wakeup;

pub use action::{
    Action, CloseMode, DiskOp, HttpAction, HttpGet, RangeGet, StoredBlock, StreamAction,
};
pub use command::{
    AddTorrent, Command, FilePriority, PeerSource, Priority, RateLimits, Tag, TorrentCommand,
};
pub(crate) use config::UTP_UNDER_WAY;
pub use config::{
    ASSEMBLY_SHARE, AnnouncePolicy, Config, Encryption, EncryptionLevel, EncryptionPolicy,
    IDLE_WINDOW, MAX_KEYS_A_SECOND, MAX_KEYS_OF_A_HOST, MAX_REQUEST_LENGTH, MAX_SENDS, MAX_UNREAD,
    MemoryBound, READ_FLOOR, SeedChoking,
};
pub use dht::DhtRequest;
pub use eddyline_mse::{Method as EncryptionMethod, StreamCipher, StreamKey};
pub use eddyline_utp::OutgoingStream;
pub use error::{
    CommandError, ConnectFailure, DiskError, HttpFailure, LookupError, TorrentError, ViolatedRule,
};
pub use event::{
    CloseKind, DiskOutcome, Event, FileStatus, HttpEvent, HttpHead, SentRange, StreamEvent,
};
pub use notice::{CloseReason, Notice};
pub use read::{FileRange, ReadAhead, ReaderId};
pub use resume::ResumeData;
pub use storage::{Allocation, LocationId, Placement, Rename, Renamed, StorageTask};
pub use transport::{Reachability, Transport, Transports, UtpPacket};
pub use views::{
    EngineStats, PeerView, Stall, TorrentState, TorrentView, TrackerState, TrackerView,
    WebSeedState, WebSeedView,
};
pub use wakeup::{WakeReason, Wakeup};

// A step moves many of these; keep them within two cache lines.
const _: () = assert!(core::mem::size_of::<Action>() <= 96);
const _: () = assert!(core::mem::size_of::<Event>() <= 96);
