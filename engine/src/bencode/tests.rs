//! Unit tests of the scanner, the cursor and the encoder.

use alloc::vec;
use alloc::vec::Vec;

use super::*;

const SMALL: Limits = Limits { depth: 4, size: 64, tokens: 8 };

fn lenient(input: &[u8]) -> Result<Document<'_>, ScanError> {
    scan(input, Limits::METAINFO, Mode::Lenient)
}

#[test]
fn spans_are_exact() {
    let document = lenient(b"d4:infod3:keyi-7ee3:zzzl1:aee").unwrap();
    let info = document.root().get(b"info").unwrap();
    assert_eq!(info.raw(), b"d3:keyi-7ee");
    assert_eq!(info.get(b"key").unwrap().as_int(), Some(-7));
    assert_eq!(document.consumed(), 29);
}

#[test]
fn nesting_costs_no_stack_and_stops_at_the_limit() {
    let deep = vec![b'l'; 100_000];
    assert_eq!(lenient(&deep).unwrap_err(), ScanError::TooDeep { at: 100 });
    assert!(scan(b"lllleeee", SMALL, Mode::Strict).is_ok());
    assert_eq!(scan(b"llllleeeee", SMALL, Mode::Strict).unwrap_err(), ScanError::TooDeep { at: 4 });
}

#[test]
fn size_and_token_limits_hold() {
    let long = [b"70:".as_slice(), &[b'x'; 70]].concat();
    assert_eq!(scan(&long, SMALL, Mode::Strict).unwrap_err(), ScanError::TooLarge);
    let many = b"li1ei1ei1ei1ei1ei1ei1ei1ee";
    assert_eq!(scan(many, SMALL, Mode::Strict).unwrap_err(), ScanError::TooManyTokens);
}

#[test]
fn a_declared_length_allocates_nothing() {
    assert!(matches!(lenient(b"9999999999:x"), Err(ScanError::Truncated { .. })));
}

#[test]
fn strict_mode_refuses_what_lenient_mode_forgives() {
    for odd in [b"i04e".as_slice(), b"i-0e", b"d1:bi1e1:ai1ee", b"d1:ai1e1:ai2ee", b"03:abc"] {
        assert!(lenient(odd).is_ok(), "{odd:?}");
        let strict = scan(odd, Limits::METAINFO, Mode::Strict);
        assert!(matches!(strict, Err(ScanError::NotCanonical { .. })), "{odd:?}");
    }
}

#[test]
fn integers_reach_both_ends_of_64_bits() {
    let at = |text: &[u8]| lenient(text).map(|d| d.root().as_int().unwrap());
    assert_eq!(at(b"i9223372036854775807e"), Ok(i64::MAX));
    assert_eq!(at(b"i-9223372036854775808e"), Ok(i64::MIN));
    assert!(matches!(at(b"i9223372036854775808e"), Err(ScanError::Overflow { .. })));
    let nearest = |text: &[u8]| scan(text, SMALL, Mode::Saturating).map(|d| d.root().as_int());
    assert_eq!(nearest(b"i9223372036854775808e"), Ok(Some(i64::MAX)));
    assert_eq!(nearest(b"i-99999999999999999999999e"), Ok(Some(i64::MIN)));
    assert_eq!(nearest(b"i-9e"), Ok(Some(-9)));
    assert!(nearest(b"i99999999999999999999999").is_err());
    assert!(nearest(b"99999999999999999999999:x").is_err());
}

#[test]
fn containers_inside_dictionaries_take_their_place_as_values() {
    let document = lenient(b"d1:ad1:bl1:cee1:dlee").unwrap();
    let root = document.root();
    assert_eq!(root.entries().count(), 2);
    assert_eq!(root.get(b"a").unwrap().get(b"b").unwrap().items().count(), 1);
    assert!(root.get(b"d").unwrap().is_list());
    assert!(matches!(lenient(b"d1:ae"), Err(ScanError::Unexpected { .. })));
    assert!(matches!(lenient(b"dlee"), Err(ScanError::Unexpected { .. })));
    assert!(lenient(b"d1:alee1:b").is_ok());
}

#[cfg(feature = "std")]
quickcheck::quickcheck! {
    fn what_serde_writes_the_scanner_reads(
        map: alloc::collections::BTreeMap<alloc::string::String, Vec<i64>>
    ) -> bool {
        let bytes = to_bytes(&map).unwrap();
        let document = scan(&bytes, Limits::METAINFO, Mode::Strict).unwrap();
        let read: alloc::collections::BTreeMap<_, _> = document.root().entries().map(|(key, value)| {
            let numbers: Vec<i64> = value.items().map(|v| v.as_int().unwrap()).collect();
            (alloc::string::String::from_utf8(key.to_vec()).unwrap(), numbers)
        }).collect();
        document.consumed() == bytes.len() && read == map
    }
}

quickcheck::quickcheck! {
    fn arbitrary_bytes_never_panic_and_rescan_equal(bytes: Vec<u8>) -> bool {
        match scan(&bytes, SMALL, Mode::Lenient) {
            Ok(document) => {
                let raw = document.root().raw();
                scan(raw, SMALL, Mode::Lenient).is_ok_and(|again| again.consumed() == raw.len())
            }
            Err(_) => true,
        }
    }

    fn encoder_and_scanner_agree_on_integers(value: i64) -> bool {
        let mut encoder = Encoder::default();
        encoder.int(value);
        scan(&encoder.finish(), SMALL, Mode::Strict).unwrap().root().as_int() == Some(value)
    }
}
