//! `replay`: a recorded run once more in the pure engine, every step compared; and looking around
//! in it.

mod causes;
mod changes;
mod console;
mod shrink;
mod story;
mod tour;
mod transcript;
mod words;

use std::any::Any;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use eddyline::base::time::Instant;
use eddyline::trace::{Condition, Divergence, RedactError, Replayer, Trace, TraceError, redact};

use super::args::{General, LookFlags, ReplayArgs};
use super::exit::{DIVERGED, Failure, NOT_FOUND, NOT_TRACE, UNFINISHED, USAGE};
use super::output::{line, warn};
use super::output_file::{OutputFile, Readers};
use story::Story;
use tour::Tour;
use transcript::{Subject, Transcript, describe_actions};

/// What stands for standard input.
const STDIN: &str = "-";

/// Replays a trace, or does with it what the flags say.
pub fn replay(args: &ReplayArgs, general: General) -> Result<ExitCode, Failure> {
    let (path, look, force) = (args.trace.as_path(), &args.look, args.write.force.force);
    let out = |place: &Option<PathBuf>| {
        let place = place.as_deref();
        place.map(|place| OutputFile::look(place, force, [path], Readers::Owner)).transpose()
    };
    let (redact_to, minimise_to) = (out(&args.write.redact)?, out(&args.write.minimise)?);
    if redact_to.is_some() && minimise_to.is_some() {
        let text = "--redact and --minimise each write a trace; give one of them, and the other for its result";
        return Err(Failure::new(USAGE, text));
    }
    if path == Path::new(STDIN) && look.interactive {
        let text = "--interactive takes commands from standard input; give the trace as a file";
        return Err(Failure::new(USAGE, text));
    }
    let trace = load(path)?;
    let until = look.until.as_deref().map(condition).transpose()?;
    if let Some(target) = redact_to {
        return write_redacted(&trace, &target);
    }
    if let Some(target) = minimise_to {
        return shrink::minimise(&trace, until, &target);
    }
    has_steps(&trace, look)?;
    let verbose = general.verbose > 0;
    if let [from, to] = look.diff[..] {
        return Tour::start(trace, verbose)?.diff(from, to);
    }
    let subject = Subject::from_flags(look.peer.as_deref(), look.piece)?;
    let moves = look.goto.is_some() || until.is_some() || look.interactive;
    if !moves && look.why {
        let text = "--why explains a step: say which one with --goto or --until";
        return Err(Failure::new(USAGE, text));
    }
    if !moves {
        return match subject {
            Some(subject) => list(trace, &subject, verbose),
            None => compare(trace),
        };
    }
    let mut tour = Tour::start(trace, verbose)?;
    if let Some(step) = look.goto {
        tour.go_to(step)?;
    }
    if let Some(condition) = until {
        let found =
            if look.backwards { tour.back_until(condition)? } else { tour.until(condition)? };
        if !found {
            let text = "the condition was never met in the trace";
            return Err(Failure::new(UNFINISHED, text));
        }
    }
    if look.interactive {
        return console::run(tour);
    }
    tour.show()?;
    if look.why {
        tour.why()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the steps that flags name are in the trace.
fn has_steps(trace: &Trace, look: &LookFlags) -> Result<(), Failure> {
    match look.goto.iter().chain(&look.diff).find(|step| **step > trace.len()) {
        Some(step) => {
            let text = format!("the trace has {} steps, and no step {step}", trace.len());
            Err(Failure::new(USAGE, text))
        }
        None => Ok(()),
    }
}

/// Reads a trace; `-` is standard input.
fn load(path: &Path) -> Result<Trace, Failure> {
    let (path, bytes) = if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        (Path::new("stdin"), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (path, std::fs::read(path))
    };
    let bytes = bytes.map_err(|error| Failure::io(path, &error))?;
    let trace = Trace::parse(bytes.into()).map_err(|error| {
        Failure::new(NOT_TRACE, format!("{} cannot be replayed: {error}", path.display()))
    })?;
    if trace.is_cut() {
        warn(&format!(
            "{} is cut: it ends in the middle of step {}",
            path.display(),
            trace.len() + 1
        ));
    }
    Ok(trace)
}

fn condition(text: &str) -> Result<Condition, Failure> {
    text.parse().map_err(|error| Failure::new(USAGE, format!("{error}")))
}

/// A damaged trace in one sentence.
fn damaged(error: TraceError) -> Failure {
    Failure::new(NOT_TRACE, format!("the trace cannot be replayed further: {error}"))
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason".into())
}

/// Runs something that may bring the engine down, without the noise of a panic.
fn quietly<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = catch_unwind(AssertUnwindSafe(act));
    std::panic::set_hook(hook);
    outcome.map_err(|panic| panic_text(&*panic))
}

/// The story of the whole run, and whether every step is as it was recorded.
fn compare(trace: Trace) -> Result<ExitCode, Failure> {
    let (cut, began) = (trace.is_cut(), trace.time_of(1).unwrap_or_default());
    let mut replayer = Replayer::new(trace).map_err(damaged)?;
    let mut story = Story::new(began);
    let mut events = 0;
    let mut divergence = None;
    let outcome = loop {
        let step = replayer.position() + 1;
        let outcome = quietly(|| replayer.forward()).map_err(|why| {
            let text = format!("the engine breaks down in step {step}: {why}");
            Failure::new(DIVERGED, text)
        });
        match outcome.and_then(|outcome| outcome.map_err(damaged)) {
            Ok(None) => break Ok(()),
            Ok(Some(repeated)) => divergence = repeated.same().err(),
            Err(failure) => break Err(failure),
        }
        if divergence.is_some() {
            break Ok(());
        }
        if let Some(last) = replayer.last() {
            events += last.events.len();
            story.take(last);
        }
    };
    story.tell(replayer.engine());
    outcome?;
    if let Some(divergence) = divergence {
        return Err(diverged(&divergence, began));
    }
    let steps = replayer.position();
    line(&format!(
        "Replay    {steps} steps, {events} events, identical: the engine does now what it did then, in each \
         of them"
    ));
    if cut {
        let text =
            format!("the trace is cut; it was replayed up to step {steps}, its last whole one");
        return Err(Failure::new(UNFINISHED, text));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints both lists of actions of the first step that differs.
fn diverged(divergence: &Divergence, began: Instant) -> Failure {
    let Divergence { step, now, recorded, marks, actions } = divergence;
    line(&format!("step {step} at {} differs", transcript::clock(*now, began)));
    line(&format!("recorded: {} actions", recorded.len()));
    for (index, mark) in recorded.iter().enumerate() {
        let same = marks.get(index) == Some(mark);
        line(&format!("  {} {}", if same { "=" } else { "≠" }, mark.kind()));
    }
    line(&format!("now: {} actions", actions.len()));
    for (index, text) in describe_actions(actions).iter().enumerate() {
        let same = recorded.get(index) == marks.get(index);
        line(&format!("  {} {text}", if same { "=" } else { "≠" }));
    }
    let text = format!("the replay leaves the record at step {step}");
    Failure::new(DIVERGED, text)
}

/// Every step that concerns a peer or a piece.
fn list(trace: Trace, subject: &Subject, verbose: bool) -> Result<ExitCode, Failure> {
    let began = trace.time_of(1).unwrap_or_default();
    let mut replayer = Replayer::new(trace).map_err(damaged)?;
    let mut transcript = Transcript::new(verbose);
    let mut shown = 0;
    while replayer.forward().map_err(damaged)?.is_some() {
        let Some(last) = replayer.last() else { break };
        let lines = transcript.of_step(last, Some(subject));
        if lines.is_empty() {
            continue;
        }
        shown += 1;
        line(&transcript::heading(replayer.position(), last, began));
        lines.iter().for_each(|text| line(text));
    }
    if shown == 0 {
        return Err(Failure::new(NOT_FOUND, format!("{subject} does not occur in the trace")));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_redacted(trace: &Trace, target: &OutputFile) -> Result<ExitCode, Failure> {
    let redacted = redact(trace).map_err(|error| match error {
        RedactError::Trace(error) => damaged(error),
        _ => Failure::new(USAGE, error.to_string()),
    })?;
    target.write(&redacted.trace)?;
    let line = target.beside();
    match redacted.differences.len() {
        0 => line("good to be shared: every decision is the same as in the original"),
        count => {
            line(&format!("to be shared with care: {count} steps depend on what was taken out"))
        }
    }
    let (replaced, path) = (redacted.replaced, target.name());
    line(&format!("{replaced} names, addresses, hashes and keys are replaced in {path}"));
    for (step, text) in &redacted.differences {
        line(&format!("step {step}: {text}"));
    }
    Ok(ExitCode::SUCCESS)
}
