//! Recording, replaying, cutting, redacting, shrinking; snapshots that go on in another engine.

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::time::Instant;
use eddyline::trace::{
    Condition, Origin, Plan, Recorder, Replayer, Rerun, Trace, TraceError, Watch, changes,
    minimise, redact,
};
use eddyline::{Action, CheckDepth, Command, Config, Engine, Event, SnapshotError};
use eddyline_sim::{Content, Entropy, Manner, PeerOptions, Scenario, Tracker, World};

const URL: &str = "http://user.example:8080/secret-passkey/announce";

/// A download with a liar in it and a tracker, recorded at the leecher.
fn recorded() -> Bytes {
    let content = Content::tracked("holiday pictures", 600_000, 32_768, &[URL]);
    let mut world = World::new(77);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(leech).record();
    let copy = content.clone();
    let liar = world.add_script(move || Manner::Lying(3).peer(&copy, b'L'));
    let seed_addr = world.node(seed).addr;
    let tracker = Tracker { peers: vec![seed_addr], interval: 60, ..Tracker::default() };
    world.trackers.insert(URL.into(), tracker);
    world.seed(seed, &content);
    world.add(leech, &content, PeerOptions { peers: vec![liar], ..PeerOptions::default() });
    let info_hash = Sha1Hash(*b"a secret torrent now");
    world.command(leech, Command::StandBy { info_hash, announce: true });
    assert!(world.run_until(300, |world| world.is_complete(leech)));
    world.run(5);
    world.command(leech, Command::Forget(info_hash));
    world.command(leech, Command::ShutDown);
    world.run(6);
    world.node_mut(leech).trace()
}

fn replay(trace: Bytes) -> Result<(u64, u64), String> {
    let mut replayer = Replayer::new(Trace::parse(trace).unwrap()).unwrap();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().map_err(|divergence| format!("{divergence:?}"))?;
    }
    Ok((replayer.position(), replayer.chain().value()))
}

#[test]
fn a_recorded_run_replays_step_by_step_without_its_content() {
    let trace = recorded();
    let (steps, _) = replay(trace.clone()).unwrap();
    assert!(steps > 100);
    // The content alone is fifty times as long.
    assert!(trace.len() < 60_000, "{} bytes", trace.len());
}

#[test]
fn every_scenario_replays() {
    for seed in 0..30 {
        let content = Content::new("x", 300_000, 16_384);
        let mut world = World::new(seed);
        let nodes = [world.add_node(), world.add_node(), world.add_node()];
        nodes.iter().for_each(|node| world.node_mut(*node).record());
        world.seed(0, &content);
        world.leech(1, &content, &[0, 2]);
        world.leech(2, &content, &[0]);
        assert!(world.run_until(300, |w| w.is_complete(1) && w.is_complete(2)));
        for node in nodes {
            let digest = world.node(node).digest();
            let (steps, replayed) = replay(world.node_mut(node).trace()).unwrap();
            assert_eq!((steps, replayed), (world.node(node).steps, digest));
        }
    }
}

#[test]
fn every_engine_of_random_scenarios_replays() {
    for seed in 20..40 {
        for trace in Scenario::stormy(seed).traces() {
            replay(trace).unwrap_or_else(|error| panic!("scenario {seed}: {error}"));
        }
    }
}

#[test]
fn a_trace_cut_anywhere_replays_up_to_its_last_whole_step() {
    let trace = recorded();
    let whole = Trace::parse(trace.clone()).unwrap();
    let mut entropy = Entropy::seeded(5);
    let mut last = 0;
    let mut cuts: Vec<_> = (0..40).map(|_| entropy.below(trace.len() as u32) as usize).collect();
    cuts.sort_unstable();
    for cut in cuts {
        match Trace::parse(trace.slice(..cut)) {
            Ok(part) => {
                assert!(part.len() <= whole.len() && part.len() >= last);
                last = part.len();
                assert_eq!(replay(trace.slice(..cut)).unwrap().0, part.len());
            }
            Err(error) => assert!(
                matches!(error, TraceError::NotATrace | TraceError::Header),
                "cut at {cut}: {error}"
            ),
        }
    }
    assert!(last > 10);
}

#[test]
fn a_changed_event_is_noticed_at_the_step_in_which_it_matters() {
    let trace = Trace::parse(recorded()).unwrap();
    let mut replayer = Replayer::new(trace.clone()).unwrap();
    replayer.go_to(40).unwrap();
    // The same trace on an engine with another configuration.
    let Origin::New(parts) = &trace.header().origin else { panic!("it begins with an engine") };
    let (mut config, seed, now) = (**parts).clone();
    config.max_outstanding_requests = 1;
    let mut recorder = Recorder::new(Origin::New(Box::new((config.clone(), seed, now))));
    let mut engine = Engine::new(config, seed, now);
    let step = trace.step(1).unwrap().unwrap();
    let _ = recorder.step(&mut engine, step.now, step.events, &mut Vec::new());
    // Its header says so; with the header of the original it must differ somewhere.
    let mut forged = recorded().to_vec();
    let place = forged.windows(8).position(|w| w == b"Eddyline").unwrap();
    forged[place] = b'e';
    assert!(replay(forged.into()).unwrap_err().contains("step"));
}

#[test]
fn any_step_can_be_gone_to_in_any_order() {
    let trace = Trace::parse(recorded()).unwrap();
    let mut forward = Replayer::new(trace.clone()).unwrap();
    let mut digests = vec![forward.engine().state_digest()];
    while forward.forward().unwrap().is_some() {
        digests.push(forward.engine().state_digest());
    }
    let mut walker = Replayer::new(trace).unwrap();
    let mut entropy = Entropy::seeded(9);
    for _ in 0..60 {
        let step = entropy.below(digests.len() as u32);
        walker.go_to(step.into()).unwrap();
        assert_eq!(walker.position(), u64::from(step));
        assert_eq!(walker.engine().state_digest(), digests[step as usize]);
    }
}

#[test]
fn conditions_find_the_step_that_brings_them_about() {
    let trace = Trace::parse(recorded()).unwrap();
    let began = trace.time_of(1).unwrap();
    let find = |words: &str| {
        let mut replayer = Replayer::new(trace.clone()).unwrap();
        let condition: Condition = words.parse().unwrap();
        let mut watch = Watch::new(condition, began, replayer.engine());
        while replayer.forward().unwrap().is_some() {
            let actions = replayer.last().map_or(&[][..], |last| &last.actions);
            if watch.after_step(replayer.engine(), actions) {
                return Some(replayer.position());
            }
        }
        None
    };
    let complete = find("torrent complete").unwrap();
    assert!(find("piece 3 verified").unwrap() < complete);
    assert!(find("peer 10.0.0.1:6881 connected") < find("peer 10.0.0.1:6881 unchoked"));
    assert!(find("tracker answered").is_some() && find("tracker failed").is_none());
    assert!(find("resume saved").is_some());
    assert!(find("time 2s").is_some() && find("time 5h").is_none());
    assert!(find("peer 10.1.0.2:6881 banned").is_some());
    assert!(find("contract violated").is_none());
    for nonsense in ["piece verified", "peer choked", "piece 3 eaten", "time never", ""] {
        assert!(nonsense.parse::<Condition>().is_err(), "{nonsense}");
    }
}

#[test]
fn changes_name_what_a_step_changed_and_nothing_else() {
    let trace = Trace::parse(recorded()).unwrap();
    let mut replayer = Replayer::new(trace).unwrap();
    replayer.go_to(50).unwrap();
    assert!(changes(replayer.engine(), replayer.engine()).is_empty());
    // What waited to be sent has gone in one of the next steps.
    let gone = (0..50).find_map(|_| {
        let before = replayer.engine().clone();
        replayer.forward().unwrap();
        let found = changes(&before, replayer.engine());
        assert!((1..200).contains(&found.len()), "{} changes", found.len());
        found.into_iter().find(|change| {
            change.path.ends_with("outbox.messages") && change.after.as_deref() == Some("0")
        })
    });
    assert_eq!(gone.expect("messages were sent").before.as_deref(), Some("34"));
}

#[test]
fn a_redacted_trace_tells_no_names_and_replays_to_the_same_decisions() {
    let trace = Trace::parse(recorded()).unwrap();
    let redacted = redact(&trace).unwrap();
    // Which pieces are allowed to a choked peer follows from its address (BEP 6), and it is said so.
    let about_addresses = |(_, text): &(u64, String)| text.contains("Send(");
    assert!(redacted.differences.iter().all(about_addresses), "{:?}", redacted.differences);
    assert!(redacted.replaced > 10);
    let steps = replay(redacted.trace.clone().into()).unwrap().0;
    assert_eq!(steps, trace.len());
    let secret: [&[u8]; 7] = [
        b"holiday",
        b"a secret torrent now",
        b"user.example",
        b"passkey",
        &[10, 1, 0, 2, 26, 225],
        &Content::tracked("holiday pictures", 600_000, 32_768, &[URL]).hash().0,
        b"LLLLLLLLLLLLLLLL",
    ];
    for word in secret {
        let found = redacted.trace.windows(word.len()).any(|window| window == word);
        assert!(!found, "{:?} is still there", String::from_utf8_lossy(word));
    }
    let same = trace_of_decisions(&trace);
    let other = trace_of_decisions(&Trace::parse(redacted.trace.into()).unwrap());
    assert_eq!(same, other);
}

/// How many actions each step asked for.
fn trace_of_decisions(trace: &Trace) -> Vec<usize> {
    (1..=trace.len()).map(|n| trace.step(n).unwrap().unwrap().marks.len()).collect()
}

#[test]
fn a_failing_run_shrinks_to_a_handful_of_events() {
    let trace = Trace::parse(recorded()).unwrap();
    let began = trace.time_of(1).unwrap();
    let mut unguarded = |step: &mut dyn FnMut()| {
        step();
        true
    };
    let plan = Plan::of(&trace, &mut unguarded).unwrap();
    let before = plan.events();
    // The planted bug: a piece that fails its hash.
    let fails = |plan: &Plan| {
        let mut rerun = Rerun::new(plan).unwrap();
        let mut watch = (0..19).map(Condition::PieceFailed).collect::<Vec<_>>().into_iter();
        let mut watch: Vec<_> =
            watch.by_ref().map(|c| Watch::new(c, began, rerun.engine())).collect();
        while rerun.step().is_some() {
            rerun.engine().check_invariants(CheckDepth::Full).unwrap();
            assert_eq!(rerun.engine().stats().violations, 0, "the contract is kept");
            if watch.iter_mut().any(|w| w.after_step(rerun.engine(), rerun.actions())) {
                return true;
            }
        }
        false
    };
    assert!(fails(&plan));
    let found = minimise(plan, &mut |plan| fails(plan));
    assert!(fails(&found.plan));
    assert!(found.plan.events() < 20, "{} of {before} events are left", found.plan.events());
    // What is left is a trace like any other.
    let bytes = found.plan.to_trace(&mut unguarded).unwrap();
    assert!(replay(bytes.into()).is_ok());
}

#[test]
fn a_restored_snapshot_goes_on_with_the_same_actions() {
    let mut entropy = Entropy::seeded(11);
    let mut traces = vec![recorded()];
    traces.extend((0..8).flat_map(|seed| Scenario::seeded(seed).traces()));
    let parsed = traces.into_iter().map(|bytes| Trace::parse(bytes).unwrap());
    for trace in parsed.filter(|trace| trace.len() > 1) {
        let cut = 1 + u64::from(entropy.below(trace.len() as u32 - 1));
        let mut replayer = Replayer::new(trace.clone()).unwrap();
        replayer.go_to(cut).unwrap();
        let snapshot = replayer.engine().snapshot();
        let mut restored = Engine::restore(&snapshot).unwrap();
        assert_eq!(restored.state_digest(), replayer.engine().state_digest());
        assert_eq!(restored.snapshot(), snapshot);
        while replayer.forward().unwrap().is_some() {
            let step = trace.step(replayer.position()).unwrap().unwrap();
            let mut actions = Vec::new();
            let wakeup = restored.step(step.now, step.events, &mut actions);
            let last = replayer.last().unwrap();
            assert_eq!(
                format!("{actions:?} {wakeup:?}"),
                format!("{:?} {:?}", last.actions, last.wakeup)
            );
        }
        assert_eq!(restored.state_digest(), replayer.engine().state_digest());
    }
}

#[test]
fn a_trace_may_begin_with_a_snapshot() {
    let trace = Trace::parse(recorded()).unwrap();
    let mut replayer = Replayer::new(trace.clone()).unwrap();
    replayer.go_to(60).unwrap();
    let mut engine = replayer.engine().clone();
    let mut recorder = Recorder::new(Origin::Snapshot(engine.snapshot().into()));
    for number in 61..=trace.len() {
        let step = trace.step(number).unwrap().unwrap();
        let _ = recorder.step(&mut engine, step.now, step.events, &mut Vec::new());
    }
    assert_eq!(replay(recorder.take().into()).unwrap().0, trace.len() - 60);
}

#[test]
fn damaged_snapshots_and_traces_are_refused_with_a_reason() {
    let engine = Engine::new(
        Config::default(),
        eddyline::base::rng::Seed([1; 32]),
        Instant::from_millis(1000),
    );
    let snapshot = engine.snapshot();
    assert_eq!(Engine::restore(b"hello").unwrap_err(), SnapshotError::NotASnapshot);
    let mut other = snapshot.clone();
    other[8] = 99;
    assert_eq!(Engine::restore(&other).unwrap_err(), SnapshotError::Version(99));
    for at in (9..snapshot.len()).step_by(7) {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 1;
        assert_eq!(Engine::restore(&damaged).unwrap_err(), SnapshotError::Damaged);
        assert!(Engine::restore(&snapshot[..at]).is_err());
    }
    assert!(matches!(Trace::parse(Bytes::from_static(b"hello")), Err(TraceError::NotATrace)));
    let mut trace = recorded().to_vec();
    trace[9] = 99;
    assert!(matches!(Trace::parse(trace.into()), Err(TraceError::Version(99))));
}

#[test]
fn a_step_that_brings_the_engine_down_is_in_the_trace() {
    let (config, seed) = (Config::default(), eddyline::base::rng::Seed([1; 32]));
    let began = Instant::from_millis(1000);
    let mut engine = Engine::new(config.clone(), seed, began);
    let mut recorder = Recorder::new(Origin::New(Box::new((config, seed, began))));
    let command = |command| Event::from(command);
    let _ = recorder.step(&mut engine, began, [], &mut Vec::<Action>::new());
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // The events of an iterator are taken before the engine sees them.
        let mut broken = Engine::new(Config::default(), seed, began);
        std::mem::swap(&mut broken, &mut engine);
        let _ = recorder.step(&mut broken, began, [command(Command::ShutDown)], &mut Vec::new());
        panic!("after the step");
    }));
    assert!(outcome.is_err());
    // A step that came to its end is not recorded twice.
    recorder.interrupted();
    let trace = Trace::parse(recorder.take().into()).unwrap();
    assert_eq!(trace.len(), 2);
}

quickcheck::quickcheck! {
    fn arbitrary_bytes_are_no_trace_and_no_snapshot(bytes: Vec<u8>, at: u16) -> bool {
        let mut hostile = b"EDDYTRACE\x01".to_vec();
        hostile.extend(&bytes);
        if let Ok(trace) = Trace::parse(hostile.into()) {
            for number in 0..trace.len() + 2 {
                let _ = trace.step(number);
            }
        }
        // And a good one with something else in the middle.
        let mut trace = b"EDDYTRACE\x01".to_vec();
        trace.extend_from_slice(&recorded_once()[10..]);
        let at = 10 + usize::from(at) % (trace.len() - 10);
        for (offset, byte) in bytes.iter().enumerate().take(trace.len() - at) {
            trace[at + offset] ^= byte;
        }
        if let Ok(trace) = Trace::parse(trace.into()) {
            for number in 1..=trace.len() {
                let _ = trace.step(number);
            }
        }
        Engine::restore(&bytes).is_err()
    }

    fn any_bytes_make_a_scenario_that_holds(bytes: Vec<u8>) -> bool {
        let outcome = Scenario::draw(&mut Entropy::given(&bytes)).run(false);
        outcome.verdict == eddyline_sim::Verdict::Fine
    }
}

fn recorded_once() -> &'static [u8] {
    static TRACE: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    TRACE.get_or_init(recorded)
}
