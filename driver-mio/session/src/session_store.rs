//! The set of torrents that survives the process: a journal of records, of which every prefix is
//! valid, and a `.torrent` for each of them that is read when it is needed.
//!
//! ```text
//! session.log          records: length (u32), the first four bytes of the SHA-1 of the rest, bencode
//! torrents/HASH.torrent
//! ```
//! A record puts a torrent with everything that is known of it, or removes it. It is durable before
//! the call returns; several go in one write.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use eddyline::base::hash::Sha1Hash;
use eddyline::bencode::{self, Limits};
use eddyline_disk::private;
use eddyline_disk::resume_store::replace;
use serde::{Deserialize, Serialize};

/// Longest record; what claims to be longer is damage.
const MAX_RECORD: usize = 1 << 20;
/// Bytes that are hashed for each byte of a damaged journal, in search of the next whole record.
const SEARCH_PER_BYTE: usize = 16;
/// The journal is rewritten when it has this many records more than there are torrents.
const SLACK: usize = 256;

/// One torrent of the set: a few hundred bytes, however large it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// As handshakes and file names name it, in hex.
    pub hash: String,
    /// What people call it.
    pub name: String,
    /// Payload bytes; 0 while it is not known.
    pub length: i64,
    /// The magnet it came from, while there is no `.torrent`.
    #[serde(default)]
    pub magnet: String,
    /// The folder its data is in.
    pub folder: String,
    /// The folder that its data is being moved to; empty for none.
    #[serde(default)]
    pub moving_to: String,
    /// Folders it has left, in which copies may be until they are removed.
    #[serde(default)]
    pub left: Vec<String>,
    /// Whether it names trackers, 1 or 0; 2 where nobody has looked.
    #[serde(default = "unknown")]
    pub trackers: u8,
    /// Place in the order of all torrents.
    pub order: i64,
    /// Whether it stands still: 0 for no, [`PAUSED`], or [`GOAL_REACHED`].
    #[serde(default)]
    pub paused: u8,
    /// Whether it is fetched in order, 1 or 0.
    #[serde(default)]
    pub sequential: u8,
    /// Numbers of files that are not wanted, counted from 0.
    #[serde(default)]
    pub skipped: Vec<u32>,
    /// Of a magnet whose metadata has not come: which files are wanted, as the user has put it; all
    /// where nothing is said.
    #[serde(default)]
    pub select: Vec<String>,
    /// Bytes per second it may fetch; 0 for no limit.
    #[serde(default)]
    pub max_down: i64,
    /// Bytes per second it may send; 0 for no limit.
    #[serde(default)]
    pub max_up: i64,
    /// Share ratio at which seeding ends, in thousandths; -1 for none.
    #[serde(default = "unsaid")]
    pub seed_ratio: i64,
    /// Seconds of seeding after which it ends; -1 for none.
    #[serde(default = "unsaid")]
    pub seed_time: i64,
    /// Whether what is there is served and nothing is changed, 1 or 0.
    #[serde(default)]
    pub read_only: u8,
}

/// [`Entry::paused`]: the user wants it so.
pub const PAUSED: u8 = 1;
/// [`Entry::paused`]: it has been seeded as much as was wanted.
pub const GOAL_REACHED: u8 = 2;

fn unsaid() -> i64 {
    -1
}

fn unknown() -> u8 {
    2
}

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    put: Option<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove: Option<String>,
}

/// The set of torrents, to be read. Reading needs no lock: every prefix of the journal is a state.
#[derive(Clone, Debug)]
pub struct SessionSet {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// The set of torrents, to be changed. Whoever opens it holds the lock of the session.
#[derive(Debug)]
pub struct SessionStore {
    set: SessionSet,
    journal: File,
    records: usize,
    /// The journal was damaged; what could not be read was put aside.
    damaged: bool,
}

impl std::ops::Deref for SessionStore {
    type Target = SessionSet;

    fn deref(&self) -> &SessionSet {
        &self.set
    }
}

impl SessionSet {
    /// Reads the set in the state folder, and changes nothing. Where there is none it is empty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let entries = read_journal(&journal_bytes(folder)?).entries;
        Ok(Self { folder: folder.to_owned(), entries })
    }

    /// All torrents, in their order.
    #[must_use]
    pub fn list(&self) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.entries.values().collect();
        all.sort_by_key(|entry| (entry.order, &entry.hash));
        all
    }

    /// One torrent, by its hash in hex.
    #[must_use]
    pub fn get(&self, hash: &str) -> Option<&Entry> {
        self.entries.get(hash)
    }

    /// The `.torrent` of a torrent, where it is known.
    ///
    /// # Errors
    /// `NotFound` when it is not; whatever the system says.
    pub fn torrent(&self, hash: &str) -> io::Result<Vec<u8>> {
        private::read(&self.torrent_file(hash), private::MAX_STATE)
    }

    fn torrent_file(&self, hash: &str) -> PathBuf {
        self.folder.join("torrents").join(format!("{hash}.torrent"))
    }
}

fn journal_bytes(folder: &Path) -> io::Result<Vec<u8>> {
    match private::read(&folder.join("session.log"), private::MAX_STATE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

impl SessionStore {
    /// Reads the set that an earlier process left in the state folder.
    ///
    /// # Errors
    /// When the disk refuses. A journal that is torn at its end is cut there; one that is damaged
    /// before that is kept under another name, and a new one starts with the records in front of the damage.
    pub fn open(folder: &Path) -> io::Result<Self> {
        private::make_folder(&folder.join("torrents"))?;
        private::correct(folder);
        let path = folder.join("session.log");
        let bytes = journal_bytes(folder)?;
        let Journal { entries, records, length, damaged } = read_journal(&bytes);
        if damaged {
            private::write(&folder.join("session.log.damaged"), &bytes)?;
        }
        let journal =
            private::state_options().create(true).truncate(false).write(true).open(&path)?;
        journal.set_len(length as u64)?;
        journal.sync_all()?;
        File::open(folder)?.sync_all()?;
        let set = SessionSet { folder: folder.to_owned(), entries };
        let mut store = Self { set, journal, records, damaged };
        store.seek_end()?;
        Ok(store)
    }

    fn seek_end(&mut self) -> io::Result<()> {
        use std::io::Seek;
        self.journal.seek(io::SeekFrom::End(0)).map(drop)
    }

    /// Whether the journal was damaged.
    #[must_use]
    pub fn was_damaged(&self) -> bool {
        self.damaged
    }

    /// Adds torrents behind all others, or changes those that are there; durable when this returns.
    /// Each may come with its `.torrent`.
    ///
    /// # Errors
    /// When the disk refuses; nothing is changed then.
    pub fn put(&mut self, mut entries: Vec<(Entry, Option<Vec<u8>>)>) -> io::Result<()> {
        let mut next = self.set.entries.values().map(|entry| entry.order).max().unwrap_or(0) + 1;
        for (entry, torrent) in &mut entries {
            if let Some(bytes) = torrent {
                replace(&self.torrent_file(&entry.hash), bytes)?;
            }
            if !self.set.entries.contains_key(&entry.hash) {
                entry.order = next;
                next += 1;
            }
        }
        let puts = entries.into_iter().map(|(put, _)| Record { put: Some(put), remove: None });
        self.write(puts.collect())
    }

    /// Removes a torrent from the set, and its `.torrent`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&mut self, hash: &str) -> io::Result<()> {
        self.write(vec![Record { put: None, remove: Some(hash.to_owned()) }])?;
        match fs::remove_file(self.torrent_file(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| write_record(&mut bytes, record));
        let before = self.journal.metadata()?.len();
        if let Err(error) = self.journal.write_all(&bytes).and_then(|()| self.journal.sync_data()) {
            // What came of it is not known; the next start must not find half of it.
            let _ = self.journal.set_len(before);
            self.seek_end()?;
            return Err(error);
        }
        self.records += records.len();
        records.into_iter().for_each(|record| apply(&mut self.set.entries, record));
        if self.records > 2 * self.set.entries.len() + SLACK {
            self.compact()?;
        }
        Ok(())
    }

    /// Rewrites the journal with the records that are in force.
    fn compact(&mut self) -> io::Result<()> {
        let bytes = journal_of(&self.set.entries);
        let path = self.set.folder.join("session.log");
        replace(&path, &bytes)?;
        self.journal = File::options().write(true).open(&path)?;
        self.records = self.set.entries.len();
        self.seek_end()
    }
}

/// What a journal says.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The set.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Records that were read.
    pub(crate) records: usize,
    /// Bytes of those records.
    pub(crate) length: usize,
    /// Whether what follows is more than a torn end.
    pub(crate) damaged: bool,
}

/// Reads a journal up to its end, or to the first record that is none.
pub(crate) fn read_journal(bytes: &[u8]) -> Journal {
    let (mut entries, mut records, mut at) = (BTreeMap::new(), 0, 0);
    while let Some((record, length)) = read_record(&bytes[at..]) {
        apply(&mut entries, record);
        at += length;
        records += 1;
    }
    let damaged = is_damage(&bytes[at..], &mut 0);
    Journal { entries, records, length: at, damaged }
}

/// The journal of a set, nothing but what is in force.
pub(crate) fn journal_of(entries: &BTreeMap<String, Entry>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries.values() {
        write_record(&mut bytes, &Record { put: Some(entry.clone()), remove: None });
    }
    bytes
}

fn apply(entries: &mut BTreeMap<String, Entry>, record: Record) {
    if let Some(hash) = record.remove {
        entries.remove(&hash);
    }
    if let Some(entry) = record.put {
        entries.insert(entry.hash.clone(), entry);
    }
}

fn write_record(out: &mut Vec<u8>, record: &Record) {
    // Every type in a record is one that bencode has.
    let body = bencode::to_bytes(record).unwrap_or_default();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&Sha1Hash::of(&body).0[..4]);
    out.extend_from_slice(&body);
}

/// Whether what follows the last readable record is more than a torn end: whether a whole record
/// stands in it somewhere. Any four bytes may be taken for the length of one, and finding out costs a
/// hash of that many: `hashed` counts them, and where they are too many it is taken for damage, which
/// loses nothing, for then the whole journal is kept.
fn is_damage(rest: &[u8], hashed: &mut usize) -> bool {
    let most = SEARCH_PER_BYTE * rest.len() + MAX_RECORD;
    for start in 1..rest.len() {
        let Some((_, body)) = framed(&rest[start..]) else { continue };
        *hashed += body.len();
        if *hashed > most || read_record(&rest[start..]).is_some() {
            return true;
        }
    }
    false
}

/// The checksum and the body of a record, if `bytes` begin with what may be one.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let body = bytes.get(8..8usize.checked_add(length)?).filter(|_| length <= MAX_RECORD)?;
    // A record is a dictionary: most other bytes are ruled out without hashing them.
    (body.first() == Some(&b'd') && body.last() == Some(&b'e')).then_some((&bytes[4..8], body))
}

/// The record that `bytes` begin with, and its length; `None` when there is no whole one.
fn read_record(bytes: &[u8]) -> Option<(Record, usize)> {
    let (sum, body) = framed(bytes)?;
    if Sha1Hash::of(body).0[..4] != *sum {
        return None;
    }
    let record: Record = bencode::from_scanned(body, Limits::METAINFO).ok()?;
    let safe = |hash: &str| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let named = record.put.iter().map(|entry| &entry.hash).chain(&record.remove);
    named.into_iter().all(|hash| safe(hash)).then_some((record, 8 + body.len()))
}

#[cfg(test)]
mod tests {
    //! Unit tests of the set of torrents.

    use super::*;

    fn entry(number: u32) -> Entry {
        Entry {
            hash: format!("{number:040x}"),
            name: format!("torrent {number}"),
            length: 5,
            magnet: String::new(),
            folder: "/data".into(),
            moving_to: String::new(),
            left: Vec::new(),
            trackers: 1,
            order: 0,
            paused: 0,
            sequential: 0,
            skipped: vec![1, 7],
            select: Vec::new(),
            max_down: 0,
            max_up: 1000,
            seed_ratio: -1,
            seed_time: -1,
            read_only: 0,
        }
    }

    fn names(store: &SessionStore) -> Vec<&str> {
        store.list().into_iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn the_set_its_order_and_its_settings_survive() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        store.put(vec![(entry(9), Some(b"nine".to_vec())), (entry(3), None)]).unwrap();
        store.put(vec![(entry(5), None)]).unwrap();
        let paused = Entry { paused: 1, ..store.get(&entry(9).hash).unwrap().clone() };
        store.put(vec![(paused.clone(), None)]).unwrap();
        store.remove(&entry(3).hash).unwrap();
        let again = SessionStore::open(folder.path()).unwrap();
        assert_eq!(names(&again), ["torrent 9", "torrent 5"]);
        assert_eq!(again.get(&paused.hash), Some(&paused));
        assert_eq!(again.torrent(&paused.hash).unwrap(), b"nine");
        assert!(again.torrent(&entry(5).hash).is_err());
    }

    #[test]
    fn reading_makes_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(SessionSet::read(folder.path()).unwrap().list().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut store = SessionStore::open(folder.path()).unwrap();
        store.put(vec![(entry(1), Some(b"one".to_vec()))]).unwrap();
        // While somebody is writing the next record.
        let path = folder.path().join("session.log");
        let torn = [fs::read(&path).unwrap(), vec![9, 0, 0, 0, 1]].concat();
        fs::write(&path, &torn).unwrap();
        let set = SessionSet::read(folder.path()).unwrap();
        assert_eq!(set.list().len(), 1);
        assert_eq!(set.torrent(&entry(1).hash).unwrap(), b"one");
        assert_eq!(fs::read(&path).unwrap(), torn);
    }

    #[test]
    fn every_prefix_of_the_journal_is_a_state_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        for number in 0..6 {
            store.put(vec![(entry(number), None)]).unwrap();
        }
        store.remove(&entry(2).hash).unwrap();
        let journal = fs::read(folder.path().join("session.log")).unwrap();
        for length in 0..=journal.len() {
            let torn = tempfile::tempdir().unwrap();
            fs::write(torn.path().join("session.log"), &journal[..length]).unwrap();
            let mut store = SessionStore::open(torn.path()).unwrap();
            assert!(!store.was_damaged(), "cut at {length}");
            let found = names(&store).len();
            assert!(found <= 6);
            // What follows a cut is not lost behind it.
            store.put(vec![(entry(70), None)]).unwrap();
            let again = SessionStore::open(torn.path()).unwrap();
            assert_eq!(names(&again).len(), found + 1, "cut at {length}");
        }
    }

    #[test]
    fn a_damaged_journal_is_put_aside_and_what_is_before_the_damage_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        (0..9).for_each(|number| store.put(vec![(entry(number), None)]).unwrap());
        let path = folder.path().join("session.log");
        let mut journal = fs::read(&path).unwrap();
        let middle = journal.len() / 2;
        journal[middle] ^= 1;
        fs::write(&path, &journal).unwrap();
        let store = SessionStore::open(folder.path()).unwrap();
        assert!(store.was_damaged());
        assert_eq!(names(&store).len(), 4);
        assert_eq!(fs::read(folder.path().join("session.log.damaged")).unwrap(), journal);
    }

    #[test]
    fn a_damaged_journal_is_searched_in_proportion_to_its_length() {
        // Everywhere something that may be a record of a third of the rest.
        let hostile = |length: usize| {
            let claimed = (length as u32 / 36 * 12 + 9).to_le_bytes();
            let unit = [claimed, *b"eeee", *b"dddd"].concat();
            [0].into_iter().chain(unit.into_iter().cycle()).take(length).collect::<Vec<u8>>()
        };
        let work = |length| {
            let mut hashed = 0;
            assert!(is_damage(&hostile(length), &mut hashed));
            hashed
        };
        let (once, twice) = (work(200_000), work(400_000));
        assert!(twice <= 400_000 * SEARCH_PER_BYTE + 2 * MAX_RECORD, "{once} and {twice}");
        // It is put aside, and what is before it is used.
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        store.put(vec![(entry(1), None)]).unwrap();
        let path = folder.path().join("session.log");
        let journal = [fs::read(&path).unwrap(), hostile(300_000)].concat();
        fs::write(&path, &journal).unwrap();
        let store = SessionStore::open(folder.path()).unwrap();
        assert!(store.was_damaged());
        assert_eq!(names(&store), ["torrent 1"]);
        assert_eq!(fs::read(folder.path().join("session.log.damaged")).unwrap(), journal);
    }

    #[test]
    fn the_journal_does_not_grow_with_changes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        for number in 0..3000 {
            let change = Entry { max_up: number, ..entry(1) };
            store.put(vec![(change, None)]).unwrap();
        }
        let length = fs::metadata(folder.path().join("session.log")).unwrap().len();
        assert!(length < 100_000, "{length}");
        let again = SessionStore::open(folder.path()).unwrap();
        assert_eq!(again.list()[0].max_up, 2999);
    }

    #[test]
    fn ten_thousand_torrents_are_a_few_hundred_bytes_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SessionStore::open(folder.path()).unwrap();
        store.put((0..10_000).map(|number| (entry(number), None)).collect()).unwrap();
        let length = fs::metadata(folder.path().join("session.log")).unwrap().len();
        assert!(length < 300 * 10_000, "{length}");
        assert_eq!(SessionStore::open(folder.path()).unwrap().list().len(), 10_000);
    }
}
