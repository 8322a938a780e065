//! The part file of a torrent: bytes of skipped files that lie in pieces of wanted ones.
//!
//! ```text
//! "EDDYPART", version, piece length, pieces, files        8 + 4 × 4 bytes, little endian
//! tag                                                     16 bytes
//! for each piece: 0, or 1 + the number of its slot          4 bytes
//! for each file: a bit, set while its bytes are in here
//! slots of a piece length each, from the next multiple of 4096
//! ```
//! The bits decide: a file whose bit is set is read from here and nowhere else, even if a file of
//! its name is there, as a crash while its bytes were moving out leaves it. Everything else is
//! verified by hashes, like all data.
//!
//! What is in it is copied into wanted files before anybody has hashed it, so a file is a part file
//! only if it bears the tag of its torrent ([`PartTag`]): sixteen random bytes that stand beside the
//! resume data and nowhere else. A torrent that brings a file of such a name cannot know it. Part
//! files of version 1 had none; they are left alone, and what was in them is fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eddyline::metainfo::Metainfo;

use super::filesystem::{Access, FileSystem, StoredFile};
use super::part_tag::PartTag;

const MAGIC: &[u8; 8] = b"EDDYPART";
const VERSION: u32 = 2;
const HEAD: u64 = 40;
const PAGE: u64 = 4096;

#[derive(Debug)]
struct Index {
    slots: BTreeMap<u32, u32>,
    /// Slots that are free below the highest one in use.
    free: BTreeSet<u32>,
    /// Files whose bytes are here.
    files: BTreeSet<u32>,
    file: Option<Arc<dyn StoredFile>>,
}

/// The part file of one torrent. It exists only while there is something in it.
#[derive(Debug)]
pub(super) struct PartFile {
    fs: Arc<dyn FileSystem>,
    path: Vec<String>,
    metainfo: Arc<Metainfo>,
    tag: PartTag,
    index: Mutex<Index>,
}

impl PartFile {
    /// The name of this part file.
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// What tells it from any other.
    pub(super) fn tag(&self) -> &PartTag {
        &self.tag
    }

    /// Reads what an earlier run left; a file that is none of ours counts as not there.
    pub(super) fn open(
        fs: &Arc<dyn FileSystem>,
        metainfo: &Arc<Metainfo>,
        tag: PartTag,
        access: Access,
    ) -> io::Result<Self> {
        let path = vec![tag.file_name(metainfo)];
        let mut index = Index {
            slots: BTreeMap::new(),
            free: BTreeSet::new(),
            files: BTreeSet::new(),
            file: None,
        };
        if fs.find(&path)?.is_some_and(|found| found.is_file) {
            let file = fs.open(&path, access)?;
            if read_index(&*file, metainfo, &tag, &mut index)?.is_some() {
                index.file = Some(file);
            } else {
                // Damaged: a new, empty file takes its place.
                index.slots.clear();
                index.files.clear();
            }
        }
        let (fs, metainfo, index) = (fs.clone(), metainfo.clone(), Mutex::new(index));
        Ok(Self { fs, path, metainfo, tag, index })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files whose bytes are here.
    pub(super) fn files(&self) -> BTreeSet<u32> {
        self.index().files.clone()
    }

    /// Time of the last change; 0 when there is no part file, or nothing of file `index` in it.
    pub(super) fn changed(&self, file: u32) -> io::Result<i64> {
        let index = self.index();
        match &index.file {
            Some(stored) if index.files.contains(&file) => Ok(stored.found()?.modified.max(1)),
            _ => Ok(0),
        }
    }

    fn slot_offset(&self, slot: u32) -> u64 {
        let tables = HEAD + 4 * pieces(&self.metainfo) + files(&self.metainfo).div_ceil(8);
        let piece_length = u64::from(self.metainfo.geometry().piece_length());
        tables.next_multiple_of(PAGE) + u64::from(slot) * piece_length
    }

    /// Writes bytes of a skipped file, `begin` bytes into a piece.
    pub(super) fn write(
        &self,
        file: u32,
        piece: u32,
        begin: u32,
        parts: &[&[u8]],
    ) -> io::Result<()> {
        let (stored, slot) = {
            let mut index = self.index();
            let stored = self.stored(&mut index)?;
            let slot = match index.slots.get(&piece) {
                Some(slot) => *slot,
                None => {
                    let next = index.slots.len() as u32 + index.free.len() as u32;
                    let slot = index.free.pop_first().unwrap_or(next);
                    let entry = (slot + 1).to_le_bytes();
                    stored.write_at(&[&entry], HEAD + 4 * u64::from(piece))?;
                    index.slots.insert(piece, slot);
                    slot
                }
            };
            if index.files.insert(file)
                && let Err(error) = self.write_bits(&*stored, &index.files, file)
            {
                // Else the next write would take it to be on record.
                index.files.remove(&file);
                return Err(error);
            }
            (stored, slot)
        };
        stored.write_at(parts, self.slot_offset(slot) + u64::from(begin))
    }

    /// Reads bytes of a skipped file.
    pub(super) fn read(&self, piece: u32, begin: u32, into: &mut [u8]) -> io::Result<()> {
        let (stored, slot) = {
            let index = self.index();
            let slot = index.slots.get(&piece).copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            (index.file.clone().ok_or(io::ErrorKind::UnexpectedEof)?, slot)
        };
        stored.read_at(into, self.slot_offset(slot) + u64::from(begin))
    }

    fn stored(&self, index: &mut Index) -> io::Result<Arc<dyn StoredFile>> {
        if let Some(file) = &index.file {
            return Ok(file.clone());
        }
        // Without the tag on record, the next run would not find what is in it.
        self.tag.keep()?;
        if self.fs.find(&self.path)?.is_some() {
            self.fs.remove(&self.path)?;
        }
        let file = self.fs.open(&self.path, Access::Write { executable: false })?;
        let numbers = [
            VERSION,
            self.metainfo.geometry().piece_length(),
            self.metainfo.geometry().pieces(),
            self.metainfo.layout().files().len() as u32,
        ];
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        file.write_at(&[MAGIC, &numbers, &self.tag.bytes()], 0)?;
        file.lengthen(self.slot_offset(0))?;
        index.file = Some(file.clone());
        Ok(file)
    }

    fn write_bits(
        &self,
        stored: &dyn StoredFile,
        set: &BTreeSet<u32>,
        file: u32,
    ) -> io::Result<()> {
        let first = file / 8 * 8;
        let bits = (first..first + 8).filter(|file| set.contains(file));
        let byte = bits.fold(0u8, |byte, file| byte | 1 << (file % 8));
        let table = HEAD + 4 * pieces(&self.metainfo);
        stored.write_at(&[&[byte]], table + u64::from(file / 8))
    }

    /// Makes everything written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = self.index().file.clone();
        match file {
            Some(file) => {
                file.sync()?;
                self.fs.sync_folders(&self.path)
            }
            None => Ok(()),
        }
    }

    /// Copies what is here of a file into it: `write` gets the piece, the place in the file and the
    /// bytes. The file has to be durable before [`Self::forget`].
    pub(super) fn copy_out(
        &self,
        file: u32,
        mut write: impl FnMut(u32, u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let entry = &self.metainfo.layout().files()[file as usize];
        let geometry = self.metainfo.geometry();
        let pieces = geometry.pieces_of(entry.offset, entry.length);
        let here: Vec<u32> = self.index().slots.range(pieces).map(|(piece, _)| *piece).collect();
        for piece in here {
            let start = geometry.piece_offset(piece);
            let end = start + u64::from(geometry.piece_size(piece));
            let (from, to) = (start.max(entry.offset), end.min(entry.offset + entry.length));
            let mut bytes = vec![0; (to - from) as usize];
            match self.read(piece, (from - start) as u32, &mut bytes) {
                // A slot whose end was never written.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                other => other?,
            }
            write(piece, from - entry.offset, &bytes)?;
        }
        Ok(())
    }

    /// The bytes of a file are not here any more. Slots that nobody needs fall free; the whole part
    /// file goes when all are.
    pub(super) fn forget(&self, file: u32) -> io::Result<()> {
        let mut index = self.index();
        if !index.files.remove(&file) {
            return Ok(());
        }
        let Some(stored) = index.file.clone() else { return Ok(()) };
        if index.files.is_empty() {
            *index = Index {
                slots: BTreeMap::new(),
                free: BTreeSet::new(),
                files: BTreeSet::new(),
                file: None,
            };
            self.fs.remove(&self.path)?;
            return self.fs.sync_folders(&self.path);
        }
        self.write_bits(&*stored, &index.files, file)?;
        let geometry = self.metainfo.geometry();
        let needed = |piece: u32| {
            let (offset, size) = (geometry.piece_offset(piece), geometry.piece_size(piece));
            let mut slices = self.metainfo.layout().slices(offset, size);
            slices.any(|slice| index.files.contains(&slice.file))
        };
        let gone: Vec<u32> = index.slots.keys().copied().filter(|piece| !needed(*piece)).collect();
        for piece in gone {
            stored.write_at(&[&[0; 4]], HEAD + 4 * u64::from(piece))?;
            if let Some(slot) = index.slots.remove(&piece) {
                index.free.insert(slot);
            }
        }
        stored.sync()
    }

    /// Removes the part file and everything in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match self.index().file.take() {
            Some(_) => self.fs.remove(&self.path),
            None => Ok(()),
        }
    }
}

fn pieces(metainfo: &Metainfo) -> u64 {
    metainfo.geometry().pieces().into()
}

fn files(metainfo: &Metainfo) -> u64 {
    metainfo.layout().files().len() as u64
}

/// Reads the tables; `None` when they are not of this torrent or make no sense.
fn read_index(
    file: &dyn StoredFile,
    metainfo: &Metainfo,
    tag: &PartTag,
    index: &mut Index,
) -> io::Result<Option<()>> {
    let mut table = vec![0; (HEAD + 4 * pieces(metainfo) + files(metainfo).div_ceil(8)) as usize];
    match file.read_at(&mut table, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let number = |at: usize| {
        table[at..at + 4].iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
    };
    let geometry = metainfo.geometry();
    let head = [VERSION, geometry.piece_length(), geometry.pieces(), files(metainfo) as u32];
    if table[24..40] != tag.bytes() {
        return Ok(None);
    }
    if &table[..8] != MAGIC || head.iter().enumerate().any(|(n, is)| number(8 + 4 * n) != *is) {
        return Ok(None);
    }
    let mut taken = BTreeSet::new();
    for piece in 0..geometry.pieces() {
        let entry = number(HEAD as usize + 4 * piece as usize);
        if entry != 0 {
            // Two pieces in one slot, or one behind all that there can be, is damage.
            if entry > geometry.pieces() || !taken.insert(entry - 1) {
                return Ok(None);
            }
            index.slots.insert(piece, entry - 1);
        }
    }
    let highest = taken.last().map_or(0, |slot| slot + 1);
    index.free = (0..highest).filter(|slot| !taken.contains(slot)).collect();
    let bits = HEAD as usize + 4 * geometry.pieces() as usize;
    let set = |file: &u32| table[bits + *file as usize / 8] & 1 << (file % 8) != 0;
    index.files = (0..files(metainfo) as u32).filter(set).collect();
    Ok(Some(()))
}
