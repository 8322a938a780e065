//! See `eddyline_disk::fuzzing::relocation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("relocation", data));
