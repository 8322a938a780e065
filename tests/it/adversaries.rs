//! Strangers whose aim is damage: what they cost, and that the honest beside them are done in time.

use eddyline_sim::{Scenario, Search, Strategy, Verdict, adversary_table, worsened};

/// The worst that a short search finds is not much worse than it was, and no promise is broken.
#[test]
fn adversaries_do_no_more_damage_than_the_committed_table_says() {
    let committed = include_str!("../golden/adversaries.txt");
    let table = adversary_table();
    let worse = worsened(&table, committed);
    assert!(
        worse.is_empty(),
        "{worse:#?}\n{table}to accept: cargo run --release -p eddyline-sim --bin swarm -- \
         --adversaries > tests/golden/adversaries.txt"
    );
}

#[test]
fn what_got_worse_is_seen_in_a_table() {
    let committed = include_str!("../golden/adversaries.txt");
    assert_eq!(worsened(committed, committed), Vec::<String>::new());
    assert_eq!(worsened("", committed).len(), Strategy::ALL.len() * 7);
    let (name, rest) = committed.split_once("spend: messages").expect("a row");
    let mut numbers: Vec<&str> = rest.split_whitespace().collect();
    numbers[1] = "1000000";
    let changed = format!("{name}spend: messages        {}", numbers[..7].join(" "));
    let found = worsened(&changed, committed);
    assert!(found[0].starts_with("spend: messages: memory 1000000, was "), "{found:?}");
}

#[test]
fn a_search_finds_the_same_again() {
    let search = Search { rounds: 2, seed: 3 };
    let worst = || search.run(Strategy::SpendMessages).worst;
    assert_eq!(worst(), worst());
}

#[test]
fn scenarios_with_adversaries_hold() {
    let found = (0..).map(Scenario::seeded).filter(Scenario::has_foes);
    for scenario in found.take(8) {
        assert_eq!(scenario.run(false).verdict, Verdict::Fine, "{scenario:?}");
    }
}
