//! See `eddyline_cli::fuzzing::sources`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("sources", data));
