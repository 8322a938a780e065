//! How the files of a torrent come to lie otherwise: in and out of the part file, under other names,
//! at another location, or nowhere. Each is safe at any moment of a crash.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eddyline::{Allocation, FileStatus, LocationId, Renamed};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::filesystem::{Access, FileSystem, Path};
use super::found_folders::on_the_way;
use super::operations::{Arranged, TorrentFiles};
use super::part_file::PartFile;
use super::refusal::{of_file, of_file_at, on_the_way as way_refused};

/// Bytes copied and compared at once.
const CHUNK: usize = 1 << 20;
/// What a copy is called until it is whole.
const UNFINISHED: &str = ".eddyline-moving";

/// How far a move has come: bytes that were read, once to copy and once to compare, and how many there are to be.
#[derive(Debug, Default)]
pub(super) struct MoveProgress {
    done: AtomicU64,
    all: AtomicU64,
}

impl MoveProgress {
    fn begin(&self, length: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.all.store(2 * length, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are there, and all of them, while there is a move.
    fn now(&self) -> Option<(u64, u64)> {
        let (done, all) = (self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        (all > 0).then(|| (done.min(all) / 2, all / 2))
    }
}

impl TorrentFiles {
    /// Bytes that a move in progress has brought to the other place, and all of them.
    #[must_use]
    pub fn move_progress(&self) -> Option<(u64, u64)> {
        self.moving.now()
    }

    /// Makes empty files and symbolic links that are not there. Returns whether there was any to be made.
    pub(super) fn make_empty(&self, arranged: &Arranged) -> io::Result<bool> {
        let mut made = false;
        for (index, entry) in (0u32..).zip(self.metainfo.layout().files()) {
            if let Some(target) = &entry.symlink {
                let linked = arranged.fs.link(&entry.path, target);
                linked.map_err(|error| way_refused(&*arranged.fs, &entry.path, error))?;
            }
            if entry.is_stored() && entry.length == 0 {
                let path = arranged.path(index, entry);
                let found = arranged.fs.find(path);
                if found.map_err(|error| way_refused(&*arranged.fs, path, error))?.is_none() {
                    self.open_file(arranged, index, true)?;
                    made = true;
                }
            }
        }
        Ok(made)
    }

    /// Other files are wanted: what the part file has of them moves out, and room is made for them.
    ///
    /// # Errors
    /// Whatever the system says; then it can be done again.
    pub fn select(&self, skipped: &[u32]) -> io::Result<()> {
        self.settle_parts(skipped)?;
        let arranged = self.read_lock();
        if arranged.allocation == Allocation::None {
            return Ok(());
        }
        let skipped: BTreeSet<u32> = skipped.iter().copied().collect();
        for index in 0..self.metainfo.layout().files().len() as u32 {
            let entry = self.entry(index);
            if !entry.is_stored() || skipped.contains(&index) {
                continue;
            }
            let file = self.open_file(&arranged, index, true)?;
            let made = self.change(index, &*file, || match arranged.allocation {
                Allocation::Full => file.allocate(entry.length),
                _ => file.lengthen(entry.length),
            });
            made.map_err(|error| of_file(arranged.path(index, entry), error))?;
        }
        Ok(())
    }

    /// Brings part file and files in line with what is wanted. Bytes are copied out and durable
    /// before the part file forgets them; until then it is the one that counts.
    pub(super) fn settle_parts(&self, skipped: &[u32]) -> io::Result<()> {
        let mut arranged = self.write_lock();
        let skipped: BTreeSet<u32> = skipped.iter().copied().collect();
        let wanted: Vec<u32> = arranged.parted.difference(&skipped).copied().collect();
        for file in wanted {
            arranged.parted.remove(&file);
            if let Err(error) = self.move_out(&arranged, file) {
                arranged.parted.insert(file);
                return Err(error);
            }
        }
        for file in skipped {
            let Some(entry) = self.metainfo.layout().files().get(file as usize) else { continue };
            // A file that exists keeps what it has, and gets what comes.
            if entry.is_stored() && arranged.fs.find(arranged.path(file, entry))?.is_none() {
                arranged.parted.insert(file);
            }
        }
        self.close();
        Ok(())
    }

    /// Copies what the part file has of a file that is wanted now into it. Where the file is there and
    /// has good bytes, because somebody has put it there meanwhile, those stay.
    fn move_out(&self, arranged: &Arranged, file: u32) -> io::Result<()> {
        let path = arranged.path(file, self.entry(file)).to_vec();
        let there = arranged.fs.find(&path)?.map_or(0, |found| found.length);
        let target = self.open_own(arranged, file)?;
        arranged.part.copy_out(file, |piece, offset, bytes| {
            if offset < there && self.is_good(arranged, piece) {
                return Ok(());
            }
            let written = self.change(file, &*target, || target.write_at(&[bytes], offset));
            written.map_err(|error| of_file(&path, error))
        })?;
        self.close();
        target.sync().map_err(|error| of_file(&path, error))?;
        arranged.fs.sync_folders(&path)?;
        arranged.part.forget(file)
    }

    /// Cuts files that are longer than they should be, durably, and looks at every file.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn trim(&self, files: &[u32]) -> io::Result<Box<[FileStatus]>> {
        let arranged = self.read_lock();
        for index in files {
            let file = self.open_file(&arranged, *index, true)?;
            let entry = self.entry(*index);
            let cut = self.change(*index, &*file, || file.cut(entry.length));
            let cut = cut.and_then(|()| file.sync());
            cut.map_err(|error| of_file(arranged.path(*index, entry), error))?;
        }
        let all = arranged.status(self.metainfo.layout().files())?;
        self.watch.begin(&all, arranged.fs.dates_late());
        Ok(all)
    }

    /// Files get other names. When one cannot, those before it get their old ones back.
    ///
    /// # Errors
    /// `EEXIST` when something has the name already; whatever the system says.
    pub fn rename(&self, renamed: &[(u32, Renamed)]) -> io::Result<()> {
        let mut arranged = self.write_lock();
        self.close();
        let mut done: Vec<&Renamed> = Vec::new();
        for (_, names) in renamed {
            let there = arranged.fs.find(&names.from)?.is_some();
            let result = if there { arranged.fs.rename(&names.from, &names.to) } else { Ok(()) };
            if let Err(error) = result.map_err(|error| of_file(&names.to, error)) {
                for names in done.into_iter().rev() {
                    // As good as it gets: the names that are in force are the old ones.
                    let _ = arranged.fs.rename(&names.to, &names.from);
                }
                return Err(error);
            }
            if there {
                done.push(names);
            }
        }
        for names in &done {
            arranged.fs.sync_folders(&names.to)?;
        }
        let old: Vec<Vec<String>> = renamed.iter().map(|(_, names)| names.from.clone()).collect();
        arranged.renamed.extend(renamed.iter().map(|(file, names)| (*file, names.to.clone())));
        self.forget_names();
        remove_empty_folders(&*arranged.fs, old.iter().map(Vec::as_slice), &arranged.found);
        Ok(())
    }

    /// Copies everything to `fs`, compares the copies with what was read, and works there from then
    /// on. What is left from an earlier attempt is used; something else in the way ends it.
    ///
    /// # Errors
    /// `EEXIST` when another file stands there, or both are one place; whatever the system says.
    pub fn move_to(
        &self,
        fs: &Arc<dyn FileSystem>,
        to: LocationId,
    ) -> io::Result<Box<[FileStatus]>> {
        {
            let arranged = self.read_lock();
            if arranged.fs.identity().is_some() && arranged.fs.identity() == fs.identity() {
                return Err(Errno::EXIST.into());
            }
            let (mut paths, mut length) = (Vec::<Vec<String>>::new(), 0);
            for index in 0..self.metainfo.layout().files().len() as u32 {
                let entry = self.entry(index);
                let path = arranged.path(index, entry);
                if let Some(target) = &entry.symlink {
                    fs.link(&entry.path, target)?;
                } else if entry.is_stored()
                    && let Some(found) = arranged.fs.find(path)?
                {
                    length += found.length;
                    paths.push(path.to_vec());
                }
            }
            let part = arranged.part.path();
            if arranged.fs.find(part)?.is_some() {
                paths.push(part.to_vec());
            }
            let mut made = Vec::new();
            self.moving.begin(length);
            let brought = paths.iter().try_for_each(|path| {
                bring(&*arranged.fs, &**fs, path, &mut made, &self.moving)?;
                Ok(())
            });
            self.moving.begin(0);
            let synced = || {
                let mut all = paths.iter();
                all.try_for_each(|path| {
                    fs.sync_folders(path).map_err(|e| of_file_at(&**fs, path, e))
                })
            };
            if let Err(error) = brought.and_then(|()| synced()) {
                // It stays where it is, and what was made of it elsewhere takes room for nothing.
                for path in &made {
                    let _ = fs.remove(path);
                }
                let ways = paths.iter().map(Vec::as_slice);
                remove_empty_folders(&**fs, ways, &arranged.found);
                return Err(error);
            }
        }
        let mut arranged = self.write_lock();
        arranged.part = PartFile::open(
            fs,
            &self.metainfo,
            arranged.part.tag().clone(),
            Access::Write { executable: false },
        )?;
        arranged.fs = fs.clone();
        arranged.location = to;
        self.close();
        self.forget_names();
        let files = arranged.status(self.metainfo.layout().files())?;
        self.watch.begin(&files, arranged.fs.dates_late());
        Ok(files)
    }

    /// Removes what a move left behind in `fs`, but for the folders that were `found` there.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn discard(&self, fs: &dyn FileSystem, found: &BTreeSet<Vec<String>>) -> io::Result<()> {
        let arranged = self.read_lock();
        let both = arranged.fs.identity().is_some() && arranged.fs.identity() == fs.identity();
        if both { Ok(()) } else { self.remove_from(&arranged, fs, found, &BTreeSet::new()) }
    }

    /// Removes the torrent's files but for those to be `kept`, and folders that are empty then, but for those that
    /// were there before it came.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn delete(&self, kept: &BTreeSet<u32>) -> io::Result<()> {
        self.close();
        let arranged = self.write_lock();
        arranged.part.remove()?;
        self.remove_from(&arranged, &*arranged.fs, &arranged.found, kept)
    }

    fn remove_from(
        &self,
        arranged: &Arranged,
        fs: &dyn FileSystem,
        found: &BTreeSet<Vec<String>>,
        kept: &BTreeSet<u32>,
    ) -> io::Result<()> {
        let mut paths: Vec<&Path> = Vec::new();
        let part = arranged.part.path();
        for index in 0..self.metainfo.layout().files().len() as u32 {
            let entry = self.entry(index);
            let stands = entry.is_stored() || entry.symlink.is_some();
            if stands && !kept.contains(&index) {
                paths.push(arranged.path(index, entry));
            }
        }
        for path in paths.iter().copied().chain([part]) {
            match fs.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        remove_empty_folders(fs, paths.into_iter(), found);
        Ok(())
    }
}

/// Removes the folders on the way to files that are no more, the deepest first. One that is not
/// empty, was never there, or was there before, is left as it is.
fn remove_empty_folders<'a>(
    fs: &dyn FileSystem,
    paths: impl Iterator<Item = &'a Path>,
    found: &BTreeSet<Vec<String>>,
) {
    for folder in on_the_way(paths).into_iter().rev().filter(|folder| !found.contains(*folder)) {
        let _ = fs.remove_folder(folder);
    }
}

/// Makes sure that `to` holds the same file as `from` under the same name, durably. What is made for that is
/// put on the list before.
fn bring(
    from: &dyn FileSystem,
    to: &dyn FileSystem,
    path: &Path,
    made: &mut Vec<Vec<String>>,
    progress: &MoveProgress,
) -> io::Result<()> {
    let there = |error| of_file_at(to, path, error);
    if to.find(path).map_err(there)?.is_some() {
        // An earlier attempt may have come so far.
        let same = is_same(from, to, path, path, progress).map_err(there)?;
        return if same { Ok(()) } else { Err(there(Errno::EXIST.into())) };
    }
    if second_name(from, to, path).map_err(there)? {
        made.push(path.to_vec());
        return Ok(());
    }
    let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
    // No system takes more than 255 bytes of a name.
    let mut stem = name.clone();
    while stem.len() + UNFINISHED.len() > 255 {
        stem.pop();
    }
    let draft: Vec<String> =
        folders.iter().cloned().chain([format!("{stem}{UNFINISHED}")]).collect();
    match to.remove(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(there(error)),
        _ => {}
    }
    let here = |error| of_file(path, error);
    let source = from.open(path, Access::Read).map_err(here)?;
    let length = source.found()?.length;
    made.push(draft.clone());
    let target = to.open(&draft, Access::Write { executable: false }).map_err(there)?;
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let part = &mut buffer[..(length - at).min(CHUNK as u64) as usize];
        source.read_at(part, at).map_err(here)?;
        target.write_at(&[part], at).map_err(there)?;
        at += part.len() as u64;
        progress.add(part.len() as u64);
    }
    target.lengthen(length).and_then(|()| target.sync()).map_err(there)?;
    if !is_same(from, to, path, &draft, progress)? {
        return Err(io::Error::other("the copy differs from what was copied"));
    }
    to.rename(&draft, path).map_err(there)?;
    made.pop();
    made.push(path.to_vec());
    Ok(())
}

/// Gives the file a second name at the other place, where both are one file system: that needs no
/// room and no time.
fn second_name(from: &dyn FileSystem, to: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    let (Some((old, name)), Some((new, _))) = (from.handle(path, false)?, to.handle(path, true)?)
    else {
        return Ok(false);
    };
    match rustix::fs::linkat(&old, name.as_str(), &new, name.as_str(), AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_same(
    from: &dyn FileSystem,
    to: &dyn FileSystem,
    old: &Path,
    new: &Path,
    progress: &MoveProgress,
) -> io::Result<bool> {
    let (a, b) = (from.open(old, Access::Read)?, to.open(new, Access::Read)?);
    let (one, other) = (a.found()?, b.found()?);
    if one.identity.is_some() && one.identity == other.identity {
        return Ok(true);
    }
    if one.length != other.length {
        return Ok(false);
    }
    let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < one.length {
        let count = (one.length - at).min(CHUNK as u64) as usize;
        a.read_at(&mut first[..count], at)?;
        b.read_at(&mut second[..count], at)?;
        if first[..count] != second[..count] {
            return Ok(false);
        }
        at += count as u64;
        progress.add(count as u64);
    }
    Ok(true)
}
