//! Making `.torrent` files of v1, v2 and hybrid kind, as a pure state machine: it says which bytes
//! must be hashed, takes the digests in any order, and yields the file. Same input, same bytes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::encode::{write_trackers, write_web_seeds};
use super::files::{FileAttributes, FileEntry, Layout};
use super::geometry::{BLOCK_LENGTH, Geometry, MAX_PIECE_LENGTH};
use super::merkle::MerkleTree;
use super::parse_v2::pad_entry;
use crate::base::fault::Fault;
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::bencode::Encoder;

/// Which kind of torrent to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// BEP 3 alone, which every client reads.
    #[default]
    V1,
    /// BEP 52 alone.
    V2,
    /// Both in one info dictionary.
    Hybrid,
}

/// One file to put into a torrent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct InputFile {
    /// Path components below the torrent's folder; empty for a torrent of one bare file.
    pub path: Vec<String>,
    /// Length in bytes.
    pub length: u64,
    /// Whether to mark it executable (BEP 47).
    pub executable: bool,
}

/// What to write beside the hashes.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Name of the file, or of the folder around the files.
    pub name: String,
    /// Bytes per piece.
    pub piece_length: u32,
    /// Which kind.
    pub format: Format,
    /// Take the files of a v1 torrent in the order given, and not in that of their paths. The other
    /// kinds have no choice.
    pub keep_order: bool,
    /// Trackers in tiers.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds.
    pub web_seeds: Vec<String>,
    /// Peers only from trackers (BEP 27).
    pub private: bool,
    /// The `source` key.
    pub source: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that makes the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
}

/// Why a torrent cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// No file, or a file tree without a byte in it for v2.
    #[error("there is nothing to put into the torrent")]
    Empty,
    /// Zero, too large, or for v2 no power of two of at least 16 KiB.
    #[error("the piece length is not usable for this kind of torrent")]
    PieceLength,
    /// More pieces or bytes than a torrent can hold.
    #[error("too many pieces: choose a larger piece length")]
    TooLarge,
    /// Not all digests have been provided yet.
    #[error("not everything has been hashed")]
    Incomplete,
    /// Two files have the same path, or one stands where another needs a folder.
    #[error("two files have the same path")]
    DuplicatePath,
}

impl CreateError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// Something that has to be hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateNeed {
    /// SHA-1 of piece `index` of [`Creator::layout`], padding as zeros.
    Piece {
        /// Number of the piece.
        index: u32,
    },
    /// SHA-256 of each 16 KiB block of one run of a file, `length` bytes from `offset` on.
    Blocks {
        /// Index into [`Creator::layout`]'s files.
        file: u32,
        /// First byte, a multiple of 16 KiB.
        offset: u64,
        /// Number of bytes, at most one piece.
        length: u32,
    },
}

/// A power of two that gives about 1,500 pieces, between 16 KiB and 16 MiB.
pub fn default_piece_length(total: u64) -> u32 {
    let ideal = (total / 1500).max(1).next_power_of_two();
    ideal.clamp(BLOCK_LENGTH.into(), 16 << 20) as u32
}

/// The state of making one torrent.
#[derive(Clone, Debug)]
pub struct Creator {
    options: CreateOptions,
    single: bool,
    layout: Layout,
    geometry: Geometry,
    pieces: Vec<Option<Sha1Hash>>,
    blocks: BTreeMap<(u32, u64), Vec<Sha256Hash>>,
}

impl Creator {
    /// Starts a torrent of `files`, which may come in any order ([`CreateOptions::keep_order`]).
    ///
    /// # Errors
    /// When there is nothing to put in, or the piece length does not fit the kind or the amount.
    pub fn new(options: CreateOptions, mut files: Vec<InputFile>) -> Result<Self, CreateError> {
        let v2 = options.format != Format::V1;
        let length = options.piece_length;
        if length == 0
            || length > MAX_PIECE_LENGTH
            || (v2 && (!length.is_power_of_two() || length < BLOCK_LENGTH))
        {
            return Err(CreateError::PieceLength);
        }
        // The order of a v2 file tree, so that hybrids agree and equal input gives equal bytes.
        let mut sorted = files.clone();
        sorted.sort();
        let clash = |pair: &[InputFile]| pair[1].path.starts_with(&pair[0].path);
        if sorted.windows(2).any(clash) {
            return Err(CreateError::DuplicatePath);
        }
        if v2 || !options.keep_order {
            files = sorted;
        }
        let single = files.len() == 1 && files[0].path.is_empty();
        let layout = layout(&files, &options, v2).ok_or(CreateError::TooLarge)?;
        if layout.files().is_empty() || (v2 && layout.length() == 0) {
            return Err(CreateError::Empty);
        }
        let geometry = Geometry::new(layout.length(), length).ok_or(CreateError::TooLarge)?;
        let pieces = vec![None; geometry.pieces() as usize];
        Ok(Self { options, single, layout, geometry, pieces, blocks: BTreeMap::new() })
    }

    /// The files in content order, padding included.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Pieces of the v1 half.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Everything that has to be hashed, in content order. Independent of each other.
    pub fn needs(&self) -> impl Iterator<Item = CreateNeed> + '_ {
        let v1 = self.options.format != Format::V2;
        let v2 = self.options.format != Format::V1;
        let pieces = (0..self.geometry.pieces()).filter(move |_| v1);
        let step = u64::from(self.options.piece_length);
        let files = self.layout.files().iter().enumerate();
        let runs = files.filter(move |(_, f)| v2 && !f.attributes.pad).flat_map(move |(i, f)| {
            (0..f.length.div_ceil(step)).map(move |n| CreateNeed::Blocks {
                file: i as u32,
                offset: n * step,
                length: step.min(f.length - n * step) as u32,
            })
        });
        pieces.map(|index| CreateNeed::Piece { index }).chain(runs)
    }

    /// Takes the digest for [`CreateNeed::Piece`].
    pub fn provide_piece(&mut self, index: u32, hash: Sha1Hash) {
        if let Some(slot) = self.pieces.get_mut(index as usize) {
            *slot = Some(hash);
        }
    }

    /// Takes the digests for [`CreateNeed::Blocks`].
    pub fn provide_blocks(&mut self, file: u32, offset: u64, hashes: Vec<Sha256Hash>) {
        self.blocks.insert((file, offset), hashes);
    }

    /// The `.torrent` file.
    ///
    /// # Errors
    /// [`CreateError::Incomplete`] while digests are missing.
    pub fn finish(&self) -> Result<Vec<u8>, CreateError> {
        let trees = self.trees()?;
        let info = self.info(&trees)?;
        let options = &self.options;
        let mut out = Encoder::default();
        out.dict();
        write_trackers(&mut out, &options.trackers);
        optional_text(&mut out, b"comment", options.comment.as_deref());
        optional_text(&mut out, b"created by", options.created_by.as_deref());
        if let Some(date) = options.creation_date {
            out.bytes(b"creation date").int(date);
        }
        out.bytes(b"info").raw(&info);
        let mut layers: BTreeMap<Sha256Hash, &MerkleTree> = BTreeMap::new();
        layers.extend(trees.values().map(|tree| (tree.root(), tree)));
        layers.retain(|_, tree| !tree.piece_layer().is_empty());
        if options.format != Format::V1 {
            out.bytes(b"piece layers").dict();
            for (root, tree) in layers {
                let bytes: Vec<u8> = tree.piece_layer().iter().flat_map(|hash| hash.0).collect();
                out.bytes(&root.0).bytes(&bytes);
            }
            out.end();
        }
        write_web_seeds(&mut out, &options.web_seeds);
        out.end();
        Ok(out.finish())
    }

    /// The Merkle tree of every file that has bytes, by index; nothing for v1.
    fn trees(&self) -> Result<BTreeMap<u32, MerkleTree>, CreateError> {
        let mut trees = BTreeMap::new();
        if self.options.format == Format::V1 {
            return Ok(trees);
        }
        for (index, file) in self.layout.files().iter().enumerate() {
            if file.attributes.pad || file.length == 0 {
                continue;
            }
            let index = index as u32;
            let runs = self.blocks.range((index, 0)..(index + 1, 0));
            let hashes: Vec<_> = runs.flat_map(|(_, run)| run.iter().copied()).collect();
            if hashes.len() as u64 != file.length.div_ceil(BLOCK_LENGTH.into()) {
                return Err(CreateError::Incomplete);
            }
            let tree = MerkleTree::new(&hashes, self.options.piece_length);
            trees.insert(index, tree.ok_or(CreateError::Incomplete)?);
        }
        Ok(trees)
    }

    fn info(&self, trees: &BTreeMap<u32, MerkleTree>) -> Result<Vec<u8>, CreateError> {
        let options = &self.options;
        let (v1, v2) = (options.format != Format::V2, options.format != Format::V1);
        let mut out = Encoder::default();
        out.dict();
        if v2 {
            out.bytes(b"file tree");
            self.file_tree(&mut out, trees);
        }
        if v1 && !self.single {
            out.bytes(b"files").list();
            self.layout.files().iter().for_each(|file| v1_file(&mut out, file));
            out.end();
        }
        if v1 && self.single {
            out.bytes(b"length").int(self.layout.files()[0].length as i64);
        }
        if v2 {
            out.bytes(b"meta version").int(2);
        }
        out.bytes(b"name").bytes(options.name.as_bytes());
        out.bytes(b"piece length").int(options.piece_length.into());
        if v1 {
            let hashes: Option<Vec<Sha1Hash>> = self.pieces.iter().copied().collect();
            let bytes: Vec<u8> =
                hashes.ok_or(CreateError::Incomplete)?.iter().flat_map(|hash| hash.0).collect();
            out.bytes(b"pieces").bytes(&bytes);
        }
        if options.private {
            out.bytes(b"private").int(1);
        }
        optional_text(&mut out, b"source", options.source.as_deref());
        out.end();
        Ok(out.finish())
    }

    /// The files come sorted, so the tree is written by comparing each path with the one before.
    fn file_tree(&self, out: &mut Encoder, trees: &BTreeMap<u32, MerkleTree>) {
        out.dict();
        let mut open: Vec<&String> = Vec::new();
        for (index, file) in self.layout.files().iter().enumerate() {
            if file.attributes.pad {
                continue;
            }
            let path: Vec<&String> = file.path.iter().skip(usize::from(!self.single)).collect();
            let shared = open.iter().zip(&path).take_while(|(a, b)| a == b).count();
            for _ in shared..open.len() {
                out.end();
            }
            for part in &path[shared..] {
                out.bytes(part.as_bytes()).dict();
            }
            out.bytes(b"").dict();
            if file.attributes.executable {
                out.bytes(b"attr").bytes(b"x");
            }
            out.bytes(b"length").int(file.length as i64);
            if let Some(tree) = trees.get(&(index as u32)) {
                out.bytes(b"pieces root").bytes(&tree.root().0);
            }
            out.end();
            open = path;
        }
        for _ in 0..=open.len() {
            out.end();
        }
    }
}

fn layout(files: &[InputFile], options: &CreateOptions, aligned: bool) -> Option<Layout> {
    let step = u64::from(options.piece_length);
    let mut entries: Vec<FileEntry> = Vec::new();
    let mut offset = 0u64;
    for file in files {
        let over = offset % step;
        if aligned && over != 0 && file.length > 0 {
            let pad = step - over;
            entries.push(FileEntry {
                path: [vec![options.name.clone()], pad_entry(pad).path].concat(),
                ..pad_entry(pad)
            });
            offset += pad;
        }
        offset = offset.checked_add(file.length)?;
        entries.push(FileEntry {
            path: [vec![options.name.clone()], file.path.clone()].concat(),
            length: file.length,
            offset: 0,
            attributes: FileAttributes { executable: file.executable, ..Default::default() },
            symlink: None,
            pieces_root: None,
            own: None,
        });
    }
    Layout::new(entries)
}

fn v1_file(out: &mut Encoder, file: &FileEntry) {
    out.dict();
    let out = match (file.attributes.pad, file.attributes.executable) {
        (true, _) => out.bytes(b"attr").bytes(b"p"),
        (_, true) => out.bytes(b"attr").bytes(b"x"),
        _ => out,
    };
    out.bytes(b"length").int(file.length as i64).bytes(b"path").list();
    for part in file.path.iter().skip(1) {
        out.bytes(part.as_bytes());
    }
    out.end().end();
}

fn optional_text(out: &mut Encoder, key: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.bytes(key).bytes(value.as_bytes());
    }
}
