//! Unit tests of traces.
