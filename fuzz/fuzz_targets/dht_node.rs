//! See `eddyline_sim::fuzzing::dht_node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eddyline_fuzz::run("dht_node", data));
