//! The target for web seeds: servers that answer as the fuzzer wants.

use std::sync::OnceLock;

use bytes::Bytes;
use eddyline::{AddTorrent, Command, PeerSource, TorrentCommand};

use crate::content::Content;
use crate::web_server::{Manners, WebServer};
use crate::world::World;

/// Servers: of files, one of them named by the user, and one of pieces.
const SERVERS: usize = 4;
const OF_PIECES: usize = 3;
/// Virtual seconds that they have.
const SECONDS: u64 = 120;
/// Requests that a server may get in that time for nothing: it fails, or lacks each file and each piece.
const FOR_NOTHING: u64 = 60;
/// Requests that one may become by redirects.
const HOPS: u64 = 6;

fn content() -> &'static Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT.get_or_init(|| {
        let lengths = [100_000, 0, 16_384, 1, 150_000];
        let files: Vec<String> =
            (0..SERVERS).filter(|n| *n != OF_PIECES && *n != 1).map(url).collect();
        let content = Content::with_files("MARK", &lengths, 32_768, &[]);
        content.naming_web_seeds(&files).naming_http_seeds(&[url(OF_PIECES)])
    })
}

fn url(number: usize) -> String {
    format!("http://fuzz{number}.example/")
}

/// Whatever servers answer: what is asked of them is bounded by what they send, no piece counts that is not right, and
/// a peer that has everything is enough for the torrent to be complete.
pub fn web_seeds(data: &[u8]) {
    let mut world = World::new(6);
    let (seed, node) = (world.add_node(), world.add_node());
    world.seed(seed, content());
    let part = data.len().div_ceil(SERVERS).max(1);
    for number in 0..SERVERS {
        let script = data.chunks(part).nth(number).unwrap_or_default();
        let manners = Manners::Fuzzed(Bytes::copy_from_slice(script));
        let mut server = WebServer::new(content()).with(manners);
        server.of_pieces = number == OF_PIECES;
        world.web.servers.insert(url(number), server);
    }
    let mut torrent = AddTorrent::new(content().metainfo.clone());
    torrent.mirrors = vec![url(1)];
    torrent.overwrite = true;
    world.command(node, Command::Add(Box::new(torrent)));
    world.run(SECONDS);
    for (url, server) in &world.web.servers {
        let most = HOPS * (SERVERS as u64 * FOR_NOTHING + server.sent / 16_384);
        assert!(server.asked.len() as u64 <= most, "{url} was asked {} times", server.asked.len());
    }
    let id = world.node(node).torrents()[0];
    let have = world.node(node).engine.torrent(id).expect("it is there").have;
    assert!(have.ones().all(|piece| world.node(node).disk.is_piece_right(id, piece)));
    let peers = vec![world.node(seed).addr];
    world.command(node, TorrentCommand::AddPeers { peers, source: PeerSource::User }.of(id));
    assert!(world.run_until(300, |world| world.is_complete(node)), "a peer is enough");
}
