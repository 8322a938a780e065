//! Unit tests of metainfo as it is stored.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::stored::Masks;
use super::super::{Magnet, Metainfo};
use super::single;
use crate::base::hash::{Sha1Hash, Sha256Hash};

fn stored(metainfo: &Metainfo) -> Vec<u8> {
    postcard::to_allocvec(metainfo).expect("it can be written")
}

fn read(bytes: &[u8]) -> Option<Metainfo> {
    postcard::from_bytes(bytes).ok()
}

/// Puts `new` where `old` stands.
fn patched(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old).expect("it stands there");
    bytes[at..at + old.len()].copy_from_slice(new);
    bytes
}

struct Nobody;

impl Masks for Nobody {
    fn info_hash(&mut self, _: Sha1Hash) -> Sha1Hash {
        Sha1Hash([1; 20])
    }

    fn long_hash(&mut self, _: Sha256Hash) -> Sha256Hash {
        Sha256Hash([1; 32])
    }

    fn piece(&mut self, _: Sha1Hash) -> Sha1Hash {
        Sha1Hash([2; 20])
    }

    fn name(&mut self, _: &str) -> String {
        "nobody".to_string()
    }

    fn url(&mut self, url: &str) -> String {
        url.to_string()
    }
}

#[test]
fn what_is_stored_of_a_torrent_is_parsed_again() {
    let torrent = single("a b").with_trackers(alloc::vec![alloc::vec!["http://t/a".to_string()]]);
    for metainfo in [torrent.masked(&mut Nobody), torrent] {
        let again = read(&stored(&metainfo)).unwrap();
        assert_eq!(alloc::format!("{again:?}"), alloc::format!("{metainfo:?}"));
    }
}

#[test]
fn a_magnet_is_stored_as_its_uri_however_long_that_is() {
    let uri = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd&dn=a%20b&tr=http://t/\u{e4}\
        &ws=http://w/&x.pe=1.2.3.4:5&x.pe=host:6&dht=node:7&so=0-2,5";
    let magnet = Magnet::parse(uri).unwrap();
    let bytes = postcard::to_allocvec(&magnet).unwrap();
    assert_eq!(postcard::from_bytes::<Magnet>(&bytes).unwrap(), magnet);
    // Each letter takes two bytes as it is read, and six when it is written.
    let name = "\u{e4}".repeat(crate::metainfo::MAX_MAGNET_BYTES / 3);
    let long = Magnet { name: Some(name), ..magnet };
    let bytes = postcard::to_allocvec(&long).unwrap();
    assert!(bytes.len() > crate::metainfo::MAX_MAGNET_BYTES);
    assert_eq!(postcard::from_bytes::<Magnet>(&bytes).unwrap(), long);
    assert!(
        postcard::from_bytes::<Magnet>(&postcard::to_allocvec("magnet:?dn=a").unwrap()).is_err()
    );
}

#[test]
fn stored_bytes_that_contradict_themselves_are_no_torrent() {
    let bytes = stored(&single("abcde"));
    // Two pieces of which one has a hash; pieces of no length.
    let more = patched(bytes.clone(), b"6:lengthi1e4:name5:abcde", b"6:lengthi32768e4:name1:a");
    assert!(read(&more).is_none());
    let empty = patched(bytes, b"piece lengthi16384e", b"piece lengthi00000e");
    assert!(read(&empty).is_none());
}

#[test]
fn a_stored_stand_in_keeps_the_rules_of_what_is_parsed() {
    let bytes = stored(&single("a b").masked(&mut Nobody));
    assert!(read(&bytes).is_some());
    assert!(read(&patched(bytes.clone(), b"nobody", b"..////")).is_none());
    // The second time it is the path of the file.
    let last = bytes.windows(6).rposition(|part| part == b"nobody").unwrap();
    let mut led_astray = bytes;
    led_astray[last..last + 6].copy_from_slice(b"../../");
    assert!(read(&led_astray).is_none());
}
