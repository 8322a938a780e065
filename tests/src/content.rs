//! Payload that is a function of its place, and the torrents that describe it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo, Node};

/// Content of a torrent: every byte follows from its offset. One copy serves any number of disks.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    /// The bytes of all files, padding included, one behind the other.
    pub bytes: Bytes,
}

/// Never zero, so that what was never written is never right by chance.
fn byte_at(offset: u64) -> u8 {
    ((offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ (offset >> 8) as u8).max(1)
}

impl Content {
    /// One file of `length` bytes in pieces of `piece_length`.
    pub fn new(name: &str, length: u64, piece_length: u32) -> Self {
        Self::tiered(name, length, piece_length, &[])
    }

    /// Several files of these lengths, and the URLs of trackers, each a tier.
    pub fn with_files(name: &str, lengths: &[u64], piece_length: u32, trackers: &[&str]) -> Self {
        let files = lengths.iter().enumerate().map(|(index, length)| InputFile {
            path: vec![format!("{index:05}")],
            length: *length,
            executable: false,
        });
        let tiers = trackers.iter().map(|url| vec![(*url).to_owned()]).collect();
        Self::build(name, files.collect(), piece_length, tiers)
    }

    /// One file and the URLs of trackers, each a tier of its own.
    pub fn tracked(name: &str, length: u64, piece_length: u32, trackers: &[&str]) -> Self {
        let tiers: Vec<_> = trackers.iter().map(std::slice::from_ref).collect();
        Self::tiered(name, length, piece_length, &tiers)
    }

    /// One file and tiers of trackers.
    pub fn tiered(name: &str, length: u64, piece_length: u32, tiers: &[&[&str]]) -> Self {
        let file = InputFile { path: vec![], length, executable: false };
        let owned = |tier: &&[&str]| tier.iter().map(|url| (*url).to_owned()).collect();
        Self::build(name, vec![file], piece_length, tiers.iter().map(owned).collect())
    }

    fn build(
        name: &str,
        files: Vec<InputFile>,
        piece_length: u32,
        trackers: Vec<Vec<String>>,
    ) -> Self {
        let options =
            CreateOptions { name: name.into(), piece_length, trackers, ..CreateOptions::default() };
        let mut creator = Creator::new(options, files).expect("a torrent can be made of this");
        let bytes: Bytes = (0..creator.layout().length()).map(byte_at).collect();
        for need in creator.needs().collect::<Vec<_>>() {
            if let CreateNeed::Piece { index } = need {
                let start = creator.geometry().piece_offset(index) as usize;
                let end = start + creator.geometry().piece_size(index) as usize;
                creator.provide_piece(index, Sha1Hash::of(&bytes[start..end]));
            }
        }
        let torrent = creator.finish().expect("everything was hashed");
        let metainfo = Metainfo::parse(&torrent).expect("what was made can be read");
        Self { metainfo: Arc::new(metainfo), bytes }
    }

    /// The same as a private torrent (BEP 27), which is another one: the mark is in the hash.
    pub fn private(&self) -> Self {
        // `private` is the last key of the dictionary, in their order.
        let mut info = self.metainfo.info().to_vec();
        info.truncate(info.len() - 1);
        info.extend_from_slice(b"7:privatei1ee");
        let found = Metainfo::parse_info(&info).expect("a mark more changes nothing else");
        let metainfo = found.with_trackers(self.metainfo.trackers().to_vec());
        Self { metainfo: Arc::new(metainfo), bytes: self.bytes.clone() }
    }

    /// The same with nodes of the DHT that the torrent names, which changes no hash.
    pub fn naming_nodes(&self, nodes: &[SocketAddr]) -> Self {
        let node = |addr: &SocketAddr| Node { host: addr.ip().to_string(), port: addr.port() };
        let metainfo = (*self.metainfo).clone().with_nodes(nodes.iter().map(node).collect());
        Self { metainfo: Arc::new(metainfo), bytes: self.bytes.clone() }
    }

    /// The same with web seeds that the torrent names, which changes no hash.
    pub fn naming_web_seeds(&self, urls: &[String]) -> Self {
        let mut magnet = self.metainfo.magnet();
        magnet.web_seeds = urls.to_vec();
        let metainfo = magnet.with_info(self.metainfo.info()).expect("it is of this torrent");
        let metainfo = metainfo.with_trackers(self.metainfo.trackers().to_vec());
        Self { metainfo: Arc::new(metainfo), bytes: self.bytes.clone() }
    }

    /// The same content by a torrent that names these servers of pieces (BEP 17).
    pub fn naming_http_seeds(&self, urls: &[String]) -> Self {
        let metainfo = (*self.metainfo).clone().with_http_seeds(urls.to_vec());
        Self { metainfo: Arc::new(metainfo), bytes: self.bytes.clone() }
    }

    /// The hash by which peers and trackers know it.
    pub fn hash(&self) -> Sha1Hash {
        self.metainfo.info_hashes().wire()
    }

    /// The bytes of part of a piece.
    pub fn block(&self, piece: u32, begin: u32, length: u32) -> Bytes {
        let start = self.metainfo.geometry().piece_offset(piece) as usize + begin as usize;
        self.bytes.slice(start..start + length as usize)
    }
}
