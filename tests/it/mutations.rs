//! Every invariant is shown to fire: a state in which it does not hold is made on purpose, by
//! changing a healthy engine that was written out. `tests/MUTATIONS.md` is the table; a test holds
//! it against the sources.

use std::collections::BTreeSet;

use ciborium::Value;
use eddyline::{CheckDepth, Config, Engine};
use eddyline_sim::{Content, Tamper, World};

mod seeker;

use seeker::{IN_A_SEEKER, seeker};

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
        let state = format!("{engine:?}");
        let all = ["Written", "Requested", "Open"];
        all.iter().all(|name| state.contains(&format!("state: {name}")))
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
    world.node(seed).engine.clone()
}

fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    let Value::Map(entries) = value else { panic!("{key}: not a map: {value:?}") };
    let found = entries.iter_mut().find(|(k, _)| matches!(k, Value::Text(text) if text == key));
    found.map(|(_, value)| value).unwrap_or_else(|| panic!("no {key}"))
}

/// Follows a path: names of fields, `0` for the first element of a list or the first value of a
/// map, `+` for the first element that is not null.
fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(value, |value, part| match (part, value) {
        ("0", Value::Array(items)) => items.first_mut().expect("an element"),
        ("0", Value::Map(entries)) => &mut entries.first_mut().expect("an entry").1,
        ("+", Value::Array(items)) => {
            let full = |slot: &&mut Value| {
                matches!(slot, Value::Map(fields) if fields.iter().any(|(k, v)| {
                    matches!(k, Value::Text(text) if text == "value") && !v.is_null()
                }))
            };
            items.iter_mut().find(full).expect("a slot in use")
        }
        (part, value) => entry(value, part),
    })
}

const TORRENT: &str = "torrents.slots.+.value";

fn int(value: i64) -> Value {
    Value::Integer(value.into())
}

fn add(value: &mut Value, by: i64) {
    let Value::Integer(number) = value else { panic!("not a number: {value:?}") };
    let number: i128 = (*number).into();
    *value = int(i64::try_from(number).unwrap() + by);
}

/// A set of pieces with one bit turned over.
fn flip(value: &mut Value, piece: usize) {
    let Value::Array(parts) = value else { panic!("not a set: {value:?}") };
    let Value::Bytes(bytes) = &mut parts[1] else { panic!("not a set") };
    bytes[piece / 8] ^= 0x80 >> (piece % 8);
}

fn bit(value: &Value, piece: usize) -> bool {
    let Value::Array(parts) = value else { panic!("not a set: {value:?}") };
    let Value::Bytes(bytes) = &parts[1] else { panic!("not a set") };
    bytes[piece / 8] & (0x80 >> (piece % 8)) != 0
}

fn pieces(value: &Value) -> Vec<usize> {
    let Value::Array(parts) = value else { panic!("not a set: {value:?}") };
    let Value::Integer(length) = parts[0] else { panic!("not a set") };
    let length = usize::try_from(i128::from(length)).unwrap();
    (0..length).filter(|piece| bit(value, *piece)).collect()
}

/// The first block of any begun piece that is in this state, with its piece.
fn block<'a>(torrent: &'a mut Value, state: &str) -> &'a mut Value {
    let Value::Map(partials) = at(torrent, "picker.partials") else { panic!("no map") };
    for (_, partial) in partials {
        let Value::Array(blocks) = entry(partial, "blocks") else { panic!("no list") };
        for block in blocks {
            if matches!(entry(block, "state"), Value::Text(text) if text == state) {
                return block;
            }
        }
    }
    panic!("no block is {state}")
}

type Mutation = (&'static str, fn(&mut Value));

/// Rules that are broken in a leecher's state.
const IN_A_LEECHER: &[Mutation] = &[
    ("read credit is conserved", |e| add(at(e, "ctx.credit.used"), 1)),
    ("the send budget is conserved", |e| add(at(e, "ctx.sending.used"), 1)),
    ("the assembly budget is conserved", |e| add(at(e, "ctx.assembling.used"), 1)),
    ("disk budgets are conserved", |e| add(at(e, "ctx.disk.intake"), 1)),
    ("connections being made equal the recount", |e| {
        add(at(e, &format!("{TORRENT}.connecting")), 1);
    }),
    ("nothing is left to flush after a step", |e| {
        *at(e, "ctx.flush") = Value::Array(vec![Value::Array(vec![int(0), int(1)])]);
    }),
    ("no torrent is left to settle after a step", |e| {
        *at(e, "ctx.touched") = Value::Array(vec![Value::Array(vec![int(0), int(1)])]);
    }),
    ("no timer is due after a step", |e| *at(e, "ctx.now") = int(i64::MAX)),
    ("every torrent is found by its hash", |e| *at(e, "by_hash") = Value::Map(Vec::new())),
    ("nobody is left to rest or to wake after a step", |e| {
        *at(e, "ctx.woken") = Value::Array(vec![Value::Array(vec![int(0), int(1)])]);
    }),
    ("what is on standby is not in memory", |e| {
        let hash = any_hash(e);
        let kept = [("announce", Value::Null), ("told", int(0)), ("dht", Value::Null)];
        let totals = [("received", int(0)), ("sent", int(0))];
        let kept = kept.into_iter().chain(totals);
        let kept = kept.map(|(name, value)| (Value::Text(name.into()), value)).collect();
        let Value::Map(known) = at(e, "standby.known") else { panic!("no map") };
        known.push((hash, Value::Array(vec![Value::Map(kept), Value::Null])));
    }),
    ("what is on standby is either wanted or has its turn", |e| {
        let hash = any_hash(e);
        *at(e, "standby.due") = Value::Array(vec![Value::Array(vec![int(7), hash])]);
    }),
    ("connection counters equal the recount", |e| add(at(e, "ctx.conns.half_open"), 1)),
    ("no decision is left over after a step", |e| {
        *at(e, &format!("{TORRENT}.haves.news")) = Value::Bool(true);
    }),
    ("peers are found by their keys", |e| {
        let Value::Map(keys) = at(e, &format!("{TORRENT}.by_key")) else { panic!("no map") };
        keys[0].1 = Value::Array(vec![int(999), int(9)]);
    }),
    ("every key belongs to a peer", |e| {
        let Value::Map(keys) = at(e, &format!("{TORRENT}.by_key")) else { panic!("no map") };
        keys.push((int(1_000_000), Value::Array(vec![int(999), int(9)])));
    }),
    ("every peer is a connection of its torrent", |e| {
        let Value::Array(slots) = at(e, "ctx.conns.conns.slots") else { panic!("no list") };
        for slot in slots {
            let conn = entry(slot, "value");
            if !conn.is_null() {
                *entry(conn, "torrent") = Value::Null;
            }
        }
    }),
    ("outstanding requests stay within the depth", |e| {
        *at(e, "ctx.config.max_outstanding_requests") = int(1);
    }),
    ("a peer interests by missing pieces only", |e| {
        *at(e, &format!("{TORRENT}.peers.0.interesting")) = int(100_000);
    }),
    ("interest is shown only in peers that have something", |e| {
        let Value::Map(peers) = at(e, &format!("{TORRENT}.peers")) else { panic!("no map") };
        for (_, peer) in peers {
            *entry(peer, "interesting") = int(0);
        }
    }),
    ("interest equals the recount of bit fields", |e| {
        let Value::Map(peers) = at(e, &format!("{TORRENT}.peers")) else { panic!("no map") };
        let interesting = peers.iter_mut().map(|(_, peer)| entry(peer, "interesting"));
        let counted = |value: &&mut Value| **value != int(0) && **value != int(1);
        add(interesting.into_iter().find(counted).expect("a peer with something"), -1);
    }),
    ("whoever has not been heard stands in line once", |e| {
        *at(e, &format!("{TORRENT}.peers.0.unheard")) = Value::Bool(true);
    }),
    ("whoever was not told of every piece is on the list", |e| {
        *at(e, &format!("{TORRENT}.peers.0.haves_told")) = int(0);
    }),
    ("whoever does not deliver is known as silent", |e| {
        *at(e, &format!("{TORRENT}.peers.0.requests.snubbed")) = Value::Bool(true);
    }),
    ("what is with the driver equals the recount", |e| {
        add(at(e, &format!("{TORRENT}.peers.0.outbox.messages")), 1);
    }),
    ("bytes that wait are accounted for", |e| {
        add(at(e, &format!("{TORRENT}.peers.0.assembling")), 1);
        add(at(e, "ctx.assembling.used"), 1);
    }),
    ("no message waits after a step", |e| {
        *at(e, &format!("{TORRENT}.peers.0.outbox.queued")) = Value::Bytes(vec![0, 0, 0, 0]);
    }),
    ("a piece is in two states", |e| {
        let picker = at(e, &format!("{TORRENT}.picker"));
        let unstarted = pieces(entry(picker, "unstarted"))[0];
        flip(entry(picker, "have"), unstarted);
    }),
    ("missing is wanted and not verified", |e| {
        let picker = at(e, &format!("{TORRENT}.picker"));
        let verified = pieces(entry(picker, "have"))[0];
        flip(entry(picker, "missing"), verified);
    }),
    ("unstarted is missing and not begun", |e| {
        let picker = at(e, &format!("{TORRENT}.picker"));
        let unstarted = pieces(entry(picker, "unstarted"))[0];
        flip(entry(picker, "unstarted"), unstarted);
    }),
    ("unstarted pieces stand in buckets", |e| {
        let picker = at(e, &format!("{TORRENT}.picker"));
        let unstarted = pieces(entry(picker, "unstarted"))[0];
        let Value::Array(places) = at(picker, "availability.place") else { panic!("no list") };
        places[unstarted] = int(u32::MAX.into());
    }),
    ("no unstarted piece below the cursor", |e| {
        *at(e, &format!("{TORRENT}.picker.first_unstarted")) = int(1_000_000);
    }),
    ("open partials are listed", |e| {
        *at(e, &format!("{TORRENT}.picker.open.listed")) = Value::Map(Vec::new());
    }),
    ("what is listed as open is begun", |e| {
        let first = Value::Array(vec![int(0), int(0), int(0)]);
        *at(e, &format!("{TORRENT}.picker.open.ranked.0")) = Value::Array(vec![first]);
    }),
    ("open blocks have no requester and lie behind the cursor", |e| {
        let block = block(at(e, TORRENT), "Open");
        *entry(block, "peers") = Value::Array(vec![int(77)]);
    }),
    ("requested blocks have a requester", |e| {
        let block = block(at(e, TORRENT), "Requested");
        *entry(block, "peers") = Value::Array(Vec::new());
    }),
    ("block counters equal the recount", |e| {
        let block = block(at(e, TORRENT), "Written");
        *entry(block, "state") = Value::Text("Writing".into());
    }),
    ("nothing is asked for while the disk is full", |e| {
        let wait = [("secs", int(5)), ("nanos", int(0))];
        let wait = wait.map(|(name, value)| (Value::Text(name.into()), value));
        let full = [("until", int(i64::MAX)), ("wait", Value::Map(wait.into()))];
        let full = full.map(|(name, value)| (Value::Text(name.into()), value));
        *at(e, &format!("{TORRENT}.full_disk")) = Value::Map(full.into());
    }),
    ("nothing is asked for before it is on record whose files these are", |e| {
        *at(e, &format!("{TORRENT}.unclaimed")) = Value::Bool(true);
    }),
    ("nothing is asked for while the data moves", |e| {
        let moving = vec![(Value::Text("Move".into()), int(1))];
        *at(e, &format!("{TORRENT}.arrangement.busy")) = Value::Map(moving);
    }),
    ("only suspects are hashed as suspects", |e| {
        *at(e, &format!("{TORRENT}.doubt.hashing")) = Value::Array(vec![int(0)]);
    }),
    ("a private torrent knows only peers of its trackers", |e| {
        *at(e, &format!("{TORRENT}.metainfo.private")) = Value::Bool(true);
        let known = at(e, &format!("{TORRENT}.candidates.known.0"));
        *entry(known, "source") = Value::Text("Pex".into());
    }),
    ("known addresses are bounded and counted, whoever names them", |e| {
        let busy = at(e, &format!("{TORRENT}.candidates.known.0.busy"));
        *busy = Value::Bool(*busy != Value::Bool(true));
    }),
    ("evidence is counted and bounded", |e| {
        add(at(e, &format!("{TORRENT}.blame.evidence")), 1);
    }),
    ("bans are enforced at once, and what is held against addresses is bounded", |e| {
        let Value::Map(hosts) = at(e, "ctx.conns.per_host") else { panic!("no map") };
        let host = hosts[0].0.clone();
        *at(e, "ctx.standing.fresh") = Value::Array(vec![host]);
    }),
    ("requests on record equal those outstanding at peers", |e| {
        let block = block(at(e, TORRENT), "Requested");
        *entry(block, "peers") = Value::Array(vec![int(4_000_000)]);
    }),
    ("availability equals the recount of bit fields", |e| {
        add(at(e, &format!("{TORRENT}.picker.availability.seeds")), 1);
    }),
    ("occupied buckets are marked", |e| {
        *at(e, &format!("{TORRENT}.picker.availability.occupied")) = Value::Array(vec![int(0); 7]);
    }),
    ("listed pieces know their place", |e| {
        let picker = at(e, &format!("{TORRENT}.picker"));
        let listed = pieces(entry(picker, "unstarted"))[0];
        let Value::Array(places) = at(picker, "availability.place") else { panic!("no list") };
        places[listed] = int(100_000);
    }),
];

/// Rules that are broken in a seed's state.
const IN_A_SEED: &[Mutation] = &[
    ("the upload queue stays within reqq", |e| {
        *at(e, "ctx.config.max_queued_requests") = int(0);
    }),
    ("few metadata pieces wait for a peer", |e| {
        let waiting = (0..1025).map(int).collect();
        *at(e, &format!("{TORRENT}.peers.0.metadata.waiting")) = Value::Array(waiting);
    }),
];

/// Rules that are broken in the state of a node of the DHT.
const IN_A_NODE: &[Mutation] = &[
    ("the routing table has a bounded number of buckets", |e| {
        *at(e, "dht.nodes.0.table.buckets") = Value::Array(Vec::new());
    }),
    ("a bucket of the routing table is bounded", |e| {
        let Value::Array(nodes) = at(e, "dht.nodes.0.table.buckets.0.nodes") else { panic!() };
        let node = nodes[0].clone();
        nodes.extend(vec![node; 9]);
    }),
    ("a node of the routing table is in its bucket", |e| {
        let Value::Array(buckets) = at(e, "dht.nodes.0.table.buckets") else { panic!() };
        assert!(buckets.len() > 1, "there is more than one bucket");
        buckets.reverse();
    }),
    ("a bucket of the routing table has one node of an address", |e| {
        let Value::Array(nodes) = at(e, "dht.nodes.0.table.buckets.0.nodes") else { panic!() };
        let node = nodes[0].clone();
        nodes.truncate(5);
        nodes.push(node);
    }),
    ("peers stored for others are counted and bounded", |e| {
        add(at(e, "dht.nodes.0.peers.count"), 1);
    }),
    ("lookups in the DHT are bounded", |e| {
        let waiting = (0..1001).map(|n| {
            let target = Value::Array(vec![int(0); 20]);
            Value::Array(vec![int(n), target, Value::Text("Nodes".into())])
        });
        *at(e, "dht.nodes.0.waiting") = Value::Array(waiting.collect());
    }),
    ("every query to the DHT ends at last", |e| {
        *at(e, "dht.nodes.0.sent") = Value::Array(Vec::new());
        let Value::Map(transactions) = at(e, "dht.nodes.0.transactions") else { panic!() };
        let transaction = [
            ("to", Value::Map(vec![(Value::Text("V4".into()), endpoint())])),
            ("id", Value::Null),
            ("purpose", Value::Text("Ping".into())),
        ];
        let fields = transaction.map(|(name, value)| (Value::Text(name.into()), value));
        transactions.push((int(1), Value::Map(fields.into())));
    }),
    ("addresses that strangers name are counted in bounded memory", |e| {
        let node = Value::Map(vec![(Value::Text("V4".into()), endpoint())]);
        *at(e, "ctx.introductions.waiting") = Value::Array(vec![node; 11]);
    }),
    ("look-ups that strangers cause are counted and bounded", |e| {
        add(at(e, "trackers.wishes.in_progress"), 1);
    }),
    ("every torrent has one turn in the DHT", |e| {
        *at(e, "dht.queue") = Value::Array(Vec::new());
        let Value::Map(turns) = at(e, "dht.turns") else { panic!("no map") };
        turns.push((Value::Array(vec![int(9), int(9)]), int(7)));
    }),
];

/// A hash of a torrent as it is written out.
fn any_hash(e: &mut Value) -> Value {
    let Value::Map(hashes) = at(e, "by_hash") else { panic!("no map") };
    hashes[0].0.clone()
}

/// 1.2.3.4:5 as it is written out.
fn endpoint() -> Value {
    let ip = Value::Array([1, 2, 3, 4].map(int).into());
    Value::Array(vec![ip, int(5)])
}

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

fn broken(engine: &Engine, mutate: fn(&mut Value)) -> Option<&'static str> {
    let mut state = Value::serialized(engine).unwrap();
    mutate(&mut state);
    let engine: Engine = state.deserialized().unwrap();
    engine.check_invariants(CheckDepth::Full).err().map(|violation| violation.rule)
}

#[test]
fn every_invariant_fires_when_it_is_broken() {
    let (leecher, seed, seeker, node) = (leecher(), seed(), seeker(), node());
    assert_eq!(broken(&leecher, |_| ()), None);
    assert_eq!(broken(&seed, |_| ()), None);
    assert_eq!(broken(&seeker, |_| ()), None);
    assert_eq!(broken(&node, |_| ()), None);
    for (rule, mutate) in IN_A_LEECHER {
        assert_eq!(broken(&leecher, *mutate), Some(*rule));
    }
    for (rule, mutate) in IN_A_SEED {
        assert_eq!(broken(&seed, *mutate), Some(*rule));
    }
    for (rule, mutate) in IN_A_NODE {
        assert_eq!(broken(&node, *mutate), Some(*rule));
    }
    for (rule, mutate) in IN_A_SEEKER {
        assert_eq!(broken(&seeker, *mutate), Some(*rule));
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
    let tried = [IN_A_LEECHER, IN_A_SEED, IN_A_SEEKER, IN_A_NODE].concat();
    let tried: BTreeSet<_> = tried.iter().map(|(rule, _)| (*rule).to_owned()).collect();
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
