//! See `eddyline_sim::fuzzing::pex`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("pex", data));
