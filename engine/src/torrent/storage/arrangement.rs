//! How the files of a torrent lie: what is skipped, other names, another location. One thing is done
//! after the other, and each is durable before it is told.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::super::Torrent;
use crate::api::{
    Allocation, CommandError, DiskError, DiskOp, FileStatus, LocationId, Notice, Placement, Rename,
    Renamed, StorageTask, TorrentError,
};
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::context::{Context, DiskJob, Timer};
use crate::metainfo::{Layout, MAX_PATH_DEPTH, Naming, safe_component};
use crate::resume::ResumeData;

/// Time until a location that is gone is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Wishes that wait for the one in progress.
const MAX_WISHES: usize = 64;

/// One thing to be done with all files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Wish {
    Select(Vec<u32>),
    Move(LocationId),
    Rename(Vec<(u32, Renamed)>),
    Discard(LocationId),
}

/// What follows when the resume data says how the files lie.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Waiting {
    told: Vec<StorageTask>,
    /// Copies that are not needed once the resume data names the other one.
    discard: Vec<LocationId>,
    /// Names are to be changed when they are on record.
    names: bool,
}

/// How the files lie, and what is to become of that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Arrangement {
    pub(in crate::torrent) placement: Placement,
    /// What names can be at the location.
    pub(in crate::torrent) naming: Naming,
    wishes: VecDeque<Wish>,
    busy: Option<Wish>,
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

    /// Files have their new names: nothing is to be looked for under the old ones any more, which
    /// other files may get.
    fn names_done(&mut self, renamed: &[(u32, Renamed)]) {
        for (file, _) in renamed {
            if let Some(names) = self.placement.renamed.get_mut(file) {
                names.from.clone_from(&names.to);
            }
        }
    }

    /// Whether nothing may be written, because everything is being copied or soon will be.
    pub(in crate::torrent) fn holds_writes(&self) -> bool {
        let moves = |wish: &Wish| matches!(wish, Wish::Move(_));
        self.busy.as_ref().is_some_and(moves) || self.wishes.front().is_some_and(moves)
    }

    /// Whether nothing more is wanted of the files.
    pub(in crate::torrent) fn is_done(&self) -> bool {
        self.busy.is_none() && self.wishes.is_empty() && self.look_again.is_none()
    }

    /// Whether everything is being copied.
    pub(in crate::torrent) fn is_moving(&self) -> bool {
        matches!(self.busy, Some(Wish::Move(_)))
    }

    /// Takes over what an earlier run left: names, and copies to be removed.
    pub(in crate::torrent) fn restore(&mut self, resume: &ResumeData) {
        self.placement.renamed.clone_from(&resume.renamed);
        self.left_at.clone_from(&resume.left_at);
        // Nothing that is in use is removed, whatever the record says.
        let location = self.placement.location;
        self.left_at.retain(|left| *left != location);
        self.wishes.retain(|wish| !matches!(wish, Wish::Discard(_)));
        self.wishes.extend(self.left_at.iter().copied().map(Wish::Discard));
    }

    /// Files that cannot be called at the location as the torrent says get names that they can have,
    /// unless they have others already.
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

    fn wish(&mut self, wish: Wish) -> bool {
        let room = self.wishes.len() < MAX_WISHES;
        if room {
            self.wishes.push_back(wish);
        }
        room
    }
}

impl Torrent {
    /// Other files are wanted: the driver has to know before it is asked to write.
    pub(in crate::torrent) fn arrange_selection(&mut self, ctx: &mut Context) {
        let skipped = self.goal.skipped_files();
        if skipped == self.storage.arrangement.placement.skipped {
            return;
        }
        self.storage.arrangement.placement.skipped.clone_from(&skipped);
        self.storage.arrangement.wishes.retain(|wish| !matches!(wish, Wish::Select(_)));
        if !self.life.awaits_metadata() {
            self.storage.arrangement.wishes.push_front(Wish::Select(skipped));
            ctx.agenda.touched.insert(self.id);
        }
    }

    /// Room is made for what is wanted, before it is fetched.
    pub(in crate::torrent) fn arrange_room(&mut self) {
        let placement = &self.storage.arrangement.placement;
        if placement.allocation != Allocation::None && !self.picker.is_finished() {
            let select = Wish::Select(placement.skipped.clone());
            self.storage.arrangement.wishes.push_front(select);
        }
    }

    /// The data is to move to another location.
    pub(crate) fn move_to(&mut self, ctx: &mut Context, to: LocationId) {
        if self.storage.arrangement.placement.location == to
            && self.storage.arrangement.wishes.is_empty()
        {
            ctx.notify(Notice::StorageDone(self.id, StorageTask::Move(to)));
        } else if !self.storage.arrangement.wish(Wish::Move(to)) {
            ctx.notify(Notice::CommandRejected(CommandError::Busy, None));
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// Files are to get other names.
    pub(crate) fn rename(&mut self, ctx: &mut Context, rename: &Rename) {
        let renamed = match rename {
            Rename::Torrent(name) => self.rename_torrent(name),
            Rename::File(file, path) => self.rename_file(*file, path),
        };
        let Some(renamed) = renamed.filter(|renamed| self.names_are_free(renamed)) else {
            return ctx.notify(Notice::CommandRejected(CommandError::BadName, None));
        };
        if !self.storage.arrangement.wish(Wish::Rename(renamed)) {
            ctx.notify(Notice::CommandRejected(CommandError::Busy, None));
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// What a file is called now.
    pub(crate) fn path_now(&self, file: u32) -> Option<Vec<String>> {
        if let Some(renamed) = self.storage.arrangement.placement.renamed.get(&file) {
            return Some(renamed.to.clone());
        }
        self.metainfo.layout.files().get(file as usize).map(|entry| entry.path.clone())
    }

    fn rename_file(&self, file: u32, path: &str) -> Option<Vec<(u32, Renamed)>> {
        let entry = self.metainfo.layout.files().get(file as usize)?;
        let to: Option<Vec<_>> = path.split('/').map(|part| self.usable_name(part)).collect();
        let to = to.filter(|to| entry.is_stored() && to.len() <= MAX_PATH_DEPTH)?;
        Some(alloc::vec![(file, Renamed { from: self.path_now(file)?, to })])
    }

    /// A name that is safe, and possible at the location.
    fn usable_name(&self, name: &str) -> Option<String> {
        let safe = safe_component(name.as_bytes(), self.storage.arrangement.naming);
        safe.filter(|safe| safe == name)
    }

    fn rename_torrent(&self, name: &str) -> Option<Vec<(u32, Renamed)>> {
        let name = self.usable_name(name)?;
        let files = self.metainfo.layout.files();
        let stored = (0..files.len() as u32).filter(|file| files[*file as usize].is_stored());
        stored
            .map(|file| {
                let from = self.path_now(file)?;
                let mut to = from.clone();
                to.first_mut()?.clone_from(&name);
                Some((file, Renamed { from, to }))
            })
            .collect()
    }

    /// Whether no two files would have one name, or one be the folder of the other.
    fn names_are_free(&self, renamed: &[(u32, Renamed)]) -> bool {
        let files = self.metainfo.layout.files();
        let mut paths: Vec<Vec<_>> = Vec::new();
        let new: BTreeMap<u32, &Renamed> = renamed.iter().map(|(file, r)| (*file, r)).collect();
        let stored = (0..files.len() as u32).filter(|file| files[*file as usize].is_stored());
        for index in stored {
            let path = new.get(&index).map(|renamed| renamed.to.clone());
            paths.extend(path.or_else(|| self.path_now(index)));
        }
        paths.sort_unstable();
        paths.windows(2).all(|pair| !pair[1].starts_with(&pair[0]))
    }

    /// Does the next thing that is wanted of the files, when nothing stands in its way.
    pub(in crate::torrent) fn arrange(&mut self, ctx: &mut Context) {
        self.look_for_location(ctx);
        let ready = self.life.is_active() || self.life.is_checking();
        if !ready || self.storage.arrangement.busy.is_some() || self.life.has_failed() {
            return;
        }
        let Some(next) = self.storage.arrangement.wishes.front() else { return };
        if let Wish::Rename(renamed) = next
            && !self.storage.arrangement.names_on_record
        {
            if self.storage.arrangement.names_before.is_none() {
                let names = &mut self.storage.arrangement.placement.renamed;
                self.storage.arrangement.names_before = Some(names.clone());
                names.extend(renamed.clone());
                self.storage.arrangement.unsaved.names = true;
                self.storage.saving.mark();
                self.storage.saving.due_now();
            }
            return;
        }
        if matches!(next, Wish::Move(_)) {
            let conns: Vec<ConnId> = self.peers.keys().copied().collect();
            conns.into_iter().for_each(|conn| self.withdraw_requests(ctx, conn));
            if self.is_writing(ctx) || self.storage.saving.is_busy() {
                return;
            }
        }
        let Some(wish) = self.storage.arrangement.wishes.pop_front() else { return };
        let torrent = self.id;
        let op = match wish.clone() {
            Wish::Select(skipped) => DiskOp::Select { torrent, skipped },
            Wish::Move(to) => DiskOp::Move { torrent, to },
            Wish::Rename(renamed) => DiskOp::Rename { torrent, renamed },
            Wish::Discard(from) => DiskOp::Discard { torrent, from },
        };
        self.storage.arrangement.busy = Some(wish);
        ctx.disk(DiskJob::Arrange(torrent), op);
    }

    /// What was wanted of the files is done, or is not.
    pub(crate) fn arranged(
        &mut self,
        ctx: &mut Context,
        outcome: Result<Option<&[FileStatus]>, DiskError>,
    ) {
        let Some(wish) = self.storage.arrangement.busy.take() else { return };
        ctx.agenda.touched.insert(self.id);
        let task = match &wish {
            Wish::Select(_) => StorageTask::Select,
            Wish::Move(to) => StorageTask::Move(*to),
            Wish::Rename(_) => StorageTask::Rename,
            Wish::Discard(from) => {
                // What cannot be removed now is on record, and tried again at the next start.
                if outcome.is_ok() {
                    self.storage.arrangement.left_at.retain(|left| left != from);
                    self.storage.saving.mark();
                }
                return;
            }
        };
        match outcome {
            Ok(files) => {
                self.storage.arrangement.unsaved.told.push(task);
                if let Wish::Rename(renamed) = &wish {
                    self.storage.arrangement.names_done(renamed);
                }
                if let Wish::Move(to) = wish {
                    let placement = &mut self.storage.arrangement.placement;
                    let from = core::mem::replace(&mut placement.location, to);
                    self.storage.arrangement.unsaved.discard.push(from);
                    self.storage.arrangement.left_at.retain(|left| *left != to);
                    self.storage.arrangement.wishes.retain(|wish| *wish != Wish::Discard(to));
                    self.storage.arrangement.left_at.push(from);
                    self.storage.doubt.seen(files.unwrap_or_default());
                }
            }
            Err(error) => {
                ctx.notify(Notice::StorageFailed(self.id, task.clone(), error));
                // Without it blocks would be written to the wrong place.
                if task == StorageTask::Select {
                    self.storage.arrangement.wishes.push_front(wish);
                    return self.fail(ctx, error);
                }
                if task == StorageTask::Rename
                    && let Some(names) = self.storage.arrangement.names_before.take()
                {
                    self.storage.arrangement.placement.renamed = names;
                }
            }
        }
        self.storage.arrangement.names_before = None;
        self.storage.arrangement.names_on_record = false;
        self.storage.saving.mark();
        self.storage.saving.due_now();
        self.touch_interested(ctx);
    }

    /// Resume data that tells how the files lie is on its way to the disk.
    pub(in crate::torrent) fn arrangement_in_store(&mut self) {
        self.storage.arrangement.in_store = core::mem::take(&mut self.storage.arrangement.unsaved);
    }

    /// The resume data is stored, or is not and has to be stored again.
    pub(in crate::torrent) fn arrangement_stored(&mut self, ctx: &mut Context, stored: bool) {
        let mut waiting = core::mem::take(&mut self.storage.arrangement.in_store);
        if !stored {
            let unsaved = &mut self.storage.arrangement.unsaved;
            unsaved.told.append(&mut waiting.told);
            unsaved.discard.append(&mut waiting.discard);
            unsaved.names |= waiting.names;
            return;
        }
        for task in waiting.told {
            ctx.notify(Notice::StorageDone(self.id, task));
        }
        for from in waiting.discard {
            self.storage.arrangement.wishes.push_front(Wish::Discard(from));
        }
        self.storage.arrangement.names_on_record |= waiting.names;
    }

    /// The location is gone: it is looked for until it is back.
    pub(in crate::torrent) fn location_gone(&mut self, ctx: &mut Context) {
        let at = ctx.now + LOOK_AGAIN;
        self.storage.arrangement.look_again = Some(at);
        ctx.timers.schedule(at, Timer::Torrent(self.id));
    }

    /// Looks for a location that is gone at once, if it is what holds the torrent up.
    pub(in crate::torrent) fn look_at_once(&mut self, ctx: &mut Context) -> bool {
        let gone = self.life.error() == Some(TorrentError::Disk(DiskError::LocationGone));
        if gone {
            self.storage.arrangement.look_again = Some(ctx.now);
            ctx.agenda.touched.insert(self.id);
        }
        gone
    }

    fn look_for_location(&mut self, ctx: &mut Context) {
        let due = self.storage.arrangement.look_again.is_some_and(|at| at <= ctx.now);
        if !due || self.life.error() != Some(TorrentError::Disk(DiskError::LocationGone)) {
            return;
        }
        let id = self.id;
        if ctx.disk.is_busy_with(id) {
            return self.location_gone(ctx);
        }
        self.storage.arrangement.look_again = None;
        let placement = self.storage.arrangement.placement.clone().into();
        let op = DiskOp::Open { torrent: id, metainfo: self.metainfo.clone(), placement };
        ctx.disk(DiskJob::Reopen(id), op);
    }

    /// The location was looked for.
    pub(crate) fn reopened(
        &mut self,
        ctx: &mut Context,
        outcome: Result<&[FileStatus], DiskError>,
    ) {
        let gone = self.life.error() == Some(TorrentError::Disk(DiskError::LocationGone));
        if !gone || self.life.is_closing() {
            return;
        }
        let Ok(files) = outcome else { return self.location_gone(ctx) };
        ctx.notify(Notice::LocationBack(self.id));
        if self.life.is_opening() {
            self.life.recover();
            return self.opened(ctx, files);
        }
        self.compare_after_absence(ctx, files);
        self.storage.saving.mark();
        self.life.recover();
        if !self.life.is_paused() {
            self.resume(ctx);
        }
        ctx.agenda.touched.insert(self.id);
    }
}

#[cfg(feature = "corruption")]
impl Arrangement {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "nothing is asked for while the data moves" => {
                self.busy = Some(Wish::Move(LocationId(1)));
            }
            _ => return None,
        }
        Some(())
    }
}
