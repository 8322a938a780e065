//! No torrent panics the parser, and no accepted path could leave the folder.
#![no_main]

use eddyline::metainfo::Metainfo;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    let mut end = 0;
    for file in metainfo.layout.files() {
        assert_eq!(file.offset, end);
        end += file.length;
        let parts = file.path.iter().chain(file.symlink.iter().flatten());
        for part in parts {
            assert!(!part.is_empty() && part != "." && part != "..");
            assert!(!part.contains(['/', '\\', '\0']));
        }
    }
    assert_eq!(end, metainfo.geometry.length());
});
