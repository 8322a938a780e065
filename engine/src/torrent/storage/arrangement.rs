//! How the files of a torrent lie: what is skipped, other names, another location. Tasks are done one after the
//! other, and each is durable before the embedder is told.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::{
    Allocation, CommandError, DiskOp, LocationId, Placement, Rename, Renamed, StorageTask, Tag,
};
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use crate::metainfo::{FileEntry, Layout, MAX_PATH_DEPTH, Naming, name_beside, safe_component};
use crate::resume::ResumeData;

/// Time until a location that is gone is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Tasks that wait for the one in progress.
const MAX_TASKS: usize = 64;

/// One thing to be done with all files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Task {
    Select(Tag, Vec<u32>),
    Move(Tag, LocationId),
    Rename(Tag, Vec<(u32, Renamed)>),
    Discard(LocationId),
}

/// What is done once resume data that describes the new state is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Waiting {
    told: Vec<(Tag, StorageTask)>,
    /// Old copies, to be removed once the resume data names the new one.
    discard: Vec<LocationId>,
    /// Files are to be renamed once the new names are on record.
    names: bool,
}

/// How the files lie, and what is to become of that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Arrangement {
    pub(in crate::torrent) placement: Placement,
    /// What names can be at the location.
    pub(in crate::torrent) naming: Naming,
    tasks: VecDeque<Task>,
    busy: Option<Task>,
    /// Where copies lie that a move left behind.
    left_at: Vec<LocationId>,
    /// What waits for resume data that tells how the files lie now.
    unsaved: Waiting,
    /// What waits for the resume data that is being stored.
    in_store: Waiting,
    /// The names before the renaming in progress.
    names_before: Option<BTreeMap<u32, Renamed>>,
    /// The new names are on record, so that a crash in between is completed at the next start.
    names_on_record: bool,
    /// When a location that is gone is looked for again.
    look_again: Option<Instant>,
}

impl Arrangement {
    /// Files at `location`, where names are as `naming` has them.
    pub(in crate::torrent) fn new(
        location: LocationId,
        allocation: Allocation,
        naming: Naming,
        read_only: bool,
    ) -> Self {
        let placement = Placement { location, allocation, read_only, ..Placement::default() };
        Self { placement, naming, ..Self::default() }
    }

    /// The renaming is done: nothing is looked for under the old names any more, and other files may get them.
    fn names_done(&mut self, renamed: &[(u32, Renamed)]) {
        for (file, _) in renamed {
            if let Some(names) = self.placement.renamed.get_mut(file) {
                names.from.clone_from(&names.to);
            }
        }
    }

    /// Whether nothing may be written, because everything is being copied or soon will be.
    pub(in crate::torrent) fn holds_writes(&self) -> bool {
        let moves = |task: &Task| matches!(task, Task::Move(..));
        self.busy.as_ref().is_some_and(moves) || self.tasks.front().is_some_and(moves)
    }

    /// Whether nothing more is wanted of the files.
    pub(in crate::torrent) fn is_done(&self) -> bool {
        self.busy.is_none() && self.tasks.is_empty() && self.look_again.is_none()
    }

    /// Whether everything is being copied.
    pub(in crate::torrent) fn is_moving(&self) -> bool {
        matches!(self.busy, Some(Task::Move(..)))
    }

    /// Takes over what an earlier run left: names, and copies to be removed.
    pub(in crate::torrent) fn restore(&mut self, resume: &ResumeData, layout: &Layout) {
        self.placement.renamed.clone_from(&resume.renamed);
        if resume.location != self.placement.location {
            self.forget_fitted_names(layout);
        }
        self.left_at.clone_from(&resume.left_at);
        // Nothing that is in use is removed, whatever the record says.
        let location = self.placement.location;
        self.left_at.retain(|left| *left != location);
        self.tasks.retain(|task| !matches!(task, Task::Discard(_)));
        self.tasks.extend(self.left_at.iter().copied().map(Task::Discard));
    }

    /// Names that files have because of where they were are worth nothing elsewhere: those that some place would give,
    /// and those of the torrent itself. What remains are the user's.
    fn forget_fitted_names(&mut self, layout: &Layout) {
        let longest = [Naming::POSIX.longest, Naming::PORTABLE.longest];
        let flags = [(true, true), (true, false), (false, true), (false, false)];
        let places = flags.iter().flat_map(|(portable, folds_case)| {
            longest.map(|longest| Naming { portable: *portable, folds_case: *folds_case, longest })
        });
        if self.placement.renamed.is_empty() {
            return;
        }
        let fitted: Vec<_> = places.map(|naming| layout.names_for(naming)).collect();
        self.placement.renamed.retain(|file, name| {
            let entry = layout.files().get(*file as usize);
            let own = entry.and_then(|entry| entry.own.as_deref()) == Some(&name.to[..]);
            let same = entry.is_some_and(|entry| entry.path == name.to);
            let fits = fitted.iter().any(|names| names.get(file) == Some(&name.to));
            name.from != name.to || !(own || same || fits)
        });
    }

    /// Files whose names the location does not allow get names that it allows, unless they were renamed
    /// already.
    pub(in crate::torrent) fn fit_names(&mut self, layout: &Layout) {
        for (file, path) in layout.names_for(self.naming) {
            let name = || Renamed { from: path.clone(), to: path };
            self.placement.renamed.entry(file).or_insert_with(name);
        }
    }

    /// What the next run has to know of it.
    pub(in crate::torrent) fn left_at(&self) -> &[LocationId] {
        &self.left_at
    }

    fn add(&mut self, task: Task) -> bool {
        let room = self.tasks.len() < MAX_TASKS;
        if room {
            self.tasks.push_back(task);
        }
        room
    }
}

/// What is to be done before the next thing that is wanted of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::torrent) enum Next {
    /// Nothing is wanted.
    Nothing,
    /// New names have to be on record first; where they just became known, a save is due.
    Record {
        /// They just did.
        save: bool,
    },
    /// No block may be on its way to the disk, and no save in progress.
    Quiet,
    /// Nothing: it can begin.
    Begin,
}

/// What came of a thing that was wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::torrent) enum Arranged {
    /// A copy that was not needed is gone: to be put on record; or is not, and is tried again at the next start.
    Discarded(bool),
    /// It is done, and has to be put on record. Where the files moved, they were looked at.
    Done {
        /// They moved.
        moved: bool,
    },
    /// It failed.
    Failed(Tag, StorageTask),
}

impl Arrangement {
    /// Other files are wanted. Returns whether the driver has to know, before it is asked to write.
    pub(in crate::torrent) fn select(
        &mut self,
        tag: Tag,
        skipped: Vec<u32>,
        is_open: bool,
    ) -> bool {
        if skipped == self.placement.skipped {
            return false;
        }
        self.placement.skipped.clone_from(&skipped);
        self.tasks.retain(|task| !matches!(task, Task::Select(..)));
        if is_open {
            self.tasks.push_front(Task::Select(tag, skipped));
        }
        is_open
    }

    /// Room is made for what is wanted, before it is fetched.
    pub(in crate::torrent) fn make_room(&mut self) {
        if self.placement.allocation != Allocation::None {
            let select = Task::Select(Tag::NONE, self.placement.skipped.clone());
            self.tasks.push_front(select);
        }
    }

    /// The data will be at another location: there is none yet. Returns that it is there.
    pub(in crate::torrent) fn begin_at(&mut self, location: LocationId) -> bool {
        self.placement.location = location;
        true
    }

    /// The data is to move to another location. Returns whether it is there already.
    pub(in crate::torrent) fn move_to(
        &mut self,
        tag: Tag,
        to: LocationId,
    ) -> Result<bool, CommandError> {
        let there = self.placement.location == to && self.tasks.is_empty();
        match there || self.add(Task::Move(tag, to)) {
            true => Ok(there),
            false => Err(CommandError::Busy),
        }
    }

    /// Files are to get other names.
    pub(in crate::torrent) fn rename(
        &mut self,
        tag: Tag,
        layout: &Layout,
        rename: &Rename,
    ) -> Result<(), CommandError> {
        let renamed = match rename {
            Rename::Torrent(name) => self.rename_torrent(layout, name),
            Rename::File(file, path) => self.rename_file(layout, *file, path),
        };
        let renamed = renamed.filter(|renamed| self.names_are_free(layout, renamed));
        let renamed = renamed.ok_or(CommandError::BadName)?;
        self.add(Task::Rename(tag, renamed)).then_some(()).ok_or(CommandError::Busy)
    }

    /// What a file is called now.
    pub(in crate::torrent) fn path_now(
        &self,
        files: &[FileEntry],
        file: u32,
    ) -> Option<Vec<String>> {
        if let Some(renamed) = self.placement.renamed.get(&file) {
            return Some(renamed.to.clone());
        }
        files.get(file as usize).map(|entry| entry.path.clone())
    }

    fn rename_file(&self, layout: &Layout, file: u32, path: &str) -> Option<Vec<(u32, Renamed)>> {
        let entry = layout.files().get(file as usize)?;
        let to: Option<Vec<_>> = path.split('/').map(|part| self.usable_name(part)).collect();
        let to = to.filter(|to| entry.is_stored() && to.len() <= MAX_PATH_DEPTH)?;
        Some(alloc::vec![(file, Renamed { from: self.path_now(layout.files(), file)?, to })])
    }

    /// A name that is safe, and possible at the location.
    fn usable_name(&self, name: &str) -> Option<String> {
        let safe = safe_component(name.as_bytes(), self.naming);
        safe.filter(|safe| safe == name)
    }

    fn rename_torrent(&self, layout: &Layout, name: &str) -> Option<Vec<(u32, Renamed)>> {
        let name = self.usable_name(name)?;
        stored(layout)
            .map(|file| {
                let from = self.path_now(layout.files(), file)?;
                let mut to = from.clone();
                to.first_mut()?.clone_from(&name);
                Some((file, Renamed { from, to }))
            })
            .collect()
    }

    /// Whether no two files would have one name, or one be the folder of the other.
    fn names_are_free(&self, layout: &Layout, renamed: &[(u32, Renamed)]) -> bool {
        let mut paths: Vec<Vec<_>> = Vec::new();
        let new: BTreeMap<u32, &Renamed> = renamed.iter().map(|(file, r)| (*file, r)).collect();
        for index in stored(layout) {
            let path = new.get(&index).map(|renamed| renamed.to.clone());
            paths.extend(path.or_else(|| self.path_now(layout.files(), index)));
        }
        paths.sort_unstable();
        paths.windows(2).all(|pair| !pair[1].starts_with(&pair[0]))
    }

    /// A file was found under another name than was thought.
    pub(in crate::torrent) fn found_as(&mut self, file: u32, path: Vec<String>) {
        let name = Renamed { from: path.clone(), to: path };
        self.placement.renamed.insert(file, name);
    }

    /// Files have the names that we give, and not those under which they were found.
    pub(in crate::torrent) fn name_again(&mut self, layout: &Layout, borrowed: &BTreeSet<u32>) {
        borrowed.iter().for_each(|index| drop(self.placement.renamed.remove(index)));
        self.fit_names(layout);
        for index in borrowed {
            let Some(entry) = layout.files().get(*index as usize) else { continue };
            // Stored even though nothing is renamed, so that the file is not looked for under another name.
            let name = || Renamed { from: entry.path.clone(), to: entry.path.clone() };
            self.placement.renamed.entry(*index).or_insert_with(name);
        }
    }

    /// What is there under the names of these files is somebody else's: they get names that no other file of the
    /// torrent has.
    pub(in crate::torrent) fn name_apart(&mut self, layout: &Layout, files: &[u32]) {
        // Some places do not tell upper and lower case apart.
        let written = |path: &[String]| path.join("/").to_lowercase();
        let now = stored(layout).filter_map(|file| self.path_now(layout.files(), file));
        let mut taken: BTreeSet<String> = now.map(|path| written(&path)).collect();
        for file in files {
            let Some(path) = self.path_now(layout.files(), *file) else { continue };
            let mut others = (1..).map(|attempt| beside(&path, attempt, self.naming));
            // A name is taken by a folder, too, whose files all begin with it.
            let free = others.find(|path| {
                let (name, folder) = (written(path), written(path) + "/");
                let below = taken.range(folder.clone()..).next();
                !taken.contains(&name) && !below.is_some_and(|below| below.starts_with(&folder))
            });
            if let Some(to) = free {
                taken.insert(written(&to));
                self.placement.renamed.insert(*file, Renamed { from: to.clone(), to });
            }
        }
    }

    /// What is to be done for the next thing that is wanted of the files.
    pub(in crate::torrent) fn next(&mut self) -> Next {
        if self.busy.is_some() {
            return Next::Nothing;
        }
        match self.tasks.front() {
            None => Next::Nothing,
            Some(Task::Rename(_, renamed)) if !self.names_on_record => {
                let save = self.names_before.is_none();
                if save {
                    let names = &mut self.placement.renamed;
                    self.names_before = Some(names.clone());
                    names.extend(renamed.clone());
                    self.unsaved.names = true;
                }
                Next::Record { save }
            }
            Some(Task::Move(..)) => Next::Quiet,
            Some(_) => Next::Begin,
        }
    }

    /// Begins the next thing.
    pub(in crate::torrent) fn begin(&mut self, torrent: TorrentId) -> Option<DiskOp> {
        let task = self.tasks.pop_front()?;
        self.busy = Some(task.clone());
        Some(match task {
            Task::Select(_, skipped) => DiskOp::Select { torrent, skipped },
            Task::Move(_, to) => DiskOp::Move { torrent, to },
            Task::Rename(_, renamed) => DiskOp::Rename { torrent, renamed },
            Task::Discard(from) => DiskOp::Discard { torrent, from },
        })
    }

    /// What was wanted of the files is done, or is not.
    pub(in crate::torrent) fn arranged(&mut self, done: bool) -> Option<Arranged> {
        let ended = self.busy.take()?;
        let (tag, task) = match &ended {
            Task::Select(tag, _) => (*tag, StorageTask::Select),
            Task::Move(tag, to) => (*tag, StorageTask::Move(*to)),
            Task::Rename(tag, _) => (*tag, StorageTask::Rename),
            Task::Discard(from) => {
                if done {
                    self.left_at.retain(|left| left != from);
                }
                return Some(Arranged::Discarded(done));
            }
        };
        let names_before = match (done, &task) {
            // A failed selection is tried again: without it blocks would be written to the wrong place.
            (false, StorageTask::Select) => {
                self.tasks.push_front(ended);
                return Some(Arranged::Failed(tag, task));
            }
            _ => self.names_before.take(),
        };
        self.names_on_record = false;
        if !done {
            if let (StorageTask::Rename, Some(names)) = (&task, names_before) {
                self.placement.renamed = names;
            }
            return Some(Arranged::Failed(tag, task));
        }
        self.unsaved.told.push((tag, task));
        let moved = matches!(ended, Task::Move(..));
        match ended {
            Task::Rename(_, renamed) => self.names_done(&renamed),
            Task::Move(_, to) => {
                let from = core::mem::replace(&mut self.placement.location, to);
                self.unsaved.discard.push(from);
                self.left_at.retain(|left| *left != to);
                self.tasks.retain(|task| *task != Task::Discard(to));
                self.left_at.push(from);
            }
            Task::Select(..) | Task::Discard(_) => {}
        }
        Some(Arranged::Done { moved })
    }

    /// Resume data that tells how the files lie is on its way to the disk.
    pub(in crate::torrent) fn store_begins(&mut self) {
        self.in_store = core::mem::take(&mut self.unsaved);
    }

    /// The resume data is stored, or is not and has to be stored again. Returns what is done.
    pub(in crate::torrent) fn stored(&mut self, stored: bool) -> Vec<(Tag, StorageTask)> {
        let mut waiting = core::mem::take(&mut self.in_store);
        if !stored {
            self.unsaved.told.append(&mut waiting.told);
            self.unsaved.discard.append(&mut waiting.discard);
            self.unsaved.names |= waiting.names;
            return Vec::new();
        }
        for from in waiting.discard {
            self.tasks.push_front(Task::Discard(from));
        }
        self.names_on_record |= waiting.names;
        waiting.told
    }

    /// The location is gone. Returns when it is looked for again.
    pub(in crate::torrent) fn location_gone(&mut self, now: Instant) -> Instant {
        *self.look_again.insert(now + LOOK_AGAIN)
    }

    /// The location is to be looked for at once.
    pub(in crate::torrent) fn look_now(&mut self, now: Instant) {
        self.look_again = Some(now);
    }

    /// Whether a location that is gone is to be looked for.
    pub(in crate::torrent) fn is_look_due(&self, now: Instant) -> bool {
        self.look_again.is_some_and(|at| at <= now)
    }

    /// It is being looked for.
    pub(in crate::torrent) fn look_begins(&mut self) {
        self.look_again = None;
    }
}

/// A path in the folder of another one, whose name differs by a number.
fn beside(path: &[String], attempt: u32, naming: Naming) -> Vec<String> {
    let mut path = path.to_vec();
    if let Some(name) = path.last_mut() {
        *name = name_beside(name, attempt, naming);
    }
    path
}

/// Files of which something lies on disk.
fn stored(layout: &Layout) -> impl Iterator<Item = u32> + '_ {
    let files = layout.files().iter().zip(0..);
    files.filter(|(file, _)| file.is_stored()).map(|(_, index)| index)
}

#[cfg(feature = "corruption")]
impl Arrangement {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "nothing is asked for while the data moves" => {
                self.busy = Some(Task::Move(Tag::NONE, LocationId(1)));
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of arrangement.

    use super::*;

    const TAG: Tag = Tag(7);
    const HERE: LocationId = LocationId(1);
    const THERE: LocationId = LocationId(2);

    fn arrangement() -> Arrangement {
        Arrangement::new(HERE, Allocation::None, Naming::default(), false)
    }

    #[test]
    fn the_old_copy_is_discarded_once_the_new_place_is_on_record() {
        let mut files = arrangement();
        assert_eq!(files.move_to(TAG, HERE), Ok(true));
        assert_eq!(files.move_to(TAG, THERE), Ok(false));
        assert!(files.holds_writes() && files.next() == Next::Quiet);
        let torrent = TorrentId::from_u64(1);
        assert!(matches!(files.begin(torrent), Some(DiskOp::Move { to: THERE, .. })));
        assert!(files.is_moving() && files.next() == Next::Nothing);
        assert_eq!(files.arranged(true), Some(Arranged::Done { moved: true }));
        assert_eq!((files.placement.location, files.left_at()), (THERE, &[HERE][..]));
        assert_eq!(files.next(), Next::Nothing);
        files.store_begins();
        assert!(files.stored(false).is_empty() && files.next() == Next::Nothing);
        files.store_begins();
        assert_eq!(files.stored(true), [(TAG, StorageTask::Move(THERE))]);
        assert_eq!(files.next(), Next::Begin);
        assert!(matches!(files.begin(torrent), Some(DiskOp::Discard { from: HERE, .. })));
        assert_eq!(files.arranged(true), Some(Arranged::Discarded(true)));
        assert!(files.left_at().is_empty() && files.is_done());
    }

    #[test]
    fn a_selection_that_fails_is_tried_again_and_a_move_is_not() {
        let mut files = arrangement();
        assert!(
            files.select(TAG, alloc::vec![3], true) && !files.select(TAG, alloc::vec![3], true)
        );
        let torrent = TorrentId::from_u64(1);
        assert!(matches!(files.begin(torrent), Some(DiskOp::Select { .. })));
        assert_eq!(files.arranged(false), Some(Arranged::Failed(TAG, StorageTask::Select)));
        assert!(matches!(files.begin(torrent), Some(DiskOp::Select { .. })));
        assert_eq!(files.arranged(true), Some(Arranged::Done { moved: false }));
        assert_eq!(files.move_to(TAG, THERE), Ok(false));
        files.begin(torrent);
        assert_eq!(files.arranged(false), Some(Arranged::Failed(TAG, StorageTask::Move(THERE))));
        assert!(files.is_done() && files.placement.location == HERE);
    }
}
