//! Campaigns by themselves: what is alike, what adds up, what is told.

use super::finding::{fingerprint, normalise};
use super::*;

fn plan(scenarios: u64, shards: u64) -> Plan {
    Plan { commit: "abc".into(), seed: 5, stormy: false, scenarios: Some(scenarios), shards }
}

fn part(index: u64, of: u64) -> Results {
    let campaign = Campaign { plan: plan(6, of), shard: Shard { index, of }, time: None };
    campaign.run(&mut |_| {})
}

fn finding(seed: u64, message: &str, always: &[&str]) -> Finding {
    Finding {
        kind: FindingKind::Liveness,
        fingerprint: fingerprint(FindingKind::Liveness, message),
        message: message.into(),
        place: "node 1 at 10.0.0.2:6881, step 7, 3.000 s".into(),
        swarm: vec!["1 seeds".into(), "5 s Crash(1)".into()],
        story: (0..5).map(|n| format!("line {n}")).collect(),
        command: command(&format!("--scenario {seed}")),
        count: 1,
        scenarios: vec![seed],
        always: always.iter().map(|word| (*word).to_owned()).collect(),
    }
}

#[test]
fn failures_that_differ_in_numbers_and_names_have_one_fingerprint() {
    let message = |node: u32, peers: u32, candidates: u32| {
        format!(
            "not complete 7200 s after the last fault: node {node} has 3 of 6 pieces, is \
             Downloading (NoPeers), {peers} peers, {candidates} candidates"
        )
    };
    let of = |text: &str| fingerprint(FindingKind::Liveness, text);
    assert_eq!(of(&message(1, 0, 7)), of(&message(4, 0, 12)));
    // Two nodes that stand still in the same way are no other failure than one.
    let twice = format!(
        "{}; node 5 has 1 of 6 pieces, is Downloading (NoPeers), 0 peers, 2 candidates",
        message(1, 0, 7)
    );
    assert_eq!(of(&twice), of(&message(1, 0, 7)));
    // Whether there is anybody matters.
    assert_ne!(of(&message(1, 0, 0)), of(&message(1, 0, 7)));
    let rule = "addresses are not dialled again at once: 10.0.0.5:6881";
    let there = format!("{rule} (node at 10.0.0.4:6881, step 569)");
    assert_eq!(normalise(&there), "addresses are not dialled again at once: A");
    assert_ne!(fingerprint(FindingKind::Invariant, rule), of(rule));
}

#[test]
fn parts_are_named_from_zero_or_from_one() {
    let shard = |text: &str| text.parse::<Shard>();
    assert_eq!(shard("2/3"), Ok(Shard { index: 2, of: 3 }));
    assert_eq!(shard("3/3"), shard("0/3"));
    assert_eq!(shard("1/1"), Ok(Shard::WHOLE));
    for wrong in ["", "1", "4/3", "1/0", "0/0", "-1/3", "a/b"] {
        assert!(shard(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn parts_add_up_to_the_whole_and_one_that_is_missing_or_double_is_noticed() {
    let whole = part(0, 1);
    assert_eq!((whole.scenarios, whole.missing_shards().len()), (6, 0));
    let mut merged = part(0, 2);
    assert_eq!(merged.missing_shards(), [1]);
    assert!(merged.absorb(part(0, 2)).unwrap_err().contains("twice"));
    merged.absorb(Results::parse(&part(1, 2).to_json()).unwrap()).unwrap();
    assert!(merged.absorb(part(2, 3)).unwrap_err().contains("another campaign"));
    assert_eq!((merged.scenarios, merged.steps), (whole.scenarios, whole.steps));
    assert_eq!(merged.faults, whole.faults);
    assert!(merged.missing_shards().is_empty());
    assert!(!merged.missing_faults().is_empty(), "six scenarios do not see everything");
}

#[test]
fn findings_of_one_fingerprint_are_counted_and_what_befell_all_of_them_is_kept() {
    let mut results = part(0, 1);
    results.found(finding(9, "it stands still: 7 peers", &["Crash", "Move", "Http.Late"]));
    results.found(finding(4, "it stands still: 9 peers", &["Crash", "Http.Late"]));
    results.found(finding(5, "it stands still: 0 peers", &["Crash"]));
    let counts: Vec<_> = results.findings.iter().map(|f| (f.count, f.scenarios.clone())).collect();
    assert_eq!(counts, [(2, vec![4, 9]), (1, vec![5])]);
    assert_eq!(results.findings[0].always, ["Crash", "Http.Late"]);
    assert_eq!(results.worst(), Some(FindingKind::Liveness));
    let text = results.to_string();
    assert!(text.contains("3 failed in 2 ways"), "{text}");
    let line = results.log_line();
    assert_eq!(line.trim_end().split('\t').count(), LOG_HEAD.split('\t').count(), "{line}");
}

#[test]
fn a_finding_is_told_in_ten_lines() {
    let long = format!("it stands still: {}", "x".repeat(1000));
    let text = finding(9, &long, &[]).to_string();
    assert_eq!(text.lines().count(), 10);
    assert!(text.lines().all(|line| line.chars().count() < 240), "{text}");
    assert!(text.ends_with("--scenario 9\n"));
    let mut several = finding(9, &long, &["Crash"]);
    several.absorb(&finding(3, &long, &["Crash", "Move"]));
    let text = several.to_string();
    assert_eq!(text.lines().count(), 10);
    assert!(text.contains("2 scenarios, [3, 9]; to all came Crash"), "{text}");
}

#[test]
fn days_become_dates() {
    assert_eq!(date(0), (1970, 1, 1));
    assert_eq!(date(11_016), (2000, 2, 29));
    assert_eq!(date(20_783), (2026, 11, 26));
}
