//! See `eddyline_sim::fuzzing::bencode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("bencode", data));
