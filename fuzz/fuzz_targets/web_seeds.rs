//! See `eddyline_sim::fuzzing::web_seeds`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("web_seeds", data));
