//! Which torrent a path belongs to: no two torrents of a state folder have files of one path, be it in
//! one process or in several.
//!
//! A claim holds a short hash of every path that a torrent has, from the root of the file system on,
//! and of what tells each file that is there from every other one, so that links and mounts deceive
//! nobody. Other processes find it in the state folder, in a file that is locked as long as its torrent
//! is open; one that nobody holds any more is nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{FileEntry, Metainfo};
use serde::{Deserialize, Serialize};

use crate::private;

/// A hash of a path, or of the identity of a file.
type Key = [u8; 16];

/// Bytes of an entry in the state folder.
const ENTRY: usize = 24;

/// What a claim says of one path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    key: Key,
    /// What is in the file; equal for equal content. 0 for a folder.
    content: u64,
}

/// The paths of a torrent.
#[derive(Clone, Debug)]
pub struct Claim {
    head: Head,
    /// In order of their keys, each with the number of a file that it stands for.
    entries: Vec<(Entry, u32)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    hash: String,
    name: String,
    access: ClaimAccess,
    process: u32,
}

/// What a torrent does with its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClaimAccess {
    /// It reads them: they are verified, or nothing may be written.
    Reads,
    /// They have their lengths: it will hardly write.
    Mends,
    /// It writes them.
    Writes,
}

/// A claim that stands in the way of another.
#[derive(Debug)]
pub struct Taken {
    /// The path that both want.
    path: PathBuf,
    /// Whether both have the same content there.
    alike: bool,
    new: String,
    holder: Head,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, alike, new, holder } = self;
        let other = if holder.process == std::process::id() {
            String::new()
        } else {
            format!(", which process {} has open", holder.process)
        };
        let advice = match alike {
            true => {
                " of the same content, which one of them writes; begin the other when that is complete, or"
            }
            false => ";",
        };
        write!(
            f,
            "{new} and {} ({}){other} both have a file {}{advice} choose another folder with --dir for one",
            holder.name,
            holder.hash,
            path.display()
        )
    }
}

impl std::error::Error for Taken {}

fn key(kind: &str, what: &[u8]) -> Key {
    let hash = Sha1Hash::of(&[kind.as_bytes(), b"\0", what].concat());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.0[..16]);
    key
}

/// Equal for files of equal content, as far as a torrent tells: by the root of its tree, or by the pieces
/// that it lies in.
fn content_of(metainfo: &Metainfo, file: &FileEntry) -> u64 {
    let hash = match file.pieces_root {
        Some(root) => Sha1Hash::of(&root.0),
        None => {
            let geometry = metainfo.geometry;
            let pieces = geometry.pieces_of(file.offset, file.length);
            let bounds = (pieces.start as usize * 20, pieces.end as usize * 20);
            let hashes = metainfo.piece_hashes.get(bounds.0..bounds.1).unwrap_or_default();
            let step = u64::from(geometry.piece_length());
            let numbers = [file.length, file.offset % step, step].map(u64::to_le_bytes).concat();
            Sha1Hash::of(&[&numbers, hashes].concat())
        }
    };
    let Sha1Hash([a, b, c, d, e, f, g, h, ..]) = hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1
}

impl Claim {
    /// A claim of a torrent on files below `root`: their numbers, what they are called there, and what tells
    /// those that are there from every other one.
    #[must_use]
    pub fn new<'a>(
        metainfo: &Metainfo,
        access: ClaimAccess,
        root: &Path,
        folds_case: bool,
        files: impl Iterator<Item = (u32, &'a [String], Option<(u64, u64)>)>,
    ) -> Self {
        let head = Head {
            hash: metainfo.info_hashes.wire().to_hex(),
            name: metainfo.name.clone(),
            access,
            process: std::process::id(),
        };
        let mut entries = Vec::new();
        let (mut way, mut before): (PathBuf, &[String]) = (root.to_owned(), &[]);
        for (index, path, identity) in files {
            let Some(file) = metainfo.layout.files().get(index as usize) else { continue };
            let content = content_of(metainfo, file);
            // Folders that a file shares with the one before it are known.
            let folders = path.split_last().map_or(path, |(_, folders)| folders);
            let shared = folders.iter().zip(before).take_while(|(a, b)| a == b).count();
            for _ in shared..before.len() {
                way.pop();
            }
            for (depth, part) in path.iter().enumerate().skip(shared) {
                way.push(part);
                let text = way.to_string_lossy();
                let text = if folds_case { text.to_lowercase() } else { text.into_owned() };
                let content = if depth + 1 == path.len() { content } else { 0 };
                entries.push((Entry { key: key("path", text.as_bytes()), content }, index));
            }
            way.pop();
            before = folders;
            if let Some((device, number)) = identity {
                let number = [device.to_le_bytes(), number.to_le_bytes()].concat();
                entries.push((Entry { key: key("file", &number), content }, index));
            }
        }
        entries.sort_unstable();
        entries.dedup_by_key(|(entry, _)| *entry);
        Self { head, entries }
    }

    /// This and another claim of the same torrent.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self.entries.sort();
        self.entries.dedup_by_key(|(entry, _)| *entry);
        self
    }

    /// The first path on which this claim and another cannot both stand. Two that only read can; equal
    /// content can be had by two of which one does not write. A folder is a folder for everybody.
    /// Returns the number of its file, and whether both have the same content there.
    fn clash(&self, access: ClaimAccess, others: &[(Entry, u32)]) -> Option<(u32, bool)> {
        let both = |kind| self.head.access == kind && access == kind;
        if both(ClaimAccess::Reads) {
            return None;
        }
        let both = both(ClaimAccess::Writes);
        self.entries.iter().find_map(|(entry, file)| {
            let first = others.partition_point(|(other, _)| other.key < entry.key);
            let same = others[first..].iter().take_while(|(other, _)| other.key == entry.key);
            let same = same.filter(|(other, _)| other.content != 0 || entry.content != 0);
            let mut alike = same.map(|(other, _)| other.content == entry.content);
            alike.find(|alike| both || !alike).map(|alike| (*file, alike))
        })
    }
}

/// A claim that this process holds, with the lock on what others see of it.
#[derive(Debug)]
struct Held {
    claim: Claim,
    _lock: Option<File>,
}

/// The claims of this process, and where those of others are.
#[derive(Debug)]
pub struct Claims {
    folder: Option<PathBuf>,
    held: Mutex<BTreeMap<Sha1Hash, Held>>,
    /// Why a torrent has none.
    refused: Mutex<BTreeMap<Sha1Hash, String>>,
}

impl Claims {
    /// Claims that other processes with the same folder know of; without one, those of this process.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, held: Mutex::default(), refused: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Sha1Hash, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<Sha1Hash, String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the files of a torrent could not be had, where another torrent has them.
    #[must_use]
    pub fn told(&self, torrent: Sha1Hash) -> Option<String> {
        self.refused().get(&torrent).cloned()
    }

    /// Takes a claim, in the place of one that the torrent has already. `path` is where a file is.
    ///
    /// # Errors
    /// [`Taken`] where another torrent has one of the paths. That the state folder cannot be written is
    /// no error: then no other process knows.
    pub fn take(
        &self,
        torrent: Sha1Hash,
        claim: Claim,
        path: impl Fn(u32) -> PathBuf,
    ) -> io::Result<()> {
        let mut held = self.held();
        // Nobody looks while another writes.
        let _guard = self.folder.as_deref().and_then(|folder| guard(folder).ok());
        let taken = |(file, alike): (u32, bool), holder: &Head| {
            let (new, holder) = (claim.head.name.clone(), holder.clone());
            let taken = Taken { path: path(file), alike, new, holder };
            self.refused().insert(torrent, taken.to_string());
            io::Error::other(taken)
        };
        for (_, other) in held.iter().filter(|(other, _)| **other != torrent) {
            if let Some(clash) = claim.clash(other.claim.head.access, &other.claim.entries) {
                return Err(taken(clash, &other.claim.head));
            }
        }
        let others = self.folder.as_deref().map(|folder| others(folder, torrent));
        for (holder, entries) in others.into_iter().flatten() {
            if let Some(clash) = claim.clash(holder.access, &entries) {
                return Err(taken(clash, &holder));
            }
        }
        self.refused().remove(&torrent);
        let known = held.remove(&torrent).and_then(|held| held._lock);
        let lock =
            self.folder.as_deref().and_then(|folder| publish(folder, torrent, &claim, known).ok());
        held.insert(torrent, Held { claim, _lock: lock });
        Ok(())
    }

    /// The claim that a torrent has.
    #[must_use]
    pub fn of(&self, torrent: Sha1Hash) -> Option<Claim> {
        self.held().get(&torrent).map(|held| held.claim.clone())
    }

    /// Gives a claim back.
    pub fn release(&self, torrent: Sha1Hash) {
        let held = self.held().remove(&torrent);
        if let (Some(_), Some(folder)) = (held, &self.folder) {
            // One that stays is held by nobody.
            let _ = fs::remove_file(file_of(folder, torrent));
        }
    }
}

fn file_of(folder: &Path, torrent: Sha1Hash) -> PathBuf {
    folder.join(format!("{}.claim", torrent.to_hex()))
}

/// Held while claims are compared and made.
fn guard(folder: &Path) -> io::Result<File> {
    private::make_folder(folder)?;
    let path = folder.join("lock");
    let lock = private::state_options().create(true).truncate(false).write(true).open(path)?;
    lock.lock()?;
    Ok(lock)
}

/// The claims of other processes that still stand.
fn others(folder: &Path, torrent: Sha1Hash) -> Vec<(Head, Vec<(Entry, u32)>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let claims = path.extension().is_some_and(|extension| extension == "claim");
        if !claims || path == file_of(folder, torrent) {
            continue;
        }
        let Ok(mut file) = private::state_options().read(true).open(&path) else { continue };
        if file.try_lock_shared().is_ok() {
            // Whoever held it is gone.
            let _ = fs::remove_file(&path);
            continue;
        }
        let mut bytes = Vec::new();
        if file.read_to_end(&mut bytes).is_ok() {
            all.extend(decode(&bytes));
        }
    }
    all
}

fn decode(bytes: &[u8]) -> Option<(Head, Vec<(Entry, u32)>)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    // What this process holds is known to it better.
    if head.process == std::process::id() {
        return None;
    }
    let entries = bytes[end + 1..].chunks_exact(ENTRY).filter_map(|entry| {
        let (key, content) = entry.split_first_chunk()?;
        Some((Entry { key: *key, content: u64::from_le_bytes(content.try_into().ok()?) }, 0))
    });
    Some((head, entries.collect()))
}

/// Lets other processes know of a claim for as long as what is returned is open.
fn publish(
    folder: &Path,
    torrent: Sha1Hash,
    claim: &Claim,
    known: Option<File>,
) -> io::Result<File> {
    let mut bytes = serde_json::to_vec(&claim.head)?;
    bytes.push(b'\n');
    for (entry, _) in &claim.entries {
        bytes.extend(entry.key);
        bytes.extend(entry.content.to_le_bytes());
    }
    let path = file_of(folder, torrent);
    let mut file = match known {
        Some(file) => file,
        None => private::state_options().create(true).truncate(false).write(true).open(path)?,
    };
    match file.try_lock() {
        Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    io::Seek::rewind(&mut file)?;
    file.write_all(&bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    //! Unit tests of paths that two torrents want.

    use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile};

    use super::*;

    /// A torrent of files below `n`, of content that is told apart by a number.
    fn torrent(content: u8, files: &[&str]) -> Metainfo {
        let options =
            CreateOptions { name: "n".into(), piece_length: 16_384, ..CreateOptions::default() };
        let file = |path: &&str| InputFile {
            path: path.split('/').map(str::to_owned).collect(),
            length: 16_384,
            executable: false,
        };
        let mut creator = Creator::new(options, files.iter().map(file).collect()).unwrap();
        for need in creator.needs().collect::<Vec<_>>() {
            if let CreateNeed::Piece { index } = need {
                creator.provide_piece(index, Sha1Hash::of(&[content]));
            }
        }
        let torrent = Metainfo::parse(&creator.finish().unwrap()).unwrap();
        // Equal content does not make them one torrent.
        Metainfo { name: format!("{content} {files:?}"), ..torrent }
    }

    fn claim(metainfo: &Metainfo, access: ClaimAccess, folds_case: bool) -> Claim {
        let files = (0u32..).zip(metainfo.layout.files());
        let files = files.map(|(index, file)| (index, file.path.as_slice(), None));
        Claim::new(metainfo, access, Path::new("/d"), folds_case, files)
    }

    fn take(claims: &Claims, number: u8, claim: Claim) -> bool {
        claims.take(Sha1Hash([number; 20]), claim, |_| "/d".into()).is_ok()
    }

    #[test]
    fn a_path_belongs_to_one_torrent_until_that_gives_it_back() {
        use ClaimAccess::{Mends, Reads, Writes};
        let (one, two) = (torrent(1, &["a", "b"]), torrent(2, &["b", "c"]));
        let claims = Claims::new(None);
        assert!(take(&claims, 1, claim(&one, Writes, false)));
        assert!(!take(&claims, 2, claim(&two, Writes, false)));
        assert!(!take(&claims, 2, claim(&two, Reads, false)));
        assert!(claims.told(Sha1Hash([2; 20])).unwrap().contains("both have a file /d; choose"));
        // File by file: a folder is shared, a file is not.
        assert!(take(&claims, 3, claim(&torrent(3, &["c"]), Writes, false)));
        assert!(!take(&claims, 4, claim(&torrent(4, &["a/x"]), Writes, false)));
        assert!(take(&claims, 1, claim(&one, Writes, false)), "its own again");
        claims.release(Sha1Hash([1; 20]));
        claims.release(Sha1Hash([3; 20]));
        assert!(take(&claims, 2, claim(&two, Writes, false)));
        // Of equal content one may write, and all may read; all may read anything.
        let same = torrent(2, &["b", "c"]);
        assert!(!take(&claims, 5, claim(&same, Writes, false)));
        assert!(claims.told(Sha1Hash([5; 20])).unwrap().contains("of the same content"));
        assert!(take(&claims, 5, claim(&same, Mends, false)));
        claims.release(Sha1Hash([2; 20]));
        claims.release(Sha1Hash([5; 20]));
        assert!(take(&claims, 1, claim(&one, Reads, false)));
        assert!(take(&claims, 2, claim(&two, Reads, false)));
    }

    #[test]
    fn case_is_told_apart_where_the_folder_does_and_a_file_with_two_names_is_one() {
        let (one, two) = (torrent(1, &["a"]), torrent(2, &["A"]));
        for (folds_case, free) in [(false, true), (true, false)] {
            let claims = Claims::new(None);
            assert!(take(&claims, 1, claim(&one, ClaimAccess::Writes, folds_case)));
            assert_eq!(take(&claims, 2, claim(&two, ClaimAccess::Writes, folds_case)), free);
        }
        let linked = |metainfo: &Metainfo| {
            let path = metainfo.layout.files()[0].path.as_slice();
            let files = [(0, path, Some((1, 7)))].into_iter();
            Claim::new(metainfo, ClaimAccess::Writes, Path::new("/d"), false, files)
        };
        let claims = Claims::new(None);
        assert!(take(&claims, 1, linked(&one)));
        assert!(!take(&claims, 2, linked(&two)));
    }

    #[test]
    fn what_a_process_leaves_behind_is_no_claim() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::new(Some(folder.path().to_owned()));
        let one = torrent(1, &["a"]);
        assert!(take(&claims, 1, claim(&one, ClaimAccess::Writes, false)));
        let other = Claims::new(Some(folder.path().to_owned()));
        let mut foreign = claim(&torrent(2, &["a"]), ClaimAccess::Writes, false);
        foreign.head.process += 1;
        // As another process would have left it, held and let go of.
        let lock = publish(folder.path(), Sha1Hash([2; 20]), &foreign, None).unwrap();
        assert!(!take(&other, 3, claim(&torrent(3, &["a"]), ClaimAccess::Writes, false)));
        drop(lock);
        assert!(take(&other, 3, claim(&torrent(3, &["a"]), ClaimAccess::Writes, false)));
        claims.release(Sha1Hash([1; 20]));
        assert!(!file_of(folder.path(), Sha1Hash([1; 20])).exists());
    }
}
