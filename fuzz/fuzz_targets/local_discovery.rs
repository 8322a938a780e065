//! See `eddyline_sim::fuzzing::local_discovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("local_discovery", data));
