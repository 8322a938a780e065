//! Where worker threads leave what they have done, waking the loop only when it may be asleep.

use std::sync::{Arc, Mutex, PoisonError};

use eddyline::Event;
use mio::Waker;

/// Events from worker threads.
#[derive(Clone, Debug)]
pub struct Mailbox {
    events: Arc<Mutex<Vec<Event>>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox that wakes with `waker`.
    #[must_use]
    pub fn new(waker: Waker) -> Self {
        Self { events: Arc::default(), waker: Arc::new(waker) }
    }

    /// Leaves events.
    pub fn leave(&self, events: impl IntoIterator<Item = Event>) {
        let mut box_ = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = box_.is_empty();
        box_.extend(events);
        let wake = was_empty && !box_.is_empty();
        drop(box_);
        if wake {
            // A loop that cannot be woken still wakes for its timers.
            let _ = self.waker.wake();
        }
    }

    /// Takes all events out.
    pub fn collect(&self, into: &mut Vec<Event>) {
        into.append(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
