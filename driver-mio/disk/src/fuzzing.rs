//! What the fuzzers run of this crate: the files of a torrent on a disk in memory, arranged as a fuzzer likes, and
//! what is read from the state folder. One function a target; each panics when something does not hold. No part
//! of the interface.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::dht::DhtState;
use eddyline::metainfo::Metainfo;
use eddyline::{Allocation, LocationId, Placement, Renamed, ResumeData, ResumeError};

use crate::found_folders::decode_folders;
use crate::{Access, FileCache, FileOptions, FileSystem, Memory, PartTag, TorrentFiles};

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: &[Target] =
    &[("part_files", part_files), ("relocation", relocation), ("state_files", state_files)];

/// Lengths of the files: smaller than a piece, empty, and over several pieces.
const LENGTHS: [u32; 7] = [100, 10, 0, 200, 64, 1, 300];
const PIECE_LENGTH: u32 = 64;
/// What a copy is called until it is whole.
const UNFINISHED: &str = ".eddyline-moving";

fn torrent() -> Arc<Metainfo> {
    let name = |index: usize| match index {
        0..3 => format!("l1:{index}e"),
        _ => format!("l1:d1:{index}e"),
    };
    let file =
        |(index, length): (usize, &u32)| format!("d6:lengthi{length}e4:path{}e", name(index));
    let files: String = LENGTHS.iter().enumerate().map(file).collect();
    let pieces = LENGTHS.iter().sum::<u32>().div_ceil(PIECE_LENGTH) * 20;
    let hashes = "h".repeat(pieces as usize);
    let text = format!(
        "d4:infod5:filesl{files}e4:name1:t12:piece lengthi{PIECE_LENGTH}e6:pieces{pieces}:{hashes}ee"
    );
    Arc::new(Metainfo::parse(text.as_bytes()).expect("a torrent"))
}

/// A torrent in one of two places, and what has been written of it.
struct Arrangement {
    metainfo: Arc<Metainfo>,
    places: [Arc<Memory>; 2],
    at: usize,
    files: TorrentFiles,
    skipped: Vec<u32>,
    renamed: BTreeMap<u32, Renamed>,
    /// Bytes of the content that were written and have to be there.
    written: Vec<Option<u8>>,
    /// Names that files had or have.
    names: BTreeSet<Vec<String>>,
}

fn open(
    metainfo: &Arc<Metainfo>,
    place: &Arc<Memory>,
    placement: &Placement,
) -> std::io::Result<TorrentFiles> {
    let (fs, cache): (Arc<dyn FileSystem>, _) = (place.clone(), Arc::new(FileCache::new(4)));
    let options = FileOptions { tag: PartTag::new([7; 16]), keep_executable: false };
    TorrentFiles::new(TorrentId::from_u64(1), metainfo.clone(), fs, placement, cache, options)
}

impl Arrangement {
    fn new(room: u64) -> Self {
        let metainfo = torrent();
        let places = [Arc::new(Memory::new(room)), Arc::new(Memory::new(room))];
        let files = open(&metainfo, &places[0], &Placement::default()).expect("nothing is there");
        let names = metainfo.layout().files().iter().map(|file| file.path.clone()).collect();
        let written = vec![None; metainfo.geometry().length() as usize];
        let (skipped, renamed) = (Vec::new(), BTreeMap::new());
        Self { metainfo, places, at: 0, files, skipped, renamed, written, names }
    }

    /// Writes a piece, or part of one, in two runs.
    fn write(&mut self, piece: u8, value: u8, whole: bool) {
        let geometry = self.metainfo.geometry();
        let piece = u32::from(piece) % geometry.pieces();
        let size = geometry.piece_size(piece);
        let (begin, length) = match whole {
            true => (0, size),
            false => (u32::from(value) % size, (size - u32::from(value) % size).min(17)),
        };
        let bytes: Vec<u8> = (0..length as u8).map(|n| n.wrapping_mul(3) ^ value).collect();
        let start = geometry.piece_offset(piece) as usize + begin as usize;
        let (one, other) = bytes.split_at(usize::from(value) % bytes.len());
        let result = self.files.write(piece, begin, &[one, other]);
        for (at, byte) in bytes.iter().enumerate() {
            // Of a write that failed nothing is known.
            self.written[start + at] = result.is_ok().then_some(*byte);
        }
    }

    fn select(&mut self, bits: u8) {
        let skipped: Vec<u32> = (0..7).filter(|file| bits & 1 << file != 0).collect();
        // When there is no room, everything stays where it was.
        if self.files.select(&skipped).is_ok() {
            self.skipped = skipped;
        }
    }

    fn rename(&mut self, file: u8, name: u8) {
        let file = u32::from(file) % LENGTHS.len() as u32;
        let own = &self.metainfo.layout().files()[file as usize].path;
        let from = self.renamed.get(&file).map_or(own, |renamed| &renamed.to).clone();
        let mut to = vec!["t".to_owned(), format!("n{}", name % 9)];
        if name & 16 != 0 {
            to.insert(1, "e".to_owned());
        }
        // The engine gives no name twice.
        let files = self.metainfo.layout().files().iter().zip(0..);
        let mut now = files.map(|(own, file)| match self.renamed.get(&file) {
            Some(renamed) => &renamed.to,
            None => &own.path,
        });
        if now.any(|taken| *taken == to) {
            return;
        }
        self.names.insert(to.clone());
        let names = Renamed { from, to };
        if self.files.rename(&[(file, names.clone())]).is_ok() {
            // As the engine has it: what is done needs not be found under the old name any more.
            self.renamed.insert(file, Renamed { from: names.to.clone(), to: names.to });
        }
    }

    fn move_away(&mut self) {
        let other = 1 - self.at;
        let target: Arc<dyn FileSystem> = self.places[other].clone();
        if self.files.move_to(&target, LocationId(other as u32)).is_ok() {
            let old = self.places[self.at].clone();
            self.files.discard(&*old, &BTreeSet::new()).expect("memory does not refuse");
            assert!(old.paths().is_empty(), "something was left: {:?}", old.paths());
            self.at = other;
        } else {
            // What it made of the attempt goes, as after a failed move in the program.
            let place = &self.places[other];
            place.paths().iter().for_each(|path| drop(place.remove(path)));
        }
    }

    /// What a crash leaves is opened again.
    fn reopen(&mut self) {
        let placement = Placement {
            read_only: false,
            location: LocationId(self.at as u32),
            allocation: Allocation::None,
            skipped: self.skipped.clone(),
            renamed: self.renamed.clone(),
        };
        let place = &self.places[self.at];
        let opened = open(&self.metainfo, place, &placement).or_else(|_| {
            // There was no room for what a crash left half done. When there is, it goes on.
            place.make_room(1 << 20);
            open(&self.metainfo, place, &placement)
        });
        self.files = opened.expect("there is room");
    }

    /// Pieces of which everything was written are there, whole.
    fn check_bytes(&self) {
        let geometry = self.metainfo.geometry();
        for piece in 0..geometry.pieces() {
            let start = geometry.piece_offset(piece) as usize;
            let size = geometry.piece_size(piece);
            let written: Option<Vec<u8>> =
                self.written[start..start + size as usize].iter().copied().collect();
            let Some(written) = written else { continue };
            let read = self.files.read(piece, 0, size);
            assert_eq!(read.expect("what was written is there"), written, "piece {piece}");
        }
    }

    /// Nothing lies where it should not.
    fn check_names(&self) {
        for place in &self.places {
            for path in place.paths() {
                let part = path.len() == 1 && path[0].ends_with(".parts");
                let own = part || self.names.contains(&path);
                assert!(own, "{path:?} is no file of the torrent");
                assert!(!path.iter().any(|part| part.ends_with(UNFINISHED)));
            }
        }
    }
}

/// Selecting, renaming, moving and crashing, with little room or much: what was written is there, and
/// nothing lies where it should not. The first byte says how much room there is.
pub fn relocation(data: &[u8]) {
    let Some((room, steps)) = data.split_first() else { return };
    let room = if *room < 128 { 1 << 20 } else { u64::from(room - 127) * 100 };
    let mut all = Arrangement::new(room);
    for step in steps.chunks_exact(3) {
        match step[0] % 7 {
            0 | 1 => all.write(step[1], step[2], true),
            2 => all.write(step[1], step[2], false),
            3 => all.select(step[1]),
            4 => all.rename(step[1], step[2]),
            5 => all.move_away(),
            _ => all.reopen(),
        }
    }
    all.check_bytes();
    all.check_names();
}

/// A part file with damage in it, each place and what stands there in four bytes: it is read as it is
/// or counts as not there, and can be written to in either case.
pub fn part_files(data: &[u8]) {
    let mut all = Arrangement::new(1 << 20);
    all.select(0b010_1010);
    (0..11).for_each(|piece| all.write(piece, piece, true));
    let path = all.places[0].paths().into_iter().find(|path| path[0].ends_with(".parts"));
    let path = path.expect("there is a part file");
    let file = all.places[0].open(&path, Access::Write { executable: false }).expect("it is there");
    let length = file.found().expect("it is there").length;
    for edit in data.chunks_exact(4) {
        // The tables most of the time, the slots behind them sometimes.
        let range = if edit[3] == 255 { length } else { 100 };
        let place = u64::from(u16::from_le_bytes([edit[0], edit[1]])) % range;
        file.write_at(&[&edit[2..3]], place).expect("there is room");
    }
    all.reopen();
    // What is in it now is anything; what comes from here on has to hold.
    all.written.fill(None);
    for step in data.chunks_exact(3) {
        match step[0] % 4 {
            0 | 1 => all.write(step[1], step[2], true),
            2 => all.select(step[1]),
            _ => all.reopen(),
        }
    }
    all.check_bytes();
    all.check_names();
}

/// The first byte says which file of the state folder it is.
pub fn state_files(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 3 {
        0 => {
            let folders = decode_folders(data);
            let count: usize = folders.values().map(|found| found.len()).sum();
            assert!(count <= data.len());
        }
        1 => {
            let state = DhtState::decode(data);
            assert_eq!(DhtState::decode(&state.encode()), state);
        }
        _ => {
            let read = ResumeData::decode(&[&Sha1Hash::of(data).0, data].concat());
            let damaged = ResumeData::decode(&[&[0; 20], data].concat());
            assert!(matches!(damaged, Err(ResumeError::Inconsistent)));
            if let Ok(resume) = read {
                assert_eq!(ResumeData::decode(&resume.encode()).as_ref(), Ok(&resume));
            }
        }
    }
}
