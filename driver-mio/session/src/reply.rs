//! An answer that comes later, for those who wait on a thread and for those who await it. It needs no runtime.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::client::Error;

#[derive(Debug)]
struct State<T> {
    answer: Option<Result<T, Error>>,
    /// The answer was given to who polled for it.
    taken: bool,
    /// Whoever awaits it.
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    came: Condvar,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer of the loop's. It is a [`Future`], and can be waited for on a thread.
///
/// # Panics
/// When it is polled after it was ready, as futures may.
#[derive(Debug)]
#[must_use = "a reply tells whether it worked"]
pub struct Reply<T>(Arc<Shared<T>>);

/// The side that answers. Where it is dropped, the answer is [`Error::Stopped`].
#[derive(Debug)]
pub(crate) struct Promise<T>(Option<Arc<Shared<T>>>);

/// Both sides of an answer.
pub(crate) fn promise<T>() -> (Promise<T>, Reply<T>) {
    let state = Mutex::new(State { answer: None, taken: false, waker: None });
    let shared = Arc::new(Shared { state, came: Condvar::new() });
    (Promise(Some(shared.clone())), Reply(shared))
}

impl<T> Promise<T> {
    /// Answers.
    pub(crate) fn keep(mut self, answer: Result<T, Error>) {
        self.answer(answer);
    }

    /// Whether there is still somebody for whom the answer would be.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| Arc::strong_count(shared) > 1)
    }

    fn answer(&mut self, answer: Result<T, Error>) {
        let Some(shared) = self.0.take() else { return };
        let waker = {
            let mut state = shared.state();
            state.answer = Some(answer);
            state.waker.take()
        };
        shared.came.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.answer(Err(Error::Stopped));
    }
}

impl<T> Reply<T> {
    /// Waits for the answer on this thread.
    ///
    /// # Errors
    /// What the answer says; [`Error::Stopped`] where the client stops first.
    pub fn wait(self) -> Result<T, Error> {
        let mut state = self.0.state();
        loop {
            match state.answer.take() {
                Some(answer) => return answer,
                None => state = self.0.came.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits for the answer on this thread, at most for this time.
    ///
    /// # Errors
    /// The reply itself where nothing has come: it can be waited for again.
    pub fn wait_timeout(self, patience: Duration) -> Result<Result<T, Error>, Self> {
        let end = Instant::now().checked_add(patience);
        let mut state = self.0.state();
        loop {
            if let Some(answer) = state.answer.take() {
                return Ok(answer);
            }
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                drop(state);
                return Err(self);
            }
            let waited = self.0.came.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        match state.answer.take() {
            Some(answer) => {
                state.taken = true;
                Poll::Ready(answer)
            }
            None => {
                let taken = state.taken;
                if taken {
                    drop(state);
                    panic!("a reply was polled after it was ready");
                }
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of answers, which need no client.

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_awaits_is_woken_once_and_who_waits_gets_the_same() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let (promise, mut reply) = promise();
        assert!(Pin::new(&mut reply).poll(&mut context).is_pending());
        let mut reply = reply.wait_timeout(Duration::ZERO).unwrap_err();
        assert!(promise.is_wanted());
        promise.keep(Ok(7));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(matches!(Pin::new(&mut reply).poll(&mut context), Poll::Ready(Ok(7))));
    }

    #[test]
    fn who_waits_on_a_thread_is_told_when_nobody_will_answer() {
        let (given, reply) = promise::<u32>();
        let waits = std::thread::spawn(move || reply.wait());
        drop(given);
        assert!(matches!(waits.join().unwrap(), Err(Error::Stopped)));
        let (given, reply) = promise();
        let waits = std::thread::spawn(move || reply.wait());
        given.keep(Ok(1));
        assert_eq!(waits.join().unwrap().unwrap(), 1);
    }
}
