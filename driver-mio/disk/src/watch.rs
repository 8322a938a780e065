//! Files that others change: what is served has to be what was verified.
//!
//! Of each file it is known how it looked when the engine was last told, or when we had last written to
//! it. After bytes of it were read for a peer, and before they are sent from where they lie, it is looked
//! at (`fstat`); if it looks otherwise, nothing is served, and the engine is told
//! (`DiskOutcome::Changed`). From then on that look is the known one, but not for the loop before it has
//! collected what was told.
//!
//! The system gives a change its time before the first byte is changed, so what was read from a file
//! that looks as before is what was there before. What escapes: a program that sets the time back, or
//! changes bytes that it has mapped and had changed a moment before; a change in the tick of the clock
//! (1 to 4 ms) of our last write to the file; one between our write and the next sync on a file system
//! that dates changes late; and what has left for the socket already.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::FileStatus;

use super::filesystem::{Found, StoredFile};

/// How one file is known to look.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    status: FileStatus,
    /// Writes of ours that are on their way to it.
    writing: u32,
    /// Somebody else changed it before a write of ours.
    changed: bool,
    /// We wrote to it, and the file system may still give that another time.
    undated: bool,
    /// The turn of the loop in which the engine was told.
    told: u64,
}

/// Turns of the loop: what was left for it before a turn, it has collected in it.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicU64);

impl Turns {
    /// The loop is about to collect what was left for it.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of this turn.
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The files of a torrent.
#[derive(Debug, Default)]
pub(super) struct Watch {
    files: Mutex<Vec<Known>>,
    /// Times of our own changes are what they are only after a sync.
    dates_late: AtomicBool,
}

/// Why nothing is read: these files are not what they were.
#[derive(Debug)]
pub(super) struct Changed(pub(super) Vec<(u32, FileStatus)>);

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("somebody has changed the file")
    }
}

impl std::error::Error for Changed {}

fn status(found: Found) -> FileStatus {
    FileStatus { length: Some(found.length), modified: found.modified }
}

impl Watch {
    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files were looked at, and the engine hears of it before it asks for anything.
    pub(super) fn begin(&self, files: &[FileStatus], dates_late: bool) {
        self.dates_late.store(dates_late, Ordering::Relaxed);
        let known = |status: &FileStatus| Known { status: *status, ..Known::default() };
        *self.known() = files.iter().map(known).collect();
    }

    /// How a file looks, where that is not as it is known to. In the loop, `turn` is the present one.
    pub(super) fn check(
        &self,
        index: u32,
        file: &dyn StoredFile,
        turn: Option<u64>,
    ) -> io::Result<Option<FileStatus>> {
        let now = status(file.found()?);
        let known = self.known();
        let Some(known) = known.get(index as usize) else { return Ok(None) };
        let settled = turn.is_none_or(|turn| known.told < turn);
        // While we write to it ourselves nothing can be told.
        let same = known.writing > 0 || known.undated || known.status == now;
        Ok((!same || known.changed || !settled).then_some(now))
    }

    /// A write of ours to a file begins.
    pub(super) fn write_begins(&self, index: u32, file: &dyn StoredFile) -> io::Result<()> {
        let now = status(file.found()?);
        if let Some(known) = self.known().get_mut(index as usize) {
            let new = known.status.length.is_none() && now.length == Some(0);
            let idle = known.writing == 0 && !known.undated;
            known.changed |= idle && !new && known.status != now;
            known.writing += 1;
        }
        Ok(())
    }

    /// It has ended, well or not.
    pub(super) fn write_ends(&self, index: u32, file: &dyn StoredFile) {
        let now = file.found().map(status);
        let undated = self.dates_late.load(Ordering::Relaxed);
        if let Some(known) = self.known().get_mut(index as usize) {
            known.writing = known.writing.saturating_sub(1);
            known.undated |= undated;
            match now {
                Ok(now) => known.status = now,
                Err(_) => known.changed = true,
            }
        }
    }

    /// The engine was told how files look, in this turn of the loop.
    pub(super) fn told(&self, files: &[(u32, FileStatus)], turn: u64) {
        let mut all = self.known();
        for (index, status) in files {
            if let Some(known) = all.get_mut(*index as usize) {
                if known.writing == 0 {
                    known.status = *status;
                }
                known.changed = false;
                known.told = turn;
            }
        }
    }

    /// What a sync saw of files that we wrote to since the one before: of those that others changed too
    /// it must not be believed that they look as we left them.
    pub(super) fn mark_shared(&self, dirty: &[u32], files: &mut [FileStatus]) {
        let mut all = self.known();
        for index in dirty {
            let (Some(known), Some(file)) =
                (all.get_mut(*index as usize), files.get_mut(*index as usize))
            else {
                continue;
            };
            if known.undated && known.writing == 0 {
                *known = Known { status: *file, undated: false, ..*known };
            }
            let other = known.writing == 0 && file.length.is_some() && known.status != *file;
            if known.changed || other {
                file.modified = -1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is noticed.

    use std::sync::Arc;

    use super::super::filesystem::{Access, FileSystem};
    use super::super::memory::Memory;
    use super::*;

    fn file() -> Arc<dyn StoredFile> {
        let fs = Memory::new(1 << 20);
        fs.open(&["f".to_owned()], Access::Write { executable: false }).unwrap()
    }

    fn sees(watch: &Watch, file: &Arc<dyn StoredFile>, turn: Option<u64>) -> bool {
        watch.check(0, &**file, turn).unwrap().is_some()
    }

    fn write(watch: &Watch, file: &Arc<dyn StoredFile>) {
        watch.write_begins(0, &**file).unwrap();
        file.write_at(&[b"ours"], 0).unwrap();
        watch.write_ends(0, &**file);
    }

    #[test]
    fn our_writes_are_no_change_and_those_of_others_are() {
        let (watch, file) = (Watch::default(), file());
        watch.begin(&[FileStatus::default()], false);
        write(&watch, &file);
        assert!(!sees(&watch, &file, None));
        file.write_at(&[b"theirs"], 0).unwrap();
        assert!(sees(&watch, &file, None));
        // A write of ours behind it does not hide it.
        write(&watch, &file);
        assert!(sees(&watch, &file, None));
    }

    #[test]
    fn the_loop_waits_until_the_engine_has_heard_of_a_change() {
        let (watch, file, turns) = (Watch::default(), file(), Turns::default());
        watch.begin(&[status(file.found().unwrap())], false);
        turns.begin();
        file.write_at(&[b"theirs"], 0).unwrap();
        let now = watch.check(0, &*file, None).unwrap().unwrap();
        watch.told(&[(0, now)], turns.now());
        assert!(!sees(&watch, &file, None), "workers answer behind what was told");
        assert!(sees(&watch, &file, Some(turns.now())));
        turns.begin();
        assert!(!sees(&watch, &file, Some(turns.now())));
    }

    #[test]
    fn where_changes_are_dated_late_our_own_are_waited_for() {
        let (watch, file) = (Watch::default(), file());
        watch.begin(&[FileStatus::default()], true);
        write(&watch, &file);
        // The server says so when it has it.
        file.write_at(&[b"ours"], 0).unwrap();
        assert!(!sees(&watch, &file, None));
        let mut files = [status(file.found().unwrap())];
        watch.mark_shared(&[0], &mut files);
        assert_ne!(files[0].modified, -1);
        file.write_at(&[b"theirs"], 0).unwrap();
        assert!(sees(&watch, &file, None));
    }

    #[test]
    fn a_file_that_others_changed_beside_us_is_not_on_record_as_ours() {
        let (watch, file) = (Watch::default(), file());
        watch.begin(&[FileStatus::default()], false);
        write(&watch, &file);
        let mut files = [status(file.found().unwrap())];
        watch.mark_shared(&[0], &mut files);
        assert_ne!(files[0].modified, -1);
        file.write_at(&[b"theirs"], 0).unwrap();
        write(&watch, &file);
        watch.mark_shared(&[0], &mut files);
        assert_eq!(files[0].modified, -1);
    }
}
