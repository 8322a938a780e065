//! Where on a web server the files of a torrent lie (BEP 19).

use alloc::string::String;
use core::fmt::Write;
use core::ops::Range;

use crate::metainfo::FileEntry;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The URL of a file: that of the server for a torrent that is one file, unless it ends with a slash; else what lies
/// below it under the names that the torrent gives.
pub fn url_of(base: &str, file: &FileEntry) -> String {
    let path = file.own.as_deref().unwrap_or(&file.path);
    let mut url = String::from(base);
    if path.len() == 1 && !base.ends_with('/') {
        return url;
    }
    if !base.ends_with('/') {
        url.push('/');
    }
    for (place, part) in path.iter().enumerate() {
        if place > 0 {
            url.push('/');
        }
        part.bytes().for_each(|byte| push(&mut url, byte));
    }
    url
}

/// The URL of part of a piece, at a server that sends pieces (BEP 17): what is asked for stands behind its own.
pub fn url_of_piece(base: &str, hash: &[u8], piece: u32, part: Option<Range<u64>>) -> String {
    let mut url = String::from(base.split('#').next().unwrap_or_default());
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str("info_hash=");
    hash.iter().for_each(|byte| push(&mut url, *byte));
    let _ = write!(url, "&piece={piece}");
    if let Some(part) = part {
        let _ = write!(url, "&ranges={}-{}", part.start, part.end - 1);
    }
    url
}

/// Appends a byte of a name: everything that could mean something else in a URL is escaped.
fn push(url: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        url.push(byte.into());
    } else {
        url.push('%');
        url.push(HEX[usize::from(byte >> 4)].into());
        url.push(HEX[usize::from(byte & 15)].into());
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of addresses.

    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec::Vec;

    fn file(path: &[&str]) -> FileEntry {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let attributes = crate::metainfo::FileAttributes::default();
        let (symlink, pieces_root, own) = (None, None, None);
        FileEntry { path, length: 1, offset: 0, attributes, symlink, pieces_root, own }
    }

    #[test]
    fn a_single_file_is_the_address_itself_or_lies_in_the_folder_that_it_names() {
        let one = file(&["x.iso"]);
        assert_eq!(url_of("http://h/a/other.bin", &one), "http://h/a/other.bin");
        assert_eq!(url_of("http://h/a/", &one), "http://h/a/x.iso");
        let many = file(&["name", "sub", "b.bin"]);
        assert_eq!(url_of("http://h/a/", &many), "http://h/a/name/sub/b.bin");
        assert_eq!(url_of("http://h/a", &many), "http://h/a/name/sub/b.bin");
    }

    #[test]
    fn a_piece_is_asked_for_behind_what_the_address_asks_for_itself() {
        let hash = *b"a%\0\xff~";
        let part = |range| url_of_piece("http://h/s.php?k=1#top", &hash, 7, range);
        assert_eq!(part(None), "http://h/s.php?k=1&info_hash=a%25%00%FF~&piece=7");
        assert!(part(Some(5..9)).ends_with("&piece=7&ranges=5-8"));
        assert_eq!(url_of_piece("http://h/", b"x", 0, None), "http://h/?info_hash=x&piece=0");
    }

    #[test]
    fn names_are_escaped_and_those_of_the_torrent_count() {
        let odd = file(&["a b", "50%?#&+", "ü:@"]);
        assert_eq!(url_of("http://h", &odd), "http://h/a%20b/50%25%3F%23%26%2B/%C3%BC%3A%40");
        let mut safe = file(&["name", "CON_"]);
        safe.own = Some(["name".to_owned(), "CON".to_owned()].into());
        assert_eq!(url_of("http://h/", &safe), "http://h/name/CON");
    }
}
