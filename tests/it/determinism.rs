//! The same history gives the same actions: in one process, in another, in another build.

use std::process::Command;

use eddyline_sim::scenario_digests;

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

/// The canary: a history that depends on where memory lies must be caught by comparing digests.
#[test]
fn a_nondeterministic_history_would_be_caught() {
    let history = |noise: &str| {
        let mut digest = eddyline::base::digest::Digest::default();
        digest.absorb_debug(&format_args!("Connect 10.0.0.1:{noise}"));
        digest.value()
    };
    let (a, b) = (Box::new(1u8), Box::new(1u8));
    assert_ne!(history(&format!("{a:p}")), history(&format!("{b:p}")));
    assert_eq!(history("6881"), history("6881"));
}
