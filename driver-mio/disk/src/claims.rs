//! Which torrent a path belongs to: no two torrents of a state folder have files of one path, be it in
//! one process or in several.
//!
//! A claim holds a short hash of every path that a torrent has, from the root of the file system on,
//! and of what tells each file that is there from every other one, so that links and mounts deceive
//! nobody. Other processes hear of it through the register in the state folder.

mod index;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{FileEntry, Metainfo};
use serde::{Deserialize, Serialize};

use crate::register::{News, Register};

use index::{Clash, Index};

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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
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
            format!(", which process {} has open,", holder.process)
        };
        let advice = match alike {
            true => {
                " of the same content, which one of them writes; begin the other when that is complete, or"
            }
            false => ";",
        };
        write!(
            f,
            "{new} and {} ({}){other} both have a file {}{advice} choose another folder for one (--dir, or \
             `session move`)",
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
            let geometry = metainfo.geometry();
            let pieces = geometry.pieces_of(file.offset, file.length);
            let bounds = (pieces.start as usize * 20, pieces.end as usize * 20);
            let hashes = metainfo.piece_hashes().get(bounds.0..bounds.1).unwrap_or_default();
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
            hash: metainfo.info_hashes().wire().to_hex(),
            name: metainfo.name().to_owned(),
            access,
            process: std::process::id(),
        };
        let mut entries = Vec::new();
        let (mut way, mut before): (PathBuf, &[String]) = (root.to_owned(), &[]);
        for (index, path, identity) in files {
            let Some(file) = metainfo.layout().files().get(index as usize) else { continue };
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

    /// As other processes read it.
    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.head)?;
        bytes.push(b'\n');
        for (entry, _) in &self.entries {
            bytes.extend(entry.key);
            bytes.extend(entry.content.to_le_bytes());
        }
        Ok(bytes)
    }

    /// What another process wrote. It does not say which file an entry stands for.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = serde_json::from_slice(&bytes[..end]).ok()?;
        let entries = bytes[end + 1..].chunks_exact(ENTRY).filter_map(|entry| {
            let (key, content) = entry.split_first_chunk()?;
            Some((Entry { key: *key, content: u64::from_le_bytes(content.try_into().ok()?) }, 0))
        });
        Some(Self { head, entries: entries.collect() })
    }
}

#[derive(Debug, Default)]
struct Inner {
    index: Index,
    /// What is told to other processes, and heard of them.
    register: Option<Register>,
    /// Why a torrent has none.
    refused: BTreeMap<Sha1Hash, String>,
}

/// The claims of this process and, where they share a state folder, of others.
#[derive(Debug)]
pub struct Claims {
    inner: Mutex<Inner>,
}

impl Claims {
    /// Claims that other processes with the same folder know of; without one, those of this process.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        let inner = Inner { register: folder.map(Register::new), ..Inner::default() };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the files of a torrent could not be had, where another torrent has them.
    #[must_use]
    pub fn told(&self, torrent: Sha1Hash) -> Option<String> {
        self.inner().refused.get(&torrent).cloned()
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
        let Inner { index, register, refused } = &mut *self.inner();
        // Nobody else takes anything before this one is told.
        let guard = match register {
            None => None,
            Some(register) => match register.open() {
                Ok((guard, news)) => {
                    take_news(index, news);
                    Some(guard)
                }
                // A folder that cannot be written may still be read.
                Err(_) => {
                    take_news(index, register.look());
                    None
                }
            },
        };
        if let Some(Clash { file, alike, holder }) = index.clash(torrent, &claim) {
            let (new, holder) = (claim.head.name, holder.clone());
            let taken = Taken { path: path(file), alike, new, holder };
            refused.insert(torrent, taken.to_string());
            return Err(io::Error::other(taken));
        }
        refused.remove(&torrent);
        if let Some(mut guard) = guard {
            let _ = guard.take(torrent, &claim.encode()?);
        }
        index.insert((None, torrent), claim);
        Ok(())
    }

    /// The files of `claim` that torrents other than `torrent` have, too, each with how one of those is called.
    /// Nothing is taken.
    pub fn shared(&self, torrent: Sha1Hash, claim: &Claim) -> BTreeMap<u32, String> {
        let Inner { index, register, .. } = &mut *self.inner();
        if let Some(register) = register {
            take_news(index, register.look());
        }
        let called = |head: &Head| format!("{} ({})", head.name, head.hash);
        let shared = index.shared(torrent, claim).into_iter();
        shared.map(|(file, holder)| (file, called(holder))).collect()
    }

    /// The claim that a torrent has.
    #[must_use]
    pub fn of(&self, torrent: Sha1Hash) -> Option<Claim> {
        self.inner().index.get(&(None, torrent)).cloned()
    }

    /// Gives a claim back.
    pub fn release(&self, torrent: Sha1Hash) {
        let Inner { index, register, .. } = &mut *self.inner();
        let had = index.remove(&(None, torrent));
        if let (Some(_), Some(register)) = (had, register)
            && let Ok((mut guard, news)) = register.open()
        {
            take_news(index, news);
            // What cannot be told ends with this process.
            let _ = guard.give_back(torrent);
        }
    }
}

/// Takes in what other processes have done.
fn take_news(index: &mut Index, news: Vec<News>) {
    for news in news {
        match news {
            News::Took(process, torrent, what) => {
                if let Some(claim) = Claim::decode(&what) {
                    index.insert((Some(process), torrent), claim);
                }
            }
            News::GaveBack(process, torrent) => {
                index.remove(&(Some(process), torrent));
            }
            News::Gone(process) => index.remove_all(&process),
        }
    }
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
        Metainfo::parse(&creator.finish().unwrap()).unwrap()
    }

    fn claim(metainfo: &Metainfo, access: ClaimAccess, folds_case: bool) -> Claim {
        let files = (0u32..).zip(metainfo.layout().files());
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
            let path = metainfo.layout().files()[0].path.as_slice();
            let files = [(0, path, Some((1, 7)))].into_iter();
            Claim::new(metainfo, ClaimAccess::Writes, Path::new("/d"), false, files)
        };
        let claims = Claims::new(None);
        assert!(take(&claims, 1, linked(&one)));
        assert!(!take(&claims, 2, linked(&two)));
    }

    #[test]
    fn what_another_process_has_stands_in_the_way_until_that_gives_it_back_or_ends() {
        use ClaimAccess::{Reads, Writes};
        let folder = tempfile::tempdir().unwrap();
        let open = || Claims::new(Some(folder.path().to_owned()));
        let (here, there) = (open(), open());
        let (one, two) = (torrent(1, &["a"]), torrent(2, &["a"]));
        assert!(take(&there, 1, claim(&one, Writes, false)));
        assert!(!take(&here, 2, claim(&two, Writes, false)));
        there.release(Sha1Hash([1; 20]));
        assert!(take(&here, 2, claim(&two, Reads, false)));
        assert!(take(&there, 1, claim(&one, Reads, false)));
        assert!(!take(&there, 1, claim(&one, Writes, false)), "what it has it keeps");
        drop(here);
        assert!(take(&there, 1, claim(&one, Writes, false)));
        assert!(!take(&open(), 2, claim(&two, Reads, false)));
        drop(there);
        assert!(take(&open(), 2, claim(&two, Writes, false)));
    }

    #[test]
    fn ten_thousand_torrents_of_one_folder_take_one_file_and_time_that_grows_with_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Claims::new(Some(folder.path().to_owned()));
        let (here, there) = (open(), open());
        let number = |n: u32| Sha1Hash(std::array::from_fn(|at| n.to_be_bytes()[at % 4]));
        let names: Vec<String> = (0..10_000).map(|n| format!("f{n}")).collect();
        let of = |metainfo: &Metainfo, name: &str| {
            let path = ["n".to_owned(), name.to_owned()];
            let files = [(0, path.as_slice(), None)].into_iter();
            Claim::new(metainfo, ClaimAccess::Writes, Path::new("/d"), false, files)
        };
        let metainfo = torrent(1, &["x"]);
        for (n, name) in (0..).zip(&names) {
            here.take(number(n), of(&metainfo, name), |_| "/d".into()).unwrap();
        }
        let taken =
            there.take(number(20_000), of(&torrent(2, &["x"]), &names[9_999]), |_| "/d".into());
        assert!(taken.is_err());
        let open_files = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(open_files <= 3, "{open_files}");
        for n in 0..10_000 {
            here.release(number(n));
        }
        assert!(there.take(number(20_000), of(&metainfo, "f1"), |_| "/d".into()).is_ok());
    }
}
