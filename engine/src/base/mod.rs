//! Layer 0: values every other module is built from. Nothing here knows `BitTorrent`.

pub mod addr;
pub mod bits;
pub mod digest;
pub mod fault;
pub mod hash;
pub mod host_name;
pub mod ids;
pub mod payload;
pub mod prefix;
pub mod rate;
pub mod rng;
mod scope;
pub mod time;

#[cfg(not(feature = "unstable"))]
pub(crate) mod budget;
#[cfg(not(feature = "unstable"))]
pub(crate) mod crowd;
#[cfg(not(feature = "unstable"))]
pub(crate) mod few;
#[cfg(not(feature = "unstable"))]
pub(crate) mod pace;
#[cfg(not(feature = "unstable"))]
pub(crate) mod slots;
#[cfg(not(feature = "unstable"))]
pub(crate) mod timer_queue;
#[cfg(not(feature = "unstable"))]
pub(crate) mod waiting_line;
#[cfg(not(feature = "unstable"))]
pub(crate) mod work;

#[cfg(feature = "unstable")]
pub mod budget;
#[cfg(feature = "unstable")]
pub mod crowd;
#[cfg(feature = "unstable")]
pub mod few;
#[cfg(feature = "unstable")]
pub mod pace;
#[cfg(feature = "unstable")]
pub mod slots;
#[cfg(feature = "unstable")]
pub mod timer_queue;
#[cfg(feature = "unstable")]
pub mod waiting_line;
#[cfg(feature = "unstable")]
pub mod work;

#[cfg(test)]
mod tests;
