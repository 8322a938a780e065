//! Exchanges at one address, whatever it is called: names are free, and any number of them may lead to one server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eddyline::base::prefix::Prefix;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A host. On this machine each port is somebody else.
type Key = (Prefix, u16);

/// Places at every address.
#[derive(Clone, Debug)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    /// How long somebody waits for a place.
    patience: Duration,
}

/// The places of each address at which anybody is or waits, and how many those are.
type Taken = BTreeMap<Key, (Arc<Semaphore>, usize)>;

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _guest: Guest,
}

/// Somebody who is at an address or waits there.
#[derive(Debug)]
struct Guest {
    taken: Arc<Mutex<Taken>>,
    key: Key,
}

impl Places {
    /// `most` at each address; who finds none waits for `patience`.
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self { taken: Arc::default(), most, patience }
    }

    /// A place at an address, if there is one soon.
    pub(super) async fn take(&self, addr: SocketAddr) -> Option<Place> {
        let host = Prefix::of(addr.ip());
        let key = (host, if host.is_loopback() { addr.port() } else { 0 });
        let places = {
            let mut taken = lock(&self.taken);
            let new = || (Arc::new(Semaphore::new(self.most)), 0);
            let (places, guests) = taken.entry(key).or_insert_with(new);
            *guests += 1;
            places.clone()
        };
        let guest = Guest { taken: self.taken.clone(), key };
        let permit = timeout(self.patience, places.acquire_owned()).await.ok()?.ok()?;
        Some(Place { _permit: permit, _guest: guest })
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some((_, guests)) = taken.get_mut(&self.key) {
            *guests -= 1;
            if *guests == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of places.

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_has_eight_places_whatever_the_port() {
        let places = Places::new(8, Duration::from_secs(3));
        let take = async |text: &str| places.take(text.parse().unwrap()).await;
        let mut eight = Vec::new();
        for _ in 0..8 {
            eight.push(take("203.0.113.1:80").await.unwrap());
        }
        assert!(take("203.0.113.1:443").await.is_none());
        assert!(take("203.0.113.2:80").await.is_some());
        // On this machine each port is somebody else.
        let own = (take("127.0.0.1:80").await.unwrap(), take("127.0.0.1:81").await.unwrap());
        assert_eq!(lock(&places.taken).len(), 3);
        let mut waits = std::pin::pin!(take("203.0.113.1:443"));
        assert!(timeout(Duration::from_secs(1), &mut waits).await.is_err());
        eight.pop();
        assert!(waits.await.is_some(), "who waits gets the one that is free");
        drop((eight, own));
        assert!(lock(&places.taken).is_empty());
    }
}
