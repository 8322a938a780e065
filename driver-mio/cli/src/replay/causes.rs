//! What led to a step: the event in it, the order that this event answers, the event that brought that
//! order about, and so on back to somebody outside.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId};
use eddyline::base::time::Instant;
use eddyline::trace::LastStep;
use eddyline::wire::Message;
use eddyline::{Action, Event, HttpAction, StreamAction, StreamEvent, Wakeup};

use super::transcript::{Line, clock, said};
use super::words;

/// Events of one step that are remembered. A busy machine tells hundreds at once.
const MAX_EVENTS: usize = 4096;
/// Links of a chain that are told.
const MAX_LINKS: usize = 12;

/// Characters of an event, or of an order, that are told.
const LONGEST: usize = 100;

/// An order, and the step that gave it.
type Order = (u64, Box<str>);

/// An event, and the order that it answers.
#[derive(Debug)]
struct Cause {
    text: Box<str>,
    conn: Option<ConnId>,
    pieces: Box<[u32]>,
    answers: Option<Order>,
}

#[derive(Debug)]
struct Note {
    now: Instant,
    woken_by: Wakeup,
    causes: Vec<Cause>,
}

/// The events of all steps so far, and which orders they answer.
#[derive(Debug, Default)]
pub struct Causes {
    notes: Vec<Note>,
    disk: BTreeMap<DiskOpId, Order>,
    exchanges: BTreeMap<ExchangeId, Order>,
    lookups: BTreeMap<LookupId, Order>,
    datagrams: BTreeMap<SocketAddr, Order>,
    connections: BTreeMap<ConnId, Order>,
    requests: BTreeMap<(ConnId, u32), Order>,
}

impl Causes {
    /// Takes in a step with its lines. Steps must come in order, from the first.
    pub fn take(&mut self, step: &LastStep, events: &[Line], actions: &[Line]) {
        let causes = step.events.iter().zip(events).take(MAX_EVENTS);
        let causes = causes.map(|(event, line)| Cause {
            text: shortened(&line.text).into(),
            conn: line.conn,
            pieces: line.pieces.as_slice().into(),
            answers: self.answered(event, line),
        });
        let causes = causes.collect();
        self.notes.push(Note { now: step.now, woken_by: step.woken_by, causes });
        let number = self.notes.len() as u64;
        for (action, line) in step.actions.iter().zip(actions) {
            self.ordered(action, (number, line.text.as_str().into()));
        }
    }

    fn answered(&self, event: &Event, line: &Line) -> Option<Order> {
        match event {
            Event::Disk(id, _) => self.disk.get(id).cloned(),
            Event::Http(id, _) => self.exchanges.get(id).cloned(),
            Event::Resolved(id, _) => self.lookups.get(id).cloned(),
            Event::Datagram { from, .. } => self.datagrams.get(from).cloned(),
            Event::Stream(conn, what) => {
                let requested = match what {
                    StreamEvent::Received(_) => {
                        line.pieces.iter().find_map(|piece| self.requests.get(&(*conn, *piece)))
                    }
                    _ => None,
                };
                requested.or_else(|| self.connections.get(conn)).cloned()
            }
            Event::Incoming { .. } | Event::Command(..) => None,
        }
    }

    fn ordered(&mut self, action: &Action, order: Order) {
        match action {
            Action::Disk(id, _) => drop(self.disk.insert(*id, order)),
            Action::Http(id, HttpAction::Get(_)) => drop(self.exchanges.insert(*id, order)),
            Action::Resolve(id, _) => drop(self.lookups.insert(*id, order)),
            Action::SendDatagram { to, .. } => drop(self.datagrams.insert(*to, order)),
            Action::Stream(conn, StreamAction::Connect { .. } | StreamAction::Adopt { .. }) => {
                self.connections.insert(*conn, order);
            }
            Action::Stream(conn, StreamAction::Send(bytes)) => {
                for message in said(bytes) {
                    if let Message::Request(block) = message {
                        self.requests.insert((*conn, block.piece), order.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// What led to step `number`, latest first; of several events those that are about the same
    /// connection or piece as `conn` and `pieces`.
    pub fn chain(
        &self,
        number: u64,
        conn: Option<ConnId>,
        pieces: &[u32],
        began: Instant,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut number, mut conn, mut pieces) = (number, conn, pieces.to_vec());
        let mut led_to = String::new();
        while lines.len() < MAX_LINKS {
            // What waited its turn was ordered in a step that has nothing to do with it.
            number = self.latest_about(number, &pieces).unwrap_or(number);
            let Some(note) = self.note(number) else { break };
            let about = |cause: &&Cause| {
                let piece = cause.pieces.iter().any(|piece| pieces.contains(piece));
                (piece, conn.is_some() && cause.conn == conn)
            };
            // The last of the equal ones: it made the measure full.
            let cause = note.causes.iter().max_by_key(about);
            let text = match (cause, note.woken_by) {
                (Some(cause), _) => cause.text.to_string(),
                (None, Wakeup::At { reason, .. }) => words::timer(reason),
                (None, _) => "work was left over from the step before".to_owned(),
            };
            let text = shortened(&text);
            lines.push(format!("{:>12}  step {number}: {text}{led_to}", clock(note.now, began)));
            let Some(cause) = cause else { break };
            let Some((step, order)) = cause.answers.as_ref().filter(|(step, _)| *step < number)
            else {
                break;
            };
            (conn, pieces) = (cause.conn, cause.pieces.to_vec());
            (number, led_to) = (*step, format!(" → {}", shortened(order)));
        }
        lines
    }

    fn note(&self, number: u64) -> Option<&Note> {
        self.notes.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The latest step up to `number` with an event about one of the pieces.
    fn latest_about(&self, number: u64, pieces: &[u32]) -> Option<u64> {
        let concerns = |note: &Note| {
            let mut all = note.causes.iter().flat_map(|cause| cause.pieces.iter());
            all.any(|piece| pieces.contains(piece))
        };
        (1..=number).rev().find(|number| self.note(*number).is_some_and(concerns))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
