//! What hostile bytes cost: the inputs of the fuzzers and the worst shapes of every format, held
//! against the bounds of their targets.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use eddyline_cli::fuzzing::TARGETS as PROGRAM_TARGETS;
use eddyline_disk::fuzzing::TARGETS as DISK_TARGETS;
use eddyline_mio::fuzzing::TARGETS as DRIVER_TARGETS;
use eddyline_session::fuzzing::TARGETS as SESSION_TARGETS;
use eddyline_sim::fuzzing::{TARGETS, Target};
use eddyline_sim::oracle::{BOUNDS, SHAPES, Spent, bound_of, grow, judge, measure};

fn targets() -> impl Iterator<Item = Target> {
    let machines = eddyline_utp_sim::fuzzing::TARGETS;
    let driver = DISK_TARGETS.iter().chain(DRIVER_TARGETS).chain(SESSION_TARGETS);
    TARGETS.iter().chain(machines).chain(driver).chain(PROGRAM_TARGETS).copied()
}

/// Inputs that fuzzers found, and those that they began with.
#[test]
fn every_committed_fuzz_input_passes_and_costs_no_more_than_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in targets() {
        let folder = root.join(name);
        // What a target makes once is nobody's cost.
        target(b"");
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{name}: {e}")) {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| judge(name, data.len(), || target(&data)));
            assert!(outcome.is_ok(), "{}", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}

#[test]
fn twice_the_input_costs_twice_as_much_in_every_format() {
    let mut faults = Vec::new();
    for shape in SHAPES {
        let (_, target) = targets().find(|(name, _)| *name == shape.target).unwrap();
        faults.extend(grow(shape, target).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_target_has_a_bound_and_a_line_in_the_list_of_targets() {
    let list = include_str!("../../fuzz/coverage.txt");
    let listed: BTreeSet<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let bounded: BTreeSet<&str> = BOUNDS.iter().map(|bound| bound.target).collect();
    assert_eq!(listed, bounded);
    // One is about hashing, and has no function here.
    let known: BTreeSet<&str> = targets().map(|(name, _)| name).chain(["lanes"]).collect();
    assert_eq!(listed, known);
}

#[test]
fn a_target_that_takes_too_much_is_noticed() {
    let spent = measure(|| drop(std::hint::black_box(vec![1u8; 100_000])));
    assert!((100_000..110_000).contains(&spent.peak), "{spent:?}");
    assert!((1_500..1_700).contains(&spent.work), "{spent:?}");
    let noticed =
        |run: fn()| std::panic::catch_unwind(|| judge("local_discovery", 10, run)).is_err();
    assert!(!noticed(|| ()));
    assert!(noticed(|| drop(std::hint::black_box(vec![1u8; 100_000]))), "memory");
    assert!(noticed(|| (0..9_000).for_each(|n| drop(std::hint::black_box(Box::new(n))))), "work");
    // No clock is read here: the figures are given.
    let (bound, spent) = (bound_of("local_discovery"), |time| Spent { time, ..Spent::default() });
    let allowed = Duration::from_millis(200) + Duration::from_nanos(10 * 500);
    assert_eq!(bound.hold_time(10, &spent(allowed)), Ok(()));
    assert!(bound.hold_time(10, &spent(allowed + Duration::from_nanos(1))).is_err(), "time");
}
