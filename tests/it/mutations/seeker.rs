//! Whoever has no more than a magnet, and the rules that are broken in its state.

use eddyline::Engine;
use eddyline_sim::{Content, PeerOptions, World};

/// One that knows a magnet and has fetched a part of the metadata.
pub(super) fn seeker() -> Engine {
    let content = Content::new("mutants", 5_000_000, 1000);
    let mut world = World::new(15);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(20_000);
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add_magnet(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    let some = |world: &World| {
        let came = "metadata pieces that have come are not missing";
        world.node(leech).engine.clone().corrupt(came).is_some()
    };
    assert!(world.run_until(30, some), "a part of the metadata comes");
    let engine = world.node(leech).engine.clone();
    let state = engine.torrents().next().and_then(|id| engine.torrent_state(id));
    assert_eq!(state, Some(eddyline::TorrentState::Metadata));
    engine
}

/// Rules that are broken in the state of one who has no more than a magnet.
pub(super) const IN_A_SEEKER: &[&str] = &[
    "metadata is fetched in few lengths at a time",
    "an address has one place in the search for metadata",
    "few addresses are remembered in the search for metadata",
    "metadata is fetched in lengths that can be",
    "who has to deliver all of the metadata is there",
    "metadata pieces fit the length that was said",
    "metadata that has come is counted",
    "metadata that has come is bounded",
    "metadata pieces that have come are not missing",
    "complete metadata is judged at once",
    "few metadata pieces are asked of a peer at a time",
];
