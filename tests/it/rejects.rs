//! Peers that reject requests (BEP 6) while they serve: they are asked for something else meanwhile,
//! and left alone the longer the more they reject in a row.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use eddyline::base::payload::Payload;
use eddyline::wire::{BlockRequest, Message};
use eddyline_sim::{Content, PeerOptions, Puppet, World};

/// A seed that rejects whatever `declines` says, and how many requests it has heard.
fn declining(
    content: &Content,
    mut declines: impl FnMut(BlockRequest) -> bool + 'static,
) -> (Puppet, Rc<Cell<u32>>) {
    let (bytes, piece_length) = (content.bytes.clone(), content.metainfo.geometry().piece_length());
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    let puppet = Puppet::new(content, b'R').opening(vec![Message::HaveAll, Message::Unchoke]);
    let puppet = puppet.answering(move |message| {
        let Message::Request(request) = message else { return Vec::new() };
        count.set(count.get() + 1);
        if declines(*request) {
            return vec![Message::Reject(*request)];
        }
        let start = (request.piece * piece_length + request.begin) as usize;
        let block = bytes[start..start + request.length as usize].to_vec();
        let payload = Payload::One(block.into());
        vec![Message::Piece { piece: request.piece, begin: request.begin, payload }]
    });
    (puppet, heard)
}

/// Virtual milliseconds until a leecher of this seed has everything.
fn time_with(content: &Content, puppet: Puppet, most: u64) -> u64 {
    let mut world = World::new(30);
    let leech = world.add_node();
    world.add(leech, content, PeerOptions::default());
    world.run(1);
    world.connect_script(leech, puppet.boxed());
    let began = world.now();
    assert!(world.run_until(most, |world| world.is_complete(leech)), "not done in {most} s");
    world.now().since(began).as_millis() as u64
}

#[test]
fn a_seed_that_rejects_the_first_request_of_each_block_is_used_all_the_same() {
    let content = Content::new("rejected once", 3_000_000, 65_536);
    let mut seen = BTreeSet::new();
    let first = move |request: BlockRequest| seen.insert(request);
    let time = time_with(&content, declining(&content, first).0, 60);
    assert!(time < 3_000, "{time} ms");
}

#[test]
fn a_few_rejects_of_a_good_peer_cost_no_time() {
    let content = Content::new("two rejects", 3_000_000, 65_536);
    let without = time_with(&content, declining(&content, |_| false).0, 60);
    for few in [1, 2] {
        let mut rejected = 0;
        let declines = move |_| {
            rejected += 1;
            rejected <= few
        };
        let time = time_with(&content, declining(&content, declines).0, 60);
        assert!(time <= without + 400, "{few} rejects: {time} ms, {without} ms without");
    }
}

#[test]
fn a_peer_that_rejects_everything_is_asked_ever_less_often() {
    let content = Content::new("all rejected", 3_000_000, 65_536);
    let mut world = World::new(31);
    let leech = world.add_node();
    world.add(leech, &content, PeerOptions::default());
    world.run(1);
    let (puppet, heard) = declining(&content, |_| true);
    world.connect_script(leech, puppet.boxed());
    world.run(60);
    let (minute, depth) = (heard.get(), 8);
    assert!(minute <= 12 * depth, "{minute} requests in a minute");
    world.run(60);
    assert!(heard.get() - minute <= 4 * depth, "{} in the next", heard.get() - minute);
}
