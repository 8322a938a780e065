//! What the driver and the program read.

use super::documents::{magnet_trackers, magnet_unknown};
use super::{repeated, string};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

pub(super) fn header_fields(length: usize) -> Vec<u8> {
    repeated(length, OK, b"\r\n", |number| format!("a{number}: b\r\n").into_bytes())
}

pub(super) fn chunks(length: usize) -> Vec<u8> {
    let head = [OK, b"Transfer-Encoding: chunked\r\n\r\n"].concat();
    repeated(length, &head, b"0\r\n\r\n", |_| b"1\r\nx\r\n".to_vec())
}

pub(super) fn continues(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())
}

pub(super) fn location(length: usize) -> Vec<u8> {
    repeated(length, b"HTTP/1.1 302 Found\r\nLocation: ", b"\r\n\r\n", |_| b"/a".to_vec())
}

/// Compressed with brotli, in a window of 16 MiB, of which the one part has as many bytes; fewer come.
pub(super) fn wide_window(length: usize) -> Vec<u8> {
    let head = [OK, b"Content-Encoding: br\r\n\r\n"].concat();
    let begins = [0xcf, 0xff, 0xff, 0xff];
    [&head[..], &begins, &vec![b'x'; length.min(40_000)]].concat()
}

/// A record of the journal as the target wants it: its length in two bytes.
fn record(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes(), body].concat()
}

fn entry(number: usize) -> Vec<u8> {
    let put = format!("d6:folder1:/4:hash40:{number:040}6:lengthi1e4:name1:a5:orderi{number}ee");
    record(format!("d3:put{put}e").as_bytes())
}

pub(super) fn journal(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", entry)
}

pub(super) fn journal_of_one(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| entry(1))
}

pub(super) fn journal_of_folders(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| {
        let left = "1:/".repeat(5_000);
        let put = format!(
            "d6:folder1:/4:hash40:{number:040}4:leftl{left}e6:lengthi1e4:name1:a5:orderi1ee"
        );
        record(format!("d3:put{put}e").as_bytes())
    })
}

/// Behind the records, bytes that are the length of one wherever one begins to read.
pub(super) fn lengths_that_mislead(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| vec![0, 0x64, 0, 0])
}

/// The same with what looks like a record.
pub(super) fn bodies_that_mislead(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| [b"\0\x20\0\0".as_slice(), &[b'd', b'e'].repeat(14)].concat())
}

pub(super) fn folders(length: usize) -> Vec<u8> {
    let mut first = true;
    repeated(length, b"\0{\"1:1\":[", b"]}", |number| {
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        format!("{comma}[\"a\",\"{number}\"]").into_bytes()
    })
}

pub(super) fn kept_nodes(length: usize) -> Vec<u8> {
    let room = length.saturating_sub(40) / 38 * 38;
    [b"\x01d6:nodes6".as_slice(), &string(vec![0x20; room]), b"e"].concat()
}

pub(super) fn config_arrays(length: usize) -> Vec<u8> {
    repeated(length, b"tracker = [", b"]", |_| b"\"\",".to_vec())
}

pub(super) fn config_nested(length: usize) -> Vec<u8> {
    let half = length.saturating_sub(4) / 2;
    [b"a = ".as_slice(), &vec![b'['; half], &vec![b']'; half]].concat()
}

pub(super) fn config_tables(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| format!("[a{number}]\n").into_bytes())
}

pub(super) fn config_dotted(length: usize) -> Vec<u8> {
    repeated(length, b"a", b" = 1", |_| b".a".to_vec())
}

pub(super) fn config_lines(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |_| b"#\n".to_vec())
}

pub(super) fn source_magnet(length: usize) -> Vec<u8> {
    magnet_trackers(length)
}

pub(super) fn source_unknown(length: usize) -> Vec<u8> {
    magnet_unknown(length)
}

pub(super) fn source_hash(length: usize) -> Vec<u8> {
    vec![b'a'; length]
}

pub(super) fn arrangements(length: usize) -> Vec<u8> {
    repeated(length, &[0], b"", |number| {
        let value = (number as u32).wrapping_mul(2_654_435_761).to_be_bytes();
        vec![value[0], value[1], value[2]]
    })
}

pub(super) fn damage(length: usize) -> Vec<u8> {
    repeated(length, b"", b"", |number| {
        let value = (number as u32).wrapping_mul(2_654_435_761).to_be_bytes();
        vec![value[0], 0, value[1], value[2]]
    })
}
