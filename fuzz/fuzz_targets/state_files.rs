//! See `eddyline_disk::fuzzing::state_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("state_files", data));
