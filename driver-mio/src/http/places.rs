//! Exchanges at one address, whatever it is called: names are free, and any number of them may lead to one server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline::base::prefix::Prefix;

/// A host. On this machine each port is somebody else.
type Key = (Prefix, u16);

/// Places at every address.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Shared>,
    most: usize,
    /// How long somebody waits for a place.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<BTreeMap<Key, usize>>,
    freed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    key: Key,
}

impl Places {
    /// `most` at each address; who finds none waits for `patience`.
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self { shared: Arc::default(), most, patience }
    }

    /// A place at an address, if there is one within `patience`.
    pub(super) fn take(&self, addr: SocketAddr, patience: Duration) -> Option<Place> {
        let host = Prefix::of(addr.ip());
        let key = (host, if host.is_loopback() { addr.port() } else { 0 });
        let until = Instant::now() + patience.min(self.patience);
        let mut taken = self.shared.lock();
        while taken.get(&key).is_some_and(|count| *count >= self.most) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.shared.freed.wait_timeout(taken, left);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken.entry(key).or_default() += 1;
        Some(Place { shared: self.shared.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.lock();
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
        self.shared.freed.notify_all();
    }
}
