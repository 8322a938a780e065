//! What tests of the disk share: places worse and better than any disk, and torrents.

pub mod durable;
pub mod failing;
pub mod torrents;
