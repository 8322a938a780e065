//! Connections that came by themselves and have not begun to shake hands. Connecting is cheap, and who calls shakes
//! hands at once; so those who have not wait here, where there is more room than to shake hands in, and whoever has
//! waited longest gives way to the next. Only a handshake, or the key of an encrypted one, takes a place from others.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::base::crowd::{Counts, Ranking};
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// Who waits, since when.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WaitingRoom {
    /// All of them, those who have waited longest first: by when their patience ends.
    by_age: BTreeSet<(Instant, ConnId)>,
    /// The same by who may stand behind them: a block of addresses, or a host of a local network.
    by_owner: BTreeSet<(Prefix, Instant, ConnId)>,
    owners: Ranking<Prefix>,
    hosts: Counts<Prefix>,
}

impl WaitingRoom {
    /// Somebody of `host` comes.
    pub fn enter(&mut self, id: ConnId, host: Prefix, until: Instant) {
        let owner = Prefix::owner_of(host.first());
        self.by_age.insert((until, id));
        self.by_owner.insert((owner, until, id));
        self.owners.add(owner);
        self.hosts.add(host);
    }

    /// Somebody of `host` waits no more.
    pub fn leave(&mut self, id: ConnId, host: Prefix, until: Instant) {
        if self.by_age.remove(&(until, id)) {
            let owner = Prefix::owner_of(host.first());
            self.by_owner.remove(&(owner, until, id));
            self.owners.remove(owner);
            self.hosts.remove(host);
        }
    }

    /// How many wait.
    pub fn count(&self) -> u32 {
        self.by_age.len() as u32
    }

    /// How many of a host wait.
    pub fn of_host(&self, host: Prefix) -> u32 {
        self.hosts.of(host)
    }

    /// Those of one owner, who have waited longest first.
    pub fn of_owner(&self, owner: Prefix) -> impl Iterator<Item = ConnId> + '_ {
        let theirs = self.by_owner.range((owner, Instant::ZERO, ConnId::from_u64(0))..);
        theirs.take_while(move |(of, ..)| *of == owner).map(|(.., id)| *id)
    }

    /// Who gives way to somebody of `host`: of the owner who has most, the newcomer counted, whoever has waited
    /// longest; or of all, where each has one.
    pub fn who_gives_way_to(&self, host: Prefix) -> Option<ConnId> {
        let owner = Prefix::owner_of(host.first());
        let (count, fullest) = self.owners.fullest()?;
        if self.owners.of(owner) >= count {
            self.of_owner(owner).next()
        } else if count > 1 {
            self.of_owner(fullest).next()
        } else {
            self.by_age.first().map(|(_, id)| *id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;
    use core::time::Duration;

    fn host(text: &str) -> Prefix {
        Prefix::of(text.parse::<IpAddr>().unwrap())
    }

    fn at(second: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(second)
    }

    #[test]
    fn a_block_that_has_most_gives_way_and_else_who_has_waited_longest() {
        let mut room = WaitingRoom::default();
        let id = ConnId::from_u64;
        room.enter(id(1), host("20.0.0.1"), at(1));
        room.enter(id(2), host("20.0.1.1"), at(2));
        assert_eq!(room.who_gives_way_to(host("20.0.9.1")), Some(id(1)));
        // Another of a block that has as many as any gives way to itself.
        assert_eq!(room.who_gives_way_to(host("20.0.1.2")), Some(id(2)));
        room.enter(id(3), host("20.0.1.2"), at(3));
        room.enter(id(4), host("20.0.1.2"), at(4));
        assert_eq!((room.count(), room.of_host(host("20.0.1.2"))), (4, 2));
        for newcomer in ["20.0.9.1", "20.0.0.2", "20.0.1.7"] {
            assert_eq!(room.who_gives_way_to(host(newcomer)), Some(id(2)), "{newcomer}");
        }
        room.leave(id(2), host("20.0.1.1"), at(2));
        room.leave(id(2), host("20.0.1.1"), at(2));
        assert_eq!((room.count(), room.of_owner(host("20.0.1.1").wide()).count()), (3, 2));
        for (n, of) in [(1, "20.0.0.1"), (3, "20.0.1.2"), (4, "20.0.1.2")] {
            room.leave(id(n), host(of), at(n));
        }
        assert_eq!(room, WaitingRoom::default());
        assert_eq!(room.who_gives_way_to(host("20.0.9.1")), None);
    }
}
