//! See `eddyline_sim::fuzzing::adversary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("adversary", data));
