//! Eddyline: a `BitTorrent` engine as a value.
//!
//! [`Engine`] knows the protocols and nothing of sockets, files, clocks or threads. You tell it what
//! happened, it tells you what to do, and the same events give the same actions on any machine.
//! The whole of an embedding is this loop:
//!
//! ```
//! use std::time::{Duration, Instant as Clock};
//! use eddyline::{Action, Config, Engine, Event, Instant, Seed, Wakeup};
//!
//! # fn wait_for_events(_: Duration) -> Vec<Event> { Vec::new() }
//! # fn perform(_: Action) {}
//! # let mut turns = 0;
//! let started = Clock::now();
//! let now = || Instant::from_millis(1000) + started.elapsed();
//! let mut engine = Engine::new(Config::default(), Seed([7; 32]), now());
//! let mut wakeup = Wakeup::Immediately;
//! let mut actions = Vec::new();
//! loop {
//!     // 1. Sleep until something happens, or until the engine wants to be called.
//!     let events = wait_for_events(wakeup.patience(now()));
//!     // 2. One step: everything that happened in, everything to be done out.
//!     wakeup = engine.step(now(), events, &mut actions);
//!     // 3. Do it. What comes of it are the events of a later step.
//!     for action in actions.drain(..) {
//!         perform(action);
//!     }
//!     # turns += 1;
//!     # if turns > 3 { break; }
//! }
//! ```
//!
//! A torrent is added by an event as well: `Event::from(AddTorrent::new(metainfo))` with a parsed
//! [`Metainfo`](metainfo::Metainfo). [`Notice`]s say how it goes; [`Engine::torrent`] and
//! [`Engine::peers`] show the state at any time. Two complete embeddings, a plain loop and one under
//! tokio, are examples of the crate `eddyline-mio`.
//!
//! # The rules of the driver contract
//!
//! 1. `now` never decreases, and the events of a step happened at or before it.
//! 2. Actions of one connection are performed in order; all others in any order, or in parallel.
//! 3. One write per connection at a time, a partial one finished first; `Sent` counts what the
//!    kernel took.
//! 4. Never deliver more bytes than were granted; remember that a socket is still readable.
//! 5. Bytes of one connection are delivered in order; how they are split means nothing.
//! 6. Every `Connect`, `Fetch`, disk operation, look-up and exchange ends with exactly one event.
//! 7. After `Closed`, or after performing `Close`, nothing more is reported for that id.
//! 8. Disk operations may end in any order. A hash is asked for only when all writes have ended.
//! 9. Payload is returned unchanged. A driver may hash while it writes.
//! 10. The driver owns memory, TLS, names, files, the safety of paths, and nothing that is a
//!     decision.
//!
//! [`Engine::violations`] counts what the engine sees of a driver that breaks them.
//!
//! # What a driver does for web seeds
//!
//! [`StreamAction::Fetch`] makes a connection that is a request for a range of a file: the driver speaks HTTP on it, or
//! answers with [`StreamEvent::NotFetched`] where it does not. Credit and order are as of any other.
//!
//! # What a driver does for UDP, and for µTP
//!
//! It binds a UDP socket, names it in [`Command::ListenOn`], performs [`Action::SendDatagram`], and reports each
//! datagram that comes as [`Event::Datagram`]: DHT, trackers and µTP are told apart by the engine. That is all for
//! the DHT. For µTP, which [`Config::transports`] asks for, it keeps an [`OutgoingStream`] for each connection that
//! is told to be [`StreamAction::OpenUtp`]; appends to it what `Send`, `SendBlock` and `SendStored` give (enciphered
//! behind an `Encipher`), and says how much with [`StreamEvent::Offered`]; performs [`Action::Transmit`] by sending
//! the header with that part of the stream behind it; lets go of what [`StreamAction::Release`] names; and gives what
//! [`StreamAction::Deliver`] brings back as [`StreamEvent::Received`], deciphered behind a `Decipher` as if it had
//! come from a socket. There is no socket of its own for such a connection. It ends with `Close`, always by the
//! engine.
//!
//! # Layers
//!
//! [`base`] and [`bencode`] know no `BitTorrent`; [`metainfo`], [`wire`] and [`tracker`] turn bytes
//! into values; `picker`, `peer`, `choker` and the rest are small machines; `engine` puts them
//! together. A test keeps the arrows pointing one way. The machines are private: they change when
//! they must. The feature `unstable` shows them to who tests, simulates or fuzzes them, and promises
//! nothing.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "unstable"),
    allow(
        dead_code,
        unused_imports,
        reason = "parts of the machines are for tests and tools only"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod base;
pub mod bencode;
mod context;
#[cfg(feature = "dht")]
pub mod dht;
mod engine;
pub mod filter;
pub mod local_discovery;
mod lookups;
pub mod metainfo;
mod mixed_mode;
pub mod resume;
mod standby;
mod torrent;
#[cfg(feature = "trace")]
pub mod trace;
pub mod tracker;
pub mod wire;

#[cfg(not(feature = "unstable"))]
mod bandwidth;
#[cfg(not(feature = "unstable"))]
mod candidates;
#[cfg(not(feature = "unstable"))]
mod choker;
#[cfg(not(feature = "unstable"))]
mod holepunch;
#[cfg(not(feature = "unstable"))]
mod metadata_fetch;
#[cfg(not(feature = "unstable"))]
mod peer;
#[cfg(not(feature = "unstable"))]
mod peer_exchange;
#[cfg(not(feature = "unstable"))]
mod picker;
#[cfg(not(feature = "unstable"))]
mod standing;
#[cfg(not(feature = "unstable"))]
mod webseed;

#[cfg(feature = "unstable")]
pub mod bandwidth;
#[cfg(feature = "unstable")]
pub mod candidates;
#[cfg(feature = "unstable")]
pub mod choker;
#[cfg(feature = "unstable")]
pub mod holepunch;
#[cfg(feature = "unstable")]
pub mod metadata_fetch;
#[cfg(feature = "unstable")]
pub mod peer;
#[cfg(feature = "unstable")]
pub mod peer_exchange;
#[cfg(feature = "unstable")]
pub mod picker;
#[cfg(feature = "unstable")]
pub mod standing;
#[cfg(feature = "unstable")]
pub mod webseed;

pub use api::*;
pub use base::fault::Fault;
pub use base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, SocketToken, TorrentId, UdpSocketId};
pub use base::rng::Seed;
pub use base::time::Instant;
pub use engine::{CheckDepth, ContentRange, Engine, InvariantViolation, SnapshotError};
pub use resume::ResumeError;
