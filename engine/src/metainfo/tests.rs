//! Unit tests of geometry, layout, names, creation and magnets. The torrents of other clients run
//! against the parser in the `eddyline-sim` crate (`tests/vectors`).

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

mod magnets;
mod names;
mod stored;

use super::*;
use crate::base::hash::{Sha1Hash, Sha256Hash};

fn file(path: &[&str], length: u64) -> InputFile {
    let path = path.iter().map(ToString::to_string).collect();
    InputFile { path, length, executable: false }
}

/// Creates a torrent whose content is all zeros.
fn zeros(format: Format, piece_length: u32, files: Vec<InputFile>) -> Vec<u8> {
    let options =
        CreateOptions { name: "n".into(), piece_length, format, ..CreateOptions::default() };
    let mut creator = Creator::new(options, files).unwrap();
    for need in creator.needs().collect::<Vec<_>>() {
        match need {
            CreateNeed::Piece { index } => {
                let size = creator.geometry().piece_size(index) as usize;
                creator.provide_piece(index, Sha1Hash::of(&vec![0; size]));
            }
            CreateNeed::Blocks { file, offset, length } => {
                let blocks = vec![0; length as usize];
                let hashes = blocks.chunks(BLOCK_LENGTH as usize).map(Sha256Hash::of).collect();
                creator.provide_blocks(file, offset, hashes);
            }
        }
    }
    creator.finish().unwrap()
}

#[test]
fn what_we_create_we_parse_in_every_format() {
    for format in [Format::V1, Format::V2, Format::Hybrid] {
        let files = vec![file(&["b", "c"], 40_000), file(&["a"], 100_000), file(&["b", "d"], 0)];
        let bytes = zeros(format, 32_768, files);
        let metainfo = Metainfo::parse(&bytes).unwrap();
        let paths: Vec<String> = metainfo
            .layout
            .files()
            .iter()
            .filter(|f| !f.attributes.pad)
            .map(FileEntry::display_path)
            .collect();
        assert_eq!(paths, ["n/a", "n/b/c", "n/b/d"], "{format:?}");
        assert_eq!(metainfo.layout.payload_length(), 140_000);
        assert_eq!(metainfo.info_hashes.v1.is_some(), format != Format::V2);
        assert_eq!(metainfo.info_hashes.v2.is_some(), format != Format::V1);
        let layers = if format == Format::V1 { 0 } else { 2 };
        assert_eq!(metainfo.piece_layers.len(), layers, "{format:?}");
    }
}

#[test]
fn creation_is_reproducible_and_indifferent_to_the_order_of_files() {
    let files = vec![file(&["x"], 5), file(&["a", "b"], 70_000)];
    let reversed = files.iter().rev().cloned().collect();
    assert_eq!(zeros(Format::Hybrid, 16_384, files), zeros(Format::Hybrid, 16_384, reversed));
}

#[test]
fn creation_refuses_what_cannot_be() {
    let options = |piece_length, format| CreateOptions {
        name: "n".into(),
        piece_length,
        format,
        ..CreateOptions::default()
    };
    let one = || vec![file(&[], 10)];
    let error = |o, f| Creator::new(o, f).unwrap_err();
    assert_eq!(error(options(0, Format::V1), one()), CreateError::PieceLength);
    assert_eq!(error(options(20_000, Format::V2), one()), CreateError::PieceLength);
    assert_eq!(error(options(16_384, Format::V1), vec![]), CreateError::Empty);
    let clash = vec![file(&["a"], 1), file(&["a", "b"], 1)];
    assert_eq!(error(options(16_384, Format::V1), clash), CreateError::DuplicatePath);
    let creator = Creator::new(options(16_384, Format::V1), one()).unwrap();
    assert_eq!(creator.finish().unwrap_err(), CreateError::Incomplete);
}

#[test]
fn default_piece_lengths_stay_sensible() {
    assert_eq!(default_piece_length(0), 16 * 1024);
    assert_eq!(default_piece_length(1 << 30), 1 << 20);
    assert_eq!(default_piece_length(u64::MAX / 2), 16 << 20);
}

#[test]
fn the_last_piece_and_the_last_block_may_be_short() {
    let geometry = Geometry::new(100_000, 40_000).unwrap();
    assert_eq!(geometry.pieces(), 3);
    assert_eq!(geometry.piece_size(2), 20_000);
    assert_eq!(geometry.blocks_in(0), 3);
    assert_eq!(geometry.block_size(0, 2), 40_000 - 2 * BLOCK_LENGTH);
    assert_eq!(geometry.block_size(2, 1), 20_000 - BLOCK_LENGTH);
    assert!(geometry.contains(2, 16_384, 3_616));
    assert!(!geometry.contains(2, 16_384, 3_617));
    assert!(!geometry.contains(3, 0, 1));
    assert!(!geometry.contains(0, u32::MAX, u32::MAX));
    assert_eq!(Geometry::new(1, 0), None);
    assert_eq!(Geometry::new(u64::MAX, 1), None);
}

#[test]
fn slices_cross_files_and_skip_empty_ones() {
    let entry = |name: &str, length| FileEntry {
        path: vec![name.into()],
        length,
        offset: 0,
        attributes: FileAttributes::default(),
        symlink: None,
        pieces_root: None,
        own: None,
    };
    let layout =
        Layout::new(vec![entry("a", 10), entry("e", 0), entry("b", 5), entry("c", 100)]).unwrap();
    let slices: Vec<_> = layout.slices(8, 10).map(|s| (s.file, s.offset, s.length)).collect();
    assert_eq!(slices, [(0, 8, 2), (2, 0, 5), (3, 0, 3)]);
    assert_eq!(layout.slices(114, 50).map(|s| s.length).sum::<u32>(), 1);
    assert_eq!(layout.slices(0, 0).count(), 0);
}

fn plain(path: Vec<String>, length: u64) -> FileEntry {
    let attributes = FileAttributes::default();
    FileEntry { path, length, offset: 0, attributes, symlink: None, pieces_root: None, own: None }
}

#[test]
fn empty_files_cost_a_request_nothing() {
    let empty = |count: usize| (0..count).map(|n| plain(vec![alloc::format!("{n}")], 0));
    let with = |count| {
        let ends = [plain(vec!["a".into()], 10), plain(vec!["z".into()], 10)];
        let [a, z] = ends;
        let files = core::iter::once(a).chain(empty(count)).chain([z]).collect();
        let layout = Layout::new(files).unwrap();
        let mut slices = layout.slices(8, 4);
        let found: Vec<_> = slices.by_ref().map(|s| (s.file, s.offset, s.length)).collect();
        assert_eq!(found, [(0, 8, 2), (count as u32 + 1, 0, 2)]);
        assert_eq!(layout.slices(9, 1).map(|s| s.file).collect::<Vec<_>>(), [0]);
        slices.looked_at()
    };
    assert_eq!((with(1000), with(300_000)), (2, 2));
}

/// The info dictionary of a v2 torrent with `files` files, all in the innermost of `depth` nested folders.
fn deep_tree(files: usize, depth: usize) -> Vec<u8> {
    let mut tree = "d1:a".repeat(depth) + "d";
    for number in 0..files {
        tree += &alloc::format!("6:{number:06}d0:d6:lengthi0eee");
    }
    tree += "1:xd0:d6:lengthi1e11:pieces root32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRReee";
    tree += &"e".repeat(depth);
    alloc::format!("d9:file tree{tree}12:meta versioni2e4:name1:n12:piece lengthi16384ee").into()
}

#[test]
fn paths_out_of_proportion_to_the_torrent_are_refused() {
    let parsed = |files, depth| Metainfo::parse_info(&deep_tree(files, depth)).map(|_| ());
    assert_eq!(parsed(20_000, 10), Ok(()));
    assert_eq!(parsed(100, 95), Ok(()));
    assert_eq!(parsed(20_000, 95), Err(MetainfoError::PathsTooLong));
    // What is kept is proportional to what was sent, for any depth that is let in.
    for depth in [1, 10, 20, 40] {
        let info = deep_tree(20_000, depth);
        let Ok(metainfo) = Metainfo::parse_info(&info) else { continue };
        let kept: usize =
            metainfo.layout.files().iter().flat_map(|f| &f.path).map(|part| part.len() + 32).sum();
        assert!(kept as u64 <= PATH_BYTES_FREE + PATH_BYTES_PER_BYTE * info.len() as u64);
    }
}

#[test]
fn folders_without_files_cost_nothing_however_deep_they_are() {
    // Each names two hundred letters on the way down, and ten thousand empty folders at the end.
    let way = (0..90).map(|_| "d200:".to_string() + &"w".repeat(200)).collect::<String>();
    let empty = (0..10_000).map(|n| alloc::format!("6:{n:06}de")).collect::<String>();
    let tree = way + "d" + &empty + "e" + &"e".repeat(90);
    let info =
        alloc::format!("d9:file tree{tree}12:meta versioni2e4:name1:n12:piece lengthi16384ee");
    assert_eq!(Metainfo::parse_info(info.as_bytes()).map(|_| ()), Err(MetainfoError::Files));
}

#[test]
fn links_lead_no_deeper_than_files_do() {
    let target = "1:a".repeat(101);
    let file = alloc::format!("d4:attr1:l6:lengthi0e4:pathl1:le12:symlink pathl{target}ee");
    let info = alloc::format!("d5:filesl{file}e4:name1:n12:piece lengthi16384e6:pieces0:e");
    assert_eq!(Metainfo::parse_info(info.as_bytes()).unwrap_err(), MetainfoError::PathTooDeep);
}

fn single(name: &str) -> Metainfo {
    let (length, hash) = (name.len(), "h".repeat(20));
    let info =
        alloc::format!("d6:lengthi1e4:name{length}:{name}12:piece lengthi16384e6:pieces20:{hash}e");
    Metainfo::parse_info(info.as_bytes()).unwrap()
}

#[test]
fn nothing_that_stands_directly_in_the_folder_begins_with_a_dot() {
    let named = |name: &str| (single(name).name, single(name).name_in_torrent());
    let changed = |to: &str, from: &str| (to.to_string(), Some(from.to_string()));
    assert_eq!(named(".config"), changed("_config", ".config"));
    assert_eq!(named("\u{200b}.bashrc"), changed("_bashrc", "\u{200b}.bashrc"));
    assert_eq!(named("...x"), changed("_..x", "...x"));
    assert_eq!(named("-=x=-"), ("-=x=-".to_string(), None));
    // In folders, of a tree of v2, and of a magnet before its metadata has come.
    let info = deep_tree(2, 1);
    let hidden = String::from_utf8(info).unwrap().replace("4:name1:n", "4:name2:.n");
    let metainfo = Metainfo::parse_info(hidden.as_bytes()).unwrap();
    assert!(metainfo.layout.files().iter().all(|f| f.path[0] == "_n" || f.attributes.pad));
    let tree = "d2:.xd0:d6:lengthi1e11:pieces root32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRReee";
    let info =
        alloc::format!("d9:file tree{tree}12:meta versioni2e4:name2:.x12:piece lengthi16384ee");
    assert_eq!(Metainfo::parse_info(info.as_bytes()).unwrap().name, "_x");
    let uri = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd&dn=.ssh";
    assert_eq!(Magnet::parse(uri).unwrap().safe_name(), "_ssh");
}

#[test]
fn names_that_the_program_gives_to_its_own_files_are_never_those_of_a_torrent() {
    let hash = "cd".repeat(20);
    for reserved in [
        alloc::format!(".{hash}.parts"),
        alloc::format!(".{}.PARTS", hash.to_uppercase()),
        alloc::format!(".{hash}.0123456789abcdef.parts"),
        "film.mkv.eddyline-moving".into(),
        alloc::format!(".{hash}.parts.Eddyline-Moving"),
    ] {
        assert!(is_reserved(&reserved), "{reserved}");
        let safe = safe_component(reserved.as_bytes(), Naming::POSIX).unwrap();
        assert!(!is_reserved(&safe), "{reserved} became {safe}");
    }
    for free in [".parts", "x.parts", ".git", "eddyline-moving"] {
        assert_eq!(safe_component(free.as_bytes(), Naming::POSIX).as_deref(), Some(free));
    }
}

#[test]
fn names_lose_what_could_hurt_and_keep_the_rest() {
    let safe = |raw: &str| safe_component(raw.as_bytes(), Naming::POSIX);
    for nothing in ["", ".", "..", "/", "//", "\u{feff}", ".\u{200b}."] {
        assert_eq!(safe(nothing), None, "{nothing:?}");
    }
    for kept in ["A: B?", "a\\b", "x*y|z<>\"", "end. .", " ", "日本語", "aux.c", "C:\\x"] {
        assert_eq!(safe(kept).as_deref(), Some(kept));
    }
    assert_eq!(safe("a/../b").unwrap(), "a_.._b");
    assert_eq!(safe("a\nb\x7f\u{9b}").unwrap(), "a_b__");
    assert_eq!(safe("gpj\u{202e}.exe").unwrap(), "gpj.exe");
    let longest = "n".repeat(255);
    assert_eq!(safe(&longest).unwrap(), longest);
    let cut = safe(&("é".repeat(200) + ".mkv")).unwrap();
    assert!((250..=255).contains(&cut.len()) && cut.ends_with("é.mkv"), "{cut}");
}

#[test]
fn names_for_every_system_lose_what_some_cannot_hold() {
    let safe = |raw: &str| safe_component(raw.as_bytes(), Naming::PORTABLE);
    for nothing in ["", ".", "..", "/", "\u{feff}", "  "] {
        assert_eq!(safe(nothing), None, "{nothing:?}");
    }
    assert_eq!(safe("a/../b").unwrap(), "a_.._b");
    assert_eq!(safe("C:\\x").unwrap(), "C__x");
    assert_eq!(safe("aux.c").unwrap(), "aux.c");
    assert_eq!(safe("end. .").unwrap(), "end___");
    assert_eq!(safe("gpj\u{202e}.exe").unwrap(), "gpj.exe");
    assert_eq!(safe("日本語").unwrap(), "日本語");
    let long = "é".repeat(200) + ".mkv";
    let cut = safe(&long).unwrap();
    assert!(cut.len() <= 240 && cut.ends_with("é.mkv"));
}

/// A torrent of one-byte files below `name`, each at a path of one part.
fn folder(name: &str, files: &[&str]) -> Result<Metainfo, MetainfoError> {
    let text = |text: &str| alloc::format!("{}:{text}", text.len());
    let files: Vec<_> =
        files.iter().map(|name| alloc::format!("d6:lengthi1e4:pathl{}ee", text(name))).collect();
    let info = alloc::format!(
        "d5:filesl{}e4:name{}12:piece lengthi16384e6:pieces20:{}e",
        files.concat(),
        text(name),
        "h".repeat(20)
    );
    Metainfo::parse_info(info.as_bytes())
}

#[test]
fn names_that_a_place_cannot_hold_are_others_there_and_only_there() {
    let metainfo = folder("A: B?", &["x", "n", "N"]).unwrap();
    let paths: Vec<_> = metainfo.layout.files().iter().map(FileEntry::display_path).collect();
    assert_eq!(paths, ["A: B?/x", "A: B?/n", "A: B?/N"]);
    assert!(metainfo.layout.files().iter().all(|file| file.own.is_none()));
    assert!(metainfo.layout.names_for(Naming::POSIX).is_empty());
    let names = |naming| {
        let names = metainfo.layout.names_for(naming).into_iter();
        names.map(|(file, path)| (file, path.join("/"))).collect::<Vec<_>>()
    };
    let portable = [(0, "A_ B_/x"), (1, "A_ B_/n"), (2, "A_ B_/N.1")];
    assert_eq!(names(Naming::PORTABLE), portable.map(|(n, path)| (n, path.to_string())));
    let folding = Naming { folds_case: true, ..Naming::POSIX };
    assert_eq!(names(folding), [(2, "A: B?/N.1".to_string())]);
    let short = Naming { longest: 3, ..Naming::POSIX };
    assert_eq!(names(short)[0], (0, "A: /x".to_string()));
}

#[test]
fn the_path_that_a_torrent_gives_is_known_where_it_is_not_ours() {
    let own = |metainfo: &Metainfo| -> Vec<Option<String>> {
        let files = metainfo.layout.files().iter();
        files.map(|file| file.own.as_ref().map(|own| own.join("/"))).collect()
    };
    let hidden = folder(".hid", &["a", "b\nc"]).unwrap();
    assert_eq!(own(&hidden), [Some(".hid/a".into()), Some(".hid/b\nc".into())]);
    assert_eq!(hidden.layout.files()[1].display_path(), "_hid/b_c");
    // What cannot be a path of a file is not one.
    for impossible in ["..", "", "a/b", "a\0b", &"n".repeat(256)] {
        assert_eq!(own(&folder(".hid", &[impossible]).unwrap()), [None], "{impossible:?}");
    }
    assert_eq!(own(&single(".x")), [Some(".x".to_string())]);
    assert_eq!(own(&folder("n", &["a", "A"]).unwrap()), [None, None]);
}

#[test]
fn a_folder_without_a_usable_name_goes_by_the_hash_and_a_file_without_one_is_refused() {
    for nothing in ["", "..", "/"] {
        let metainfo = folder(nothing, &["a", "b"]).unwrap();
        assert_eq!(metainfo.name, metainfo.info_hashes.wire().to_hex(), "{nothing:?}");
        assert_eq!(metainfo.layout.files()[0].path, [metainfo.name.as_str(), "a"]);
    }
    let info = "d6:lengthi1e4:name0:12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe";
    assert_eq!(Metainfo::parse_info(info.as_bytes()).unwrap_err(), MetainfoError::Name);
}

/// A hybrid or v2 torrent of one file of 16 KiB, which the tree calls `in_tree`.
fn one_file(name: &str, in_tree: &str, v1: &str) -> Result<Metainfo, MetainfoError> {
    let text = |text: &str| alloc::format!("{}:{text}", text.len());
    let (before, after) = v1.split_once('|').unwrap_or_default();
    let info = alloc::format!(
        "d9:file treed{}d0:d6:lengthi16384e11:pieces root32:{}eee{before}12:meta versioni2e\
         4:name{}12:piece lengthi16384e{after}e",
        text(in_tree),
        "R".repeat(32),
        text(name)
    );
    Metainfo::parse_info(info.as_bytes())
}

#[test]
fn one_file_in_the_tree_under_another_name_than_the_torrents_is_a_folder_with_one_file() {
    let path =
        |metainfo: Metainfo| (metainfo.name.clone(), metainfo.layout.files()[0].display_path());
    let is = |name: &str, path: &str| (name.to_string(), path.to_string());
    let pieces = alloc::format!("6:pieces20:{}", "h".repeat(20));
    let folder = alloc::format!("5:filesld6:lengthi16384e4:pathl5:x.isoeee|{pieces}");
    let hybrid = one_file("android", "x.iso", &folder).unwrap();
    assert_eq!(path(hybrid), is("android", "android/x.iso"));
    assert_eq!(path(one_file("android", "x.iso", "").unwrap()).1, "x.iso");
    assert_eq!(path(one_file("x.iso", "x.iso", "").unwrap()), is("x.iso", "x.iso"));
    assert_eq!(path(one_file("x.iso", "x.iso", &folder).unwrap()), is("x.iso", "x.iso/x.iso"));
    let file = alloc::format!("6:lengthi16384e|{pieces}");
    assert_eq!(path(one_file("x.iso", "x.iso", &file).unwrap()), is("x.iso", "x.iso"));
    assert_eq!(one_file("y.iso", "x.iso", &file).unwrap_err(), MetainfoError::HybridMismatch);
}

#[test]
fn magnets_survive_a_round_trip() {
    let uri = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
        &dn=a%20%26%20b&tr=http%3A%2F%2Ft%2Fa%3Fk%3D1&ws=http%3A%2F%2Fw&x.pe=1.2.3.4%3A5&so=1,3-5";
    let magnet = Magnet::parse(uri).unwrap();
    assert_eq!(magnet.name.as_deref(), Some("a & b"));
    assert_eq!(magnet.select_only, Some(vec![1, 3, 4, 5]));
    assert_eq!(Magnet::parse(&magnet.to_string()).unwrap(), magnet);
}

#[test]
fn a_magnet_may_be_copied_with_white_space_and_from_a_page() {
    let hash = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
    let plain = Magnet::parse(&alloc::format!("magnet:?xt=urn:btih:{hash}&dn=a&tr=udp://t:1"));
    for uri in [
        alloc::format!(" \r\n\tmagnet:?xt=urn:btih:{hash}&dn=a&tr=udp://t:1\n"),
        alloc::format!("magnet:?xt=urn:btih:{hash}&amp;dn=a&AMP;tr=udp://t:1"),
        alloc::format!("magnet:?xt=urn:btih:%20{hash}%0A&amp;amp;dn=a&&tr=udp://t:1"),
    ] {
        assert_eq!(Magnet::parse(&uri), plain, "{uri:?}");
    }
    assert_eq!(parse_info_hash(&alloc::format!("\u{a0}{hash}\n")), parse_info_hash(hash));
}

#[test]
fn a_magnet_names_one_torrent() {
    let (v1, other) = ("cd".repeat(20), "ce".repeat(20));
    let (v2, other_v2) = ("cd".repeat(32), "ce".repeat(32));
    let parse = |uri: &str| Magnet::parse(&alloc::format!("magnet:?{uri}"));
    let hybrid = alloc::format!("xt=urn:btih:{v1}&xt=urn:btmh:1220{v2}");
    assert!(parse(&hybrid).is_ok_and(|magnet| magnet.v1.is_some() && magnet.v2.is_some()));
    assert!(parse(&alloc::format!("{hybrid}&{hybrid}")).is_ok(), "the same twice");
    let key = "85".repeat(32);
    for second in [
        alloc::format!("{hybrid}&xt=urn:btih:{other}"),
        alloc::format!("{hybrid}&xt.2=urn:btih:{other}"),
        alloc::format!("{hybrid}&xt=urn:btmh:1220{other_v2}"),
        alloc::format!("xs=urn:btpk:{key}&xs=urn:btpk:{other_v2}"),
    ] {
        assert_eq!(parse(&second), Err(MagnetError::TwoTorrents), "{second}");
    }
}

#[test]
fn selections_out_of_all_proportion_are_left_out() {
    let uri = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd&so=0-4294967295,7,9-2";
    assert_eq!(Magnet::parse(uri).unwrap().select_only, Some(vec![7]));
}

std::thread_local! {
    static COMPARED: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// A value that counts how often it is compared.
#[derive(Clone, PartialEq, Eq)]
struct Counted(u32);

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        COMPARED.set(COMPARED.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn twice_as_long_a_list_is_freed_of_duplicates_in_little_more_than_twice_the_work() {
    let work = |count: u32, most: usize| {
        COMPARED.set(0);
        let mut list = limits::Distinct::new(most);
        // Everything once, then everything again.
        for n in 0..2 * count {
            list.add(Counted(n * 7919 % count));
        }
        assert_eq!(list.into_vec().len(), most.min(count as usize));
        COMPARED.get()
    };
    let (once, twice) = (work(5_000, usize::MAX), work(10_000, usize::MAX));
    assert!(twice < once * 23 / 10, "{once} and {twice}");
    // A list that is full costs nothing more.
    assert!(work(100_000, 100) < 2_000);
}

/// A `.torrent` of one file with more entries.
fn torrent_with(more: &str) -> Metainfo {
    let text = alloc::format!(
        "d{more}4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:{}ee",
        "h".repeat(20)
    );
    Metainfo::parse(text.as_bytes()).unwrap()
}

#[test]
fn lists_of_a_torrent_end_where_their_caps_are() {
    let string = |text: &str| alloc::format!("{}:{text}", text.len());
    let urls: String = (0..5_000).map(|n| string(&alloc::format!("http://h/{n}"))).collect();
    let seeds = torrent_with(&alloc::format!("9:httpseedsl{urls}e8:url-listl{urls}e"));
    assert_eq!((seeds.web_seeds().len(), seeds.http_seeds().len()), (MAX_WEB_SEEDS, MAX_WEB_SEEDS));
    assert_eq!(seeds.web_seeds()[255], "http://h/255");
    // In one tier, each a tier of its own, and the same in every tier.
    let one = torrent_with(&alloc::format!("13:announce-listll{urls}ee"));
    assert_eq!(one.trackers().iter().map(Vec::len).collect::<Vec<_>>(), [MAX_TRACKERS]);
    let tiers: String = (0..5_000)
        .map(|n| alloc::format!("l{}e", string(&alloc::format!("udp://h/{n}"))))
        .collect();
    let many = torrent_with(&alloc::format!("13:announce-listl{tiers}e"));
    assert_eq!(many.trackers().len(), MAX_TRACKERS);
    let long = "x".repeat(MAX_URL_BYTES);
    let long =
        torrent_with(&alloc::format!("8:url-list{}", string(&alloc::format!("ftp://{long}"))));
    assert_eq!(long.web_seeds(), Vec::<String>::new());
    let nodes: String = (1..5_000)
        .map(|port| alloc::format!("l4:hosti{port}ee"))
        .chain(["l4:hosti1ee".into()])
        .collect();
    assert_eq!(torrent_with(&alloc::format!("5:nodesl{nodes}e")).nodes().len(), MAX_NODES);
}

#[test]
fn lists_of_a_magnet_end_where_their_caps_are() {
    let mut uri = String::from("magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    for n in 1..5_000 {
        let more = [
            alloc::format!("&tr=udp://h:{n}&ws=http://h/{n}&dht=h:{n}"),
            alloc::format!("&x.pe=9.9.9.9:{n}&x.pe=h:{n}"),
        ];
        more.iter().for_each(|part| uri.push_str(part));
    }
    let magnet = Magnet::parse(&uri).unwrap();
    assert_eq!(magnet.trackers.len(), MAX_TRACKERS);
    assert_eq!(magnet.web_seeds.len(), MAX_WEB_SEEDS);
    assert_eq!(magnet.nodes.len(), MAX_NODES);
    assert_eq!(
        (magnet.peers.len(), magnet.named_peers.len()),
        (MAX_MAGNET_PEERS, MAX_MAGNET_PEERS)
    );
    assert_eq!(Magnet::parse(&"x".repeat(MAX_MAGNET_BYTES + 1)), Err(MagnetError::TooLong));
}

#[test]
fn ranges_of_files_that_overlap_are_counted_once() {
    let start = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
    let select = |so: &str| Magnet::parse(&alloc::format!("{start}&so={so}")).unwrap().select_only;
    assert_eq!(select("7-9,1,8-11,1,10&so=3"), Some(vec![1, 3, 7, 8, 9, 10, 11]));
    // 100,000 ranges of 99,999 files each: expanded one by one they are ten thousand million.
    let many = select(&"0-99998,".repeat(100_000)).unwrap();
    assert_eq!((many.len(), many[99_998]), (99_999, 99_998));
    let most = select("5-16777215,0-3").unwrap();
    assert_eq!((most.len(), most[4]), (MAX_SELECTED, 5));
}

/// The info dictionary of a v2 torrent that declares a file of this many pieces.
fn v2_dictionary(pieces: u64) -> Vec<u8> {
    let tree = alloc::format!("d1:ad0:d6:lengthi{}e11:pieces root32:", pieces * 16_384);
    let mut info = alloc::format!("d9:file tree{tree}").into_bytes();
    info.extend([b'R'; 32]);
    info.extend(b"eee12:meta versioni2e4:name1:x12:piece lengthi16384ee");
    info
}

#[test]
fn a_hash_of_one_version_does_not_lead_to_a_dictionary_of_the_other() {
    let v2 = v2_dictionary(100_000_000);
    assert_eq!(Metainfo::parse_info(&v2).unwrap().geometry.pieces(), 100_000_000);
    let v1 = torrent_with("").info;
    let asked = |v1: Option<&[u8]>, v2: Option<&[u8]>| {
        let (v1, v2) = (v1.map(Sha1Hash::of), v2.map(Sha256Hash::of));
        Magnet { v1, v2, ..Magnet::default() }
    };
    let error = |asked: Magnet, info: &[u8]| asked.with_info(info).unwrap_err();
    assert_eq!(error(asked(Some(&v2), None), &v2), MetainfoError::Identity);
    assert_eq!(error(asked(Some(&v2), Some(&v2)), &v2), MetainfoError::Identity);
    assert_eq!(error(asked(None, Some(&v1)), &v1), MetainfoError::Identity);
    assert_eq!(error(asked(Some(&v1), Some(&v1)), &v1), MetainfoError::Identity);
    assert!(asked(Some(&v1), None).with_info(&v1).is_ok());
    assert!(asked(None, Some(&v2)).with_info(&v2).is_ok());
    // Either hash of a hybrid leads to it.
    let hybrid = zeros(Format::Hybrid, 16_384, vec![file(&["a"], 100_000), file(&["b"], 5)]);
    let hybrid = Metainfo::parse(&hybrid).unwrap().info;
    assert!(asked(Some(&hybrid), None).with_info(&hybrid).is_ok());
    assert!(asked(None, Some(&hybrid)).with_info(&hybrid).is_ok());
}

quickcheck::quickcheck! {
    fn safe_components_never_escape_and_are_stable(raw: Vec<u8>, portable: bool) -> bool {
        let naming = if portable { Naming::PORTABLE } else { Naming::POSIX };
        safe_component(&raw, naming).is_none_or(|name| {
            !name.is_empty()
                && name.len() <= MAX_COMPONENT_BYTES
                && name != "."
                && name != ".."
                && !name.contains(['/', '\0'])
                && !(portable && name.contains('\\'))
                && safe_component(name.as_bytes(), naming) == Some(name)
        })
    }

    fn arbitrary_text_never_panics_the_magnet_parser(text: String) -> bool {
        let _ = Magnet::parse(&text);
        let _ = Magnet::parse(&("magnet:?".to_string() + &text));
        let _ = parse_info_hash(&text);
        true
    }

    fn arbitrary_bytes_never_panic_the_metainfo_parser(bytes: Vec<u8>) -> bool {
        let _ = Metainfo::parse(&bytes);
        let _ = Metainfo::parse_info(&bytes);
        true
    }
}
