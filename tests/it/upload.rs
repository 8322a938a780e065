//! What is served, to whom, and in which words.

use std::rc::Rc;

use eddyline::wire::{BlockRequest, Message};
use eddyline::{Config, Notice, RateLimits, TorrentCommand};
use eddyline_sim::{Content, NodeId, World};

use eddyline_sim::{Heard, Puppet};

fn content() -> Content {
    Content::new("upload", 1_000_000, 32_768)
}

fn request(piece: u32) -> Message {
    Message::Request(BlockRequest { piece, begin: 0, length: 16_384 })
}

fn count(heard: &Heard, wanted: impl Fn(&Message) -> bool) -> usize {
    heard.borrow().iter().filter(|message| wanted(message)).count()
}

/// A seed with `slots` upload slots, and a puppet that says `opening`.
fn serve(slots: u32, puppet: Puppet) -> (World, Heard) {
    let content = content();
    let mut world = World::new(61);
    let seed = world.add_node_with(Config { unchoke_slots: Some(slots), ..Config::default() });
    world.seed(seed, &content);
    world.run(2);
    let heard = puppet.heard();
    world.connect_script(seed, puppet.boxed());
    world.run(5);
    (world, heard)
}

#[test]
fn what_a_torrents_own_limit_lets_through_is_shared_by_all_its_peers() {
    let content = Content::new("film", 20 << 20, 262_144);
    let mut world = World::new(5);
    let seed = world.add_node_with(Config { unchoke_slots: Some(4), ..Config::default() });
    world.seed(seed, &content);
    let leeches: Vec<_> =
        (0..4).map(|_| world.add_node_with(Config { pex: false, ..Config::default() })).collect();
    world.run(2);
    let limits = RateLimits { down: None, up: Some(200_000) };
    let torrent = world.torrent(seed);
    world.command(seed, TorrentCommand::SetLimits(limits).of(torrent));
    leeches.iter().for_each(|leech| world.leech(*leech, &content, &[seed]));
    world.run(60);
    let done = |leech: &NodeId| {
        let torrent = world.torrent(*leech);
        world.node(*leech).engine.torrent(torrent).unwrap().done
    };
    let done: Vec<u64> = leeches.iter().map(done).collect();
    let all: u64 = done.iter().sum();
    assert!(done.iter().all(|own| *own >= all / 5), "{done:?}");
}

#[test]
fn a_seed_says_have_all_first_and_serves_who_is_interested() {
    let content = content();
    let puppet = Puppet::new(&content, b'a')
        .opening(vec![Message::HaveNone, Message::Interested])
        .answering(|message| match message {
            Message::Unchoke => vec![request(3), request(4)],
            _ => Vec::new(),
        });
    let (_, heard) = serve(4, puppet);
    assert!(matches!(heard.borrow()[0], Message::HaveAll));
    assert_eq!(count(&heard, |m| matches!(m, Message::Piece { .. })), 2);
}

#[test]
fn without_the_fast_extension_a_bitfield_is_sent() {
    let content = content();
    let (_, heard) = serve(4, Puppet::new(&content, b'a').plain());
    assert!(matches!(&heard.borrow()[0], Message::Bitfield(bits) if bits.len() == 4));
    assert_eq!(count(&heard, |m| matches!(m, Message::Extended { .. })), 0);
}

#[test]
fn requests_while_choked_are_rejected_but_for_the_allowed_fast_set() {
    let content = content();
    let puppet = Puppet::new(&content, b'a').opening(vec![Message::HaveNone]).answering({
        let mut asked = false;
        move |message| match message {
            Message::AllowedFast(piece) if !asked => {
                asked = true;
                let other = (0..30).find(|other| other != piece).unwrap();
                vec![request(*piece), request(other), request(other)]
            }
            _ => Vec::new(),
        }
    });
    let (_, heard) = serve(0, puppet);
    assert_eq!(count(&heard, |m| matches!(m, Message::Piece { .. })), 1);
    let rejected = count(&heard, |m| matches!(m, Message::Reject(_)));
    assert!((1..=2).contains(&rejected), "{rejected}");
}

#[test]
fn the_allowed_fast_set_cannot_be_drained_again_and_again() {
    let content = content();
    let puppet = Puppet::new(&content, b'a').opening(vec![Message::HaveNone]).answering({
        let mut last = None;
        move |message| match message {
            Message::AllowedFast(piece) => {
                last = Some(*piece);
                vec![request(*piece)]
            }
            Message::Piece { .. } => last.map(request).into_iter().collect(),
            _ => Vec::new(),
        }
    });
    let (mut world, heard) = serve(0, puppet);
    world.run(60);
    let served = count(&heard, |m| matches!(m, Message::Piece { .. }));
    // Ten pieces of two blocks each, twice.
    assert!((10..=40).contains(&served), "{served}");
}

#[test]
fn every_request_of_a_fast_peer_is_answered_when_it_is_choked() {
    let content = content();
    let puppet = Puppet::new(&content, b'a')
        .opening(vec![Message::HaveNone, Message::Interested])
        .answering(|message| match message {
            Message::Unchoke => (0..30).map(request).collect(),
            _ => Vec::new(),
        });
    let (mut world, heard) = serve(1, puppet);
    world.run(60);
    let answered = count(&heard, |m| matches!(m, Message::Piece { .. } | Message::Reject(_)));
    assert_eq!(answered, 30);
}

#[test]
fn a_cancelled_request_is_answered_once() {
    let content = content();
    let puppet = Puppet::new(&content, b'a')
        .opening(vec![Message::HaveNone, Message::Interested])
        .answering(|message| match message {
            Message::Unchoke => {
                let block = BlockRequest { piece: 9, begin: 0, length: 16_384 };
                vec![Message::Request(block), Message::Cancel(block)]
            }
            _ => Vec::new(),
        });
    let (_, heard) = serve(4, puppet);
    let answered = count(&heard, |m| matches!(m, Message::Piece { .. } | Message::Reject(_)));
    assert_eq!(answered, 1);
}

#[test]
fn only_verified_pieces_are_told_and_served() {
    let content = content();
    let mut world = World::new(62);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(100_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(3);
    let puppet = Puppet::new(&content, b'a')
        .opening(vec![Message::HaveNone, Message::Interested])
        .answering(|message| match message {
            Message::Unchoke => (0..30).map(request).collect(),
            _ => Vec::new(),
        });
    let heard = puppet.heard();
    world.connect_script(leech, puppet.boxed());
    world.run(8);
    let verified: Vec<u32> = world
        .node(leech)
        .notices
        .iter()
        .filter_map(|n| if let Notice::PieceVerified(_, piece) = n { Some(*piece) } else { None })
        .collect();
    for message in heard.borrow().iter() {
        if let Message::Have(piece) | Message::Piece { piece, .. } = message {
            assert!(verified.contains(piece), "piece {piece} is not verified");
        }
    }
    assert!(count(&heard, |m| matches!(m, Message::Have(_))) > 0);
}

#[test]
fn keep_alives_are_sent_to_quiet_peers_and_silent_ones_are_let_go() {
    let content = content();
    let puppet = Puppet::new(&content, b'a').opening(vec![Message::HaveNone]);
    let (mut world, heard) = serve(4, puppet);
    world.run(140);
    assert!(count(&heard, |m| matches!(m, Message::KeepAlive)) >= 1);
    world.run(60);
    let node = world.node(0);
    let silent =
        |n: &Notice| matches!(n, Notice::PeerClosed { reason: eddyline::CloseReason::Silent, .. });
    assert!(node.notices.iter().any(silent), "{:?}", Rc::strong_count(&heard));
}

/// Eighty that never ask would keep four slots for ten minutes, thirty seconds each.
#[test]
fn whoever_takes_a_slot_and_asks_for_nothing_makes_room_for_others() {
    let content = content();
    let mut world = World::new(67);
    let seed = world.add_node_with(Config { unchoke_slots: Some(4), ..Config::default() });
    world.seed(seed, &content);
    world.run(2);
    let mut connect = |number: u8, answer: fn(&Message) -> Vec<Message>| {
        let puppet = Puppet::new(&content, number)
            .opening(vec![Message::HaveNone, Message::Interested])
            .answering(answer);
        let heard = puppet.heard();
        let from = format!("30.{number}.0.1:6881").parse().unwrap();
        world.connect_script_from(seed, from, puppet.boxed());
        heard
    };
    let idle: Vec<Heard> = (100..180).map(|number| connect(number, |_| Vec::new())).collect();
    let heard = connect(200, |message| match message {
        Message::Unchoke | Message::Piece { .. } => vec![request(1)],
        _ => Vec::new(),
    });
    world.run(150);
    assert!(count(&heard, |m| matches!(m, Message::Piece { .. })) > 100);
    // Its turn came among theirs, and it kept its slot for longer than they did.
    let turns = |heard: &Heard| count(heard, |m| matches!(m, Message::Unchoke));
    assert!(idle.iter().filter(|heard| turns(heard) > 0).count() > 60);
    assert!(idle.iter().all(|heard| turns(heard) < 5));
}
