//! See `eddyline_sim::fuzzing::trace_minimise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("trace_minimise", data));
