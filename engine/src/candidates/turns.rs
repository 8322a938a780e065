//! Whose turn it is: places to make connections in are few, and shared by who named the addresses.

use alloc::collections::BTreeSet;

use super::{Candidates, Namer, Rank};
use crate::api::PeerSource;
use crate::picker::PeerKey;

impl Candidates {
    /// Takes the best of the addresses that may be tried now out of the list of them. `share` says how many calls
    /// to addresses of a namer are being made, if there may be another.
    pub(super) fn take_ready(&mut self, share: &impl Fn(Namer) -> Option<u32>) -> Option<PeerKey> {
        let turn = |(namer, ranks): (&Namer, &BTreeSet<Rank>)| {
            let (held, first) = (share(*namer)?, ranks.first()?);
            Some((namer.source != PeerSource::User, held, *first, *namer))
        };
        let (_, _, (.., key), _) = self.ready.iter().filter_map(turn).min()?;
        self.unlist(key);
        Some(key)
    }

    /// Whether an address that the user named may be tried now.
    pub fn is_users_turn(&self) -> bool {
        self.ready.last_key_value().is_some_and(|(namer, _)| namer.source == PeerSource::User)
    }

    /// Who named an address.
    pub fn namer(&self, key: PeerKey) -> Option<Namer> {
        self.known.get(&key).map(|candidate| candidate.namer)
    }
}
