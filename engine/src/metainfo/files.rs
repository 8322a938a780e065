//! The files of a torrent and where their bytes lie in the content.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use super::names::{Naming, safe_component};
use super::unclash::unclash;
use crate::base::hash::Sha256Hash;

/// Attributes of a file (BEP 47).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileAttributes {
    /// Padding: zeros that align the next file, never written to disk.
    pub pad: bool,
    /// To be marked executable.
    pub executable: bool,
    /// To be marked hidden.
    pub hidden: bool,
}

/// One file of a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Safe path components below the download folder; the first is the torrent's name. They are
    /// what Unix can hold ([`Naming::POSIX`]); see [`Layout::names_for`] for other places.
    pub path: Vec<String>,
    /// Length in bytes.
    pub length: u64,
    /// Where the file begins in the content.
    pub offset: u64,
    /// Attributes (BEP 47).
    pub attributes: FileAttributes,
    /// For a symbolic link: where it points, as safe components below the download folder.
    pub symlink: Option<Vec<String>>,
    /// Root of the file's Merkle tree (BEP 52); absent for v1 and for empty files.
    pub pieces_root: Option<Sha256Hash>,
    /// The path that the torrent gives, where `path` is another one because nothing of that name
    /// should be made. There can be such a file: one that is there may be read.
    pub own: Option<Box<[String]>>,
}

impl FileEntry {
    /// The path with `/` between components.
    pub fn display_path(&self) -> String {
        self.path.join("/")
    }

    /// True for something that exists on disk with bytes of its own.
    pub fn is_stored(&self) -> bool {
        !self.attributes.pad && self.symlink.is_none()
    }
}

/// A run of bytes inside one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileSlice {
    /// Index into [`Layout::files`].
    pub file: u32,
    /// First byte in that file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u32,
}

/// All files of a torrent, in the order in which the content concatenates them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Layout {
    files: Vec<FileEntry>,
    length: u64,
    /// The files that have bytes, where some have none: a torrent may have hundreds of thousands of
    /// empty ones, and no request looks at them.
    filled: Option<Vec<u32>>,
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, length, .. } = self;
        f.debug_struct("Layout").field("files", files).field("length", length).finish()
    }
}

impl Layout {
    /// Lays out `files` one behind the other, setting their offsets. `None` if the sum overflows
    /// a signed 64-bit number, which is what bencode can express.
    pub fn new(mut files: Vec<FileEntry>) -> Option<Self> {
        let mut offset = 0u64;
        for file in &mut files {
            file.offset = offset;
            offset = offset.checked_add(file.length).filter(|sum| *sum <= i64::MAX as u64)?;
        }
        Some(Self::of(files, offset))
    }

    fn of(files: Vec<FileEntry>, length: u64) -> Self {
        let all = files.iter().enumerate();
        let filled = all.filter(|(_, file)| file.length > 0).map(|(index, _)| index as u32);
        let some_are_empty = files.iter().any(|file| file.length == 0);
        let filled = some_are_empty.then(|| filled.collect());
        Self { files, length, filled }
    }

    /// The files, in content order.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Paths of files, by index, that cannot be called as [`FileEntry::path`] says where names are as
    /// `naming` has them. Symbolic links are not among them.
    pub fn names_for(&self, naming: Naming) -> BTreeMap<u32, Vec<String>> {
        if naming == Naming::POSIX {
            return BTreeMap::new();
        }
        let mut fitted = Self { files: self.files.clone(), length: self.length, filled: None };
        for file in &mut fitted.files {
            for part in &mut file.path {
                // What is safe already is not nothing now, but for blanks.
                *part = safe_component(part.as_bytes(), naming).unwrap_or_else(|| "_".into());
            }
        }
        unclash(&mut fitted, naming);
        let both = self.files.iter().zip(fitted.files).zip(0u32..);
        both.filter(|((old, new), _)| old.is_stored() && old.path != new.path)
            .map(|((_, new), index)| (index, new.path))
            .collect()
    }

    pub(super) fn files_mut(&mut self) -> &mut [FileEntry] {
        &mut self.files
    }

    /// Gives every part of every path and link another name; for traces that must not tell names.
    #[cfg(feature = "trace")]
    pub(crate) fn rename(&mut self, mut name: impl FnMut(&str) -> String) {
        for file in &mut self.files {
            let links = file.symlink.iter_mut().flatten();
            let own = file.own.iter_mut().flatten();
            file.pieces_root = None;
            for part in file.path.iter_mut().chain(links).chain(own) {
                *part = name(part);
            }
        }
    }

    /// Bytes of content, padding included.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of content without padding: what a person calls the size.
    pub fn payload_length(&self) -> u64 {
        self.files.iter().filter(|f| !f.attributes.pad).map(|f| f.length).sum()
    }

    /// Cuts `length` bytes of content at `offset` into slices of files, in order. Bytes behind the
    /// end are left out. Costs a binary search plus the number of slices: empty files cost nothing.
    pub fn slices(&self, offset: u64, length: u32) -> Slices<'_> {
        let ends_before = |file: &FileEntry| file.offset.saturating_add(file.length) <= offset;
        let next = match &self.filled {
            Some(filled) => filled
                .partition_point(|index| self.files.get(*index as usize).is_some_and(ends_before)),
            None => self.files.partition_point(ends_before),
        };
        Slices { layout: self, next, at: offset, left: u64::from(length), looked_at: 0 }
    }
}

/// The slices of files that bytes of content lie in; see [`Layout::slices`].
#[derive(Clone, Debug)]
pub struct Slices<'a> {
    layout: &'a Layout,
    /// Place of the next file among those that have bytes.
    next: usize,
    at: u64,
    left: u64,
    looked_at: u32,
}

impl Slices<'_> {
    /// How many files were looked at so far: what the work is proportional to.
    pub fn looked_at(&self) -> u32 {
        self.looked_at
    }
}

impl Iterator for Slices<'_> {
    type Item = FileSlice;

    fn next(&mut self) -> Option<FileSlice> {
        if self.left == 0 {
            return None;
        }
        let index = match &self.layout.filled {
            Some(filled) => *filled.get(self.next)?,
            None => self.next as u32,
        };
        let file = self.layout.files.get(index as usize)?;
        self.next += 1;
        self.looked_at += 1;
        let inside = self.at.checked_sub(file.offset)?;
        let take = self.left.min(file.length.saturating_sub(inside));
        if take == 0 {
            return None;
        }
        self.at += take;
        self.left -= take;
        Some(FileSlice { file: index, offset: inside, length: take as u32 })
    }
}
