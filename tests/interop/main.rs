//! The `eddyline` program with the clients and trackers that people run, on loopback.
//!
//! Run by the test command, which installs what is needed and builds the program; a client that is
//! not there is a failure.

mod clients;
mod disk;
mod embeddings;
mod encryption;
mod hostile;
mod lab;
mod magnets;
mod manners;
mod proxies;
mod recording_tracker;
mod routers;
mod scale;
mod sessions;
mod swarm;
mod traces;
mod trackerless;
mod trackers;
mod transfers;
mod uplinks;
mod utp;
mod web_seeds;
