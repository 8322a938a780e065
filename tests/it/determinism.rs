//! The same history gives the same actions: in one process, in another, in another build.

use std::net::SocketAddr;
use std::process::Command;

use eddyline_sim::{Content, PeerOptions, World, scenario_digests};

#[test]
fn a_scenario_run_twice_gives_equal_digests() {
    assert_eq!(scenario_digests(), scenario_digests());
}

#[test]
fn another_process_gives_equal_digests() {
    let ours: String =
        scenario_digests().iter().map(|(name, digest)| format!("{name} {digest:016x}\n")).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_digests")).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ours);
}

/// The digests that every build must give: debug and release, this machine and any other. A change
/// of the engine's behaviour changes them; then they are updated on purpose.
#[test]
fn digests_equal_the_committed_ones() {
    let committed = include_str!("../golden/digests.txt");
    let ours: String =
        scenario_digests().iter().map(|(name, digest)| format!("{name} {digest:016x}\n")).collect();
    assert_eq!(
        ours, committed,
        "to accept: cargo run -p eddyline-sim --bin digests > tests/golden/digests.txt"
    );
}

/// The canary: an engine that does one thing otherwise, in one number, gives another digest.
#[test]
fn one_action_that_differs_in_one_number_changes_the_digest_of_a_history() {
    let history = |port: u16| {
        let content = Content::new("canary", 100_000, 16_384);
        let mut world = World::new(1);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.seed(seed, &content);
        let peers = vec![world.node(seed).addr, SocketAddr::from(([10, 9, 9, 9], port))];
        world.add(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
        assert!(world.run_until(60, |world| world.is_complete(leech)));
        (world.node(seed).digest(), world.node(leech).digest())
    };
    let (as_it_is, otherwise) = (history(6881), history(6882));
    assert_eq!(as_it_is, history(6881));
    assert_ne!(as_it_is.1, otherwise.1, "it called another port");
    assert_eq!(as_it_is.0, otherwise.0, "and nobody else saw that");
}
