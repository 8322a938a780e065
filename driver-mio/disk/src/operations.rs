//! The files of one torrent, and what is done with their bytes. How the files lie may change
//! while this works; `relocation.rs` does that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{FileEntry, FileSlice, Metainfo};
use eddyline::{Allocation, FileStatus, LocationId, Placement};

use super::files::FileCache;
use super::filesystem::{Access, FileSystem, StoredFile};
use super::found_names::{found_names, is_in_the_way};
use super::hard_links::OwnFiles;
use super::part_file::PartFile;
use super::part_tag::PartTag;
use super::refusal::{in_the_way, of_file, on_the_way};
use super::relocation::MoveProgress;
use super::span::Span;
use super::watch::{Changed, Watch};

/// So many files or more are made durable all at once.
const MANY_FILES: usize = 64;

/// How the files lie now.
#[derive(Debug)]
pub(super) struct Arranged {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) location: LocationId,
    pub(super) allocation: Allocation,
    /// Files under other names.
    pub(super) renamed: BTreeMap<u32, Vec<String>>,
    /// Files whose bytes are in the part file.
    pub(super) parted: BTreeSet<u32>,
    pub(super) part: PartFile,
    /// Folders that were there before the torrent.
    pub(super) found: BTreeSet<Vec<String>>,
}

/// What is to be known of files beside where they lie.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// What tells the part file from others.
    pub tag: PartTag,
    /// Whether files are made executable where the torrent says so.
    pub keep_executable: bool,
}

/// An open torrent.
#[derive(Debug)]
pub struct TorrentFiles {
    pub(super) id: TorrentId,
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) cache: Arc<FileCache>,
    keep_executable: bool,
    read_only: bool,
    /// Files that were found under other names.
    names: BTreeMap<u32, Vec<String>>,
    pub(super) watch: Arc<Watch>,
    arranged: RwLock<Arranged>,
    /// Files whose names are durable.
    named: RwLock<BTreeSet<u32>>,
    pub(super) moving: MoveProgress,
    own: OwnFiles,
    /// Empty files and symbolic links are still to be made.
    unmade: AtomicBool,
}

impl TorrentFiles {
    /// The files of `metainfo` in `fs`, lying as `placement` says, or under other names that they may
    /// have ([`Self::found_names`]). What a crash left half done is done unless nothing is to be
    /// changed; nothing else is.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn new(
        id: TorrentId,
        metainfo: Arc<Metainfo>,
        fs: Arc<dyn FileSystem>,
        placement: &Placement,
        cache: Arc<FileCache>,
        options: FileOptions,
    ) -> io::Result<Self> {
        let read_only = placement.read_only;
        let followed = if read_only { fs.followed() } else { None };
        let mut names = found_names(&*fs, followed.as_deref(), &metainfo, placement)?;
        let fs = followed.unwrap_or(fs);
        if !read_only {
            names.extend(finish_renames(&*fs, &metainfo, placement)?);
        }
        let access = match read_only {
            true => Access::Read,
            false => Access::Write { executable: false },
        };
        let part = PartFile::open(&fs, &metainfo, options.tag, access)?;
        let mut renamed: BTreeMap<u32, Vec<String>> =
            placement.renamed.iter().map(|(file, name)| (*file, name.to.clone())).collect();
        renamed.extend(names.clone());
        let arranged = Arranged {
            parted: part.files(),
            part,
            fs,
            location: placement.location,
            allocation: placement.allocation,
            renamed,
            found: BTreeSet::new(),
        };
        let (keep_executable, arranged) = (options.keep_executable, RwLock::new(arranged));
        let files = Self {
            id,
            metainfo,
            cache,
            keep_executable,
            read_only,
            names,
            watch: Arc::default(),
            arranged,
            named: RwLock::default(),
            moving: MoveProgress::default(),
            own: OwnFiles::default(),
            unmade: AtomicBool::new(false),
        };
        if !read_only {
            files.settle_parts(&placement.skipped)?;
        }
        Ok(files)
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The files with bytes or a place of their own, by number, and their paths as they are now.
    pub(super) fn stored_paths(&self) -> Vec<(u32, Vec<String>)> {
        let arranged = self.read_lock();
        let all = (0u32..).zip(self.metainfo.layout().files());
        let stored = all.filter(|(_, entry)| entry.is_stored());
        stored.map(|(index, entry)| (index, arranged.path(index, entry).to_vec())).collect()
    }

    /// Files that were found under other names than the placement says.
    #[must_use]
    pub fn found_names(&self) -> &BTreeMap<u32, Vec<String>> {
        &self.names
    }

    pub(super) fn read_lock(&self) -> RwLockReadGuard<'_, Arranged> {
        self.arranged.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_lock(&self) -> RwLockWriteGuard<'_, Arranged> {
        self.arranged.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The torrent.
    #[must_use]
    pub fn metainfo(&self) -> &Metainfo {
        &self.metainfo
    }

    /// These folders were there before the torrent, and are not removed with it.
    pub fn leave_alone(&self, found: BTreeSet<Vec<String>>) {
        self.write_lock().found = found;
    }

    /// Those folders.
    #[must_use]
    pub fn found(&self) -> BTreeSet<Vec<String>> {
        self.read_lock().found.clone()
    }

    /// Paths of all files as they are now.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<String>> {
        let arranged = self.read_lock();
        let all = self.metainfo.layout().files().iter().enumerate();
        let stored = all.filter(|(_, entry)| entry.is_stored() || entry.symlink.is_some());
        stored.map(|(index, entry)| arranged.path(index as u32, entry).to_vec()).collect()
    }

    /// The path of a file as it is now.
    #[must_use]
    pub fn path(&self, index: u32) -> Vec<String> {
        self.read_lock().path(index, self.entry(index)).to_vec()
    }

    /// Where it lies.
    #[must_use]
    pub fn location(&self) -> LocationId {
        self.read_lock().location
    }

    pub(super) fn entry(&self, index: u32) -> &FileEntry {
        &self.metainfo.layout().files()[index as usize]
    }

    /// Looks at every file; makes empty files and symbolic links, unless nothing is to be changed. Where nothing is
    /// on record of the torrent, as it is `new`, and some of its files are there, that waits for the first sync:
    /// they may be somebody else's, and then nothing is made beside them. Nothing that exists is changed.
    ///
    /// # Errors
    /// When something else stands at a path; whatever the system says.
    pub fn open(&self, new: bool) -> io::Result<Box<[FileStatus]>> {
        let arranged = self.read_lock();
        let files = self.metainfo.layout().files();
        let mut all = arranged.status(files)?;
        let some = all.iter().any(|status| status.length.is_some_and(|length| length > 0));
        if !self.read_only && new && some {
            self.unmade.store(true, Ordering::Relaxed);
        } else if !self.read_only && self.make_empty(&arranged)? {
            all = arranged.status(files)?;
        }
        self.watch.begin(&all, arranged.fs.dates_late());
        if !self.read_only && new {
            self.mark_holes(&arranged, &mut all);
        }
        Ok(all)
    }

    pub(super) fn open_file(
        &self,
        arranged: &Arranged,
        index: u32,
        write: bool,
    ) -> io::Result<Arc<dyn StoredFile>> {
        let path = arranged.path(index, self.entry(index));
        let file = self.cache.get((self.id, index, write), || match write {
            true => self.open_own(arranged, index),
            false => arranged.fs.open(path, Access::Read),
        });
        file.map_err(|error| of_file(path, error))
    }

    /// Opens a file to be written to. It has no other name then, and is executable only if that was asked for.
    pub(super) fn open_own(
        &self,
        arranged: &Arranged,
        index: u32,
    ) -> io::Result<Arc<dyn StoredFile>> {
        let path = arranged.path(index, self.entry(index));
        let copy = arranged.part.tag().copy_name(&self.metainfo, index);
        if self.own.settle(index, &*arranged.fs, path, &copy)? {
            self.cache.replace(self.id, index);
        }
        let executable = self.keep_executable && self.entry(index).attributes.executable;
        arranged.fs.open(path, Access::Write { executable })
    }

    fn slices(&self, piece: u32, begin: u32, length: u32) -> impl Iterator<Item = FileSlice> + '_ {
        let offset = self.metainfo.geometry().piece_offset(piece) + u64::from(begin);
        self.metainfo.layout().slices(offset, length)
    }

    fn is_pad(&self, slice: FileSlice) -> bool {
        self.entry(slice.file).attributes.pad
    }

    /// Writes bytes of a piece, given in parts: one operation for each file that they lie in.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write(&self, piece: u32, begin: u32, parts: &[&[u8]]) -> io::Result<()> {
        let arranged = self.read_lock();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut parts = parts.iter().copied();
        let mut rest: &[u8] = &[];
        let mut at = begin;
        for slice in self.slices(piece, begin, length as u32) {
            let mut run: Vec<&[u8]> = Vec::new();
            let mut missing = slice.length as usize;
            while missing > 0 {
                if rest.is_empty() {
                    let Some(next) = parts.next() else { break };
                    rest = next;
                }
                let (head, tail) = rest.split_at(missing.min(rest.len()));
                run.push(head);
                missing -= head.len();
                rest = tail;
            }
            if arranged.parted.contains(&slice.file) {
                arranged.part.write(slice.file, piece, at, &run)?;
            } else if !self.is_pad(slice) {
                let file = self.open_file(&arranged, slice.file, true)?;
                let written = self.change(slice.file, &*file, || file.write_at(&run, slice.offset));
                let path = || arranged.path(slice.file, self.entry(slice.file));
                written.map_err(|error| of_file(path(), error))?;
            }
            at += slice.length;
        }
        Ok(())
    }

    /// Changes a file ourselves, in a way that is known not to be another's.
    pub(super) fn change(
        &self,
        index: u32,
        file: &dyn StoredFile,
        act: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.watch.write_begins(index, file)?;
        let result = act();
        self.watch.write_ends(index, file);
        result
    }

    /// Fails when files that bytes of a piece lie in are not what they were: [`Changed`].
    fn check_unchanged(&self, piece: u32, begin: u32, length: u32) -> io::Result<()> {
        let arranged = self.read_lock();
        let mut changed = Vec::new();
        for slice in self.slices(piece, begin, length) {
            if arranged.parted.contains(&slice.file) || self.is_pad(slice) {
                continue;
            }
            let file = self.open_file(&arranged, slice.file, false)?;
            if let Some(now) = self.watch.check(slice.file, &*file, None)? {
                changed.push((slice.file, now));
            }
        }
        if changed.is_empty() { Ok(()) } else { Err(io::Error::other(Changed(changed))) }
    }

    /// Reads bytes of a piece into `into`.
    ///
    /// # Errors
    /// Whatever the system says; the end of a file is an error.
    pub fn read_into(&self, piece: u32, begin: u32, into: &mut [u8]) -> io::Result<()> {
        self.read_arranged(&self.read_lock(), piece, begin, into)
    }

    pub(super) fn read_arranged(
        &self,
        arranged: &Arranged,
        piece: u32,
        begin: u32,
        into: &mut [u8],
    ) -> io::Result<()> {
        let mut rest = into;
        let mut at = begin;
        for slice in self.slices(piece, begin, rest.len() as u32) {
            let (head, tail) = rest.split_at_mut(slice.length as usize);
            if arranged.parted.contains(&slice.file) {
                arranged.part.read(piece, at, head)?;
            } else if self.is_pad(slice) {
                head.fill(0);
            } else {
                let read = self.open_file(arranged, slice.file, false)?.read_at(head, slice.offset);
                let path = || arranged.path(slice.file, self.entry(slice.file));
                read.map_err(|error| of_file(path(), error))?;
            }
            rest = tail;
            at += slice.length;
        }
        Ok(())
    }

    /// Reads bytes of a piece into `into` if that needs no waiting. Returns whether it did.
    #[must_use]
    pub fn read_resident(
        &self,
        piece: u32,
        begin: u32,
        into: &mut [u8],
        turn: u64,
        trusted: impl FnOnce(LocationId) -> bool,
    ) -> bool {
        let Ok(arranged) = self.arranged.try_read() else { return false };
        if !trusted(arranged.location) {
            return false;
        }
        let mut rest = into;
        for slice in self.slices(piece, begin, rest.len() as u32) {
            let (head, tail) = rest.split_at_mut(slice.length as usize);
            if self.is_pad(slice) {
                head.fill(0);
            } else {
                let part = arranged.parted.contains(&slice.file);
                let file = self.cache.get_open((self.id, slice.file, false)).filter(|_| !part);
                let Some(file) = file.filter(|file| file.read_resident(head, slice.offset)) else {
                    return false;
                };
                if !self.is_unchanged(slice.file, &*file, turn) {
                    return false;
                }
            }
            rest = tail;
        }
        true
    }

    /// Where bytes of a piece lie, if they are in one file that is open, and nobody is rearranging the
    /// torrent.
    #[must_use]
    pub fn span(
        &self,
        piece: u32,
        begin: u32,
        length: u32,
        turn: u64,
        trusted: impl FnOnce(LocationId) -> bool,
    ) -> Option<Span> {
        let arranged = self.arranged.try_read().ok()?;
        let mut slices = self.slices(piece, begin, length);
        let slice = slices.next().filter(|slice| slice.length == length && !self.is_pad(*slice))?;
        if !trusted(arranged.location) || arranged.parted.contains(&slice.file) {
            return None;
        }
        let file = self.cache.get_open((self.id, slice.file, false))?;
        if !self.is_unchanged(slice.file, &*file, turn) {
            return None;
        }
        let span = Span::new(file, slice.offset, length);
        Some(span.watched(self.watch.clone(), slice.file))
    }

    fn is_unchanged(&self, index: u32, file: &dyn StoredFile, turn: u64) -> bool {
        matches!(self.watch.check(index, file, Some(turn)), Ok(None))
    }

    /// Reads part of a piece for a peer.
    ///
    /// # Errors
    /// As [`Self::read_into`], and when somebody has changed a file that it lies in.
    pub fn read(&self, piece: u32, begin: u32, length: u32) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(length as usize);
        self.read_into(piece, begin, &mut buffer)?;
        self.check_unchanged(piece, begin, length)?;
        Ok(buffer.freeze())
    }

    /// Makes everything written durable, names included, and looks at every file.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&self, dirty: &[u32]) -> io::Result<Box<[FileStatus]>> {
        let arranged = self.read_lock();
        if self.unmade.load(Ordering::Relaxed) {
            self.make_empty(&arranged)?;
            self.unmade.store(false, Ordering::Relaxed);
        }
        let at_once = dirty.len() >= MANY_FILES && arranged.fs.sync_all()?;
        if !at_once {
            for index in dirty {
                self.sync_one(&arranged, *index)?;
            }
            arranged.part.sync()?;
        }
        let mut files = arranged.status(self.metainfo.layout().files())?;
        self.watch.mark_shared(dirty, &mut files);
        let open = self.cache.open_of(self.id);
        open.into_iter().for_each(|index| self.close_if_gone(&arranged, index));
        Ok(files)
    }

    fn sync_one(&self, arranged: &Arranged, index: u32) -> io::Result<()> {
        if arranged.parted.contains(&index) {
            return Ok(());
        }
        self.open_file(arranged, index, true)?.sync()?;
        let known = self.named.read().unwrap_or_else(PoisonError::into_inner).contains(&index);
        if !known {
            arranged.fs.sync_folders(arranged.path(index, self.entry(index)))?;
            self.named.write().unwrap_or_else(PoisonError::into_inner).insert(index);
        }
        Ok(())
    }

    /// The files that part of a piece lies in.
    pub fn files_of(&self, piece: u32, begin: u32, length: u32) -> impl Iterator<Item = u32> + '_ {
        self.slices(piece, begin, length).filter(|s| !self.is_pad(*s)).map(|slice| slice.file)
    }

    /// Closes all files.
    pub fn close(&self) {
        self.cache.close(self.id);
    }

    /// Nobody works with the torrent any more. A part file that no other run can know goes.
    pub(super) fn leave(&self) {
        self.close();
        let arranged = self.write_lock();
        if !arranged.part.tag().is_lasting() && !self.read_only {
            // That it stays is untidy and no more.
            let _ = arranged.part.remove();
        }
    }

    /// The names of files are to be made durable again, and to be looked at before they are written to.
    pub(super) fn forget_names(&self) {
        self.named.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.own.forget();
    }
}

/// Completes what a crash left of renaming. A name that another file has now is that file's, however
/// old the record is that says otherwise. Returns what files are still called whose new names something else has
/// taken, or cannot be had: what stands there is nobody's of this torrent.
fn finish_renames(
    fs: &dyn FileSystem,
    metainfo: &Metainfo,
    placement: &Placement,
) -> io::Result<BTreeMap<u32, Vec<String>>> {
    let mut still = BTreeMap::new();
    if placement.renamed.values().all(|renamed| renamed.from == renamed.to) {
        return Ok(still);
    }
    let files = metainfo.layout().files().iter().zip(0..);
    let now = files.map(|(entry, file)| match placement.renamed.get(&file) {
        Some(renamed) => &renamed.to,
        None => &entry.path,
    });
    let taken: BTreeSet<&Vec<String>> = now.collect();
    for (file, renamed) in &placement.renamed {
        if taken.contains(&renamed.from) {
            continue;
        }
        let Some(old) = fs.find(&renamed.from)?.filter(|found| found.is_file) else { continue };
        let is_free = match fs.find(&renamed.to) {
            Ok(None) => true,
            // Both may be one file, of which the old name was to go.
            Ok(Some(new)) if new.identity.is_some() && new.identity == old.identity => continue,
            Ok(Some(_)) => false,
            Err(error) if is_in_the_way(&error) => false,
            Err(error) => return Err(error),
        };
        if is_free {
            fs.rename(&renamed.from, &renamed.to)?;
        } else {
            still.insert(*file, renamed.from.clone());
        }
    }
    Ok(still)
}

impl Arranged {
    /// Where a file is.
    pub(super) fn path<'a>(&'a self, index: u32, entry: &'a FileEntry) -> &'a [String] {
        self.renamed.get(&index).map_or(entry.path.as_slice(), Vec::as_slice)
    }

    /// An error of looking at files, with the first of them of which it is so.
    fn refused_at(&self, files: &[FileEntry], error: io::Error) -> io::Error {
        let own =
            |(index, entry): &(u32, &FileEntry)| entry.is_stored() && !self.parted.contains(index);
        let mut paths = (0u32..).zip(files).filter(own).map(|(n, entry)| self.path(n, entry));
        match paths.find(|path| self.fs.find(path).is_err()) {
            Some(path) => on_the_way(&*self.fs, path, error),
            None => error,
        }
    }

    /// What the disk says of each file.
    pub(super) fn status(&self, files: &[FileEntry]) -> io::Result<Box<[FileStatus]>> {
        let all = files.iter().enumerate().map(|(index, entry)| (index as u32, entry));
        let own =
            |(index, entry): &(u32, &FileEntry)| entry.is_stored() && !self.parted.contains(index);
        let mut paths = all.clone().filter(own).map(|(index, entry)| self.path(index, entry));
        let found = self.fs.find_all(&mut paths).map_err(|error| self.refused_at(files, error))?;
        let mut found = found.into_iter();
        let status = |(index, entry): (u32, &FileEntry)| {
            if !own(&(index, entry)) {
                let parted = entry.is_stored().then(|| self.part.changed(index)).transpose()?;
                return Ok(FileStatus { length: None, modified: parted.unwrap_or_default() });
            }
            match found.next().flatten() {
                None => Ok(FileStatus::default()),
                Some(found) if !found.is_file => {
                    Err(of_file(self.path(index, entry), in_the_way(found)))
                }
                Some(found) => {
                    Ok(FileStatus { length: Some(found.length), modified: found.modified })
                }
            }
        };
        all.clone().map(status).collect()
    }
}
