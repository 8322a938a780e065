//! What engines did lately, for whoever has to tell a failure in few lines.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use eddyline::base::time::Instant;
use eddyline::{Action, DiskOutcome, Event, StreamAction, StreamEvent};

/// Lines kept for all engines together.
const KEPT: usize = 20_000;
/// Characters of a line; what stands in front tells most.
const WIDTH: usize = 150;

/// One thing that an engine heard or did.
#[derive(Clone, Debug)]
struct Line {
    /// Virtual time of the world, or rather of the engine's own clock.
    at: Instant,
    node: SocketAddr,
    text: String,
}

/// A list of what engines heard and did. Copies share it, so that it outlives a world in which an
/// engine panics.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    lines: Arc<Mutex<VecDeque<Line>>>,
}

impl Journal {
    /// Notes what an engine is about to hear, but for what only keeps things running.
    pub(crate) fn hears(&self, at: Instant, node: SocketAddr, events: &[Event]) {
        for event in events.iter().filter(|event| tells(event)) {
            self.note(at, node, format!("\u{2190} {event:?}"));
        }
    }

    /// Notes what an engine did.
    pub(crate) fn does(&self, at: Instant, node: SocketAddr, actions: &[Action]) {
        let routine = |action: &&Action| {
            let granted = matches!(action, Action::Stream(_, StreamAction::GrantRead(_)));
            let carried = matches!(
                action,
                Action::Stream(_, StreamAction::Deliver(_) | StreamAction::Release(_))
            );
            !granted
                && !carried
                && !matches!(action, Action::SendDatagram { .. } | Action::Transmit(..))
        };
        for action in actions.iter().filter(routine) {
            self.note(at, node, format!("\u{2192} {action:?}"));
        }
    }

    fn note(&self, at: Instant, node: SocketAddr, text: String) {
        let mut lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        let text = match text.char_indices().nth(WIDTH) {
            Some((end, _)) => format!("{}\u{2026}", &text[..end]),
            None => text,
        };
        lines.push_back(Line { at, node, text });
    }

    /// Who did something last: the culprit of a panic.
    pub(crate) fn last_node(&self) -> Option<SocketAddr> {
        let lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        lines.back().map(|line| line.node)
    }

    /// The last `count` lines of `node` that have to do with what `rule` names: addresses, and the
    /// connections to them. Where it names none: what the embedder was told and told the engine.
    pub fn about(&self, node: SocketAddr, rule: &str, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let own: Vec<&Line> = lines.iter().filter(|line| line.node == node).collect();
        let mut words: BTreeSet<String> = rule
            .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
            .filter(|word| word.parse::<SocketAddr>().is_ok())
            .map(str::to_owned)
            .chain(connection(rule))
            .collect();
        let named = |words: &BTreeSet<String>, line: &&&Line| {
            words.iter().any(|word| line.text.contains(word.as_str()))
        };
        for line in own.iter().filter(|line| named(&words, line)).copied().collect::<Vec<_>>() {
            words.extend(connection(&line.text));
        }
        let mut chosen: Vec<&Line> =
            own.iter().filter(|line| named(&words, line)).copied().collect();
        if chosen.is_empty() {
            let words = ["Notify", "Command", "Connect", "Close", "panic"];
            let loud = |line: &&&Line| words.iter().any(|word| line.text.contains(word));
            chosen = own.iter().filter(loud).copied().collect();
        }
        let skipped = chosen.len().saturating_sub(count);
        chosen[skipped..].iter().map(|line| tell(line)).collect()
    }
}

fn tell(line: &Line) -> String {
    let seconds = line.at.as_nanos() as f64 / 1e9;
    format!("{seconds:>10.3} s {}", line.text)
}

/// Whether an event says more than that something goes on.
fn tells(event: &Event) -> bool {
    match event {
        Event::Datagram { .. }
        | Event::Stream(_, StreamEvent::Sent(_) | StreamEvent::Offered(_)) => false,
        Event::Disk(_, outcome) => matches!(outcome, DiskOutcome::Failed(_)),
        _ => true,
    }
}

/// The connection that a line is about, as it is printed.
fn connection(text: &str) -> Option<String> {
    let start = text.find("ConnId(")?;
    let end = text[start..].find(')')?;
    Some(text[start..=start + end].to_owned())
}
