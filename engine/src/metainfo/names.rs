//! Making names from a torrent safe to create on any platform.
//!
//! One pure place decides what a path component becomes, so that the same torrent gives the same
//! names everywhere. The bytes that make the info-hash are never touched by this. Device names of
//! Windows (`aux.c`) stay as they are: elsewhere they are honest names that other clients use too.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest component, in bytes: what ext4, NTFS and APFS all hold, with room for a suffix.
pub const MAX_COMPONENT_BYTES: usize = 240;

/// Most components one path may have.
pub const MAX_PATH_DEPTH: usize = 100;

/// A safe component made of `raw`, or `None` when nothing usable is left (empty, `.`, `..`).
///
/// Bytes that are not UTF-8 are replaced; separators, control and invisible direction characters,
/// characters Windows forbids, trailing dots and spaces are neutralised.
pub fn safe_component(raw: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(raw);
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_invisible(c) => {}
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => name.push('_'),
            c if c.is_control() => name.push('_'),
            c => name.push(c),
        }
    }
    let only_separators = text.chars().all(|c| matches!(c, '/' | '\\'));
    if only_separators || name.trim().is_empty() || name == "." || name == ".." {
        return None;
    }
    let kept = name.trim_end_matches(['.', ' ']).len();
    if kept < name.len() {
        let tail = name.len() - kept;
        name.truncate(kept);
        name.extend(core::iter::repeat_n('_', tail.min(8)));
    }
    Some(truncated(name))
}

/// The safe components of a path, the unusable ones left out.
pub(super) fn safe_path<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    parts.filter_map(safe_component).collect()
}

/// Zero-width and direction-changing characters that make a name look like another one.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Cuts at a character boundary, keeping a short extension.
fn truncated(mut name: String) -> String {
    if name.len() <= MAX_COMPONENT_BYTES {
        return name;
    }
    let extension = name
        .rfind('.')
        .filter(|dot| *dot > 0 && name.len() - dot <= 16)
        .map(|dot| String::from(&name[dot..]))
        .unwrap_or_default();
    let mut cut = MAX_COMPONENT_BYTES - extension.len();
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    name.truncate(cut);
    name.push_str(&extension);
    name
}
