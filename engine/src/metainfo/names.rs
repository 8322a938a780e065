//! Making names from a torrent safe to create, and possible where they are created.
//!
//! One pure place decides what a path component becomes: what is unsafe changes everywhere, what a
//! place cannot hold ([`Naming`]) changes there. The bytes that make the info-hash are never touched
//! by this. Device names of Windows (`aux.c`) stay as they are: elsewhere they are honest names that
//! other clients use too.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::error::MetainfoError;

/// Longest component, in bytes: what ext4, NTFS and APFS all hold.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Longest component of [`Naming::PORTABLE`], in bytes, and what a suffix may add to it.
const PORTABLE_BYTES: u16 = 240;
const SUFFIX_BYTES: usize = 10;

/// What the names in a place can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Naming {
    /// Whether it refuses what Windows does: `\\ : * ? " < > |`, and dots and spaces at the end.
    pub portable: bool,
    /// Whether names that differ only in case are one name.
    pub folds_case: bool,
    /// Longest component, in bytes.
    pub longest: u16,
}

impl Naming {
    /// What the file systems of Unix hold: everything but `/` and NUL, up to 255 bytes.
    pub const POSIX: Self =
        Self { portable: false, folds_case: false, longest: MAX_COMPONENT_BYTES as u16 };
    /// What every file system holds; also the names that earlier versions gave everywhere.
    pub const PORTABLE: Self = Self { portable: true, folds_case: true, longest: PORTABLE_BYTES };

    /// Longest component that has a suffix, in bytes.
    pub(super) fn longest_with_suffix(self) -> usize {
        (usize::from(self.longest) + SUFFIX_BYTES).min(MAX_COMPONENT_BYTES)
    }

    /// How two names that are one name here are written.
    pub(super) fn folded(self, name: &str) -> Box<str> {
        if self.folds_case { name.to_lowercase().into_boxed_str() } else { name.into() }
    }
}

impl Default for Naming {
    fn default() -> Self {
        Self::POSIX
    }
}

/// Most components one path may have, the target of a link too.
pub const MAX_PATH_DEPTH: usize = 100;

/// Most files of one torrent, padding included.
pub const MAX_FILES: usize = 1_000_000;

/// Bytes that all paths of a torrent may take in memory beyond [`PATH_BYTES_PER_BYTE`]: room for
/// small torrents whose folders have long names.
pub const PATH_BYTES_FREE: u64 = 1 << 20;

/// Bytes that all paths of a torrent may take in memory for each byte of its info dictionary. The
/// list of v1 cannot reach it; the tree of v2, in which a folder is written once for all that is below
/// it, can, but not with paths that people make.
pub const PATH_BYTES_PER_BYTE: u64 = 32;

/// Bytes that a component takes in memory beside its text.
const COMPONENT_COST: u64 = 32;

/// What the ends of names that this program itself gives to files look like.
const PART_FILE: &str = ".parts";
const MOVING: &str = ".eddyline-moving";

/// What the paths of a torrent may take together.
#[derive(Debug)]
pub(super) struct PathBudget {
    bytes: u64,
    files: usize,
}

impl PathBudget {
    /// For an info dictionary of `length` bytes.
    pub(super) fn for_info(length: usize) -> Self {
        let bytes = PATH_BYTES_FREE + PATH_BYTES_PER_BYTE * length as u64;
        Self { bytes, files: MAX_FILES }
    }

    /// Takes what a path needs.
    pub(super) fn take(&mut self, path: &[String]) -> Result<(), MetainfoError> {
        let cost = path.iter().map(|part| part.len() as u64 + COMPONENT_COST).sum();
        self.bytes = self.bytes.checked_sub(cost).ok_or(MetainfoError::PathsTooLong)?;
        Ok(())
    }

    /// Takes a file.
    pub(super) fn take_file(&mut self) -> Result<(), MetainfoError> {
        self.files = self.files.checked_sub(1).ok_or(MetainfoError::TooManyFiles)?;
        Ok(())
    }
}

/// As [`safe_component`], for what stands directly in the download folder: a leading dot becomes an
/// underscore. Whoever downloads into a home folder would else be given settings and programs that
/// start by themselves. Dots further down stay; so do leading dashes, which honest names have.
pub fn safe_name(raw: &[u8], naming: Naming) -> Option<String> {
    let name = safe_component(raw, naming)?;
    Some(match name.strip_prefix('.') {
        Some(rest) => alloc::format!("_{rest}"),
        None => name,
    })
}

/// Whether a file of Unix can have this name, safe or not.
pub fn is_possible(name: &str) -> bool {
    let length = 1..=MAX_COMPONENT_BYTES;
    length.contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(['/', '\0'])
}

/// The path that a torrent itself gives to a file, where that is not the `safe` one and there can
/// be such a file.
pub(super) fn own_path(parts: &[&[u8]], safe: &[String]) -> Option<Box<[String]>> {
    if parts.iter().copied().eq(safe.iter().map(String::as_bytes)) {
        return None;
    }
    let text =
        parts.iter().map(|raw| core::str::from_utf8(raw).ok().filter(|name| is_possible(name)));
    text.map(|name| name.map(String::from)).collect()
}

/// Whether a name is one that only this program gives: of a part file (`.` and the hex of an
/// info-hash in front, `.parts` behind), or of a copy that is not whole yet.
pub fn is_reserved(name: &str) -> bool {
    let ends = |end: &str| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    let hash = name.as_bytes().get(1..41).unwrap_or_default();
    let part = name.starts_with('.') && hash.len() == 40 && hash.iter().all(u8::is_ascii_hexdigit);
    (part && ends(PART_FILE)) || ends(MOVING)
}

/// A safe component made of `raw` that a place can hold, or `None` when nothing usable is left
/// (empty, `.`, `..`).
///
/// Bytes that are not UTF-8 are replaced; slashes, control and invisible direction characters are
/// neutralised, what the place cannot hold is replaced or cut, and so are names that this program
/// gives to its own files ([`is_reserved`]). Joiners stay where they belong to a script or an emoji.
pub fn safe_component(raw: &[u8], naming: Naming) -> Option<String> {
    let text = String::from_utf8_lossy(raw);
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if is_joiner(c) => {
                if joins(name.chars().next_back(), chars.peek().copied()) {
                    name.push(c);
                }
            }
            c if is_invisible(c) => {}
            '/' => name.push('_'),
            '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' if naming.portable => name.push('_'),
            c if c.is_control() => name.push('_'),
            c => name.push(c),
        }
    }
    let is_separator = |c| c == '/' || (naming.portable && c == '\\');
    let blank = naming.portable && name.trim().is_empty();
    if text.chars().all(is_separator) || name.is_empty() || blank || name == "." || name == ".." {
        return None;
    }
    if naming.portable {
        let kept = name.trim_end_matches(['.', ' ']).len();
        if kept < name.len() {
            let tail = name.len() - kept;
            name.truncate(kept);
            name.extend(core::iter::repeat_n('_', tail.min(8)));
        }
    }
    let name = truncated(name, naming.longest.into());
    Some(if is_reserved(&name) { unreserved(name) } else { name })
}

fn unreserved(mut name: String) -> String {
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if is_reserved(&name) {
        // Cut and extended, it is no longer than before.
        name.pop();
        name.push('_');
    }
    name
}

/// Adds the safe components of a path to `path`, the unusable ones left out.
pub(super) fn extend_safely<'a>(path: &mut Vec<String>, parts: impl Iterator<Item = &'a [u8]>) {
    path.extend(parts.filter_map(|part| safe_component(part, Naming::POSIX)));
}

/// Zero-width and direction-changing characters that make a name look like another one.
fn is_invisible(c: char) -> bool {
    is_joiner(c)
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The zero-width non-joiner and joiner. Persian and the scripts of India are spelt with them, and many emoji
/// are several with joiners between.
pub(super) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner between these two does something. Between two of ASCII, at the beginning and behind
/// another one it only makes a name look like another one.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let script = |c: char| !c.is_ascii() && !c.is_control() && !is_invisible(c);
    before.is_some_and(|c| !is_joiner(c))
        && (before.is_some_and(script) || after.is_some_and(script))
}

/// Cuts at a character boundary, keeping a short extension.
fn truncated(mut name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let extension = name
        .rfind('.')
        .filter(|dot| *dot > 0 && name.len() - dot <= 16)
        .map(|dot| String::from(&name[dot..]))
        .unwrap_or_default();
    let mut cut = longest.saturating_sub(extension.len());
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    // What a joiner joined is gone.
    cut = name.get(..cut).map_or(cut, |kept| kept.trim_end_matches(is_joiner).len());
    name.truncate(cut);
    name.push_str(&extension);
    name
}
