//! Unit tests of the machines that act on one connection: peer exchange, the info dictionary, uploads, credit.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::credit::Sharing;
use super::traffic::Traffic;
use super::{exchange, metadata, upload};
use crate::api::{Action, Config, DiskOp, IDLE_WINDOW, PeerSource, RateLimits, StreamAction};
use crate::bandwidth::TokenBucket;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::base::work::Work;
use crate::context::Context;
use crate::metainfo::Metainfo;
use crate::peer::{Introduction, Misbehaviour, Peer, PeerError};
use crate::peer_exchange::Journal;
use crate::picker::BlockRef;
use crate::wire::{
    BlockRequest, FrameAssembler, Handshake, PeerId, PexFlags, PexMessage, Reserved,
};

const ID: TorrentId = TorrentId::from_u64(1);
const BLOCK: BlockRequest = BlockRequest { piece: 0, begin: 0, length: 16_384 };

fn at(second: u64) -> Instant {
    Instant::from_millis(second * 1000)
}

/// Peer number `number`, which we called.
fn peer(number: u8) -> Peer {
    let intro = Introduction {
        conn: ConnId::from_u64(number.into()),
        key: number.into(),
        addr: ([20, 0, 0, number], 6881).into(),
        incoming: false,
        source: PeerSource::Tracker,
        priority: 0,
    };
    let (info_hash, peer_id) = (Sha1Hash([0; 20]), PeerId([number; 20]));
    let handshake = Handshake { reserved: Reserved::OURS, info_hash, peer_id };
    Peer::new(intro, &handshake, FrameAssembler::default(), 0, 4, at(1))
}

fn context() -> Context {
    Context::new(Config::default(), Seed::from_u64(1), at(1))
}

fn traffic() -> Traffic {
    Traffic::new(RateLimits::default(), at(1))
}

#[test]
fn peers_are_told_who_came_and_who_left_and_never_of_themselves() {
    let mut journal = Journal::default();
    let mut peers: BTreeMap<ConnId, Box<Peer>> = BTreeMap::new();
    for number in [1, 2] {
        let mut peer = peer(number);
        peer.extensions.pex = Some(3);
        exchange::list(&mut journal, &mut peer);
        peers.insert(peer.intro.conn, Box::new(peer));
    }
    let (one, two) = (ConnId::from_u64(1), ConnId::from_u64(2));
    let (id, first) = exchange::news(&journal, &mut peers, two, at(1)).expect("it is told of one");
    assert_eq!(id, 3);
    assert_eq!(
        first.added.iter().map(|(addr, _)| *addr).collect::<Vec<_>>(),
        [peers[&one].intro.addr]
    );
    let gone = peers.remove(&one).expect("there");
    exchange::unlist(&mut journal, &gone);
    assert!(exchange::news(&journal, &mut peers, two, at(2)).is_none(), "not so soon");
    let (_, next) = exchange::news(&journal, &mut peers, two, at(70)).expect("one has left");
    assert!(next.added.is_empty() && next.dropped == [gone.intro.addr]);
    // Where a peer listens that called us is not known before it says so.
    let mut caller = peer(3);
    caller.intro.incoming = true;
    exchange::list(&mut journal, &mut caller);
    assert_eq!(caller.pex.listed_as, None);
}

#[test]
fn a_peer_far_away_names_nobody_in_a_local_network() {
    let [here, there]: [SocketAddr; 2] = [([192, 168, 1, 9], 1).into(), ([20, 9, 9, 9], 1).into()];
    let added = [here, there].map(|addr| (addr, PexFlags(0))).into();
    let message = PexMessage { added, ..PexMessage::default() };
    assert_eq!(exchange::named(&mut peer(1), &message, at(1)), Ok([(there, PexFlags(0))].into()));
    let mut flooding = peer(1);
    let flood = (0..100).find_map(|_| exchange::named(&mut flooding, &message, at(1)).err());
    assert_eq!(flood, Some(PeerError::Misbehaved(Misbehaviour::PexFlood)));
}

#[test]
fn the_info_dictionary_is_given_in_pieces_and_who_asks_for_others_is_closed() {
    let info = b"d6:lengthi4e4:name1:n12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe";
    let metainfo = Metainfo::parse_info(info).expect("a torrent");
    let (mut ctx, mut asker) = (context(), peer(1));
    let mut limit = TokenBucket::for_blocks(None, at(1));
    assert_eq!(
        metadata::ask(Some(metainfo.info()), &mut asker, 0, at(1)),
        Ok(false),
        "it takes none"
    );
    asker.extensions.metadata = Some(2);
    assert_eq!(metadata::ask(Some(metainfo.info()), &mut asker, 0, at(1)), Ok(true));
    assert!(asker.outbox.is_empty());
    metadata::send(&mut ctx, &mut limit, Some(metainfo.info()), &mut asker);
    assert!(asker.outbox.unread() as usize > info.len());
    let wrong =
        (0..100).find_map(|_| metadata::ask(Some(metainfo.info()), &mut asker, 1, at(1)).err());
    assert_eq!(wrong, Some(PeerError::Misbehaved(Misbehaviour::MetadataRange)));
}

#[test]
fn a_block_is_read_for_who_is_unchoked_asks_and_does_not_think_better_of_it() {
    let (mut ctx, mut traffic, mut asker) = (context(), traffic(), peer(1));
    upload::requested(&ctx, &mut asker, BLOCK, true).expect("a message that crossed the choke");
    assert!(!asker.uploads.has_queued(), "choked");
    upload::set_choking(&mut ctx, &mut asker, false);
    upload::requested(&ctx, &mut asker, BLOCK, false).expect("no crime");
    assert!(!asker.uploads.has_queued(), "there is no such piece");
    upload::requested(&ctx, &mut asker, BLOCK, true).expect("fine");
    upload::cancelled(&mut Work::default(), &mut asker, BLOCK);
    assert!(!traffic.serve_one(&mut ctx, ID, &mut asker));
    upload::requested(&ctx, &mut asker, BLOCK, true).expect("fine");
    assert!(traffic.serve_one(&mut ctx, ID, &mut asker));
    assert!(!traffic.serve_one(&mut ctx, ID, &mut asker), "nothing more was asked for");
    let reads = |action: &&Action| matches!(action, Action::Disk(_, DiskOp::ReadBlock { .. }));
    assert_eq!(ctx.out.actions.iter().filter(reads).count(), 1);
    traffic.send_block(&mut ctx, ID, &mut asker, BLOCK, None);
    let sent = |action: &Action| {
        let Action::Stream(_, StreamAction::SendStored(block)) = action else { return false };
        block.length == BLOCK.length
    };
    assert!(ctx.out.actions.iter().any(sent));
    assert_eq!(traffic.uploaded(), 16_384);
}

#[test]
fn who_waits_under_a_limit_is_granted_its_share_in_its_turn() {
    let (mut ctx, mut traffic, mut giver) = (context(), traffic(), peer(1));
    traffic.grant(&mut ctx, &mut giver, None);
    assert_eq!(giver.granted, IDLE_WINDOW, "who is asked for nothing may say something");
    traffic.grant(&mut ctx, &mut giver, None);
    assert_eq!(giver.granted, IDLE_WINDOW, "half of it is left");
    giver.requests.sent(BlockRef { piece: 0, block: 0 }, at(1));
    giver.granted = 0;
    let nothing = RateLimits { down: Some(0), up: None };
    let mut limited = Traffic::new(nothing, at(1));
    limited.grant(&mut ctx, &mut giver, None);
    assert_eq!(giver.granted, 0);
    assert!(!ctx.limits.starved_down.is_empty(), "it waits in line");
    let alone = Sharing { all: 1, of_torrent: 1, of_transport: 1 };
    assert!(limited.grant_share(&mut ctx, &mut giver, alone).is_some(), "nothing is there for it");
    assert_eq!(traffic.grant_share(&mut ctx, &mut giver, alone), None);
    assert!(giver.granted > 0);
}
