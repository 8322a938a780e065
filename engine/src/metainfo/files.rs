//! The files of a torrent and where their bytes lie in the content.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

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
    /// Safe path components below the download folder; the first is the torrent's name.
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
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Layout {
    files: Vec<FileEntry>,
    length: u64,
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
        Some(Self { files, length: offset })
    }

    /// The files, in content order.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    pub(super) fn files_mut(&mut self) -> &mut [FileEntry] {
        &mut self.files
    }

    /// Gives every part of every path and link another name; for traces that must not tell names.
    pub(crate) fn rename(&mut self, mut name: impl FnMut(&str) -> String) {
        for file in &mut self.files {
            let links = file.symlink.iter_mut().flatten();
            file.pieces_root = None;
            for part in file.path.iter_mut().chain(links) {
                *part = name(part);
            }
        }
    }

    /// Whether the files lie one behind the other.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut end = 0u64;
        for file in &self.files {
            if file.offset != end {
                return false;
            }
            end = end.saturating_add(file.length);
        }
        end == self.length
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
    /// end are left out. Costs a binary search plus the number of slices.
    pub fn slices(&self, offset: u64, length: u32) -> impl Iterator<Item = FileSlice> + '_ {
        let first = self.files.partition_point(|file| file.offset + file.length <= offset);
        let mut at = offset;
        let mut left = u64::from(length);
        self.files
            .iter()
            .enumerate()
            .skip(first)
            .map_while(move |(index, file)| {
                if left == 0 {
                    return None;
                }
                let inside = at - file.offset;
                let take = left.min(file.length - inside);
                at += take;
                left -= take;
                Some(FileSlice { file: index as u32, offset: inside, length: take as u32 })
            })
            .filter(|slice| slice.length > 0)
    }
}
