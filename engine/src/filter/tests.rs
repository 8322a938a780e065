//! Unit tests of filters.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::base::rng::{Rng, Seed};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn of(lines: &[&str]) -> Filter {
    let mut builder = FilterBuilder::default();
    for line in lines {
        assert_eq!(builder.block_line(line.as_bytes()), Line::Range, "{line}");
    }
    builder.build()
}

#[test]
fn every_format_of_lists_is_understood() {
    let table = [
        ("Some organization:1.2.4.0-1.2.4.255", "1.2.4.0", "1.2.4.255"),
        ("A: B - C, Ltd:1.2.4.0-1.2.4.255", "1.2.4.0", "1.2.4.255"),
        ("six:2001:db8::-2001:db8::ff", "2001:db8::", "2001:db8::ff"),
        ("001.002.004.000 - 001.002.004.255 , 000 , Some organization", "1.2.4.0", "1.2.4.255"),
        ("008.009.010.010-008.009.010.011,127,x,y", "8.9.10.10", "8.9.10.11"),
        ("2001:db8::1 - 2001:db8::2 , 100 , v6", "2001:db8::1", "2001:db8::2"),
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
        ("10.1.2.3/8 ; SBL123", "10.0.0.0", "10.255.255.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("1.2.3.4/32 # one", "1.2.3.4", "1.2.3.4"),
        ("2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::5/128", "2001:db8::5", "2001:db8::5"),
        ("  1.2.3.4\r", "1.2.3.4", "1.2.3.4"),
        ("\u{feff}1.2.3.4 - 1.2.3.9", "1.2.3.4", "1.2.3.9"),
        ("::ffff:1.2.3.4-::ffff:1.2.3.9", "1.2.3.4", "1.2.3.9"),
    ];
    for (line, first, last) in table {
        let ranges: Vec<_> = of(&[line]).ranges().collect();
        assert_eq!(ranges, [(ip(first), ip(last))], "{line}");
    }
    let mut builder = FilterBuilder::default();
    assert_eq!(builder.block_line(b"Universit\xe9:1.2.3.4-1.2.3.5"), Line::Range);
    assert!(builder.build().blocks(ip("1.2.3.5")));
}

#[test]
fn comments_and_what_a_list_allows_block_nobody_and_broken_lines_are_told() {
    let mut builder = FilterBuilder::default();
    for line in
        ["", "  ", "# x", "; x", "// x", "1.2.3.4 - 1.2.3.5 , 128 , allowed", "1.2.3.4-1.2.3.5,200"]
    {
        assert_eq!(builder.block_line(line.as_bytes()), Line::Nothing, "{line}");
    }
    let long = [b'x'; MAX_LINE + 1];
    for line in [
        "hello",
        "name:1.2.3.4",
        "1.2.3.9 - 1.2.3.4",
        "1.2.3.4 - 2001:db8::1 , 0 , x",
        "1.2.3.256",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.4/33",
        "2001:db8::/129",
        "1.2.3.4/-1",
        "0001.2.3.4",
        "1.2.3.4 - 1.2.3.5 , high , x",
        "name:x-1.2.3.4",
        "-",
        ":-",
        core::str::from_utf8(&long).unwrap(),
    ] {
        assert_eq!(builder.block_line(line.as_bytes()), Line::Broken, "{line}");
    }
    assert!(builder.build().is_empty());
}

#[test]
fn ranges_that_overlap_or_touch_are_one() {
    let filter = of(&[
        "1.0.0.10-1.0.0.20",
        "1.0.0.0-1.0.0.5",
        "1.0.0.6-1.0.0.9",
        "1.0.0.15-1.0.0.30",
        "255.255.255.255",
        "255.255.255.254",
        "2001:db8:0:1::/64",
        "2001:db8:0:2::/64",
        "2001:db8:0:9::5-2001:db8:0:b::6",
    ]);
    let ranges: Vec<_> = filter.ranges().map(|(a, b)| alloc::format!("{a} {b}")).collect();
    assert_eq!(
        ranges,
        [
            "1.0.0.0 1.0.0.30",
            "255.255.255.254 255.255.255.255",
            "2001:db8:0:1:: 2001:db8:0:2:ffff:ffff:ffff:ffff",
            "2001:db8:0:a:: 2001:db8:0:a:ffff:ffff:ffff:ffff",
            "2001:db8:0:9::5 2001:db8:0:9:ffff:ffff:ffff:ffff",
            "2001:db8:0:b:: 2001:db8:0:b::6",
        ]
    );
    for inside in ["2001:db8:0:9::5", "2001:db8:0:a::", "2001:db8:0:b::6", "::ffff:1.0.0.30"] {
        assert!(filter.blocks(ip(inside)), "{inside}");
    }
    for outside in ["2001:db8:0:9::4", "2001:db8:0:b::7", "1.0.0.31", "::1.0.0.30"] {
        assert!(!filter.blocks(ip(outside)), "{outside}");
    }
}

#[test]
fn a_filter_says_of_every_address_what_its_ranges_say() {
    let mut rng = Seed([5; 32]).stream("filter");
    // With an index and without one.
    for count in [0, 1, 50, 6000] {
        let mut builder = FilterBuilder::default();
        let mut ranges = Vec::new();
        for _ in 0..count {
            let first = draw(&mut rng);
            let last = first.saturating_add(rng.next_u32() >> (rng.next_u32() % 32));
            ranges.push((first, last));
            assert!(
                builder.block(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into())
            );
            let high = |bits: u32| Ipv6Addr::from_bits(u128::from(bits) << 56 | u128::from(bits));
            assert!(builder.block(high(first).into(), high(last).into()));
        }
        let filter = builder.build();
        let again: Filter = postcard::from_bytes(&postcard::to_allocvec(&filter).unwrap()).unwrap();
        assert!(again == filter && alloc::format!("{again:?}") == alloc::format!("{filter:?}"));
        let near = ranges.iter().flat_map(|(a, b)| [*a, a.wrapping_sub(1), *b, b.wrapping_add(1)]);
        let near: Vec<u32> = near.take(400).chain((0..400).map(|_| rng.next_u32())).collect();
        for bits in near {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(bits));
            let listed = ranges.iter().any(|(a, b)| (*a..=*b).contains(&bits));
            assert_eq!(filter.blocks(ip), listed && !is_placeholder(ip), "{ip} of {count}");
            let wide = Ipv6Addr::from_bits(u128::from(bits) << 56 | u128::from(bits));
            let listed = ranges.iter().any(|(a, b)| (*a..=*b).contains(&bits));
            assert_eq!(filter.blocks(wide.into()), listed, "{wide} of {count}");
        }
    }
}

fn draw(rng: &mut Rng) -> u32 {
    // Some crowd together, so that they overlap.
    if rng.next_u32().is_multiple_of(2) {
        rng.next_u32()
    } else {
        0x0a00_0000 | rng.next_u32() >> 12
    }
}

#[test]
fn a_range_of_ipv4_takes_eight_bytes_and_a_network_of_ipv6_sixteen() {
    let mut builder = FilterBuilder::default();
    for number in 0..100_000u32 {
        let bits = number << 8;
        assert!(
            builder.block(Ipv4Addr::from_bits(bits).into(), Ipv4Addr::from_bits(bits + 9).into())
        );
        let first = u128::from(number) << 65;
        let last = first | u128::from(u64::MAX);
        assert!(builder.block(Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into()));
    }
    let filter = builder.build();
    assert_eq!(filter.len(), 200_000);
    // Beside them the index, which is the same for millions.
    assert_eq!(filter.bytes(), 8 * 100_000 + 16 * 100_000 + 4 * 65_537);
    let stored = postcard::to_allocvec(&filter).unwrap();
    assert!(stored.len() < 5 * 200_000, "{} bytes", stored.len());
}

#[test]
fn what_was_stored_and_damaged_is_refused_or_is_a_filter() {
    let filter =
        of(&["1.0.0.0/8", "9.0.0.0-9.0.0.3", "2001:db8::/48", "2001:db8:1::1-2001:db8:1::4"]);
    let stored = postcard::to_allocvec(&filter).unwrap();
    for at in 0..stored.len() {
        for bit in 0..8 {
            let mut damaged = stored.clone();
            damaged[at] ^= 1 << bit;
            let read = postcard::from_bytes::<Filter>(&damaged);
            let Ok(read) = read else { continue };
            let v4: Vec<_> = read.v4.iter().collect();
            assert!(v4.windows(2).all(|pair| pair[0].1 < pair[1].0), "in order, and apart");
            assert!(read.hosts.iter().all(is_within_network));
        }
    }
    assert!(postcard::from_bytes::<Filter>(&stored[..stored.len() - 1]).is_err());
}

#[test]
fn a_filter_that_blocks_nobody_is_the_same_however_it_came_to_be() {
    let (none, built) = (Filter::default(), FilterBuilder::default().build());
    let read: Filter = postcard::from_bytes(&postcard::to_allocvec(&none).unwrap()).unwrap();
    let text = |filter: &Filter| alloc::format!("{filter:?}");
    assert!(none == built && text(&none) == text(&built) && text(&none) == text(&read));
}

#[test]
fn an_address_that_stands_for_a_name_is_on_no_list() {
    let filter = of(&["198.0.0.0/8"]);
    assert!(filter.blocks(ip("198.17.0.1")) && !filter.blocks(ip("198.18.0.1")));
}
