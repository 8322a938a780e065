//! Addresses that nothing is sent to and nobody is heard from: the filter that everything shares which makes sockets,
//! and the lists that it is made of.

mod lists;
mod watch;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use eddyline::filter::Filter;

pub use lists::{List, ListError, ListRead, Lists};
pub use watch::{Told, Watch};

/// A filter that may be replaced; clones are one. The engine has its own reference to it.
#[derive(Clone, Debug, Default)]
pub struct Blocklist(Arc<RwLock<Arc<Filter>>>);

impl Blocklist {
    /// The filter of now.
    #[must_use]
    pub fn get(&self) -> Arc<Filter> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it. Who gives the engine the same one closes what stands with addresses that it blocks.
    pub fn set(&self, filter: Arc<Filter>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }

    /// Whether nothing is sent to `ip` and nobody there is heard.
    #[must_use]
    pub fn blocks(&self, ip: IpAddr) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).blocks(ip)
    }
}
