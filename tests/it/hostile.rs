//! Peers that lie, flood, stall or talk nonsense: each costs itself, and the honest transfer ends.

use bytes::Bytes;
use eddyline::base::payload::Payload;
use eddyline::wire::{BlockRequest, Message};
use eddyline::{CloseReason, Notice};
use eddyline_sim::{Content, NodeId, PeerOptions, Script, ScriptAction, World};

use eddyline_sim::Puppet;

fn content() -> Content {
    Content::new("hostile", 2_000_000, 65_536)
}

/// A world with an honest seed (node 0) and a leecher (node 1) that knows it.
fn honest_pair(content: &Content, seed: u64) -> World {
    let mut world = World::new(seed);
    let (honest, leech) = (world.add_node(), world.add_node());
    world.node_mut(honest).access.up = Some(400_000);
    world.seed(honest, content);
    world.leech(leech, content, &[honest]);
    world
}

fn assert_completes(world: &mut World, content: &Content) {
    assert!(world.run_until(600, |world| world.is_complete(1)), "the honest transfer completes");
    let torrent = world.torrent(1);
    assert_eq!(world.node(1).disk.content(torrent).unwrap(), content.bytes);
}

fn close_reasons(world: &World, node: NodeId) -> Vec<CloseReason> {
    let notices = world.node(node).notices.iter();
    notices
        .filter_map(
            |n| if let Notice::PeerClosed { reason, .. } = n { Some(*reason) } else { None },
        )
        .collect()
}

/// Lets `puppet` connect to the leecher and asserts that it is closed for `reason`, and that the
/// honest transfer completes.
fn assert_closed_for(puppet: impl Fn(&Content) -> Box<dyn Script>, reason: CloseReason) {
    let content = content();
    let mut world = honest_pair(&content, 41);
    world.run(1);
    let script = puppet(&content);
    world.connect_script(1, script);
    world.run(2);
    let reasons = close_reasons(&world, 1);
    assert!(reasons.contains(&reason), "closed for {reasons:?}, not {reason:?}");
    assert_completes(&mut world, &content);
}

#[test]
fn peers_that_take_requests_and_never_answer_cannot_keep_the_last_block_from_a_seed() {
    let content = Content::new("last block", 16_384, 16_384);
    let mut world = World::new(40);
    let leech = world.add_node();
    world.add(leech, &content, PeerOptions::default());
    world.run(1);
    // They are there first, and say that they have everything and serve it.
    for n in 0..8 {
        let silent = Puppet::new(&content, n).opening(vec![Message::HaveAll, Message::Unchoke]);
        let from = format!("20.0.{n}.1:6881").parse().unwrap();
        world.connect_script_from(leech, from, silent.boxed());
    }
    world.run(2);
    let seed = Puppet::seed(&content, b'S', |_, block| Some(block));
    world.connect_script_from(leech, "30.0.0.1:6881".parse().unwrap(), seed.boxed());
    assert!(world.run_until(90, |world| world.is_complete(leech)));
}

#[test]
fn a_liar_among_two_seeds_is_banned() {
    let content = content();
    let mut world = honest_pair(&content, 42);
    let lying = content.clone();
    let liar = world.add_script(move || {
        Puppet::seed(&lying, b'L', |_, mut block| {
            block[7] ^= 0xff;
            Some(block)
        })
        .boxed()
    });
    assert!(world.run_until(1, |world| !world.node(1).torrents().is_empty()));
    let torrent = world.torrent(1);
    world.introduce(1, liar);
    assert_completes(&mut world, &content);
    let banned = world.node(1).notices.contains(&Notice::PeerBanned(torrent, liar));
    assert!(banned, "{:?}", close_reasons(&world, 1));
    let honest = world.node(0).addr;
    assert!(!world.node(1).notices.contains(&Notice::PeerBanned(torrent, honest)));
}

#[test]
fn a_peer_that_spoils_one_block_in_thirty_is_found_by_evidence() {
    // Large pieces, so that honest and lying blocks meet in one piece.
    let content = Content::new("evidence", 6_000_000, 1 << 20);
    let mut world = honest_pair(&content, 43);
    let lying = content.clone();
    let liar = world.add_script(move || {
        let mut count = 0;
        Puppet::seed(&lying, b'L', move |_, mut block| {
            count += 1;
            if count % 30 == 0 {
                block[7] ^= 0xff;
            }
            Some(block)
        })
        .boxed()
    });
    assert!(world.run_until(1, |world| !world.node(1).torrents().is_empty()));
    let torrent = world.torrent(1);
    world.introduce(1, liar);
    assert_completes(&mut world, &content);
    world.run(5);
    assert!(world.node(1).notices.contains(&Notice::PeerBanned(torrent, liar)));
    let honest = world.node(0).addr;
    assert!(!world.node(1).notices.contains(&Notice::PeerBanned(torrent, honest)));
}

struct Garbage(Vec<u8>);

impl Script for Garbage {
    fn connected(&mut self) -> Vec<ScriptAction> {
        vec![ScriptAction::Send(self.0.clone().into())]
    }

    fn received(&mut self, _: &[u8]) -> Vec<ScriptAction> {
        Vec::new()
    }
}

#[test]
fn garbage_handshakes_are_closed() {
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 68], vec![0xff; 5000]] {
        assert_closed_for(move |_| Box::new(Garbage(garbage.clone())), CloseReason::BadMessage);
    }
}

#[test]
fn a_handshake_for_another_torrent_is_closed() {
    let other = Content::new("other", 1000, 16_384);
    assert_closed_for(move |_| Puppet::new(&other, b'x').boxed(), CloseReason::UnknownTorrent);
}

#[test]
fn a_four_gigabyte_length_prefix_is_closed() {
    let prefix = vec![0xff, 0xff, 0xff, 0xff, 7];
    assert_closed_for(
        move |content| Puppet::new(content, b'x').raw(prefix.clone()).boxed(),
        CloseReason::BadMessage,
    );
}

#[test]
fn a_message_that_never_ends_is_not_kept() {
    // Well below the length that is refused at once, and far above any message of this torrent.
    let mut endless = 900_000u32.to_be_bytes().to_vec();
    endless.extend([20, 1]);
    endless.resize(600_000, 0);
    assert_closed_for(
        move |content| Puppet::new(content, b'x').raw(endless.clone()).boxed(),
        CloseReason::BadMessage,
    );
}

#[test]
fn wrong_size_bitfields_and_indices_out_of_range_are_closed() {
    let wrong: Vec<Message> = vec![
        Message::Bitfield(Bytes::from_static(&[0; 3])),
        Message::Bitfield(Bytes::from_static(&[0; 5])),
        Message::Bitfield(Bytes::from_static(&[0xff; 4])),
        Message::Have(31),
        Message::Have(u32::MAX),
        Message::AllowedFast(31),
        Message::Request(BlockRequest { piece: u32::MAX, begin: u32::MAX, length: u32::MAX }),
    ];
    for message in wrong {
        assert_closed_for(
            move |content| Puppet::new(content, b'x').opening(vec![message.clone()]).boxed(),
            CloseReason::Misbehaved,
        );
    }
}

#[test]
fn fifty_thousand_nested_lists_in_an_extended_message_are_closed() {
    let payload = [b"d1:m".as_slice(), &vec![b'l'; 50_000]].concat();
    let message = Message::Extended { id: 0, payload: payload.into() };
    assert_closed_for(
        move |content| Puppet::new(content, b'x').opening(vec![message.clone()]).boxed(),
        CloseReason::BadMessage,
    );
}

#[test]
fn a_hundred_thousand_requests_at_once_cost_the_flooder_its_connection() {
    let content = content();
    let mut world = honest_pair(&content, 44);
    world.run(1);
    let pieces = content.metainfo.geometry().pieces();
    let flood: Vec<Message> = (0..100_000)
        .map(|n| {
            let begin = n / pieces % 4 * 16_384;
            Message::Request(BlockRequest { piece: n % (pieces - 1), begin, length: 16_384 })
        })
        .collect();
    let mut opening = vec![Message::HaveNone, Message::Interested];
    opening.extend(flood);
    world.connect_script(0, Puppet::new(&content, b'F').opening(opening).boxed());
    world.run(3);
    let reasons = close_reasons(&world, 0);
    assert!(reasons.contains(&CloseReason::Misbehaved), "{reasons:?}");
    assert_completes(&mut world, &content);
}

#[test]
fn two_hundred_silent_sockets_do_not_keep_an_honest_peer_out() {
    let content = content();
    let mut world = honest_pair(&content, 45);
    for _ in 0..200 {
        world.connect_script(0, Box::new(Garbage(Vec::new())));
    }
    assert_completes(&mut world, &content);
    let limit = world.node(0).engine.config().max_handshaking;
    assert!(world.node(0).engine.stats().handshaking <= limit);
}

#[test]
fn a_peer_that_unchokes_and_falls_silent_holds_nothing_up() {
    let content = content();
    let mut world = World::new(46);
    let leech = world.add_node();
    let silent = content.clone();
    let mute = world.add_script(move || Puppet::seed(&silent, b'S', |_, _| None).boxed());
    let options = PeerOptions { peers: vec![mute], ..Default::default() };
    world.add(leech, &content, options);
    world.run(5);
    let honest = world.add_node();
    world.seed(honest, &content);
    world.introduce(leech, world.node(honest).addr);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
}

#[test]
fn a_peer_that_rejects_everything_is_not_asked_at_full_speed() {
    let content = content();
    let mut world = World::new(47);
    let leech = world.add_node();
    let refusing = content.clone();
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let record = heard.clone();
    let refuser = world.add_script(move || {
        let puppet = Puppet::new(&refusing, b'R')
            .opening(vec![Message::HaveAll, Message::Unchoke])
            .answering(|message| match message {
                Message::Request(request) => vec![Message::Reject(*request)],
                _ => Vec::new(),
            });
        record.borrow_mut().push(puppet.heard());
        puppet.boxed()
    });
    let options = PeerOptions { peers: vec![refuser], ..Default::default() };
    world.add(leech, &content, options);
    world.run(30);
    let requests: usize = heard
        .borrow()
        .iter()
        .map(|h| h.borrow().iter().filter(|m| matches!(m, Message::Request(_))).count())
        .sum();
    assert!((1..400).contains(&requests), "{requests} requests in 30 seconds");
}

#[test]
fn what_was_rejected_once_is_asked_for_again_after_a_second() {
    let content = Content::new("once", 300_000, 16_384);
    let mut world = World::new(50);
    let leech = world.add_node();
    let mut rejected = false;
    let source = content.clone();
    let puppet = Puppet::new(&content, b'O')
        .opening(vec![Message::HaveAll, Message::Unchoke])
        .answering(move |message| match message {
            Message::Request(request) if request.piece == 7 && !rejected => {
                rejected = true;
                vec![Message::Reject(*request)]
            }
            Message::Request(BlockRequest { piece, begin, length }) => {
                let payload = Payload::One(source.block(*piece, *begin, *length));
                vec![Message::Piece { piece: *piece, begin: *begin, payload }]
            }
            _ => Vec::new(),
        });
    world.add(leech, &content, PeerOptions::default());
    world.connect_script(leech, puppet.boxed());
    assert!(world.run_until(3, |world| world.is_complete(leech)));
}

#[test]
fn blocks_that_nobody_asked_for_end_the_connection_and_change_nothing() {
    let content = content();
    let mut world = honest_pair(&content, 48);
    world.run(1);
    let block = vec![0xaa; 16_384];
    let unasked: Vec<Message> = (0..100)
        .map(|n| Message::Piece {
            piece: n % 30,
            begin: 0,
            payload: Payload::One(block.clone().into()),
        })
        .collect();
    world.connect_script(1, Puppet::new(&content, b'U').opening(unasked).boxed());
    world.run(3);
    assert!(close_reasons(&world, 1).contains(&CloseReason::Misbehaved));
    assert_completes(&mut world, &content);
}

#[test]
fn a_peer_that_never_reads_what_it_asked_for_holds_a_bounded_amount() {
    let content = content();
    let mut world = World::new(49);
    let seed = world.add_node();
    world.node_mut(seed).access.up = Some(1);
    world.seed(seed, &content);
    world.run(1);
    let mut opening = vec![Message::HaveNone, Message::Interested];
    opening.extend((0..1000).map(|n| {
        Message::Request(BlockRequest { piece: n % 30, begin: n / 30 % 4 * 16_384, length: 16_384 })
    }));
    let puppet = Puppet::new(&content, b'N').plain().opening(opening[1..2].to_vec());
    let asking = puppet.answering(move |message| match message {
        Message::Unchoke => opening[2..].to_vec(),
        _ => Vec::new(),
    });
    world.connect_script(seed, asking.boxed());
    world.run(60);
    let stats = world.node(seed).engine.stats();
    let bound = u64::from(world.node(seed).engine.config().send_backlog) + 64 * 1024;
    assert!(stats.send_budget <= bound, "{} bytes held", stats.send_budget);
}

#[test]
fn the_same_actions_follow_from_other_payload_of_the_same_length() {
    // Content is never read by the engine: a run with other bytes differs in hashes alone.
    let run = |twist: u8| {
        let content = Content::new("payload", 65_536, 65_536);
        let mut world = World::new(50);
        let leech = world.add_node();
        let seeding = content.clone();
        let seed = world.add_script(move || {
            Puppet::seed(&seeding, b'P', move |_, mut block| {
                block.iter_mut().for_each(|byte| *byte ^= twist);
                Some(block)
            })
            .boxed()
        });
        let options = PeerOptions { peers: vec![seed], ..Default::default() };
        world.add(leech, &content, options);
        // Up to the hash, which must differ.
        let hashing = |world: &World| world.node(leech).engine.stats().hash_jobs > 0;
        assert!(world.run_until(60, hashing), "the whole piece came");
        assert_eq!(world.node(leech).engine.stats().disk_intake, 0, "and was written");
        world.node(leech).digest()
    };
    assert_eq!(run(1), run(2));
}
