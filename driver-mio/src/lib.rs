//! A driver for the Eddyline engine: TCP and UDP with mio, names and HTTP on a thread beside the loop, and the worker
//! threads of [`eddyline_disk`]. It performs actions and reports what happened; it takes no protocol decision.

#![deny(unsafe_code)]

pub mod blocklist;
pub mod buffers;
pub mod ciphers;
pub mod clock;
pub mod datagrams;
pub mod dns;
pub mod driver;
pub mod flow;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod lines;
pub mod listen;
mod multicast;
pub mod network;
mod platform;
pub mod proxy;
pub mod recorder;
mod resolver;
mod service_thread;
pub mod services;
pub mod standing;
pub mod stream;
pub mod utp_flows;
pub mod utp_stream;

pub use eddyline_disk as disk;

pub use driver::{Driver, DriverConfig, DriverError};
pub use flow::Flow;
pub use services::{Services, random_seed};
pub use utp_flows::UtpFlows;
