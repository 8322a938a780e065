//! See `eddyline_mio::fuzzing::http_replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("http_replies", data));
