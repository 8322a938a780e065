//! A BitTorrent client as a library: the Eddyline engine with sockets, files and book-keeping, on a thread of its
//! own. What is asked of it is answered by a [`Reply`], for which a thread can wait and which async code can await,
//! whatever its runtime.
//!
//! ```no_run
//! use eddyline_session::{Client, EventKind, Source};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::builder().folder("downloads").state_dir("state").build()?;
//!     let source: Source = std::env::args().nth(1).ok_or("usage: fetch MAGNET")?.parse()?;
//!     let events = client.events();
//!     std::thread::spawn(move || {
//!         for event in events {
//!             if let EventKind::PeerConnected(addr, client) = event.kind {
//!                 println!("{addr}: {client}");
//!             }
//!         }
//!     });
//!     let torrent = client.add(source).wait()?;
//!     torrent.completed().wait()?;
//!     println!("{} is there", torrent.snapshot().wait()?.name);
//!     client.stop().wait()?;
//!     Ok(())
//! }
//! ```
//!
//! Torrents persist: those of the last run, which [`ClientBuilder::state_dir`] brings back, are
//! [`Client::torrents`], and one that is added again is the one that is there.
//!
//! Who wants more of a hand in it takes the level below: [`Session`] is the same without the thread, to be turned in
//! a loop of one's own; `eddyline-mio` is the loop without books, `eddyline-disk` the files for another loop, and
//! `eddyline` the engine, for which everything is outside.

#![deny(unsafe_code)]

/// The examples of the README are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod client;
mod cut_off;
mod dht_state;
mod entries;
mod events;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod item;
mod kept;
mod prepare;
mod records;
mod reply;
mod selected;
mod session;
pub mod session_store;
mod setup;
mod snapshot;
mod source;
mod trouble;
mod worker;

pub use client::{Client, ClientBuilder, Error};
pub use eddyline::metainfo::Source;
pub use entries::EntryError;
pub use events::{Event, EventKind, Events};
pub use handle::{Data, Torrent};
pub use item::{AddOptions, Item, Renames};
pub use reply::Reply;
pub use selected::Selected;
pub use session::{Session, resolve};
pub use setup::{Setup, disk_threads, engine_config};
pub use snapshot::{Snapshot, TorrentSnapshot};
pub use source::{MAX_TORRENT, read_torrent};
pub use trouble::{AddError, PeerNameError, Trouble, Warning};
