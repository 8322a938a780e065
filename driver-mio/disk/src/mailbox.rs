//! Where worker threads leave what they have done, waking the loop only when it may be asleep, and for
//! what can wait only when it does not wake soon by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eddyline::Event;

/// Events from worker threads.
#[derive(Clone)]
pub struct Mailbox {
    inside: Arc<Mutex<Inside>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("inside", &self.inside).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Inside {
    events: Vec<Event>,
    /// The loop was woken and has not come yet.
    woken: bool,
    /// The loop comes soon, whether it is woken or not.
    comes_soon: bool,
}

impl Mailbox {
    /// A mailbox that calls `wake` when the loop has to look into it. It is called on the threads of workers
    /// and must not wait; a wake-up while the loop is awake must not be lost, but end its next sleep.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { inside: Arc::default(), wake: Arc::new(wake) }
    }

    /// Ends the sleep of the loop, or its next one, for a reason that is not in the box.
    pub fn wake(&self) {
        (self.wake)();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves events.
    pub fn leave(&self, events: impl IntoIterator<Item = Event>) {
        self.put(events, true);
    }

    /// Leaves events that are early enough when the loop comes, if it says that it does so soon.
    pub fn leave_for_later(&self, events: impl IntoIterator<Item = Event>) {
        self.put(events, false);
    }

    fn put(&self, events: impl IntoIterator<Item = Event>, at_once: bool) {
        let mut inside = self.inside();
        inside.events.extend(events);
        let wake = !inside.events.is_empty() && !inside.woken && (at_once || !inside.comes_soon);
        inside.woken |= wake;
        drop(inside);
        if wake {
            (self.wake)();
        }
    }

    /// The loop is about to sleep. Returns whether there is something in the box after all.
    #[must_use]
    pub fn before_sleep(&self, comes_soon: bool) -> bool {
        let mut inside = self.inside();
        inside.comes_soon = comes_soon;
        !inside.events.is_empty()
    }

    /// Takes all events out.
    pub fn collect(&self, into: &mut Vec<Event>) {
        let mut inside = self.inside();
        inside.woken = false;
        into.append(&mut inside.events);
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of who is woken for what.

    use std::sync::atomic::{AtomicBool, Ordering};

    use eddyline::base::ids::DiskOpId;
    use eddyline::{DiskOutcome, Event};

    use super::*;

    #[test]
    fn what_can_wait_wakes_only_a_loop_that_sleeps_long() {
        let flag = Arc::new(AtomicBool::new(false));
        let mailbox = Mailbox::new({
            let flag = flag.clone();
            move || flag.store(true, Ordering::SeqCst)
        });
        let woken = || flag.swap(false, Ordering::SeqCst);
        let event = || [Event::Disk(DiskOpId::from_u64(1), DiskOutcome::Written)];
        assert!(!mailbox.before_sleep(true));
        mailbox.leave_for_later(event());
        assert!(!woken());
        // Whoever is about to sleep long looks first.
        assert!(mailbox.before_sleep(false));
        assert!(mailbox.before_sleep(true));
        mailbox.leave(event());
        mailbox.leave(event());
        assert!(woken() && !woken(), "once");
        let mut collected = Vec::new();
        mailbox.collect(&mut collected);
        assert_eq!(collected.len(), 3);
        assert!(!mailbox.before_sleep(false));
        mailbox.leave_for_later(event());
        assert!(woken());
        mailbox.leave([]);
        assert!(!woken());
    }
}
