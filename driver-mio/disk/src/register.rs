//! What the processes of one state folder hold, told to each other: which torrents they work on, which
//! paths belong to them.
//!
//! Each process has one file, locked for as long as it lives, however it ends. It adds a record to it for
//! whatever it takes or gives back, and reads of the others' files what is new. So what one more torrent
//! costs, in time and in open files, does not grow with their number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eddyline::base::hash::Sha1Hash;

use crate::private;

/// What the name of a process's file ends with.
const SUFFIX: &str = ".held";
/// How long another process is waited for that takes or gives back at the moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks whether it is done.
const AGAIN: Duration = Duration::from_millis(1);
/// Bytes of records given back before the file is written again without them.
const SPARE: u64 = 64 << 10;
/// Length, torrent and kind, before what is said of it.
const HEAD: usize = 4 + 20 + 1;

/// The name of another process's file.
pub type Process = String;

/// What other processes have done since the last look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A process has taken something of a torrent, in the place of what it had of it.
    Took(Process, Sha1Hash, Vec<u8>),
    /// It has given that back.
    GaveBack(Process, Sha1Hash),
    /// It is gone, with all that it held.
    Gone(Process),
}

/// The files of one folder.
#[derive(Debug)]
pub struct Register {
    folder: PathBuf,
    own: Option<Own>,
    /// How far the others' files are read.
    read: BTreeMap<Process, u64>,
}

/// This process's file.
#[derive(Debug)]
struct Own {
    file: File,
    path: PathBuf,
    length: u64,
    /// Where the record of each torrent is, and its length.
    live: BTreeMap<Sha1Hash, (u64, u64)>,
    /// Bytes of these records.
    live_length: u64,
}

/// Keeps other processes from taking anything until it is dropped.
#[derive(Debug)]
pub struct Guard<'a> {
    register: &'a mut Register,
    _lock: File,
}

impl Register {
    /// The register in `folder`, which is made when something is taken.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder, own: None, read: BTreeMap::new() }
    }

    /// The folder of the files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps others from taking anything, and tells what they have done.
    ///
    /// # Errors
    /// When the folder cannot be written; `TimedOut` when another process keeps it for seconds.
    pub fn open(&mut self) -> io::Result<(Guard<'_>, Vec<News>)> {
        private::make_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let lock = private::state_options().create(true).truncate(false).write(true).open(path)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(AGAIN),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let news = self.read_others(true);
        Ok((Guard { register: self, _lock: lock }, news))
    }

    /// Gives back all that this process holds.
    pub fn give_all_back(&mut self) {
        self.own = None;
    }

    /// What others have done, for whoever takes nothing.
    pub fn look(&mut self) -> Vec<News> {
        self.read_others(false)
    }

    fn read_others(&mut self, sweep: bool) -> Vec<News> {
        let mut news = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            let ours = self.own.as_ref().is_some_and(|own| own.path == path);
            if ours || !name.ends_with(SUFFIX) {
                continue;
            }
            let Ok(file) = private::state_options().read(true).open(&path) else { continue };
            if file.try_lock_shared().is_ok() {
                // Whoever held it is gone. Only under the guard can nobody be about to lock it.
                if sweep {
                    let _ = fs::remove_file(&path);
                }
                continue;
            }
            let read = self.read.entry(name.clone()).or_insert(0);
            news.extend(read_on(&file, read).into_iter().map(|(torrent, what)| match what {
                Some(what) => News::Took(name.clone(), torrent, what),
                None => News::GaveBack(name.clone(), torrent),
            }));
            seen.insert(name);
        }
        self.read.retain(|name, _| {
            let stays = seen.contains(name);
            if !stays {
                news.push(News::Gone(name.clone()));
            }
            stays
        });
        news
    }
}

impl Guard<'_> {
    /// Tells others that this process holds `what` of a torrent, in the place of what it held of it.
    ///
    /// # Errors
    /// Whatever the system says; then nobody is told.
    pub fn take(&mut self, torrent: Sha1Hash, what: &[u8]) -> io::Result<()> {
        let register = &mut *self.register;
        let own = match &mut register.own {
            Some(own) if own.file.metadata()?.nlink() > 0 => own,
            // Somebody has cleared the folder: what was held is told once more.
            Some(_) | None => {
                let before = register.own.take();
                register.own.insert(Own::create(&register.folder, before.as_ref())?)
            }
        };
        own.add(torrent, Some(what))?;
        self.tidy()
    }

    /// Tells others that this process holds nothing of a torrent any more.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn give_back(&mut self, torrent: Sha1Hash) -> io::Result<()> {
        match &mut self.register.own {
            Some(own) if own.live.contains_key(&torrent) => own.add(torrent, None)?,
            _ => return Ok(()),
        }
        self.tidy()
    }

    /// Forgets what was given back, when that is most of the file.
    fn tidy(&mut self) -> io::Result<()> {
        let register = &mut *self.register;
        let Some(own) = &register.own else { return Ok(()) };
        if own.live.is_empty() {
            register.own = None;
        } else if own.length > 2 * own.live_length + SPARE {
            let new = Own::create(&register.folder, Some(own))?;
            register.own = Some(new);
        }
        Ok(())
    }
}

impl Own {
    /// A file of this process, locked, with what `before` holds.
    fn create(folder: &Path, before: Option<&Self>) -> io::Result<Self> {
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{}.", std::process::id()))
            .suffix(SUFFIX)
            .tempfile_in(folder)?;
        // Somebody may be looking at it.
        file.as_file().lock()?;
        let mut live = BTreeMap::new();
        let mut length = 0;
        for (torrent, (at, record)) in before.iter().flat_map(|before| &before.live) {
            let Some(before) = before else { continue };
            let mut bytes = vec![0; usize::try_from(*record).unwrap_or(usize::MAX)];
            before.file.read_exact_at(&mut bytes, *at)?;
            file.write_all(&bytes)?;
            live.insert(*torrent, (length, *record));
            length += record;
        }
        let (file, path) = file.keep().map_err(|error| error.error)?;
        Ok(Self { file, path, length, live, live_length: length })
    }

    fn add(&mut self, torrent: Sha1Hash, what: Option<&[u8]>) -> io::Result<()> {
        let body = what.unwrap_or_default();
        let length = u32::try_from(HEAD - 4 + body.len());
        let mut record = length.map_err(|_| io::ErrorKind::FileTooLarge)?.to_le_bytes().to_vec();
        record.extend(torrent.0);
        record.push(what.is_some().into());
        record.extend(body);
        // At its place: what was cut short by an error is written over.
        self.file.write_all_at(&record, self.length)?;
        let length = record.len() as u64;
        let before = match what {
            Some(_) => self.live.insert(torrent, (self.length, length)),
            None => self.live.remove(&torrent),
        };
        self.live_length += if what.is_some() { length } else { 0 };
        self.live_length -= before.map_or(0, |(_, length)| length);
        self.length += length;
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A torrent, and what a process has taken of it; nothing if it has given it back.
type Record = (Sha1Hash, Option<Vec<u8>>);

/// The whole records from `read` on.
fn read_on(file: &File, read: &mut u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut bytes = Vec::new();
    let length = file.metadata().map_or(0, |about| about.len());
    if length <= *read || length - *read > private::MAX_STATE {
        return records;
    }
    let mut file = file.take(length - *read);
    if file
        .get_mut()
        .seek(SeekFrom::Start(*read))
        .and_then(|_| file.read_to_end(&mut bytes))
        .is_err()
    {
        return records;
    }
    let mut rest = bytes.as_slice();
    while let Some((record, after)) = first_record(rest) {
        records.push(record);
        *read += (rest.len() - after.len()) as u64;
        rest = after;
    }
    records
}

/// The first record of some bytes, and what follows it.
fn first_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (body, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (torrent, body) = body.split_first_chunk::<20>()?;
    let (kind, body) = body.split_first()?;
    Some(((Sha1Hash(*torrent), (*kind != 0).then(|| body.to_vec())), after))
}

#[cfg(test)]
mod tests {
    //! Unit tests of what processes tell each other.

    use super::*;

    fn torrent(number: u8) -> Sha1Hash {
        Sha1Hash([number; 20])
    }

    fn take(register: &mut Register, number: u8, what: &[u8]) -> Vec<News> {
        let (mut guard, news) = register.open().unwrap();
        guard.take(torrent(number), what).unwrap();
        news
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn each_hears_once_what_the_other_takes_and_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Register::new(folder.path().join("claims"));
        let mut two = Register::new(folder.path().join("claims"));
        assert_eq!(one.look(), [], "nothing is made by a look");
        assert!(!one.folder().exists());
        assert_eq!(take(&mut one, 1, b"a"), []);
        take(&mut one, 2, b"");
        let news = two.look();
        let process = match &news[..] {
            [News::Took(process, first, what), News::Took(_, second, nothing)] => {
                assert_eq!(
                    (*first, &what[..], *second, &nothing[..]),
                    (torrent(1), &b"a"[..], torrent(2), &b""[..])
                );
                process.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(two.look(), []);
        one.open().unwrap().0.give_back(torrent(1)).unwrap();
        one.open().unwrap().0.give_back(torrent(9)).unwrap();
        assert_eq!(take(&mut two, 3, b"b"), [News::GaveBack(process.clone(), torrent(1))]);
        drop(one);
        assert_eq!(two.look(), [News::Gone(process)]);
        two.open().unwrap().0.give_back(torrent(3)).unwrap();
        assert_eq!(files(two.folder()), 1, "only the guard's file is left");
    }

    #[test]
    fn what_a_process_leaves_behind_when_it_is_killed_is_swept_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut killed = Register::new(folder.path().to_owned());
        take(&mut killed, 1, b"a");
        // The file stays and nobody locks it.
        let own = killed.own.take().unwrap();
        own.file.unlock().unwrap();
        std::mem::forget(own);
        let mut other = Register::new(folder.path().to_owned());
        assert_eq!(other.look(), []);
        assert_eq!(files(folder.path()), 2);
        assert_eq!(other.open().unwrap().1, []);
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn a_file_does_not_grow_with_what_was_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Register::new(folder.path().to_owned());
        let mut two = Register::new(folder.path().to_owned());
        let kept = take(&mut one, 1, b"kept");
        assert_eq!(kept, []);
        let mut held = BTreeMap::new();
        for round in 0..200u32 {
            let what = [round.to_le_bytes().as_slice(), &[7; 3000]].concat();
            take(&mut one, 2, &what);
            for news in two.look() {
                match news {
                    News::Took(process, torrent, what) => held.insert((process, torrent), what),
                    News::GaveBack(process, torrent) => held.remove(&(process, torrent)),
                    News::Gone(process) => {
                        held.retain(|(other, _), _| *other != process);
                        None
                    }
                };
            }
            assert_eq!(held.values().collect::<Vec<_>>(), [&b"kept"[..], &what]);
            assert!(one.own.as_ref().unwrap().file.metadata().unwrap().len() < 2 * SPARE + 10_000);
        }
    }

    #[test]
    fn when_the_folder_was_cleared_what_is_held_is_told_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Register::new(folder.path().join("claims"));
        take(&mut one, 1, b"a");
        fs::remove_dir_all(one.folder()).unwrap();
        take(&mut one, 2, b"b");
        assert_eq!(Register::new(folder.path().join("claims")).look().len(), 2);
    }

    #[test]
    fn what_is_cut_short_or_no_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Register::new(folder.path().to_owned());
        take(&mut one, 1, b"a");
        one.own.as_ref().unwrap().file.write_all_at(&[200, 0, 0, 0, 1, 2, 3], 26).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe.held"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        fs::create_dir(folder.path().join("folder.held")).unwrap();
        let mut two = Register::new(folder.path().to_owned());
        assert_eq!(two.look().len(), 1);
        // What comes next stands in its place.
        take(&mut one, 2, b"b");
        assert_eq!(two.look().len(), 1);
    }

    #[test]
    fn of_those_who_take_at_once_each_sees_all_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let mut register = Register::new(folder.path().to_owned());
                    scope.spawn(move || {
                        let seen = take(&mut register, number, b"x").len();
                        (seen, register)
                    })
                })
                .collect();
            let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            all.iter().map(|(seen, _)| *seen).collect()
        });
        let mut sorted = counts;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<_>>());
    }
}
