//! See `eddyline_sim::fuzzing::pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("pair", data));
