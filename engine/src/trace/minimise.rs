//! Shrinking a failing history: torrents, peers, steps and events are left out for as long as the
//! same failure remains.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::rerun::{Origination, Plan, PlannedEvent};
use crate::api::{Event, StreamEvent};
use bytes::BytesMut;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Minimised {
    /// The smallest history found that still fails.
    pub plan: Plan,
    /// Histories tried.
    pub tries: u32,
}

/// Shrinks `plan` for as long as `fails` says that the failure is still there. `fails` gets a
/// history and has to run it; `plan` itself must fail.
pub fn minimise(plan: Plan, fails: &mut dyn FnMut(&Plan) -> bool) -> Minimised {
    let mut search = Search { plan, fails, tries: 0 };
    search.leave_out_torrents();
    search.leave_out_peers();
    loop {
        let before = (search.plan.events(), search.plan.steps.len());
        search.leave_out_steps();
        search.leave_out_events();
        search.join_bytes();
        search.join_steps();
        if (search.plan.events(), search.plan.steps.len()) == before {
            return Minimised { plan: search.plan, tries: search.tries };
        }
    }
}

struct Search<'a> {
    plan: Plan,
    fails: &'a mut dyn FnMut(&Plan) -> bool,
    tries: u32,
}

impl Search<'_> {
    /// Keeps `plan` when it still fails.
    fn accept(&mut self, plan: Plan) -> bool {
        self.tries += 1;
        let fails = (self.fails)(&plan);
        if fails {
            self.plan = plan;
        }
        fails
    }

    fn without(&self, gone: impl Fn(&PlannedEvent) -> bool) -> Plan {
        let mut plan = self.plan.clone();
        plan.steps.iter_mut().for_each(|(_, events)| events.retain(|event| !gone(event)));
        plan
    }

    fn planned(&self) -> impl Iterator<Item = &PlannedEvent> {
        self.plan.steps.iter().flat_map(|(_, events)| events)
    }

    fn leave_out_torrents(&mut self) {
        let torrents: BTreeSet<_> = self.planned().filter_map(|event| event.torrent).collect();
        for torrent in torrents {
            let plan = self.without(|event| event.torrent == Some(torrent));
            self.accept(plan);
        }
    }

    fn leave_out_peers(&mut self) {
        let is_peer = |name: &&Origination| {
            matches!(name, Origination::Accepted(_) | Origination::Dialled(..))
        };
        let names = self.planned().filter_map(|event| event.about.as_ref());
        let peers: BTreeSet<Origination> = names.filter(is_peer).cloned().collect();
        for peer in peers {
            let plan = self.without(|event| {
                let socket = match &event.event {
                    Event::Incoming { socket, .. } => Some(Origination::Accepted(socket.0)),
                    _ => None,
                };
                event.about.as_ref() == Some(&peer) || socket.as_ref() == Some(&peer)
            });
            self.accept(plan);
        }
    }

    /// Leaves out runs of steps, halves first, then ever shorter ones.
    fn leave_out_steps(&mut self) {
        let mut size = self.plan.steps.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < self.plan.steps.len() {
                let end = (at + size).min(self.plan.steps.len());
                let mut plan = self.plan.clone();
                plan.steps.drain(at..end);
                if !self.accept(plan) {
                    at = end;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn leave_out_events(&mut self) {
        let mut step = 0;
        while step < self.plan.steps.len() {
            let mut at = 0;
            while at < self.plan.steps[step].1.len() {
                let mut plan = self.plan.clone();
                plan.steps[step].1.remove(at);
                if !self.accept(plan) {
                    at += 1;
                }
            }
            step += 1;
        }
    }

    /// Makes one event of two that bring bytes of one connection.
    fn join_bytes(&mut self) {
        let mut at = 0;
        loop {
            let places: Vec<(usize, usize)> = self.places().collect();
            let Some(&(step, event)) = places.get(at) else { return };
            let first = &self.plan.steps[step].1[event];
            let name = first.about.clone();
            let Event::Stream(_, StreamEvent::Received(bytes)) = &first.event else {
                at += 1;
                continue;
            };
            let mut joined = BytesMut::from(bytes.as_ref());
            let next = places[at + 1..].iter().copied().find(|(step, event)| {
                self.plan.steps[*step].1[*event].about == name && name.is_some()
            });
            let Some((later, place)) = next else {
                at += 1;
                continue;
            };
            let Event::Stream(conn, StreamEvent::Received(more)) =
                self.plan.steps[later].1[place].event.clone()
            else {
                at += 1;
                continue;
            };
            joined.extend_from_slice(&more);
            let mut plan = self.plan.clone();
            plan.steps[later].1[place].event =
                Event::Stream(conn, StreamEvent::Received(joined.freeze()));
            plan.steps[step].1.remove(event);
            if !self.accept(plan) {
                at += 1;
            }
        }
    }

    fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let steps = self.plan.steps.iter().enumerate();
        steps.flat_map(|(step, (_, events))| (0..events.len()).map(move |event| (step, event)))
    }

    /// Moves the events of a step into the next one.
    fn join_steps(&mut self) {
        let mut at = 0;
        while at + 1 < self.plan.steps.len() {
            let mut plan = self.plan.clone();
            let (_, mut events) = plan.steps.remove(at);
            events.append(&mut plan.steps[at].1);
            plan.steps[at].1 = events;
            if !self.accept(plan) {
                at += 1;
            }
        }
    }
}
