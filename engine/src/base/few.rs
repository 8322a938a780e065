//! A set that mostly holds one member or none: what a step has to come back to.

use alloc::collections::BTreeSet;
use core::fmt::Debug;
use core::marker::PhantomData;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ordered set. A tree costs an allocation each time that it is filled again and emptied, which happens in
/// every step; most steps have one member to remember, and that is held beside the tree.
#[derive(Clone)]
pub struct FewSet<T: Ord> {
    /// A member that is not in the tree.
    one: Option<T>,
    /// All others.
    rest: BTreeSet<T>,
}

impl<T: Ord> Default for FewSet<T> {
    fn default() -> Self {
        Self { one: None, rest: BTreeSet::new() }
    }
}

impl<T: Ord + Copy> FewSet<T> {
    /// Adds a member. Returns whether it is new.
    #[inline]
    pub fn insert(&mut self, member: T) -> bool {
        match self.one {
            Some(one) if one == member => false,
            None if self.rest.is_empty() => {
                self.one = Some(member);
                true
            }
            _ => self.rest.insert(member),
        }
    }

    /// Takes a member out. Returns whether it was there.
    pub fn remove(&mut self, member: &T) -> bool {
        match self.one {
            Some(one) if one == *member => self.one.take().is_some(),
            _ => self.rest.remove(member),
        }
    }

    /// Takes the smallest member out.
    #[inline]
    pub fn pop_first(&mut self) -> Option<T> {
        match (self.one, self.rest.first()) {
            (Some(one), Some(first)) if *first < one => self.rest.pop_first(),
            (None, Some(_)) => self.rest.pop_first(),
            _ => self.one.take(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.one.is_none() && self.rest.is_empty()
    }

    /// All members, the smallest first.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let (mut one, mut rest) = (self.one, self.rest.iter().copied().peekable());
        core::iter::from_fn(move || match (one, rest.peek()) {
            (Some(member), Some(first)) if *first < member => rest.next(),
            (None, _) => rest.next(),
            _ => one.take(),
        })
    }
}

impl<T: Ord + Copy> Extend<T> for FewSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        for member in members {
            self.insert(member);
        }
    }
}

impl<T: Ord + Copy> FromIterator<T> for FewSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let mut set = Self::default();
        set.extend(members);
        set
    }
}

impl<T: Ord + Copy> Iterator for FewSet<T> {
    type Item = T;

    /// Takes the smallest member out.
    fn next(&mut self) -> Option<T> {
        self.pop_first()
    }
}

/// As any other set, as for serde: equal sets look the same, wherever their members are held.
impl<T: Ord + Copy + Debug> Debug for FewSet<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord + Copy + Serialize> Serialize for FewSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members: alloc::vec::Vec<T> = self.iter().collect();
        serializer.collect_seq(members)
    }
}

impl<'de, T: Ord + Copy + Deserialize<'de>> Deserialize<'de> for FewSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Ord + Copy + Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = FewSet<T>;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut set = FewSet::default();
                while let Some(member) = members.next_element()? {
                    set.insert(member);
                }
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    //! Against a tree that holds the same.

    use super::*;
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    quickcheck! {
        fn whatever_is_done_it_holds_what_a_tree_holds(does: Vec<(u8, u8)>) -> bool {
            let (mut few, mut tree) = (FewSet::default(), BTreeSet::new());
            does.into_iter().all(|(what, member)| {
                let same = match what % 8 {
                    0..5 => few.insert(member) == tree.insert(member),
                    5 => few.remove(&member) == tree.remove(&member),
                    _ => few.pop_first() == tree.pop_first(),
                };
                let bytes = postcard::to_allocvec(&few).expect("it can be written");
                let back: FewSet<u8> = postcard::from_bytes(&bytes).expect("it can be read");
                same && few.iter().eq(tree.iter().copied())
                    && few.is_empty() == tree.is_empty()
                    && bytes == postcard::to_allocvec(&tree).expect("it can be written")
                    && back.iter().eq(few.iter())
            })
        }
    }
}
