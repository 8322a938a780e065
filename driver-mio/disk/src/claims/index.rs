//! All claims by path, so that what one more costs does not grow with how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use eddyline::base::hash::Sha1Hash;

use super::{Claim, ClaimAccess, Entry, Head, Key};
use crate::register::Process;

/// Who has a claim: another process or, without one, this; and for which torrent.
pub(super) type Owner = (Option<Process>, Sha1Hash);

/// A path of a claim: what it is, how it is used, what is in it, and the number of the claim.
type Place = (Key, ClaimAccess, u64, u32);

/// Claims, each under its owner.
#[derive(Debug, Default)]
pub(super) struct Index {
    claims: BTreeMap<Owner, (u32, Claim)>,
    owners: BTreeMap<u32, Owner>,
    places: BTreeSet<Place>,
    next: u32,
}

/// A path on which a claim that is there and a new one cannot both stand.
pub(super) struct Clash<'a> {
    /// Number of the file, in the new claim.
    pub(super) file: u32,
    /// Both have the same content there.
    pub(super) alike: bool,
    pub(super) holder: &'a Head,
}

impl Index {
    /// Puts a claim in the place of the one that its owner has, which is returned.
    pub(super) fn insert(&mut self, owner: Owner, claim: Claim) -> Option<Claim> {
        let before = self.remove(&owner);
        let number = self.next;
        self.next += 1;
        self.places.extend(claim.entries.iter().map(|(entry, _)| place(entry, &claim, number)));
        self.owners.insert(number, owner.clone());
        self.claims.insert(owner, (number, claim));
        before
    }

    /// Takes a claim out.
    pub(super) fn remove(&mut self, owner: &Owner) -> Option<Claim> {
        let (number, claim) = self.claims.remove(owner)?;
        for (entry, _) in &claim.entries {
            self.places.remove(&place(entry, &claim, number));
        }
        self.owners.remove(&number);
        Some(claim)
    }

    /// Takes out all that a process has.
    pub(super) fn remove_all(&mut self, process: &Process) {
        let from = (Some(process.clone()), Sha1Hash([0; 20]))..;
        let of_process = self.claims.range(from).map(|(owner, _)| owner.clone());
        let owners: Vec<Owner> =
            of_process.take_while(|(other, _)| other.as_ref() == Some(process)).collect();
        for owner in owners {
            self.remove(&owner);
        }
    }

    /// The claim of an owner.
    pub(super) fn get(&self, owner: &Owner) -> Option<&Claim> {
        self.claims.get(owner).map(|(_, claim)| claim)
    }

    /// The files of a claim that torrents other than `torrent` have, too, each with one of those.
    pub(super) fn shared(&self, torrent: Sha1Hash, claim: &Claim) -> BTreeMap<u32, &Head> {
        let files = claim.entries.iter().filter(|(entry, _)| entry.content != 0);
        let shared = files.filter_map(|(entry, file)| {
            let first = (entry.key, ClaimAccess::Reads, 0, 0);
            let last = (entry.key, ClaimAccess::Writes, u64::MAX, u32::MAX);
            let holders = self.places.range(first..=last);
            let mut others = holders.filter_map(|(.., number)| self.owners.get(number));
            let other = others.find(|(_, other)| *other != torrent)?;
            Some((*file, &self.get(other)?.head))
        });
        shared.collect()
    }

    /// The first path of a new claim of `torrent` on which it cannot stand beside those of other
    /// torrents. Any number can read; of equal content one may write beside those that read. A folder is
    /// a folder for everybody.
    pub(super) fn clash(&self, torrent: Sha1Hash, claim: &Claim) -> Option<Clash<'_>> {
        claim.entries.iter().find_map(|(entry, file)| {
            let (alike, number) = self.in_the_way(torrent, entry, claim.head.access)?;
            let holder = self.owners.get(&number).and_then(|owner| self.get(owner))?;
            Some(Clash { file: *file, alike, holder: &holder.head })
        })
    }

    /// A claim of another torrent on the path of `entry` that does not go with it, and whether its
    /// content is the same.
    fn in_the_way(
        &self,
        torrent: Sha1Hash,
        entry: &Entry,
        access: ClaimAccess,
    ) -> Option<(bool, u32)> {
        use ClaimAccess::{Mends, Reads, Writes};
        [Reads, Mends, Writes].into_iter().find_map(|other| {
            if (access, other) == (Reads, Reads) {
                return None;
            }
            // In order of their content: if the first and the last have this content, all have.
            let foreign = |(.., number): &&Place| {
                self.owners.get(number).is_some_and(|(_, other)| *other != torrent)
            };
            let range = |contents: RangeInclusive<u64>| {
                let (first, last) = contents.into_inner();
                let (from, to) = ((entry.key, other, first, 0), (entry.key, other, last, u32::MAX));
                self.places.range(from..=to).filter(foreign)
            };
            let (first, last) = (range(0..=u64::MAX).next()?, range(0..=u64::MAX).next_back()?);
            if let Some((.., number)) =
                [first, last].into_iter().find(|(_, _, content, _)| *content != entry.content)
            {
                return Some((false, *number));
            }
            let both = (access, other) == (Writes, Writes) && entry.content != 0;
            both.then_some((true, first.3))
        })
    }
}

fn place(entry: &Entry, claim: &Claim, number: u32) -> Place {
    (entry.key, claim.head.access, entry.content, number)
}
