//! Everything that is tested from outside the engine, in one binary.

mod vectors;
