//! Unit tests of names that are not as the torrent has them, and of joiners in names.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{folder, single};
use crate::metainfo::{Metainfo, Naming, safe_component};

#[test]
fn every_path_that_is_not_as_the_torrent_has_it_can_be_told() {
    let told = |metainfo: &Metainfo| metainfo.paths_in_torrent().into_iter().collect::<Vec<_>>();
    let odd = ["..", "", "a/b", "fine", "\u{202e}x", "fine"];
    let said = told(&folder("n", &odd).unwrap());
    let paths = [(0, "n/.."), (1, "n/"), (2, "n/a/b"), (4, "n/\u{202e}x"), (5, "n/fine")];
    assert_eq!(said, paths.map(|(file, path)| (file, path.to_string())));
    assert_eq!(told(&folder("..", &["x"]).unwrap()), [(0, "../x".to_string())]);
    assert_eq!(told(&single("/etc/passwd")), [(0, "/etc/passwd".to_string())]);
    assert_eq!(told(&folder("n", &["a", "b"]).unwrap()), []);
}

#[test]
fn so_can_the_paths_in_a_tree() {
    let file = |name: &str| {
        let root = "r".repeat(32);
        alloc::format!("{}:{name}d0:d6:lengthi1e11:pieces root32:{root}ee", name.len())
    };
    let tree = ["d1:ad", &file(".."), &file("\u{200b}y"), "e", &file("b"), "e"].concat();
    let info =
        alloc::format!("d9:file tree{tree}12:meta versioni2e4:name1:n12:piece lengthi16384ee");
    let metainfo = Metainfo::parse_info(info.as_bytes()).unwrap();
    // Padding stands between files of a tree.
    let said = [(0, "n/a/..".to_string()), (2, "n/a/\u{200b}y".to_string())];
    assert_eq!(metainfo.paths_in_torrent().into_iter().collect::<Vec<_>>(), said);
}

#[test]
fn joiners_stay_in_the_scripts_and_emoji_that_are_spelt_with_them() {
    for naming in [Naming::POSIX, Naming::PORTABLE] {
        let safe = |raw: &str| safe_component(raw.as_bytes(), naming);
        let kept = [
            "👩\u{200d}💻.png",
            "👁\u{fe0f}\u{200d}🗨\u{fe0f}",
            "می\u{200c}خواهم.txt",
            "PDF\u{200c}ها",
            "क्\u{200d}ष",
            "क्\u{200d}",
        ];
        for name in kept {
            assert_eq!(safe(name).as_deref(), Some(name));
        }
        // Where they join nothing, a name is made to look like another one.
        for (raw, name) in [
            ("a\u{200d}b\u{200c}.txt", "ab.txt"),
            ("\u{200d}é", "é"),
            ("é\u{200d}\u{200c}\u{200d}é", "é\u{200d}é"),
            ("a\u{200d}\u{202e}é", "aé"),
            ("é\u{202e}\u{200d}gpj.exe", "é\u{200d}gpj.exe"),
        ] {
            assert_eq!(safe(raw).as_deref(), Some(name));
        }
        assert_eq!(safe("\u{200d}\u{200c}"), None);
        // A name that is cut behind a joiner is as safe as before.
        let cut = safe(&("x".repeat(usize::from(naming.longest) - 8) + "y\u{200d}é.mkv")).unwrap();
        assert_eq!(safe(&cut).as_deref(), Some(&*cut));
    }
}
