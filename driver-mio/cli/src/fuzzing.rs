//! What the fuzzers run of the program: one function a target. Each panics when something does not hold. No part
//! of the interface.

use eddyline::metainfo::Magnet;

use crate::config_file::check;
use crate::source::{Named, name_of};

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the program.
pub const TARGETS: &[Target] = &[("config_file", config_file), ("sources", sources)];

/// No configuration file brings the program down; what is wrong with one is said in a sentence.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(failure) = check(text) {
        assert_eq!(failure.code, 2);
    }
}

/// No source on the command line brings the program down.
pub fn sources(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match name_of(text) {
        Ok(Named::Magnet(magnet)) => {
            let named = magnet.v1.is_some() || magnet.v2.is_some() || magnet.publisher.is_some();
            assert!(named || *magnet == Magnet::default(), "a magnet names a torrent");
        }
        Ok(Named::Url(url)) => assert!(url == text.trim() && url.contains("://")),
        Ok(Named::Stdin | Named::Path(_)) => {}
        Err(failure) => assert!(failure.code != 0 && !failure.message.is_empty()),
    }
}
