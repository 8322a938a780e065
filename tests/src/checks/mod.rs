//! Checkers outside the engine: a bug may be consistent with itself. They see what the driver sees,
//! events in and actions out, and know nothing of the engine's state but its public views.

mod anonymous;
mod blocked;
mod conversation;
mod cost;
mod ids;
mod model;
mod politeness;
mod privacy;
mod web;

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::base::time::Instant;
use eddyline::{Action, Engine, Event};

use anonymous::Anonymity;

pub use anonymous::check as check_anonymous;
pub use blocked::Blocked;
pub use conversation::Conversations;
pub(crate) use cost::check_memory;
pub use cost::{Account, Cost, Measure, Strain, Stranger};
pub use ids::Ids;
pub use model::Model;
pub use politeness::Politeness;
pub use privacy::Privacy;
pub use web::WebRequests;

/// All checkers of one node.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    ids: Ids,
    model: Model,
    conversations: Conversations,
    politeness: Politeness,
    privacy: Privacy,
    web: WebRequests,
    blocked: Blocked,
    pub(crate) cost: Cost,
    unchoked: u32,
    /// What was heard of peers and is looked at when the engine has deciphered it.
    sealed: Vec<(u32, ConnId, Bytes)>,
}

impl Checks {
    /// Sees what the engine is about to be told.
    pub(crate) fn before_step(&mut self, now: Instant, events: &[Event]) {
        for (number, event) in events.iter().enumerate() {
            self.ids.hear(event);
            self.model.hear(event);
            self.sealed.extend(self.conversations.hear(number as u32, event));
            self.politeness.hear(now, event);
            self.privacy.hear(event);
            self.web.hear(event);
            self.blocked.hear(event);
            self.cost.hear(now, event);
            if let Some(heard) = self.conversations.take_heard() {
                self.cost.heard(heard);
            }
        }
    }

    /// What was heard in the step behind encryption, or may have been, as the peer meant it.
    fn unseal(&mut self, engine: &Engine) {
        for (number, conn, bytes) in std::mem::take(&mut self.sealed) {
            let clear = engine.deciphered_events().iter().filter(|(event, _)| *event == number);
            let clear: Vec<&Bytes> = clear.map(|(_, bytes)| bytes).collect();
            let bytes = match clear[..] {
                [] => bytes,
                [clear] => clear.clone(),
                _ => clear.into_iter().flatten().copied().collect(),
            };
            self.conversations.unsealed(conn, &bytes);
            if let Some(heard) = self.conversations.take_heard() {
                self.cost.heard(heard);
            }
        }
    }

    /// Sees what the engine asks for.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn after_step(
        &mut self,
        now: Instant,
        engine: &Engine,
        actions: &[Action],
    ) -> Result<(), String> {
        self.unseal(engine);
        for action in actions {
            self.ids.see(action)?;
            self.model.see(action)?;
            self.conversations.see(action, &self.model)?;
            self.politeness.see(now, action)?;
            self.privacy.see(action, engine)?;
            self.web.see(now, action)?;
            self.blocked.see(action)?;
            Anonymity::see(action, engine)?;
            self.cost.see(action);
            if let Some((conn, bytes)) = self.conversations.take_metadata() {
                self.cost.sent_metadata(conn, bytes);
            }
        }
        self.blocked.settle()?;
        self.model.compare(engine)?;
        // Fewer slots than before are no reason to choke somebody at once.
        let (before, stats) = (self.unchoked, engine.stats());
        self.unchoked = stats.unchoked;
        if stats.unchoked > stats.unchoke_slots.max(before) {
            let (unchoked, slots) = (stats.unchoked, stats.unchoke_slots);
            return Err(format!("no more are served than there are slots: {unchoked} of {slots}"));
        }
        self.cost.settle(engine, actions.len(), stats.torrents + stats.standby)?;
        budgets(engine)
    }

    /// The engine has worked off all that it heard: it did not ask to be woken at once.
    pub(crate) fn settle(&mut self) {
        self.conversations.settle();
    }
}

/// No budget is overdrawn by more than what was granted before it was reached.
fn budgets(engine: &Engine) -> Result<(), String> {
    let (stats, config) = (engine.stats(), engine.config());
    let bound = config.memory_bound(1, 0);
    if stats.read_credit > bound.receive {
        return Err(format!("read credit stays within its bound: {}", stats.read_credit));
    }
    if stats.disk_intake > bound.disk {
        return Err(format!("disk intake stays within its bound: {}", stats.disk_intake));
    }
    if stats.send_budget > bound.send {
        return Err(format!("the send budget stays within its bound: {}", stats.send_budget));
    }
    if stats.hash_jobs > config.hash_jobs + 1 {
        return Err(format!("hash jobs stay within their bound: {}", stats.hash_jobs));
    }
    if stats.connections > config.max_connections + config.max_handshaking {
        return Err(format!("connections stay within their bound: {}", stats.connections));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
