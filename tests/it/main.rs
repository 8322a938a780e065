//! Everything that is tested from outside the engine, in one binary.

mod determinism;
mod download;
mod hostile;
mod lifecycle;
mod puppet;
mod swarm;
mod tidy;
mod trackers;
mod traps;
mod upload;
mod vectors;
