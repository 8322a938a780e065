//! See `eddyline_utp_sim::fuzzing::utp_packets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("utp_packets", data));
