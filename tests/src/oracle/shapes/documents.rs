//! Documents: torrents, magnets, replies, packets, messages in bencode.

use super::{repeated, string};

pub(super) fn nested_lists(length: usize) -> Vec<u8> {
    let deep = [vec![b'l'; 90], vec![b'e'; 90]].concat();
    repeated(length, b"l", b"e", |_| deep.clone())
}

pub(super) fn empty_lists(length: usize) -> Vec<u8> {
    repeated(length, b"l", b"e", |_| b"le".to_vec())
}

pub(super) fn keys(length: usize) -> Vec<u8> {
    repeated(length, b"d", b"e", |number| format!("7:{number:07}i0e").into_bytes())
}

pub(super) fn one_key(length: usize) -> Vec<u8> {
    repeated(length, b"d", b"e", |_| b"1:ai0e".to_vec())
}

pub(super) fn long_string(length: usize) -> Vec<u8> {
    string(vec![b'x'; length.saturating_sub(8)])
}

/// A torrent whose list of files is what `part` makes.
fn with_files(length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let tail = [&b"e4:name1:t12:piece lengthi16384e6:pieces20:"[..], &[b'h'; 20], b"ee"].concat();
    repeated(length, b"d4:infod5:filesld6:lengthi9e4:pathl1:zee", &tail, part)
}

fn empty_file(path: &str) -> Vec<u8> {
    format!("d6:lengthi0e4:pathl{path}ee").into_bytes()
}

pub(super) fn deep_paths(length: usize) -> Vec<u8> {
    with_files(length, |number| {
        let folders: String =
            (0..96).map(|level| format!("5:{:05}", (number * 96 + level) % 100_000)).collect();
        empty_file(&folders)
    })
}

pub(super) fn shared_paths(length: usize) -> Vec<u8> {
    let folders = "1:d".repeat(95);
    with_files(length, |number| empty_file(&format!("{folders}7:{number:07}")))
}

pub(super) fn empty_files(length: usize) -> Vec<u8> {
    with_files(length, |number| empty_file(&format!("7:{number:07}")))
}

pub(super) fn same_names(length: usize) -> Vec<u8> {
    with_files(length, |_| empty_file("1:a"))
}

pub(super) fn folders_in_the_way(length: usize) -> Vec<u8> {
    with_files(length, |number| match number % 3 {
        0 => empty_file("1:a"),
        1 => empty_file(&format!("1:A5:a.{:03}1:b", number % 1000)),
        _ => empty_file(&format!("5:a.{:03}1:c", number % 1000)),
    })
}

pub(super) fn links(length: usize) -> Vec<u8> {
    with_files(length, |number| {
        let target = "1:d".repeat(40);
        format!("d4:attr1:l4:pathl7:{number:07}e12:symlink pathl{target}ee").into_bytes()
    })
}

/// A torrent of one file, with `key` in front of what `part` makes.
fn with_list(length: usize, key: &str, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let info = "4:infod6:lengthi9e4:name1:t12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe";
    let (head, tail) = match key < "info" {
        true => (format!("d{}l", String::from_utf8_lossy(&string(key))), format!("e{info}e")),
        false => (format!("d{info}{}l", String::from_utf8_lossy(&string(key))), "ee".to_owned()),
    };
    repeated(length, head.as_bytes(), tail.as_bytes(), part)
}

fn url(number: usize) -> Vec<u8> {
    string(format!("http://{number:07}/"))
}

pub(super) fn url_list(length: usize) -> Vec<u8> {
    with_list(length, "url-list", url)
}

pub(super) fn one_tier(length: usize) -> Vec<u8> {
    let info = "4:infod6:lengthi9e4:name1:t12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe";
    repeated(length, b"d13:announce-listll", format!("ee{info}e").as_bytes(), url)
}

pub(super) fn many_tiers(length: usize) -> Vec<u8> {
    with_list(length, "announce-list", |number| [b"l".as_slice(), &url(number), b"e"].concat())
}

pub(super) fn nodes(length: usize) -> Vec<u8> {
    with_list(length, "nodes", |number| format!("l7:{number:07}i1ee").into_bytes())
}

pub(super) fn keys_of_files(length: usize) -> Vec<u8> {
    // Whoever looks a key up goes through all of them.
    with_files(length, |number| {
        let keys: String = (0..50).map(|key| format!("3:a{key:02}0:")).collect();
        format!("d{keys}6:lengthi0e4:pathl7:{number:07}ee").into_bytes()
    })
}

pub(super) fn pieces(length: usize) -> Vec<u8> {
    let count = length.saturating_sub(100) / 20;
    let head =
        format!("d4:infod6:lengthi{count}e4:name1:t12:piece lengthi1e6:pieces{}:", count * 20);
    [head.as_bytes(), &vec![b'h'; count * 20], b"ee"].concat()
}

const V2_TAIL: &[u8] = b"e12:meta versioni2e4:name1:t12:piece lengthi16384ee12:piece layersdee";

fn v2_file(size: u32) -> String {
    match size {
        0 => "d0:d6:lengthi0eee".to_owned(),
        size => format!("d0:d6:lengthi{size}e11:pieces root32:{}ee", "r".repeat(32)),
    }
}

pub(super) fn wide_tree(length: usize) -> Vec<u8> {
    repeated(length, b"d4:infod9:file treed", V2_TAIL, |number| {
        format!("7:{number:07}{}", v2_file(u32::from(number == 0))).into_bytes()
    })
}

pub(super) fn deep_trees(length: usize) -> Vec<u8> {
    repeated(length, b"d4:infod9:file treed", V2_TAIL, |number| {
        let folders = "d1:d".repeat(40);
        let (file, ends) = (v2_file(u32::from(number == 0)), "e".repeat(40));
        format!("7:{number:07}{folders}{file}{ends}").into_bytes()
    })
}

/// A magnet with what `part` makes.
fn magnet(length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let head = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    repeated(length, head.as_bytes(), b"", part)
}

pub(super) fn magnet_trackers(length: usize) -> Vec<u8> {
    magnet(length, |number| format!("&tr=http://{number:07}/a").into_bytes())
}

pub(super) fn magnet_peers(length: usize) -> Vec<u8> {
    magnet(length, |number| {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        format!("&x.pe=20.{a}.{b}.{c}:6881").into_bytes()
    })
}

pub(super) fn magnet_numbers(length: usize) -> Vec<u8> {
    let head = format!("magnet:?xt=urn:btih:{}&so=0", "ab".repeat(20));
    repeated(length, head.as_bytes(), b"", |number| {
        format!(",{}", number * 2 % 99_991).into_bytes()
    })
}

pub(super) fn magnet_ranges(length: usize) -> Vec<u8> {
    let head = format!("magnet:?xt=urn:btih:{}&so=0", "ab".repeat(20));
    repeated(length, head.as_bytes(), b"", |_| b",0-4294967295".to_vec())
}

pub(super) fn magnet_escapes(length: usize) -> Vec<u8> {
    let head = format!("magnet:?xt=urn:btih:{}&dn=", "ab".repeat(20));
    repeated(length, head.as_bytes(), b"", |_| b"%ff".to_vec())
}

pub(super) fn magnet_unknown(length: usize) -> Vec<u8> {
    magnet(length, |_| b"&a=".to_vec())
}

pub(super) fn extensions(length: usize) -> Vec<u8> {
    repeated(length, b"d1:md", b"ee", |number| format!("7:{number:07}i3e").into_bytes())
}

/// `key` with a string that fills the rest, in a dictionary with `head` and `tail`.
fn filled(length: usize, head: &str, width: usize, tail: &str) -> Vec<u8> {
    let room = length.saturating_sub(head.len() + tail.len() + 8) / width * width;
    // Addresses that differ, none of them reserved.
    let fill: Vec<u8> = (0..room).map(|at| 20 + (at / 7 % 97) as u8).collect();
    [head.as_bytes(), &string(fill), tail.as_bytes()].concat()
}

pub(super) fn compact_peers(length: usize) -> Vec<u8> {
    filled(length, "d8:intervali1800e5:peers", 6, "e")
}

pub(super) fn peer_dictionaries(length: usize) -> Vec<u8> {
    repeated(length, b"d8:intervali1800e5:peersl", b"ee", |number| {
        let (a, b) = (number / 250 % 250, number % 250);
        let ip = format!("20.1.{a}.{b}");
        format!("d2:ip{}:{ip}4:porti6881ee", ip.len()).into_bytes()
    })
}

pub(super) fn scraped(length: usize) -> Vec<u8> {
    repeated(length, b"d5:filesd", b"ee", |number| {
        format!("20:{number:020}d8:completei1e10:downloadedi1e10:incompletei1ee").into_bytes()
    })
}

pub(super) fn failure_reason(length: usize) -> Vec<u8> {
    filled(length, "d14:failure reason", 1, "e")
}

pub(super) fn udp_peers(length: usize) -> Vec<u8> {
    let head = [0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    repeated(length, &head, b"", |number| {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        vec![20, a, b, c, 1, 1]
    })
}

pub(super) fn krpc_nodes(length: usize) -> Vec<u8> {
    let head = format!("d1:rd2:id20:{}5:nodes", "i".repeat(20));
    filled(length, &head, 26, "e1:t2:aa1:y1:re")
}

pub(super) fn krpc_values(length: usize) -> Vec<u8> {
    let head = format!("d1:rd2:id20:{}6:valuesl", "i".repeat(20));
    repeated(length, head.as_bytes(), b"ee1:t2:aa1:y1:re", |number| {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        string([20, a, b, c, 1, 1])
    })
}

pub(super) fn metadata_message(length: usize) -> Vec<u8> {
    filled(length, "d1:a", 1, "8:msg_typei1e5:piecei0e10:total_sizei40000ee")
}

pub(super) fn pex_addresses(length: usize) -> Vec<u8> {
    filled(length, "d5:added", 6, "e")
}

fn announcement(length: usize, part: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let head = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n";
    repeated(length, head, b"\r\n\r\n", part)
}

pub(super) fn announced_hashes(length: usize) -> Vec<u8> {
    announcement(length, |number| format!("Infohash: {number:040x}\r\n").into_bytes())
}

pub(super) fn header_lines(length: usize) -> Vec<u8> {
    announcement(length, |_| b"a:\r\n".to_vec())
}
