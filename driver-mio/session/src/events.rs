//! What happens to torrents, for as many as listen. Each listener has a queue of its own, with a bound.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use eddyline::Notice;
use eddyline::base::hash::Sha1Hash;
use futures_core::Stream;

use crate::trouble::Trouble;

/// Events that wait for a listener, at most. Of those beyond it the listener gets the number.
const MOST: usize = 4096;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The torrent it happened to, by its v1 hash; `None` for what concerns all.
    pub torrent: Option<Sha1Hash>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The torrent is in the engine.
    Added,
    /// The info dictionary of a magnet has come.
    Metadata,
    /// Its data was checked: the number of good pieces.
    Checked(u32),
    /// A piece is verified, by its number.
    Piece(u32),
    /// Everything wanted is verified and durable.
    Completed,
    /// It stands still.
    Failed(Trouble),
    /// A move of its data, or another name, has failed; it goes on where and as it was.
    NotMoved(Trouble),
    /// It goes on after that.
    Recovered,
    /// It is gone.
    Removed,
    /// A peer has shaken hands: its address, and what its client is called.
    PeerConnected(SocketAddr, String),
    /// A peer has gone.
    PeerClosed(SocketAddr),
    /// A tracker, by its URL, has answered, with the number of peers that it named, or has failed.
    Tracker(String, Result<u32, String>),
    /// So many events were left out, because the listener did not take them.
    Missed(u64),
    /// Anything else that the engine tells.
    Other(Notice),
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Event>,
    missed: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl State {
    fn next(&mut self) -> Option<Event> {
        let next = self.waiting.pop_front();
        next.or_else(|| match std::mem::take(&mut self.missed) {
            0 => None,
            missed => Some(Event { torrent: None, kind: EventKind::Missed(missed) }),
        })
    }
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.waker.take()
        };
        self.came.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Events of a client, from the moment on that they were asked for. An [`Iterator`] that waits, and a [`Stream`];
/// both end when the client has stopped.
#[derive(Debug)]
pub struct Events(Arc<Queue>);

impl Events {
    /// The next event, if it comes within this time.
    pub fn next_within(&mut self, patience: Duration) -> Option<Event> {
        let end = Instant::now().checked_add(patience);
        let mut state = self.0.state();
        loop {
            let next = state.next();
            if next.is_some() || state.ended {
                return next;
            }
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let waited = self.0.came.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.next_within(Duration::MAX)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.0.state();
        let next = state.next();
        if next.is_some() || state.ended {
            return Poll::Ready(next);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// All who listen.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    queues: Vec<Weak<Queue>>,
    /// Nothing more will come.
    ended: bool,
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(crate) fn add(&self) -> Events {
        let queue = Arc::new(Queue::default());
        let mut all = self.all();
        queue.state().ended = all.ended;
        all.queues.push(Arc::downgrade(&queue));
        Events(queue)
    }

    /// Tells everybody.
    pub(crate) fn tell(&self, event: &Event) {
        self.all().queues.retain(|listener| {
            let Some(queue) = listener.upgrade() else { return false };
            queue.tell(|state| match state.waiting.len() {
                // What was missed is told behind what waits, and before what comes then.
                ..MOST if state.missed == 0 => state.waiting.push_back(event.clone()),
                _ => state.missed += 1,
            });
            true
        });
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut all = self.all();
        all.ended = true;
        for queue in all.queues.drain(..).filter_map(|listener| listener.upgrade()) {
            queue.tell(|state| state.ended = true);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of listening.

    use super::*;

    fn piece(number: u32) -> Event {
        Event { torrent: None, kind: EventKind::Piece(number) }
    }

    #[test]
    fn a_listener_that_takes_nothing_has_a_bound_and_learns_how_much_it_missed() {
        let listeners = Listeners::default();
        let mut events = listeners.add();
        (0..MOST as u32 + 3).for_each(|number| listeners.tell(&piece(number)));
        for number in 0..MOST as u32 {
            assert_eq!(events.next(), Some(piece(number)));
        }
        assert_eq!(events.next().map(|event| event.kind), Some(EventKind::Missed(3)));
        assert_eq!(events.next_within(Duration::ZERO), None);
        listeners.tell(&piece(9));
        listeners.end();
        assert_eq!((events.next(), events.next()), (Some(piece(9)), None));
        // Who asks too late waits for nothing.
        assert_eq!(listeners.add().next(), None);
    }
}
