//! What the fuzzers run of this crate: the session's journal, as it is read at the start. No part of the interface.

use eddyline::base::hash::Sha1Hash;

use crate::session_store::{journal_of, read_journal};

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: &[Target] = &[("session_journal", session_journal)];

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
