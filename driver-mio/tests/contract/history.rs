//! What a driver did in a whole run, read from its trace and held against the rules of the contract. The engine
//! takes events about what has ended for races and passes over them, so it cannot be asked about all of this.

use std::collections::{BTreeMap, BTreeSet};

use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId};
use eddyline::trace::{LastStep, Replayer, Trace};
use eddyline::{Action, Event, HttpEvent, Notice, StreamAction, StreamEvent};

/// Every step of a trace: what the driver told the engine, and what the engine asked it for.
///
/// # Panics
/// When the trace cannot be read, or the engine does something else now.
pub fn steps(trace: Vec<u8>) -> Vec<LastStep> {
    let mut replayer = Replayer::new(Trace::parse(trace.into()).unwrap()).unwrap();
    let mut steps = Vec::new();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().unwrap();
        steps.push(replayer.last().unwrap().clone());
    }
    steps
}

/// How connections ended in a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ends {
    pub by_engine: u32,
    pub by_peer: u32,
    pub never_connected: u32,
}

/// A connection that has not ended.
#[derive(Default)]
struct Open {
    /// Bytes that were granted and did not come.
    granted: u64,
    /// Bytes that were handed over and have not left.
    unsent: u64,
    is_connected: bool,
}

/// Who reads a history from its beginning.
#[derive(Default)]
struct Reader {
    open: BTreeMap<ConnId, Open>,
    disk: BTreeSet<DiskOpId>,
    lookups: BTreeSet<LookupId>,
    exchanges: BTreeSet<ExchangeId>,
    /// The engine has stopped.
    over: bool,
    ends: Ends,
    faults: Vec<String>,
}

/// What of the rules 1, 3, 4, 6 and 7 does not hold in a history, and how its connections ended.
pub fn read(steps: &[LastStep]) -> (Vec<String>, Ends) {
    let mut reader = Reader::default();
    let mut last = None;
    for step in steps {
        if last > Some(step.now) {
            reader.faults.push(format!("rule 1: {:?} follows {last:?}", step.now));
        }
        last = Some(step.now);
        step.events.iter().for_each(|event| reader.told(event));
        step.actions.iter().for_each(|action| reader.asked(action));
    }
    reader.ended();
    (reader.faults, reader.ends)
}

impl Reader {
    /// Nothing is left without an end when the engine has stopped. Of a history that is cut short nothing is known.
    fn ended(&mut self) {
        if !self.over {
            return;
        }
        let disk = self.disk.iter().map(|op| format!("{op:?}"));
        let lookups = self.lookups.iter().map(|lookup| format!("{lookup:?}"));
        let exchanges = self.exchanges.iter().map(|exchange| format!("{exchange:?}"));
        let calls = self.open.iter().filter(|(_, open)| !open.is_connected);
        let calls = calls.map(|(conn, _)| format!("{conn:?}"));
        let left = disk.chain(lookups).chain(exchanges).chain(calls);
        self.faults.extend(left.map(|left| format!("rule 6: {left} never ended")));
    }

    fn told(&mut self, event: &Event) {
        let known = match event {
            Event::Stream(conn, event) => return self.told_of(*conn, event),
            Event::Disk(op, _) => self.disk.remove(op),
            Event::Resolved(lookup, _) => self.lookups.remove(lookup),
            Event::Http(exchange, HttpEvent::Finished | HttpEvent::Failed(_)) => {
                self.exchanges.remove(exchange)
            }
            Event::Http(exchange, _) => self.exchanges.contains(exchange),
            _ => true,
        };
        if !known {
            self.faults.push(format!("rule 6: nobody waits for {event:?}"));
        }
    }

    fn told_of(&mut self, conn: ConnId, event: &StreamEvent) {
        let Some(open) = self.open.get_mut(&conn) else {
            return self.faults.push(format!("rule 7: {conn:?} has ended: {event:?}"));
        };
        let fault = match event {
            StreamEvent::Connected => {
                let again = std::mem::replace(&mut open.is_connected, true);
                again.then_some("rule 6: it was connected")
            }
            StreamEvent::ConnectFailed(_) => {
                self.ends.never_connected += 1;
                open.is_connected.then_some("rule 6: it was connected")
            }
            StreamEvent::Received(bytes) => {
                let rest = open.granted.checked_sub(bytes.len() as u64);
                open.granted = rest.unwrap_or(0);
                rest.is_none().then_some("rule 4: more than was granted")
            }
            StreamEvent::Sent(count) => {
                let rest = open.unsent.checked_sub(u64::from(*count));
                open.unsent = rest.unwrap_or(0);
                rest.is_none().then_some("rule 3: more than there was to send")
            }
            StreamEvent::Offered(_) => None,
            StreamEvent::Answered(_) => {
                let again = std::mem::replace(&mut open.is_connected, true);
                again.then_some("rule 6: it was answered")
            }
            StreamEvent::NotFetched(_) => open.is_connected.then_some("rule 6: it was answered"),
            StreamEvent::Closed(_) => {
                self.ends.by_peer += 1;
                None
            }
        };
        let over = matches!(
            event,
            StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_) | StreamEvent::NotFetched(_)
        );
        if over {
            self.open.remove(&conn);
        }
        self.faults.extend(fault.map(|fault| format!("{fault}: {conn:?} {event:?}")));
    }

    fn asked(&mut self, action: &Action) {
        match action {
            Action::Disk(op, _) => drop(self.disk.insert(*op)),
            Action::Resolve(lookup, _) => drop(self.lookups.insert(*lookup)),
            Action::Http(exchange, _) => drop(self.exchanges.insert(*exchange)),
            Action::Notify(Notice::ShutDown) => self.over = true,
            Action::Stream(conn, action) => self.asked_of(*conn, action),
            _ => {}
        }
    }

    fn asked_of(&mut self, conn: ConnId, action: &StreamAction) {
        if let StreamAction::Connect { .. } | StreamAction::Adopt { .. } | StreamAction::Fetch(_) =
            action
        {
            let is_connected = matches!(action, StreamAction::Adopt { .. });
            self.open.insert(conn, Open { is_connected, ..Open::default() });
        }
        let Some(open) = self.open.get_mut(&conn) else { return };
        match action {
            StreamAction::GrantRead(count) => open.granted += u64::from(*count),
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
                open.unsent += bytes.len() as u64;
            }
            StreamAction::SendStored(block) => open.unsent += u64::from(block.length),
            StreamAction::Close(_) => {
                self.ends.by_engine += 1;
                self.open.remove(&conn);
            }
            StreamAction::OpenUtp { .. }
            | StreamAction::Deliver(_)
            | StreamAction::Release(_)
            | StreamAction::Fetch(_)
            | StreamAction::Connect { .. }
            | StreamAction::Adopt { .. }
            | StreamAction::Encipher(_)
            | StreamAction::Decipher(_) => {}
        }
    }
}
