//! Everything that is tested from outside the engine, in one binary.

mod adversaries;
mod anonymous;
mod campaign;
mod costs;
mod determinism;
mod dht;
mod documents;
mod download;
mod encryption;
mod errors;
mod filter;
mod holepunch;
mod hostile;
mod input_costs;
mod lifecycle;
mod limits;
mod magnets;
mod many_trackers;
mod mutations;
mod peer_exchange;
mod readers;
mod redaction;
mod rejects;
mod requests;
mod security;
mod small_worlds;
mod standby;
mod storage;
mod structure;
mod swarm;
mod tidy;
mod traces;
mod trackerless;
mod trackers;
mod traps;
mod trust;
mod upload;
mod utp;
mod vectors;
mod web_seeds;
mod world;
/// Counts what each test takes.
#[global_allocator]
static ALLOCATOR: eddyline_sim::oracle::Counting = eddyline_sim::oracle::Counting;
