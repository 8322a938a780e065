//! Unit tests of the base values.

use alloc::vec::Vec;
use core::time::Duration;

use super::bits::Bits;
use super::ids::ConnId;
use super::rate::RateMeter;
use super::rng::Seed;
use super::slots::SlotMap;
use super::time::Instant;
use super::timer_queue::TimerQueue;

#[test]
fn ids_are_never_used_twice() {
    let mut map: SlotMap<ConnId, u32> = SlotMap::default();
    let first = map.insert(1);
    assert_eq!(map.remove(first), Some(1));
    let second = map.insert(2);
    assert_ne!(first, second);
    assert_eq!((map.get(first), map.get(second)), (None, Some(&2)));
    assert_eq!(map.remove(first), None);
    assert_eq!(map.len(), 1);
}

#[test]
fn timers_fire_in_order_of_deadline_and_then_of_making() {
    let mut queue = TimerQueue::default();
    queue.schedule(Instant::from_millis(5), 'b');
    queue.schedule(Instant::from_millis(5), 'a');
    queue.schedule(Instant::from_millis(1), 'c');
    let mut fired = Vec::new();
    while let Some(target) = queue.pop_due(Instant::from_millis(5)) {
        fired.push(target);
    }
    assert_eq!(fired, ['c', 'b', 'a']);
}

#[test]
fn instants_saturate() {
    let far = Instant::from_nanos(u64::MAX);
    assert_eq!(far + Duration::from_secs(1), far);
    assert_eq!(Instant::ZERO.since(far), Duration::ZERO);
}

#[test]
fn streams_of_different_labels_differ_and_equal_ones_agree() {
    let seed = Seed::from_u64(7);
    assert_eq!(seed.stream("a").next_u64(), seed.stream("a").next_u64());
    assert_ne!(seed.stream("a").next_u64(), seed.stream("b").next_u64());
    let mut rng = seed.stream("a");
    assert!((0..1000).all(|_| rng.below(10) < 10));
}

#[test]
fn a_steady_flow_is_measured_as_such_and_decays() {
    let mut meter = RateMeter::default();
    for tick in 0..100 {
        meter.add(Instant::from_millis(tick * 100), 10_000);
    }
    let rate = meter.per_second(Instant::from_millis(9_999));
    assert!((95_000..=105_000).contains(&rate), "{rate}");
    assert_eq!(meter.per_second(Instant::from_millis(60_000)), 0);
    assert_eq!(meter.total(), 1_000_000);
}

quickcheck::quickcheck! {
    fn the_members_within_a_range_are_those_that_a_look_at_each_number_finds(
        members: Vec<u8>, len: u8, start: u16, end: u16
    ) -> bool {
        let mut bits = Bits::new(len.into());
        for member in members {
            bits.set(u32::from(member).min(u32::from(len).saturating_sub(1)));
        }
        let range = u32::from(start % 300)..u32::from(end % 300);
        bits.ones_within(range.clone()).eq(range.filter(|number| bits.has(*number)))
    }

    fn bit_fields_survive_the_wire(members: Vec<u16>, len: u16) -> bool {
        let len = u32::from(len % 300);
        let mut bits = Bits::new(len);
        for member in members {
            bits.set(u32::from(member) % 300);
        }
        let count = bits.ones().count() as u32;
        count == bits.count() && Bits::from_wire(&bits.to_wire(), len).as_ref() == Some(&bits)
    }

    fn common_members_are_found_from_any_start(a: Vec<u8>, b: Vec<u8>, start: u8) -> bool {
        let fill = |members: &[u8]| {
            let mut bits = Bits::new(200);
            for member in members {
                bits.set(u32::from(*member) % 200);
            }
            bits
        };
        let (a, b) = (fill(&a), fill(&b));
        let start = u32::from(start) % 200;
        let naive = (0..200).map(|i| (start + i) % 200).filter(|i| a.has(*i) && b.has(*i));
        let found = a.common_from(&b, start, 1000);
        found.len() as u32 == a.count_common(&b) && found.into_iter().eq(naive)
    }

    fn spare_bits_must_be_zero(len: u16, bytes: Vec<u8>) -> bool {
        let len = u32::from(len);
        Bits::from_wire(&bytes, len).is_none_or(|bits| bits.to_wire() == bytes)
    }
}
