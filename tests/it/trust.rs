//! Strangers and their addresses: how many places one host gets, how long blame lasts, and what is
//! believed of who somebody is.

mod blame;
mod identity;
mod places;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use eddyline::base::payload::Payload;
use eddyline::wire::{ExtendedHandshake, Handshake, Message, PeerId, PexFlags, PexMessage};
use eddyline::{CloseReason, Config, Notice, PeerSource};
use eddyline_sim::{Content, NodeId, PeerOptions, Puppet, Script, ScriptAction, World};

fn content() -> Content {
    Content::new("trust", 1_000_000, 65_536)
}

/// A world with a node that fetches and knows nobody.
fn alone(seed: u64, content: &Content) -> (World, NodeId) {
    alone_with(seed, content, Config::default())
}

fn alone_with(seed: u64, content: &Content, config: Config) -> (World, NodeId) {
    let mut world = World::new(seed);
    let node = world.add_node_with(config);
    world.add(node, content, PeerOptions::default());
    world.run(1);
    (world, node)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn reasons(world: &World, node: NodeId) -> Vec<CloseReason> {
    let closed = |notice: &Notice| match notice {
        Notice::PeerClosed { reason, .. } => Some(*reason),
        _ => None,
    };
    world.node(node).notices.iter().filter_map(closed).collect()
}

/// Addresses of peers that are connected.
fn connected(world: &World, node: NodeId) -> Vec<SocketAddr> {
    let engine = &world.node(node).engine;
    let torrents = world.node(node).torrents().iter();
    torrents.flat_map(|id| engine.peers(*id)).map(|peer| peer.addr).collect()
}

fn from_host(world: &World, node: NodeId, host: &str) -> usize {
    let host: IpAddr = host.parse().unwrap();
    connected(world, node).iter().filter(|addr| addr.ip() == host).count()
}

fn banned(world: &World, node: NodeId) -> usize {
    let notices = world.node(node).notices.iter();
    notices.filter(|notice| matches!(notice, Notice::PeerBanned(..))).count()
}

fn id(n: u32) -> PeerId {
    let mut id = [b'p'; 20];
    id[16..].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

/// A peer that says it has everything and nothing more.
fn idle(content: &Content, n: u32) -> Box<dyn Script> {
    Puppet::new(content, b'i').called(id(n)).opening(vec![Message::HaveAll]).boxed()
}

fn honest(content: &Content, n: u32) -> Box<dyn Script> {
    Puppet::seed(content, b'h', |_, block| Some(block)).called(id(n)).boxed()
}

fn rounds(world: &World, node: NodeId) -> usize {
    let connected = |notice: &&Notice| matches!(notice, Notice::PeerConnected { .. });
    world.node(node).notices.iter().filter(connected).count()
}
