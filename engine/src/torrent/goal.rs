//! What is wanted of a torrent, and how far that is.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::reads::{Answered, Reads};
use crate::api::{FilePriority, Priority};
use crate::base::time::Instant;
use crate::metainfo::{MAX_FILE_INDEX, Metainfo};

/// What the user wants, and whether it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// How much each file is wanted.
    pub(super) priorities: Vec<Priority>,
    /// Files to fetch once they are known.
    pub(super) select: Option<Vec<u32>>,
    /// Pieces in order.
    pub(super) sequential: bool,
    /// Who reads it.
    pub(super) reads: Reads,
    /// Something was missing when the torrent became active or since.
    pub(super) was_incomplete: bool,
    /// The end of the download has been dealt with.
    pub(super) finished: bool,
    /// When a piece was last verified.
    pub(super) progress_at: Instant,
}

impl Goal {
    /// What was said when the torrent was added; `files` is how many there are, where that is known.
    pub(super) fn new(
        files: Option<usize>,
        mut priorities: Vec<Priority>,
        select: Option<Vec<u32>>,
        sequential: bool,
        now: Instant,
    ) -> Self {
        if let Some(files) = files {
            priorities.resize(files, Priority::Normal);
        }
        let (was_incomplete, finished) = (false, false);
        let reads = Reads::default();
        Self { priorities, select, sequential, reads, was_incomplete, finished, progress_at: now }
    }

    /// The files are known now: a priority for each, and those that were not selected are skipped.
    pub(super) fn learn_files(&mut self, files: usize) {
        self.priorities.resize(files, Priority::Normal);
        let Some(mut select) = self.select.take() else { return };
        select.sort_unstable();
        for (file, priority) in self.priorities.iter_mut().enumerate() {
            if select.binary_search(&(file as u32)).is_err() {
                *priority = Priority::Skip;
            }
        }
    }

    /// Wants files more or less from now on. Before it is known which there are, all that is said is kept.
    pub(super) fn prioritise(&mut self, changes: &[FilePriority], known: bool) {
        for FilePriority { file, priority } in changes.iter().copied() {
            if !known && file <= MAX_FILE_INDEX {
                let length = self.priorities.len().max(file as usize + 1);
                self.priorities.resize(length, Priority::Normal);
                if let Some(select) = &mut self.select {
                    select.retain(|selected| *selected != file);
                    select.extend(Some(file).filter(|_| priority != Priority::Skip));
                }
            }
            if let Some(slot) = self.priorities.get_mut(file as usize) {
                *slot = priority;
            }
        }
    }

    /// Whether a file is wanted.
    pub(super) fn wants(&self, file: u32) -> bool {
        self.priorities.get(file as usize) != Some(&Priority::Skip)
    }

    /// Ranges that will not come: of a piece that does not, or of a file that is not wanted any more.
    pub(super) fn take_hopeless_reads(&mut self, comes: impl Fn(u32) -> bool) -> Vec<Answered> {
        let priorities = &self.priorities;
        let wants = |file: u32| priorities.get(file as usize) != Some(&Priority::Skip);
        self.reads.take_hopeless(|file, piece| !wants(file) || !comes(piece))
    }

    /// Files that are not wanted.
    pub(super) fn skipped_files(&self) -> Vec<u32> {
        let numbered = self.priorities.iter().enumerate();
        numbered.filter(|(_, p)| **p == Priority::Skip).map(|(index, _)| index as u32).collect()
    }

    /// How much each piece is wanted: as much as the most wanted file that has a part in it.
    pub(super) fn levels(&self, metainfo: &Metainfo) -> Vec<u8> {
        let geometry = metainfo.geometry();
        let mut wanted = alloc::vec![0u8; geometry.pieces() as usize];
        for (file, priority) in metainfo.layout().files().iter().zip(&self.priorities) {
            let level = match priority {
                // Padding is wanted only with what it pads.
                _ if file.attributes.pad => 0,
                Priority::Skip => 0,
                Priority::Low => 1,
                Priority::Normal => 4,
                Priority::High => 7,
            };
            for piece in geometry.pieces_of(file.offset, file.length) {
                let slot = &mut wanted[piece as usize];
                *slot = level.max(*slot);
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the goal.

    use super::*;

    fn goal(select: Option<Vec<u32>>) -> Goal {
        Goal {
            priorities: Vec::new(),
            select,
            sequential: false,
            reads: Reads::default(),
            was_incomplete: false,
            finished: false,
            progress_at: Instant::ZERO,
        }
    }

    #[test]
    fn files_of_a_magnet_that_were_not_selected_are_skipped_once_they_are_known() {
        let mut some = goal(Some(alloc::vec![2, 0]));
        some.learn_files(4);
        assert_eq!(some.skipped_files(), [1, 3]);
        let mut all = goal(None);
        all.learn_files(4);
        assert!(all.skipped_files().is_empty());
    }
}
