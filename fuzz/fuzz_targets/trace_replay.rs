//! See `eddyline_sim::fuzzing::trace_replay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("trace_replay", data));
