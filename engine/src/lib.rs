//! Eddyline: a `BitTorrent` engine as a value.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;
pub mod api;
pub mod bandwidth;
pub mod base;
pub mod bencode;
pub mod candidates;
pub mod choker;
pub mod context;
pub mod engine;
pub mod metainfo;
pub mod peer;
pub mod picker;
pub mod resume;
mod torrent;
pub mod tracker;
pub mod wire;

pub use api::*;
pub use engine::{CheckDepth, Engine, InvariantViolation};
pub use resume::{ResumeData, ResumeError};
