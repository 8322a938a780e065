//! See `eddyline_sim::fuzzing::krpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("krpc", data));
