//! A driver for the Eddyline engine: TCP and UDP with mio, worker threads for disk, hashing, names
//! and HTTP. It performs actions and reports what happened; it takes no protocol decision.

#![deny(unsafe_code)]

// The program is a module of this crate, and names it as everybody does.
extern crate self as eddyline_mio;

mod bound_names;
pub mod buffers;
#[doc(hidden)]
pub mod cli;
pub mod clock;
pub mod dns;
pub mod driver;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod lines;
pub mod listen;
mod multicast;
pub mod network;
pub mod recorder;
pub mod session_store;
pub mod stream;

pub use eddyline_disk as disk;

pub use driver::{Driver, DriverConfig, DriverError};
