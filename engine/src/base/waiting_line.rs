//! Connections that wait for something that there is not enough of, each once, in the order in which
//! they came.

use alloc::collections::{BTreeSet, VecDeque};
use serde::{Deserialize, Serialize};

use super::ids::ConnId;

/// The line. Connections that are closed stay in it until it is their turn.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitingLine {
    order: VecDeque<ConnId>,
    members: BTreeSet<ConnId>,
    /// Somebody has joined since that was asked.
    has_grown: bool,
}

impl WaitingLine {
    /// Goes to the end of the line, unless it stands in it.
    pub fn join(&mut self, conn: ConnId) {
        if self.members.insert(conn) {
            self.order.push_back(conn);
            self.has_grown = true;
        }
    }

    /// Whether somebody has joined since this was forgotten.
    pub fn has_grown(&self) -> bool {
        self.has_grown
    }

    /// Forgets who has joined.
    pub fn forget_growth(&mut self) {
        self.has_grown = false;
    }

    /// Takes the first out of the line.
    pub fn take_first(&mut self) -> Option<ConnId> {
        let conn = self.order.pop_front()?;
        self.members.remove(&conn);
        Some(conn)
    }

    /// Puts these behind everybody else, all of them in the order in which they stand.
    pub fn put_behind(&mut self, these: &[ConnId]) {
        if these.is_empty() || these.len() == self.order.len() {
            return;
        }
        let these: BTreeSet<ConnId> = these.iter().copied().collect();
        let (behind, before): (VecDeque<_>, VecDeque<_>) =
            self.order.drain(..).partition(|conn| these.contains(conn));
        self.order = before;
        self.order.extend(behind);
    }

    /// Who stands at a place, from 0 for the first.
    pub fn get(&self, place: usize) -> Option<ConnId> {
        self.order.get(place).copied()
    }

    /// Takes out everybody for whom `keep` is not true.
    pub fn retain(&mut self, keep: impl Fn(ConnId) -> bool) {
        self.order.retain(|conn| keep(*conn));
        self.members.retain(|conn| keep(*conn));
    }

    /// How many stand in it.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the line.

    use super::*;

    #[test]
    fn whoever_waits_stands_in_the_line_once_and_keeps_its_place() {
        let conn = ConnId::from_u64;
        let mut line = WaitingLine::default();
        [1, 2, 1, 3, 2].into_iter().for_each(|n| line.join(conn(n)));
        assert_eq!((line.len(), line.take_first()), (3, Some(conn(1))));
        line.forget_growth();
        line.join(conn(2));
        assert!(!line.has_grown(), "it stands there already");
        line.join(conn(1));
        assert!(line.has_grown());
        line.retain(|waiting| waiting != conn(2));
        assert_eq!((line.get(0), line.get(1), line.get(2)), (Some(conn(3)), Some(conn(1)), None));
        line.join(conn(2));
        line.put_behind(&[conn(3), conn(7)]);
        let rest: alloc::vec::Vec<_> = core::iter::from_fn(|| line.take_first()).collect();
        assert_eq!(rest, [1, 2, 3].map(conn));
        assert!(line.is_empty());
    }
}
