//! Torrents with their content.

use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo};

/// Bytes of a piece.
pub const PIECE: u32 = 65_536;

/// A torrent of files of these lengths below the folder `t`, and its content.
pub fn torrent(lengths: &[u64]) -> (Arc<Metainfo>, Vec<u8>) {
    let options =
        CreateOptions { name: "t".into(), piece_length: PIECE, ..CreateOptions::default() };
    let files = lengths.iter().enumerate().map(|(index, length)| InputFile {
        path: vec![format!("d{index}"), format!("f{index}")],
        length: *length,
        executable: false,
    });
    let mut creator = Creator::new(options, files.collect()).unwrap();
    let length: u64 = lengths.iter().sum();
    let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8 + 1).collect();
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            let start = creator.geometry().piece_offset(index) as usize;
            let end = start + creator.geometry().piece_size(index) as usize;
            creator.provide_piece(index, Sha1Hash::of(&bytes[start..end]));
        }
    }
    (Arc::new(Metainfo::parse(&creator.finish().unwrap()).unwrap()), bytes)
}
