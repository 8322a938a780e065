//! Whoever fetches from a web seed, and the rules that are broken in its state.

use eddyline::{AddTorrent, Command, Engine};
use eddyline_sim::{Content, WebServer, World};

/// One that waits for the rest of a run.
pub(super) fn from_the_web() -> Engine {
    let content = Content::new("mutants", 5_000_000, 65_536);
    let mut world = World::new(19);
    let node = world.add_node();
    let server = WebServer::new(&content).at_rate(200_000);
    world.web.servers.insert("http://web.example/".to_owned(), server);
    world.know(&content);
    let mut add = AddTorrent::new(content.metainfo.clone());
    add.mirrors = vec!["http://web.example/".to_owned()];
    add.overwrite = true;
    world.command(node, Command::Add(Box::new(add)));
    let begun = |world: &World| {
        let engine = &world.node(node).engine;
        let views = engine.torrents().flat_map(|id| engine.web_seeds(id));
        views.map(|view| view.downloaded).sum::<u64>() > 100_000
    };
    assert!(world.run_until(30, begun), "part of a run comes");
    world.node(node).engine.clone()
}

/// Rules that are broken in its state.
pub(super) const FROM_THE_WEB: &[&str] = &[
    "requests to web seeds are bounded, and each is one to a server",
    "requests to a web seed equal the recount",
    "every request to a web seed is a connection, and the other way round",
    "a run holds part of its first block only",
];
