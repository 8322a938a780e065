//! See `eddyline_sim::fuzzing::utp_engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("utp_engine", data));
