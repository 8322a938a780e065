//! Encrypted connections (MSE): who speaks how with whom, what a driver enciphers, and strangers that want us to work
//! or to wait.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use eddyline::trace::{Replayer, Trace, redact};
use eddyline::{
    CheckDepth, CloseReason, Config, Encryption, EncryptionLevel, EncryptionMethod,
    EncryptionPolicy, Engine, Notice,
};
use eddyline_mse::{
    Handshake, Initiator, Methods, Need, StreamCipher, cipher_keys, public_key, shared_secret,
};
use eddyline_sim::{Content, NodeId, PeerOptions, Script, ScriptAction, World};

use EncryptionLevel::{Either, Plaintext, Rc4};
use EncryptionPolicy::{Disable, Prefer, Require};

fn config(policy: EncryptionPolicy, level: EncryptionLevel) -> Config {
    Config { encryption: Encryption { policy, level }, ..Config::default() }
}

fn content() -> Content {
    Content::new("hidden", 900_000, 32_768)
}

/// How the connection of a node was made that came about last.
fn came_about(world: &World, node: NodeId) -> Option<Option<EncryptionMethod>> {
    world.node(node).notices.iter().rev().find_map(|notice| match notice {
        Notice::PeerConnected { encryption, .. } => Some(*encryption),
        _ => None,
    })
}

/// A seed and a leecher that calls it; how their connection came about, if it did and all was fetched.
fn pair(seed: Config, leech: Config) -> Option<Option<EncryptionMethod>> {
    let content = content();
    let mut world = World::new(21);
    let (seed, leech) = (world.add_node_with(seed), world.add_node_with(leech));
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let complete = world.run_until(60, |world| world.is_complete(leech));
    assert_eq!(complete, came_about(&world, leech).is_some());
    assert_eq!(came_about(&world, seed), came_about(&world, leech));
    came_about(&world, leech)
}

#[test]
fn every_pair_of_policies_finds_what_suits_both_and_exchanges_all_of_it() {
    let plain = Some(None);
    let rc4 = Some(Some(EncryptionMethod::Rc4));
    let handshake_only = Some(Some(EncryptionMethod::Plaintext));
    let nothing = None;
    for (seed, leech, expected) in [
        ((Disable, Either), (Disable, Either), plain),
        ((Prefer, Either), (Disable, Either), plain),
        ((Disable, Either), (Prefer, Either), plain),
        ((Prefer, Either), (Prefer, Either), plain),
        ((Prefer, Rc4), (Prefer, Either), plain),
        ((Prefer, Either), (Prefer, Rc4), plain),
        // Who requires encryption gets it, whoever chooses.
        ((Prefer, Either), (Require, Either), rc4),
        ((Prefer, Plaintext), (Require, Either), nothing),
        ((Prefer, Plaintext), (Require, Plaintext), handshake_only),
        ((Require, Either), (Prefer, Either), rc4),
        ((Require, Plaintext), (Prefer, Either), handshake_only),
        ((Require, Either), (Require, Plaintext), nothing),
        ((Require, Rc4), (Require, Rc4), rc4),
        ((Require, Either), (Disable, Either), nothing),
        ((Disable, Either), (Require, Either), nothing),
        ((Require, Rc4), (Require, Plaintext), nothing),
        // Where encryption is preferred, methods that do not suit are no reason to part.
        ((Prefer, Rc4), (Prefer, Plaintext), plain),
    ] {
        let found = pair(config(seed.0, seed.1), config(leech.0, leech.1));
        assert_eq!(found, expected, "{seed:?} is called by {leech:?}");
    }
}

#[test]
fn a_magnet_completes_where_everybody_requires_encryption() {
    let content = content();
    let mut world = World::new(22);
    let strict = config(Require, Rc4);
    let (seed, leech) = (world.add_node_with(strict.clone()), world.add_node_with(strict));
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add_magnet(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    assert_eq!(came_about(&world, leech), Some(Some(EncryptionMethod::Rc4)));
}

/// Peers that speak with nobody without encryption hang up when they are called without.
#[test]
fn an_address_that_hangs_up_is_called_with_encryption_soon() {
    let content = content();
    let mut world = World::new(23);
    let seed = world.add_node_with(config(Require, Either));
    let leech = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let rc4 = Some(Some(EncryptionMethod::Rc4));
    assert!(world.run_until(8, |world| came_about(world, leech) == rc4));
    let tries = |world: &World| {
        let closed = |n: &&Notice| matches!(n, Notice::PeerClosed { .. });
        world.node(leech).notices.iter().filter(closed).count()
    };
    assert_eq!(tries(&world), 1);
}

#[test]
fn a_torrent_at_rest_is_found_by_who_calls_with_encryption() {
    let content = content();
    let mut world = World::new(24);
    let seed = world.add_node_with(Config {
        rest_after: Some(Duration::from_secs(20)),
        ..config(Require, Either)
    });
    world.seed(seed, &content);
    let rests = |world: &World| world.node(seed).engine.stats().standby == 1;
    assert!(world.run_until(120, rests));
    let leech = world.add_node_with(config(Require, Either));
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn an_encrypted_run_replays_step_by_step_and_goes_on_from_snapshots() {
    let content = content();
    let mut world = World::new(25);
    let both = config(Require, Rc4);
    let (seed, leech) = (world.add_node_with(both.clone()), world.add_node_with(both));
    world.node_mut(leech).record();
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let mut restored = 0;
    while !world.is_complete(leech) {
        world.run_until(1, |_| false);
        let engine = &world.node(leech).engine;
        let again = Engine::restore(&engine.snapshot()).unwrap();
        again.check_invariants(CheckDepth::Full).unwrap();
        assert_eq!(again.snapshot(), engine.snapshot());
        restored += 1;
    }
    assert!(restored > 0);
    let trace = world.node_mut(leech).trace();
    // What is deciphered by the driver is content like any other: it is not in the trace.
    assert!(trace.len() < 60_000, "{} bytes", trace.len());
    let mut replayer = Replayer::new(Trace::parse(trace).unwrap()).unwrap();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().unwrap();
    }
}

/// A stranger that says what it is made to say, and keeps what it hears.
#[derive(Default)]
struct Stranger {
    first: Vec<u8>,
    each_second: Vec<u8>,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl Script for Stranger {
    fn connected(&mut self) -> Vec<ScriptAction> {
        vec![ScriptAction::Send(Bytes::from(self.first.clone()))]
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        self.heard.borrow_mut().extend_from_slice(bytes);
        Vec::new()
    }

    fn tick(&mut self) -> Vec<ScriptAction> {
        vec![ScriptAction::Send(Bytes::from(self.each_second.clone()))]
    }
}

fn closed_for(world: &World, node: NodeId) -> Vec<CloseReason> {
    let reasons = world.node(node).notices.iter().filter_map(|notice| match notice {
        Notice::PeerClosed { reason, .. } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// What becomes of a stranger with a seed that prefers encryption, within twelve seconds.
fn meets(stranger: Stranger) -> Vec<CloseReason> {
    let mut world = World::new(26);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    world.connect_script(seed, Box::new(stranger));
    for _ in 0..12 {
        world.prompt_scripts();
        world.run(1);
    }
    closed_for(&world, seed)
}

#[test]
fn strangers_that_trickle_pad_without_end_or_send_weak_keys_are_let_go() {
    let key = public_key(&[9; 20]).to_vec();
    let small = |n: u8| {
        let mut key = vec![0; 96];
        key[95] = n;
        key
    };
    let cases = [
        ("silent", vec![], vec![], CloseReason::HandshakeTimeout),
        ("a byte a second", vec![0x77], vec![0x77], CloseReason::HandshakeTimeout),
        ("the first byte of a plain one", vec![19], vec![], CloseReason::HandshakeTimeout),
        ("a key and nothing more", key.clone(), vec![], CloseReason::HandshakeTimeout),
        ("padding without end", key.clone(), vec![0x55; 100], CloseReason::BadMessage),
        ("padding at once", [key, vec![0x55; 532]].concat(), vec![], CloseReason::BadMessage),
        ("a key of 0", small(0), vec![], CloseReason::BadMessage),
        ("a key of 1", small(1), vec![], CloseReason::BadMessage),
        ("a key above the prime", vec![0xff; 96], vec![], CloseReason::BadMessage),
    ];
    for (what, first, each_second, reason) in cases {
        let stranger = Stranger { first, each_second, ..Stranger::default() };
        assert_eq!(meets(stranger), [reason], "{what}");
    }
}

/// The first half of a conversation that our side had with somebody, as one who listened recorded it.
fn recorded(offer: Methods, info_hash: [u8; 20]) -> Vec<u8> {
    let mut out = Vec::new();
    let setup = Initiator { private: [4; 20], pad: &[], inner_pad: 0, info_hash, offer };
    let mut side = Handshake::initiate(setup, b"\x13BitTorrent protocol", &mut out).unwrap();
    let theirs = public_key(&[5; 20]);
    let mut input = &theirs[..];
    assert_eq!(side.receive(&mut input, &mut out), Ok(Need::Agreement));
    side.agree(&[0; 20], &[], &mut out).unwrap();
    out
}

#[test]
fn what_was_recorded_of_another_conversation_is_worth_nothing() {
    let hash = content().metainfo.info_hashes().wire().0;
    let mut first = recorded(Methods::BOTH, hash);
    first.extend([0; 600]);
    let stranger = Stranger { first, ..Stranger::default() };
    let heard = stranger.heard.clone();
    assert_eq!(meets(stranger), [CloseReason::BadMessage]);
    // It gets a public key and padding, and no word of ours.
    assert!(heard.borrow().len() <= 96 + 512);
}

#[test]
fn an_address_that_makes_us_work_out_keys_is_answered_sixteen_times() {
    let mut world = World::new(27);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    let heard: Vec<_> = (0..100u16)
        .map(|n| {
            let stranger = Stranger { first: public_key(&[9; 20]).to_vec(), ..Stranger::default() };
            let heard = stranger.heard.clone();
            let from = format!("198.51.100.7:{}", 2000 + n).parse().unwrap();
            world.connect_script_from(seed, from, Box::new(stranger));
            // No more at once than may wait, for that bound comes first.
            world.run_until(1, |_| false);
            heard
        })
        .collect();
    let answered = heard.iter().filter(|heard| !heard.borrow().is_empty()).count();
    // A burst, and one in two seconds of those that it took.
    assert!((16..=71).contains(&answered), "{answered} were answered");
    // The others waited as long as anybody may who has not shaken hands.
    assert!(closed_for(&world, seed).contains(&CloseReason::HandshakeTimeout));
}

#[test]
fn who_comes_while_one_block_of_addresses_asks_for_all_keys_gets_one_at_once() {
    let mut world = World::new(29);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    let mut answered = 0;
    for second in 0..10u16 {
        for n in 0..90u16 {
            let first = public_key(&[9; 20]).to_vec();
            let from = format!("[2001:db8:1:{:x}::1]:7", second * 100 + n).parse().unwrap();
            world.connect_script_from(
                seed,
                from,
                Box::new(Stranger { first, ..Stranger::default() }),
            );
        }
        let honest = Stranger { first: public_key(&[9; 20]).to_vec(), ..Stranger::default() };
        let heard = honest.heard.clone();
        let from = format!("198.51.{second}.7:7").parse().unwrap();
        world.connect_script_from(seed, from, Box::new(honest));
        world.run_until(1, |_| false);
        answered += u32::from(!heard.borrow().is_empty());
    }
    assert_eq!(answered, 10);
}

#[test]
fn who_has_to_wait_for_a_key_is_answered_when_there_is_one() {
    let mut world = World::new(30);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    let strangers: Vec<_> = (0..80u16)
        .map(|n| {
            // Of many blocks, so that only the pace of all holds them back.
            let stranger = Stranger { first: public_key(&[9; 20]).to_vec(), ..Stranger::default() };
            let heard = stranger.heard.clone();
            let from = format!("198.51.{n}.7:7").parse().unwrap();
            world.connect_script_from(seed, from, Box::new(stranger));
            heard
        })
        .collect();
    let answered = || strangers.iter().filter(|heard| !heard.borrow().is_empty()).count();
    world.run_until(1, |_| answered() >= 50);
    world.run_until(1, |_| answered() == 80);
    assert_eq!(answered(), 80);
}

#[test]
fn who_trickles_while_it_waits_for_a_key_has_us_wake_up_no_more_often_than_who_does_not() {
    let mut world = World::new(31);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    for n in 0..60u16 {
        let first = public_key(&[9; 20]).to_vec();
        let stranger = Stranger { first, each_second: vec![7], ..Stranger::default() };
        let from = format!("[2001:db8:1:{n:x}::1]:7").parse().unwrap();
        world.connect_script_from(seed, from, Box::new(stranger));
    }
    world.run_for(Duration::from_millis(10));
    let before = world.node(seed).engine.snapshot().len();
    for _ in 0..200 {
        world.prompt_scripts();
        world.run_for(Duration::from_millis(2));
    }
    let grown = world.node(seed).engine.snapshot().len().saturating_sub(before);
    // What they sent, and not a timer for each byte of it.
    assert!(grown < 60 * 200 * 2, "{grown} bytes");
}

/// Comes with encryption, shakes hands as a peer does, and hangs up.
struct Visitor {
    side: Option<Handshake>,
    came_in: Rc<RefCell<u32>>,
}

impl Script for Visitor {
    fn connected(&mut self) -> Vec<ScriptAction> {
        let info_hash = content().metainfo.info_hashes().wire().0;
        let hello = [b"\x13BitTorrent protocol", &[0; 8][..], &info_hash, &[7; 20]].concat();
        let offer = Methods::BOTH;
        let setup = Initiator { private: [4; 20], pad: &[], inner_pad: 0, info_hash, offer };
        let mut out = Vec::new();
        self.side = Some(Handshake::initiate(setup, &hello, &mut out).unwrap());
        vec![ScriptAction::Send(out.into())]
    }

    fn received(&mut self, mut bytes: &[u8]) -> Vec<ScriptAction> {
        let Some(side) = &mut self.side else { return Vec::new() };
        let mut out = Vec::new();
        loop {
            match side.receive(&mut bytes, &mut out).unwrap() {
                Need::Bytes => return vec![ScriptAction::Send(out.into())],
                Need::Agreement => side.agree(&[0; 20], &[], &mut out).unwrap(),
                Need::Torrent(_) => unreachable!("who calls knows the torrent"),
                Need::Nothing(_) => {
                    *self.came_in.borrow_mut() += 1;
                    self.side = None;
                    return vec![ScriptAction::Close];
                }
            }
        }
    }
}

#[test]
fn who_shakes_hands_again_and_again_has_no_more_keys_than_who_does_not() {
    let mut world = World::new(28);
    let seed = world.add_node_with(config(Prefer, Either));
    world.seed(seed, &content());
    world.run(2);
    let came_in = Rc::<RefCell<u32>>::default();
    for n in 0..100u16 {
        let visitor = Visitor { side: None, came_in: came_in.clone() };
        let from = format!("198.51.100.7:{}", 2000 + n).parse().unwrap();
        world.connect_script_from(seed, from, Box::new(visitor));
        world.run_until(1, |_| false);
    }
    assert!((16..=66).contains(&*came_in.borrow()), "{} came in", came_in.borrow());
}

/// Answers as a peer with a torrent of its own would, whatever it was called for.
struct Liar {
    selected: u32,
    key: Vec<u8>,
}

impl Script for Liar {
    fn connected(&mut self) -> Vec<ScriptAction> {
        Vec::new()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        self.key.extend_from_slice(bytes);
        let Some(theirs) = self.key.first_chunk::<96>() else { return Vec::new() };
        let secret = shared_secret(&[5; 20], theirs).unwrap();
        let hash = content().metainfo.info_hashes().wire().0;
        let (_, key) = cipher_keys(&secret, &hash);
        let mut inside = [&[0; 8][..], &self.selected.to_be_bytes(), &[0, 0]].concat();
        StreamCipher::new(&key).apply(&mut inside);
        let answer = [&public_key(&[5; 20])[..], &inside].concat();
        self.key.clear();
        vec![ScriptAction::Send(answer.into()), ScriptAction::Close]
    }
}

#[test]
fn a_peer_that_chooses_what_was_not_offered_is_let_go() {
    let content = content();
    let mut world = World::new(28);
    let leech = world.add_node_with(config(Prefer, Rc4));
    let liar = world.add_script(|| Box::new(Liar { selected: 1, key: Vec::new() }));
    world.add(leech, &content, PeerOptions { peers: vec![liar], ..PeerOptions::default() });
    // Plainly it hears nothing that it understands, and is silent; then it is called with encryption.
    world.run(20);
    let reasons = closed_for(&world, leech);
    assert_eq!(reasons, [CloseReason::HandshakeTimeout, CloseReason::BadMessage]);
}

/// Whoever reads a redacted trace learns neither keys nor what was said; the run is plain in it.
#[test]
fn a_redacted_encrypted_run_replays_without_keys() {
    let content = content();
    let mut world = World::new(29);
    let both = config(Require, Rc4);
    let (seed, leech) = (world.add_node_with(both.clone()), world.add_node_with(both));
    world.node_mut(leech).record();
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    let trace = Trace::parse(world.node_mut(leech).trace()).unwrap();
    let redacted = redact(&trace).unwrap().trace;
    let hash = content.metainfo.info_hashes().wire().0;
    assert!(!redacted.windows(20).any(|window| window == hash));
    let mut replayer = Replayer::new(Trace::parse(redacted.into()).unwrap()).unwrap();
    let mut actions = Vec::new();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().unwrap();
        let last = replayer.last().unwrap();
        actions.extend(last.actions.iter().map(|action| format!("{action:?}")));
    }
    assert!(!actions.iter().any(|action| action.contains("Encipher")));
    assert!(actions.iter().any(|action| action.contains("PieceVerified")));
}
