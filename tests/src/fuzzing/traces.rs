//! Targets for what is done with a recorded run, beside reading it.

use bytes::Bytes;
use eddyline::trace::{Plan, Replayer, Trace, minimise};

use super::{altered, known_trace};

/// Steps that are replayed at the most: the input decides what is in them, not the patience of a
/// fuzzer.
const MOST_STEPS: u64 = 300;
/// Bytes of the recorded run that is changed.
const BEGINNING: usize = 6_000;
/// Events of a run that is shrunk, at the most: each of them may be tried alone.
const MOST_EVENTS: usize = 200;

/// The first moments of a download: of a trace that is cut, the whole steps count.
fn beginning() -> &'static [u8] {
    let whole = known_trace();
    &whole[..whole.len().min(BEGINNING)]
}

/// Any bytes may be given to the tools for traces: forwards, backwards, and at once to any step.
pub fn trace_replay(data: &[u8]) {
    for bytes in [Bytes::copy_from_slice(data), altered(beginning(), data).into()] {
        let Ok(trace) = Trace::parse(bytes) else { continue };
        let length = trace.len().min(MOST_STEPS);
        let Ok(mut replay) = Replayer::new(trace) else { continue };
        let mut made = 0;
        while made < length && matches!(replay.forward(), Ok(Some(_))) {
            made += 1;
            assert_eq!(replay.position(), made);
        }
        let chain = replay.chain();
        replay.go_to(made / 2).expect("these steps were made before");
        replay.go_to(made).expect("these steps were made before");
        assert_eq!(replay.chain().short(), chain.short(), "a replay is the same every time");
    }
}

/// Shrinking a run ends, and what is left still fails, whatever one means by failing: here, what the
/// input says of the number of its events.
pub fn trace_minimise(data: &[u8]) {
    let (rules, edits) = data.split_at(data.len().min(32));
    let Ok(trace) = Trace::parse(altered(beginning(), edits).into()) else { return };
    if trace.len() > MOST_STEPS {
        return;
    }
    let Ok(plan) = Plan::of(&trace, &mut |run| {
        run();
        true
    }) else {
        return;
    };
    let fails = |plan: &Plan| {
        let events = plan.events();
        rules.get(events / 8 % 32).is_none_or(|byte| byte >> (events % 8) & 1 == 1)
    };
    if plan.events() > MOST_EVENTS || !fails(&plan) {
        return;
    }
    let (events, steps) = (plan.events(), plan.steps.len());
    let small = minimise(plan, &mut |plan| fails(plan));
    assert!(fails(&small.plan), "the smallest history still fails");
    assert!(small.plan.events() <= events && small.plan.steps.len() <= steps);
}
