//! Strangers whose aim is damage: what they cost, and that the honest beside them are done in time.

use eddyline_sim::{Scenario, Search, Strategy, Verdict, adversary_table};

/// The worst that a short search finds: a change of it is a change of what strangers can do, made on
/// purpose.
#[test]
fn adversaries_do_no_more_damage_than_the_committed_table_says() {
    let committed = include_str!("../golden/adversaries.txt");
    assert!(!committed.contains("broken"), "a promise is broken");
    assert_eq!(
        adversary_table(),
        committed,
        "to accept: cargo run --release -p eddyline-sim --bin swarm -- --adversaries > \
         tests/golden/adversaries.txt"
    );
}

#[test]
fn a_search_finds_the_same_again() {
    let search = Search { rounds: 2, seed: 3 };
    let worst = || search.run(Strategy::SpendMessages).worst;
    assert_eq!(worst(), worst());
}

#[test]
fn scenarios_with_adversaries_hold() {
    let found = (0..).map(Scenario::seeded).filter(|scenario| scenario.has_foes());
    for scenario in found.take(8) {
        assert_eq!(scenario.run(false).verdict, Verdict::Fine, "{scenario:?}");
    }
}
