//! Eddyline: a `BitTorrent` engine as a value.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;
pub mod api;
pub mod bandwidth;
pub mod choker;
pub mod peer;
pub mod base;
pub mod bencode;
pub mod metainfo;
pub mod picker;
pub mod resume;
pub mod tracker;
pub mod wire;
