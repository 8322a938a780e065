//! See `eddyline_sim::fuzzing::metainfo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("metainfo", data));
