//! What an embedder may see of web seeds.

use alloc::vec::Vec;

use super::WebSeeds;
use crate::api::{WebSeedState, WebSeedView};
use crate::base::time::Instant;

impl WebSeeds {
    /// All of them.
    pub fn views(&self, now: Instant) -> Vec<WebSeedView> {
        (0..self.servers.len()).filter_map(|index| self.view(index, now)).collect()
    }

    /// How many are asked for something.
    pub fn active(&self) -> u32 {
        self.servers.iter().filter(|server| server.lanes > 0).count() as u32
    }

    /// The same of one.
    pub fn view(&self, index: usize, now: Instant) -> Option<WebSeedView> {
        let server = self.servers.get(index)?;
        let state = match server.given_up {
            Some(_) => WebSeedState::GivenUp,
            None if server.lanes > 0 => WebSeedState::Active,
            None if server.retry_at > now => WebSeedState::Waiting(server.retry_at),
            None => WebSeedState::Idle,
        };
        Some(WebSeedView {
            url: server.url.clone(),
            by_user: server.trusted,
            state,
            requests: server.lanes.into(),
            down_rate: server.down.per_second(now),
            downloaded: server.down.total(),
            failures: server.failures,
            message: server.message.clone(),
        })
    }
}
