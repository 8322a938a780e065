//! Layer 0: values every other module is built from. Nothing here knows `BitTorrent`.

pub mod addr;
pub mod bits;
pub mod budget;
pub mod crowd;
pub mod digest;
pub mod fault;
pub mod few;
pub mod hash;
pub mod host_name;
pub mod ids;
pub mod pace;
pub mod payload;
pub mod prefix;
pub mod rate;
pub mod rng;
mod scope;
pub mod slots;
pub mod time;
pub mod timer_queue;
pub mod waiting_line;
pub mod work;

#[cfg(test)]
mod tests;
