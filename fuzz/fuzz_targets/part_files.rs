//! See `eddyline_disk::fuzzing::part_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("part_files", data));
