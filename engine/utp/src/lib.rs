//! µTP (BEP 29) as a pure machine: no sockets, no clock, no randomness of its own.
//!
//! [`Multiplexer`] holds all connections of a socket. It is told what happened (a datagram came, the caller
//! has bytes to send or room to receive, time passed) and [`Multiplexer::advance`] says what is to be done.
//! The same calls give the same outputs on any machine.
//!
//! # Payload passes by
//!
//! What is received is handed on as slices of the datagrams, never copied. What is sent is known here by its
//! length only: [`Multiplexer::offer`] says how many more bytes the stream has, and a [`Datagram`] to be sent
//! names its header as bytes and its payload as a range of positions in the stream. The caller keeps, or can
//! read again, what lies between [`Output::Released`] and the end of what it offered, since a lost datagram is
//! sent again from there. So blocks may come from a disk at the moment at which congestion control lets them
//! go, a driver gathers header and payload in one system call, a trace of a run has no payload in it, and
//! nothing here can depend on content.
//!
//! # Which datagrams
//!
//! DHT, trackers and µTP share a socket: [`is_utp`] tells them apart by two bytes.
//!
//! ```
//! use eddyline_utp::{Config, Multiplexer, Output, Time};
//!
//! let mut utp = Multiplexer::new(Config::default(), [7, 7]);
//! let to = "192.0.2.1:6881".parse().unwrap();
//! let connection = utp.connect(Time::ZERO, to).unwrap();
//! let mut outputs = Vec::new();
//! utp.advance(Time::ZERO, &mut outputs);
//! let Some(Output::Send(syn)) = outputs.first() else { panic!("a SYN is sent") };
//! assert_eq!((syn.to, syn.header.len(), syn.payload.is_empty()), (to, 20, true));
//! utp.offer(connection, 68);
//! assert!(utp.next_deadline().is_some(), "the SYN will be repeated");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod congestion;
mod connection;
mod delay;
mod delivery_rate;
mod handshake;
mod multiplexer;
mod outgoing;
mod output;
mod pacing;
pub mod packet;
mod path_mtu;
mod receive;
mod round_trip;
mod send;
mod sequence;
mod time;
mod verdict;
#[cfg(feature = "corruption")]
mod violations;

pub use config::Config;
pub use multiplexer::{ConnectError, ConnectionId, Multiplexer};
pub use outgoing::OutgoingStream;
pub use output::{CloseReason, Datagram, Output, Statistics};
pub use packet::{HeaderBytes, is_utp};
pub use time::Time;
pub use verdict::{Fault, Verdict};
#[cfg(feature = "corruption")]
pub use violations::Corruption;
