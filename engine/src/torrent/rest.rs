//! Going to rest when there is nothing to do, and coming back.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::{Exit, Torrent};
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::context::{Agenda, Context, Timer};
use crate::standby::Kept;

/// Seconds without peers before a rest, at least.
const LEAST_WAIT: u32 = 10;

/// What a torrent knows of its rests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rest {
    /// What it goes on with, until it is open.
    kept: Option<Kept>,
    /// Since when nothing has happened.
    idle_since: Option<Instant>,
    /// Somebody was here since it came, or was called.
    visited: bool,
    alarm: Alarm,
}

impl Torrent {
    /// It was on standby. One that comes back as a magnet starts from the beginning.
    pub(crate) fn returns(&mut self, kept: Kept) {
        if !self.is_known() {
            return;
        }
        self.rest.kept = Some(kept);
    }

    /// It is between rest and work: whoever wants it waits.
    pub(crate) fn is_coming_or_going(&self) -> bool {
        self.rest.kept.is_some() || self.life.was_going_to_rest()
    }

    /// Somebody is here, or is being called.
    pub(super) fn visited(&mut self) {
        self.rest.visited = true;
    }

    /// Trackers are to hear of it when they expect to, in the session that they know. Only once: when its
    /// files cannot be opened that session ends, and another one begins when they can.
    pub(super) fn go_on_announcing(&mut self, now: Instant) {
        let Some(kept) = &mut self.rest.kept else { return };
        if let Some(at) = kept.announce.take() {
            self.announcer.go_on(at, kept.told);
            self.traffic.down.carry(now, kept.received);
            self.traffic.up.carry(now, kept.sent);
        }
    }

    /// It takes part again. Returns whether DHT and local network know of it.
    pub(super) fn has_come(&mut self, agenda: &mut Agenda) -> bool {
        let Some(kept) = self.rest.kept.take() else { return false };
        agenda.woken.insert(self.id);
        kept.dht.is_some()
    }

    /// What it goes on with when it is wanted again.
    pub(crate) fn kept(&self) -> Kept {
        let announce = self.announcer.next_of_all();
        let (received, sent) = (self.traffic.down.total(), self.traffic.up.total());
        Kept { announce, told: self.announcer.told(), dht: None, received, sent }
    }

    /// Notes whether there is nothing to do.
    pub(super) fn look_for_rest(&mut self, ctx: &mut Context) {
        if ctx.config.rest_after.is_none() || !self.has_nothing_to_do(ctx) {
            self.rest.idle_since = None;
            return;
        }
        let since = *self.rest.idle_since.get_or_insert(ctx.now);
        ctx.agenda.idle.insert((self.id, since));
    }

    fn has_nothing_to_do(&self, ctx: &Context) -> bool {
        self.is_transferring()
            && !ctx.stopping
            && self.goal.finished
            && self.peers.is_empty()
            && self.connecting == 0
            && self.candidates.next_deadline().is_none_or(|at| at > ctx.now)
            && self.storage.is_at_rest()
            && self.announcer.is_at_rest(ctx.now)
            && !ctx.disk.is_busy_with(self.id)
    }

    /// Nothing has happened since then: closes the files, if that is long enough. A torrent that is
    /// here only because it was due goes as soon as nobody is there.
    pub(crate) fn rest(&mut self, ctx: &mut Context, since: Instant, announce_only: bool) {
        let Some(seconds) = ctx.config.rest_after else { return };
        // What is not remembered in rest, such as who was called last, must not matter after it.
        let wait = if announce_only && !self.rest.visited { 0 } else { seconds.max(LEAST_WAIT) };
        let at = since + Duration::from_secs(wait.into());
        if at > ctx.now {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            return self.rest.alarm.set(queue, at, now, Timer::Torrent(self.id));
        }
        self.life.leave(Exit::Rest);
        self.go_on_closing(ctx);
    }
}
