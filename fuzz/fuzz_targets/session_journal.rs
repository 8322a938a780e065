//! See `eddyline_session::fuzzing::session_journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("session_journal", data));
