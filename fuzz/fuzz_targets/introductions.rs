//! See `eddyline_sim::fuzzing::introductions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("introductions", data));
