//! See `eddyline_sim::fuzzing::resume`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("resume", data));
