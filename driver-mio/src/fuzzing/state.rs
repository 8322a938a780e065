//! What is read at the start: the session's journal, the configuration file, and what was given on the command
//! line.

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::Magnet;

use crate::cli::{Named, check_config, name_of};
use crate::session_store::{journal_of, read_journal};

/// Any bytes may be found in the place of the journal, and any records in it. What was read is read
/// again when it is written.
pub fn session_journal(data: &[u8]) {
    for bytes in [data.to_vec(), framed(data)] {
        let journal = read_journal(&bytes);
        assert!(journal.entries.len() <= journal.records);
        assert!(journal.length <= bytes.len());
        assert!(!journal.damaged || journal.length < bytes.len());
        let again = read_journal(&journal_of(&journal.entries));
        assert_eq!(again.entries, journal.entries);
        assert!(!again.damaged);
        let safe = |hash: &String| !hash.contains(['/', '.', '\0']);
        assert!(journal.entries.keys().all(safe), "a hash is part of a file name");
    }
}

/// Records with right checksums: two bytes of length stand before each body.
fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [high, low, tail @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (body, rest) = tail.split_at(length);
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(&Sha1Hash::of(body).0[..4]);
        out.extend(body);
        data = rest;
    }
    out
}

/// No configuration file brings the program down; what is wrong with one is said in a sentence.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(failure) = check_config(text) {
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
