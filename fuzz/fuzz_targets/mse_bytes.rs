//! See `eddyline_sim::fuzzing::mse_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("mse_bytes", data));
