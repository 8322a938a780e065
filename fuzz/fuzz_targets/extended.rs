//! See `eddyline_sim::fuzzing::extended`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("extended", data));
