//! The scanner never panics, and what it accepts it accepts again by itself.
#![no_main]

use eddyline::bencode::{Limits, Mode, scan};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(document) = scan(data, Limits::METAINFO, Mode::Lenient) {
        let raw = document.root().raw();
        let again = scan(raw, Limits::METAINFO, Mode::Lenient).expect("accepted before");
        assert_eq!(again.consumed(), raw.len());
    }
    if scan(data, Limits::METAINFO, Mode::Strict).is_ok() {
        assert!(scan(data, Limits::METAINFO, Mode::Lenient).is_ok());
    }
});
