//! What torrents want of the rest of the engine, granted in this order:
//!
//! 1. announces, behind each flush, until no more are wanted;
//! 2. no more of a torrent in the DHT that turned out to be private: also before anything else is done there;
//! 3. searches in the DHT, and on the local network, once a step.
//!
//! A search that is wanted after that waits for the next step.

use super::Engine;

impl Engine {
    /// Makes the announces that are wanted. Returns whether there were any.
    pub(super) fn make_announces(&mut self) -> bool {
        let announces = self.ctx.agenda.discovery.take_announces();
        for (id, order) in &announces {
            self.announce(*id, order);
        }
        !announces.is_empty()
    }

    /// Looks for the peers that are wanted.
    pub(super) fn begin_searches(&mut self) {
        let searched = self.ctx.agenda.discovery.take_searches();
        let any = !searched.is_empty();
        self.search_dht(searched);
        if any {
            self.search_locally();
        }
    }
}
