//! See `eddyline_sim::fuzzing::tracker_replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("tracker_replies", data));
