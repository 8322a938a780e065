//! Every invariant is shown to fire: a healthy engine is damaged on purpose, by `Engine::corrupt`, so
//! that it does not hold. `tests/MUTATIONS.md` is the table; a test holds
//! it against the sources.

use std::collections::BTreeSet;
use std::time::Duration;

use eddyline::{CheckDepth, Config, Engine, FileRange, ReadAhead, ReaderId, TorrentCommand};
use eddyline_sim::{Content, Tamper, World};

mod seeker;
mod web;

use seeker::{IN_A_SEEKER, seeker};
use web::{FROM_THE_WEB, from_the_web};

/// What can only be broken with a block in a certain state: open, asked for, written.
const BLOCKS_IN_ALL_STATES: [&str; 3] = [
    "open blocks have no requester and lie behind the cursor",
    "requested blocks have a requester",
    "block counters equal the recount",
];

/// A leecher in the middle of a download, with requests out, blocks on disk and pieces verified.
fn leecher() -> Engine {
    let content = Content::new("mutants", 2_000_000, 65_536);
    let mut world = World::new(13);
    let nodes: Vec<_> = (0..4).map(|_| world.add_node()).collect();
    for node in &nodes {
        world.node_mut(*node).access.up = Some(150_000);
    }
    world.seed(nodes[0], &content);
    for leech in &nodes[1..] {
        world.leech(*leech, &content, &nodes[..*leech]);
    }
    // Until all states are there: blocks asked for, written and open, pieces verified.
    let found = world.run_until(40, |world| {
        let engine = &world.node(2).engine;
        let mut views = engine.torrents().filter_map(|id| engine.torrent(id));
        let mut peers = engine.torrents().flat_map(|id| engine.peers(id));
        if !views.any(|view| view.done > 0) || !peers.any(|peer| peer.outstanding > 8) {
            return false;
        }
        BLOCKS_IN_ALL_STATES.iter().all(|rule| engine.clone().corrupt(rule).is_some())
    });
    assert!(found, "every state is there at some moment");
    let engine = world.node(2).engine.clone();
    engine.check_invariants(CheckDepth::Full).unwrap();
    engine
}

/// A seed with requests of a peer in its queue.
fn seed() -> Engine {
    let content = Content::new("mutants", 2_000_000, 65_536);
    let mut world = World::new(14);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(50_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let queued = |world: &World| {
        let engine = &world.node(seed).engine;
        engine.torrents().flat_map(|id| engine.peers(id)).any(|peer| peer.queued > 2)
    };
    assert!(world.run_until(30, queued), "somebody asks for more than is sent at once");
    let mut engine = world.node(seed).engine.clone();
    let range = FileRange { file: 0, offset: 1_000_000, length: 500_000 };
    let ahead = Some(ReadAhead { range, within: Duration::from_secs(30), rate: None });
    let read = TorrentCommand::SetReader { reader: ReaderId(1), ahead };
    let _ = engine.step(world.now(), [read.of(world.torrent(seed)).into()], &mut Vec::new());
    engine
}

/// Rules that are broken in a leecher's state.
const IN_A_LEECHER: &[&str] = &[
    "read credit is conserved",
    "the send budget is conserved",
    "the assembly budget is conserved",
    "disk budgets are conserved",
    "connections being made equal the recount",
    "TCP is held to what is set and to what it leaves to µTP",
    "nothing is left to flush after a step",
    "no torrent is left to settle after a step",
    "no timer is due after a step",
    "every torrent is found by its hash",
    "every torrent is found by what stands for it in encrypted handshakes",
    "no more is deciphered by the engine than was granted",
    "nobody is left to rest or to wake after a step",
    "what is on standby is not in memory",
    "what is on standby is either wanted or has its turn",
    "whoever waits for a host stands in its line, and each line has its turn",
    "announces in progress at a host equal the recount",
    "whoever waits for a tracker stands in one line, and each line has its turn",
    "nobody waits for a tracker that could be asked",
    "connection counters equal the recount",
    "no decision is left over after a step",
    "peers are found by their keys",
    "every key belongs to a peer",
    "every peer is a connection of its torrent",
    "outstanding requests stay within the depth",
    "a peer interests by missing pieces only",
    "interest is shown only in peers that have something",
    "interest equals the recount of bit fields",
    "whoever has not been heard stands in line once",
    "whoever was not told of every piece is on the list",
    "whoever does not deliver is known as silent",
    "what is with the driver equals the recount",
    "bytes that wait are accounted for",
    "no message waits after a step",
    "a piece is in two states",
    "missing is wanted and not verified",
    "unstarted is missing and not begun",
    "unstarted pieces stand in buckets",
    "no unstarted piece below the cursor",
    "open partials are listed",
    "what is listed as open is begun",
    "open blocks have no requester and lie behind the cursor",
    "requested blocks have a requester",
    "block counters equal the recount",
    "nothing is asked for while the disk is full",
    "nothing is asked for before it is on record whose files these are",
    "nothing is asked for while the data moves",
    "only suspects are hashed as suspects",
    "a private torrent knows only peers of its trackers",
    "known addresses are bounded and counted, whoever names them",
    "it is known at any time which address makes room",
    "evidence is counted and bounded",
    "bans are enforced at once, and what is held against addresses is bounded",
    "nobody is connected or called at an address that is blocked",
    "requests on record equal those outstanding at peers",
    "availability equals the recount of bit fields",
    "occupied buckets are marked",
    "listed pieces know their place",
];

/// Rules that are broken in a seed's state.
const IN_A_SEED: &[&str] = &[
    "the upload queue stays within reqq",
    "few metadata pieces wait for a peer",
    "a reader has all pieces before its front",
];

/// Rules that are broken in the state of a node of the DHT.
const IN_A_NODE: &[&str] = &[
    "the routing table has a bounded number of buckets",
    "a bucket of the routing table is bounded",
    "a node of the routing table is in its bucket",
    "a bucket of the routing table has one node of an address",
    "peers stored for others are counted and bounded",
    "items stored for others are counted and bounded",
    "lookups in the DHT are bounded",
    "every query to the DHT ends at last",
    "addresses that strangers name are counted in bounded memory",
    "look-ups that strangers cause are counted and bounded",
    "conversations with UDP trackers are counted by address",
    "every torrent has one turn in the DHT",
];

/// One of forty nodes of a DHT.
fn node() -> Engine {
    let mut world = World::new(16);
    world.trackerless = true;
    let config = Config { dht_bootstrap: vec!["10.0.0.1:6881".into()], ..Config::default() };
    for _ in 0..40 {
        world.add_node_with(config.clone());
    }
    world.run(60);
    world.node(7).engine.clone()
}

/// Rules that are broken in the state of a seed whose peers come over µTP.
const OVER_UTP: &[&str] = &[
    "every stream over µTP has a connection of the machine",
    "every stream over µTP is that of a connection",
    "bytes are offered, sent and released in this order",
    "bytes under way over µTP are counted and bounded",
    "the machine of µTP has said everything after a step",
    "introductions are counted and bounded, whoever asks for them",
    "hosts of web seeds are counted in bounded memory",
];

fn over_utp() -> Engine {
    let content = Content::new("mutants", 2_000_000, 65_536);
    let mut world = World::new(18);
    let config = Config { transports: eddyline::Transports::Utp, ..Config::default() };
    let (seed, leech) = (world.add_node_with(config.clone()), world.add_node_with(config));
    world.node_mut(seed).access.up = Some(50_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(20);
    world.node(seed).engine.clone()
}

/// What the engine finds when a rule was broken.
fn broken(engine: &Engine, rule: &str) -> Option<&'static str> {
    let mut engine = engine.clone();
    assert!(engine.corrupt(rule).is_some(), "nothing to break with: {rule}");
    engine.check_invariants(CheckDepth::Full).err().map(|violation| violation.rule)
}

#[test]
fn every_invariant_fires_when_it_is_broken() {
    let states = [
        (leecher(), IN_A_LEECHER),
        (seed(), IN_A_SEED),
        (seeker(), IN_A_SEEKER),
        (node(), IN_A_NODE),
        (over_utp(), OVER_UTP),
        (from_the_web(), FROM_THE_WEB),
    ];
    for (engine, rules) in &states {
        assert_eq!(engine.check_invariants(CheckDepth::Full), Ok(()));
        for rule in *rules {
            assert_eq!(broken(engine, rule), Some(*rule));
        }
    }
}

/// Rules in the sources: whatever is returned as `Err("..")` by a check.
fn rules_in(folder: &str) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for (_, text) in crate::tidy::sources(folder) {
        let found = text.split("Err(\"").skip(1).filter_map(|rest| rest.split('"').next());
        rules.extend(found.map(str::to_owned));
    }
    rules
}

#[test]
fn the_table_of_mutations_is_complete() {
    let table = include_str!("../MUTATIONS.md");
    let listed: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .map(str::to_owned)
        .collect();
    let shape = ["every list of a picker has its length", "every list of a torrent has its length"];
    let mut rules = rules_in("engine/src");
    rules.retain(|rule| !shape.contains(&rule.as_str()));
    let tried = [IN_A_LEECHER, IN_A_SEED, IN_A_SEEKER, IN_A_NODE, OVER_UTP, FROM_THE_WEB].concat();
    let tried: BTreeSet<_> = tried.iter().map(|rule| (*rule).to_owned()).collect();
    assert_eq!(rules, tried, "rules in the sources, and rules that are broken on purpose");
    let missing: Vec<_> = rules.difference(&listed).collect();
    assert!(missing.is_empty(), "not in MUTATIONS.md: {missing:?}");
    for rule in shape {
        assert!(listed.contains(rule), "{rule}");
    }
}

/// Three in a row, the first one complete; each knows only the one before it.
fn chain(tamper: Option<Tamper>, at: usize) -> bool {
    let content = Content::new("chain", 500_000, 32_768);
    let mut world = World::new(15);
    world.watch = false;
    // The ends must not hear of each other.
    let config = Config { pex: false, ..Config::default() };
    let nodes: Vec<_> = (0..3).map(|_| world.add_node_with(config.clone())).collect();
    world.seed(0, &content);
    world.node_mut(0).access.up = Some(40_000);
    world.node_mut(at).tamper = tamper;
    world.leech(2, &content, &nodes[1..2]);
    world.leech(1, &content, &nodes[..1]);
    world.run_until(120, |world| world.is_complete(1) && world.is_complete(2))
}

#[test]
fn losing_a_have_stops_a_chain() {
    assert!(chain(None, 1));
    assert!(!chain(Some(Tamper::LoseHaves), 1));
}

#[test]
fn losing_interest_or_an_unchoke_stops_a_download() {
    assert!(!chain(Some(Tamper::LoseInterested), 1));
    assert!(!chain(Some(Tamper::LoseUnchokes), 0));
}

/// Bytes wasted by a leecher with four slow seeds, whose endgame asks several for the last blocks.
fn waste(seed: u64, tamper: Option<Tamper>) -> u64 {
    let content = Content::new("waste", 1_000_000, 32_768);
    let mut world = World::new(seed);
    world.watch = false;
    // What waits in a seed's queue can be cancelled; what its system has taken cannot.
    let config = Config { send_backlog: 1, ..Config::default() };
    let seeds: Vec<_> = (0..4).map(|_| world.add_node_with(config.clone())).collect();
    for (number, seed) in seeds.iter().enumerate() {
        world.node_mut(*seed).access.up = Some(15_000 * (number as u64 + 1));
        world.seed(*seed, &content);
    }
    let leech = world.add_node();
    world.node_mut(leech).tamper = tamper;
    world.leech(leech, &content, &seeds);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    world.run(20);
    let torrent = world.torrent(leech);
    world.node(leech).engine.torrent(torrent).unwrap().wasted
}

#[test]
fn losing_cancels_wastes_what_cancels_save() {
    let sum = |tamper: Option<Tamper>| (16..22).map(|seed| waste(seed, tamper)).sum::<u64>();
    let (with, without) = (sum(None), sum(Some(Tamper::LoseCancels)));
    assert!(
        with * 3 <= without * 2 && without > 0,
        "{with} bytes wasted, {without} without cancels"
    );
}

/// Seconds until a download is complete whose last blocks lie with a peer that has fallen silent.
fn seconds_with(endgame: bool) -> u64 {
    let content = Content::new("endgame", 500_000, 32_768);
    let mut world = World::new(17);
    let config = Config { endgame, ..Config::default() };
    let (seed, leech) = (world.add_node(), world.add_node_with(config));
    world.node_mut(seed).access.up = Some(100_000);
    let copy = content.clone();
    let silent = world.add_script(move || {
        let mut left = 6;
        eddyline_sim::Puppet::seed(&copy, b'S', move |_, block| {
            left -= i32::from(left > 0);
            (left > 0).then_some(block)
        })
        .boxed()
    });
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr, silent];
    world.add(leech, &content, eddyline_sim::PeerOptions { peers, ..Default::default() });
    let began = world.now();
    assert!(world.run_until(300, |world| world.is_complete(leech)));
    world.now().since(began).as_secs()
}

#[test]
fn without_the_endgame_a_silent_peer_holds_the_end_up() {
    let (with, without) = (seconds_with(true), seconds_with(false));
    assert!(with < 12, "{with} s");
    assert!(without >= 18, "{without} s without endgame");
}
