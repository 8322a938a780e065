//! Deterministic worlds to test the engine in.
