//! See `eddyline_sim::fuzzing::mse_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("mse_pair", data));
