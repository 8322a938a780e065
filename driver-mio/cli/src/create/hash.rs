//! Reads and hashes what goes into a torrent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use eddyline::base::hash::{Sha1Hash, Sha256Hash};
use eddyline::metainfo::{
    BLOCK_LENGTH, CreateError, CreateNeed, CreateOptions, Creator, Geometry, Layout,
};
use eddyline_disk::lanes::LANES;
use eddyline_disk::{HashBuffer, side_by_side};
use sha1::Sha1;
use sha2::Sha256;

use super::super::exit::{DISK, Failure, USAGE};
use super::super::hashing::{HashingProgress, in_parallel};
use super::super::signals::Signals;
use super::collect::{Input, InputPath, Stamp};

/// Hashes everything on several threads and assembles the torrent; nothing if a signal came meanwhile.
pub fn build(
    options: CreateOptions,
    input: &Input,
    workers: usize,
    quiet: bool,
    signals: &Signals,
) -> Result<Option<Vec<u8>>, Failure> {
    let usage = |error: CreateError| Failure::new(USAGE, error.to_string());
    let files = input.files.iter().map(|input| input.file.clone()).collect();
    let name = options.name.clone();
    let mut creator = Creator::new(options, files).map_err(usage)?;
    // Files of the layout without padding come in the order of the input.
    let mut paths = Vec::new();
    let mut sources = input.files.iter();
    for entry in creator.layout().files() {
        let source = if entry.attributes.pad { None } else { sources.next() };
        paths.push(source);
    }
    let needs: Vec<CreateNeed> = creator.needs().collect();
    let layout = creator.layout().clone();
    let hasher = Hasher { geometry: creator.geometry(), layout: &layout, paths: &paths };
    // What is hashed side by side is one piece of work.
    let alike = |a: &CreateNeed, b: &CreateNeed| hasher.size(a) == hasher.size(b);
    let groups: Vec<&[CreateNeed]> =
        needs.chunk_by(alike).flat_map(|run| run.chunks(LANES)).collect();
    let work = |group: &&[CreateNeed], own: &mut Own| match signals.exit_code() {
        None => hasher.hash(group, own).map_err(Some),
        Some(_) => Err(None),
    };
    let total = needs.iter().map(|need| hasher.bytes(need)).sum();
    let mut progress = HashingProgress::new(&name, total, quiet);
    let outcome = in_parallel(&groups, workers, work, |group, hashed| {
        progress.add(group.iter().map(|need| hasher.bytes(need)).sum());
        for (need, hashed) in group.iter().zip(hashed) {
            match (*need, hashed) {
                (CreateNeed::Piece { index }, Hashed::Piece(hash)) => {
                    creator.provide_piece(index, hash);
                }
                (CreateNeed::Blocks { file, offset, .. }, Hashed::Blocks(hashes)) => {
                    creator.provide_blocks(file, offset, hashes);
                }
                _ => {}
            }
        }
    });
    drop(progress);
    match outcome {
        Ok(()) => {}
        Err(None) => return Ok(None),
        Err(Some(failure)) => return Err(failure),
    }
    // Whatever was read first may have changed while the rest was.
    for input in &input.files {
        let about = std::fs::metadata(&input.path).map_err(|error| gone(input, &error))?;
        if Stamp::of(&about) != input.stamp {
            return Err(changed(input));
        }
    }
    creator.finish().map(Some).map_err(usage)
}

fn changed(input: &InputPath) -> Failure {
    let text = format!(
        "{} changed while it was read; create the torrent again when nothing writes to it",
        input.path.display()
    );
    Failure::new(DISK, text)
}

/// Of a file that was found a moment ago.
fn gone(input: &InputPath, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => changed(input),
        _ => Failure::io(&input.path, error),
    }
}

enum Hashed {
    Piece(Sha1Hash),
    Blocks(Vec<Sha256Hash>),
}

/// What a thread keeps: a buffer, and the file that it read last.
#[derive(Default)]
struct Own {
    buffer: HashBuffer,
    file: Option<(u32, File)>,
}

/// Hashes parts of the input.
struct Hasher<'a> {
    geometry: Geometry,
    layout: &'a Layout,
    /// Where each file is; nothing for padding.
    paths: &'a [Option<&'a InputPath>],
}

impl Hasher<'_> {
    /// Bytes of a piece; nothing for blocks, which are hashed side by side among themselves.
    fn size(&self, need: &CreateNeed) -> Option<u32> {
        match need {
            CreateNeed::Piece { index } => Some(self.geometry.piece_size(*index)),
            CreateNeed::Blocks { .. } => None,
        }
    }

    /// Bytes to be read for it.
    fn bytes(&self, need: &CreateNeed) -> u64 {
        match need {
            CreateNeed::Piece { index } => self.geometry.piece_size(*index).into(),
            CreateNeed::Blocks { length, .. } => (*length).into(),
        }
    }

    fn hash(&self, group: &[CreateNeed], own: &mut Own) -> Result<Vec<Hashed>, Failure> {
        let Own { buffer, file } = own;
        if let Some(size) = group.first().and_then(|need| self.size(need)) {
            let read = |lane: usize, at: usize, into: &mut [u8]| match group[lane] {
                CreateNeed::Piece { index } => {
                    self.read(file, self.geometry.piece_offset(index) + at as u64, into)
                }
                CreateNeed::Blocks { .. } => Ok(()),
            };
            let digests = side_by_side::<Sha1, _>(group.len(), size as usize, buffer, read);
            let hashes = digests.into_iter();
            return hashes.map(|hash| Ok(Hashed::Piece(Sha1Hash(hash?.into())))).collect();
        }
        group.iter().map(|need| self.hash_blocks(need, own)).collect()
    }

    fn hash_blocks(&self, need: &CreateNeed, own: &mut Own) -> Result<Hashed, Failure> {
        let CreateNeed::Blocks { file, offset, length } = *need else {
            return Ok(Hashed::Blocks(Vec::new()));
        };
        let Own { buffer, file: open } = own;
        let start = self.layout.files()[file as usize].offset + offset;
        let mut hashes = Vec::new();
        let mut at = 0;
        while at < length {
            // Whole blocks go sixteen at a time, and the last of a file by itself.
            let whole = ((length - at) / BLOCK_LENGTH).min(LANES as u32);
            let (count, size) =
                if whole > 0 { (whole, BLOCK_LENGTH) } else { (1, (length - at) % BLOCK_LENGTH) };
            let read = |lane: usize, from: usize, into: &mut [u8]| {
                let place = u64::from(at) + lane as u64 * u64::from(BLOCK_LENGTH) + from as u64;
                self.read(open, start + place, into)
            };
            let digests = side_by_side::<Sha256, _>(count as usize, size as usize, buffer, read);
            for digest in digests {
                hashes.push(Sha256Hash(digest?.into()));
            }
            at += count * size;
        }
        Ok(Hashed::Blocks(hashes))
    }

    /// Fills `into` with content from `offset` on.
    fn read(
        &self,
        open: &mut Option<(u32, File)>,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Failure> {
        let mut rest = into;
        for slice in self.layout.slices(offset, rest.len() as u32) {
            let (part, behind) = rest.split_at_mut(slice.length as usize);
            rest = behind;
            let Some(input) = self.paths[slice.file as usize] else {
                part.fill(0);
                continue;
            };
            if open.as_ref().is_none_or(|(number, _)| *number != slice.file) {
                *open = Some((slice.file, open_as_found(input)?));
            }
            if let Some((_, file)) = open {
                file.read_exact_at(part, slice.offset).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => changed(input),
                    _ => Failure::io(&input.path, &error),
                })?;
            }
        }
        Ok(())
    }
}

/// Opens a file that is still the one that was found.
fn open_as_found(input: &InputPath) -> Result<File, Failure> {
    let file = File::open(&input.path).map_err(|error| gone(input, &error))?;
    let about = file.metadata().map_err(|error| Failure::io(&input.path, &error))?;
    if Stamp::of(&about) == input.stamp { Ok(file) } else { Err(changed(input)) }
}
