//! No text panics the parser, and what it accepts survives being written.
#![no_main]

use eddyline::metainfo::{Magnet, parse_info_hash};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = parse_info_hash(text);
    if let Ok(magnet) = Magnet::parse(text) {
        assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
    }
});
