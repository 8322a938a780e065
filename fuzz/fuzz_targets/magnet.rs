//! See `eddyline_sim::fuzzing::magnet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("magnet", data));
