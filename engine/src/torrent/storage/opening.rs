//! From files that nobody has looked at to files that are ours; and a location that goes and comes back.

use alloc::boxed::Box;

use super::adoption::{Before, Found, Verdict};
use super::record::{Belief, pieces_on_disk};
use super::{Around, GONE, Output, Outputs, Storage};
use crate::api::{DiskError, DiskOp, DiskOutcome, FileStatus, Notice};
use crate::base::time::Instant;
use crate::context::DiskJob;

impl Storage {
    /// Has the files looked at, of which these are not wanted.
    pub(in crate::torrent) fn open(
        &mut self,
        around: &Around<'_>,
        skipped: alloc::vec::Vec<u32>,
        out: &mut Outputs,
    ) {
        let Some(metainfo) = around.metainfo else { return };
        if let Some(resume) = self.record.about(metainfo) {
            self.arrangement.restore(resume, metainfo.layout());
        }
        self.arrangement.fit_names(metainfo.layout());
        self.arrangement.placement.skipped = skipped;
        self.look(around, DiskJob::Open(around.torrent), out);
    }

    /// Has the driver look at the files.
    fn look(&self, around: &Around<'_>, job: DiskJob, out: &mut Outputs) {
        let Some(metainfo) = around.metainfo.cloned() else { return };
        let placement = Box::new(self.arrangement.placement.clone());
        let torrent = around.torrent;
        out.push(Output::Operation(job, DiskOp::Open { torrent, metainfo, placement }));
    }

    /// Files are there under other names than was thought: these are taken over.
    pub(super) fn take_names(&mut self, around: &Around<'_>, outcome: DiskOutcome) -> DiskOutcome {
        let DiskOutcome::OpenedAs(files, names) = outcome else { return outcome };
        for (index, path) in names {
            let files = around.metainfo.map_or(&[][..], |metainfo| metainfo.layout().files());
            let Some(entry) = files.get(index as usize) else { continue };
            if entry.own.as_deref() == Some(&path) {
                self.adoption.borrow(index);
            }
            self.arrangement.found_as(index, path);
        }
        DiskOutcome::Opened(files)
    }

    /// The files have been looked at: what is on record of them is believed, or has to be hashed.
    pub(super) fn opened(&mut self, around: &Around<'_>, files: &[FileStatus], out: &mut Outputs) {
        let Some(metainfo) = around.metainfo.filter(|_| around.life.is_opening()) else { return };
        let resume = self.record.about(metainfo).cloned();
        let location = self.arrangement.placement.location;
        self.doubt.seen(files);
        self.record.opened(metainfo, location);
        let before = resume.as_ref().map_or_else(Before::default, |resume| {
            let here = resume.location == location;
            Before { files: &resume.files, here, crashed: here && !resume.clean }
        });
        self.adoption.ask_for_proof(metainfo, files, before);
        let belief = match &resume {
            Some(resume) => self.record.believe(resume, metainfo, files),
            None => Belief { check: pieces_on_disk(metainfo, files), ..Belief::default() },
        };
        self.doubt.when_idle(belief.when_idle.iter().copied());
        out.push(Output::Opened(belief, resume.map(Box::new)));
    }

    /// Everything that had to be is hashed: decides what becomes of the files that are there.
    pub(in crate::torrent) fn checked(&mut self, around: &Around<'_>, out: &mut Outputs) {
        let Some(metainfo) = around.metainfo else { return };
        let found = Found {
            metainfo,
            have: around.have(),
            files: self.doubt.files(),
            skipped: &self.arrangement.placement.skipped,
            read_only: self.arrangement.placement.read_only,
        };
        match self.adoption.decide(found) {
            Verdict::Ours => {
                let begun = self.record.accept();
                if self.record.is_unclaimed() {
                    self.saving.mark();
                    self.saving.due_now();
                }
                if !around.lacks_nothing() {
                    self.arrangement.make_room();
                }
                out.push(Output::Adopted(begun));
            }
            Verdict::Wait => {}
            Verdict::OtherNames(borrowed) => {
                self.arrangement.name_again(metainfo.layout(), &borrowed);
                self.record.forget();
                out.push(Output::LookedAtAgain);
                self.look(around, DiskJob::Open(around.torrent), out);
            }
            Verdict::Apart(files) => {
                self.arrangement.name_apart(metainfo.layout(), &files);
                out.push(Output::LookedAtAgain);
                self.look(around, DiskJob::Open(around.torrent), out);
            }
            // To be looked at again when the user says so.
            Verdict::InTheWay(error) => out.push(Output::InTheWay(error)),
            Verdict::Cut(files) => {
                let torrent = around.torrent;
                out.push(Output::Operation(
                    DiskJob::Trim(torrent),
                    DiskOp::Trim { torrent, files },
                ));
            }
        }
    }

    /// Files were cut, or were not.
    pub(super) fn trimmed(
        &mut self,
        around: &Around<'_>,
        outcome: Result<&[FileStatus], DiskError>,
        out: &mut Outputs,
    ) {
        let Some(cut) = self.adoption.trimmed() else { return };
        if !around.life.is_checking() {
            return;
        }
        match outcome {
            Ok(files) => {
                out.push(Output::Notice(Notice::Trimmed(around.torrent, cut)));
                self.doubt.seen(files);
                out.push(Output::GoOnChecking);
            }
            Err(error) => out.push(Output::Failed(error)),
        }
    }

    /// Everything is hashed again.
    pub(in crate::torrent) fn recheck(&mut self) {
        self.hash_queue.clear();
        self.doubt.forget();
    }
}

/// A location that is gone.
impl Storage {
    /// The location is gone: it is looked for until it is back.
    pub(in crate::torrent) fn location_gone(&mut self, now: Instant, out: &mut Outputs) {
        out.push(Output::Wake(self.arrangement.location_gone(now)));
    }

    /// Looks for a location that is gone at once, if it is what holds the torrent up. Returns whether it is.
    pub(in crate::torrent) fn look_at_once(
        &mut self,
        around: &Around<'_>,
        out: &mut Outputs,
    ) -> bool {
        let gone = around.life.error() == Some(GONE);
        if gone {
            self.arrangement.look_now(around.now);
            out.push(Output::Touched);
        }
        gone
    }

    pub(super) fn look_for_location(&mut self, around: &Around<'_>, out: &mut Outputs) {
        if !self.arrangement.is_look_due(around.now) || around.life.error() != Some(GONE) {
            return;
        }
        if around.disk.is_busy_with(around.torrent) {
            return self.location_gone(around.now, out);
        }
        self.arrangement.look_begins();
        self.look(around, DiskJob::Reopen(around.torrent), out);
    }

    /// The location was looked for.
    pub(super) fn reopened(
        &mut self,
        around: &Around<'_>,
        outcome: Result<&[FileStatus], DiskError>,
        out: &mut Outputs,
    ) {
        if around.life.error() != Some(GONE) || around.life.is_closing() {
            return;
        }
        let Ok(files) = outcome else { return self.location_gone(around.now, out) };
        out.push(Output::Notice(Notice::LocationBack(around.torrent)));
        if around.life.is_opening() {
            out.push(Output::Recovered);
            return self.opened(around, files, out);
        }
        let Some(metainfo) = around.metainfo else { return };
        let suspects = self.doubt.compare_after_absence(metainfo, around.have(), files);
        self.suspect(suspects, out);
        self.saving.mark();
        out.push(Output::Back);
    }
}
