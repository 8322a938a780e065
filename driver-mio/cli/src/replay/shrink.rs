//! `replay --minimise`: the shortest run that still fails as this one does.

use std::process::ExitCode;

use eddyline::CheckDepth;
use eddyline::trace::{Condition, Plan, Rerun, Trace, Watch, minimise as shrink};

use super::super::exit::{Failure, USAGE};
use super::super::output_file::OutputFile;
use super::{damaged, quietly};

/// In what a run fails.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fault {
    /// Something comes about that was asked for.
    Found,
    /// The engine breaks down, with these words.
    Panic(String),
    /// A rule does not hold.
    Invariant(&'static str),
    /// The driver broke its contract.
    Contract,
}

/// Shrinks a trace to the shortest that fails in the same way, or in which `condition` comes about.
pub fn minimise(
    trace: &Trace,
    condition: Option<Condition>,
    target: &OutputFile,
) -> Result<ExitCode, Failure> {
    let plan = Plan::of(trace, &mut |step| quietly(step).is_ok()).map_err(damaged)?;
    let began = trace.time_of(1).unwrap_or_default();
    let fault = |plan: &Plan| {
        let run = || first_fault(plan, condition.as_ref(), began);
        quietly(run).unwrap_or_else(|why| Some(Fault::Panic(why)))
    };
    let Some(wanted) = fault(&plan) else {
        let text = "nothing fails in this trace; say what to look for with --until";
        return Err(Failure::new(USAGE, text));
    };
    let before = plan.events();
    let found = shrink(plan, &mut |plan| fault(plan).as_ref() == Some(&wanted));
    let bytes = found.plan.to_trace(&mut |step| quietly(step).is_ok()).map_err(damaged)?;
    target.write(&bytes)?;
    let what = match &wanted {
        Fault::Found => "it still comes about".to_owned(),
        Fault::Panic(why) => format!("the engine still breaks down: {why}"),
        Fault::Invariant(rule) => format!("this rule is still broken: {rule}"),
        Fault::Contract => "the contract is still broken".to_owned(),
    };
    let after = found.plan.events();
    let line = target.beside();
    line(&format!("{before} events shrunk to {after} in {} tries; {what}", found.tries));
    line(&format!("written to {}", target.name()));
    Ok(ExitCode::SUCCESS)
}

fn first_fault(
    plan: &Plan,
    condition: Option<&Condition>,
    began: eddyline::base::time::Instant,
) -> Option<Fault> {
    let mut rerun = Rerun::new(plan).ok()?;
    let mut watch = condition.map(|wanted| Watch::new(wanted.clone(), began, rerun.engine()));
    while rerun.step().is_some() {
        if let Some(watch) = &mut watch {
            if watch.after_step(rerun.engine(), rerun.actions()) {
                return Some(Fault::Found);
            }
            continue;
        }
        if let Err(violation) = rerun.engine().check_invariants(CheckDepth::Full) {
            return Some(Fault::Invariant(violation.rule));
        }
        if rerun.engine().stats().violations > 0 {
            return Some(Fault::Contract);
        }
    }
    None
}
