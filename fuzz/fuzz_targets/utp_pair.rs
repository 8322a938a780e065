//! See `eddyline_utp_sim::fuzzing::utp_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("utp_pair", data));
