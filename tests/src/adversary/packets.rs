//! Hostile packets: queries and answers of the DHT, announcements of local discovery.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::dht::krpc::{Body, Packet, Query, Reply};
use eddyline::dht::{Contact, NodeId};
use eddyline::local_discovery::Announcement;

use super::Strategy;
use crate::content::Content;
use crate::entropy::Entropy;
use crate::world::Responder;

const METHODS: [&str; 6] =
    ["ping", "find_node", "get_peers", "announce_peer", "sample_infohashes", "get"];

/// How its packets are made.
#[derive(Clone, Debug)]
pub(super) struct PacketPlan {
    methods: Vec<&'static str>,
    /// Contacts and peers that it names in each answer.
    names: u32,
    /// Whether those are nobody, or its own.
    nobody: bool,
    /// Whether its ids stand near what is looked for.
    near: bool,
    /// Torrents in an announcement of local discovery.
    hashes: u32,
}

impl PacketPlan {
    pub(super) fn draw(strategy: Strategy, entropy: &mut Entropy) -> Self {
        let methods = (0..entropy.between(1, 3)).map(|_| entropy.choose(&METHODS)).collect();
        Self {
            methods,
            names: entropy.choose(&[1, 8, 60]),
            nobody: entropy.chance(1, 2),
            near: strategy == Strategy::EclipseDht || entropy.chance(1, 2),
            hashes: entropy.choose(&[1, 1, 15]),
        }
    }

    fn id(&self, content: &Content, chance: &mut Entropy) -> NodeId {
        let mut id = [0; 20];
        id.iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
        if self.near {
            id[..12].copy_from_slice(&content.hash().0[..12]);
        }
        NodeId(id)
    }

    /// A query from nowhere.
    pub(super) fn query(&self, content: &Content, addrs: &[IpAddr], chance: &mut Entropy) -> Bytes {
        let method = chance.choose(&self.methods);
        let mut query = Query::new(method, self.id(content, chance));
        let target = Bytes::copy_from_slice(&content.hash().0);
        query.target = Some(target.clone());
        query.info_hash = Some(target);
        query.token = Some(Bytes::from_static(b"guessed!"));
        query.port = Some(1 + chance.below(60_000) as u16);
        query.want = Some((true, addrs.len() > 1));
        let t = Bytes::copy_from_slice(&chance.below(u32::MAX).to_be_bytes());
        Packet { t, v: None, ip: None, read_only: false, body: Body::Query(query) }.encode().into()
    }

    /// Who answers for it.
    pub(super) fn gang(&self, addrs: &[IpAddr]) -> Responder {
        let (plan, addrs) = (self.clone(), addrs.to_vec());
        let mut turn = 0u32;
        Box::new(move |_, to, data| {
            let Ok(Packet { t, body: Body::Query(query), .. }) = Packet::decode(data) else {
                return None;
            };
            let wanted = query.target.as_ref().or(query.info_hash.as_ref());
            let near = wanted.and_then(|bytes| NodeId::from_slice(bytes));
            let near = near.unwrap_or(query.id);
            let id = |turn: &mut u32| {
                *turn = turn.wrapping_add(1);
                let mut id = near.0;
                id[15] ^= 1 + (*turn % 250) as u8;
                id[16] ^= (*turn / 250) as u8;
                NodeId(id)
            };
            let own = match to.ip() {
                IpAddr::V4(ip) => NodeId([ip.octets()[0] ^ ip.octets()[3]; 20]),
                IpAddr::V6(_) => near,
            };
            let mut reply = Reply::new(if plan.near { id(&mut turn) } else { own });
            reply.families = (true, false);
            for n in 0..plan.names.min(40) {
                let ip = if plan.nobody {
                    IpAddr::V4(Ipv4Addr::from(0x5000_0000 + turn.wrapping_mul(7919) % 0xffff))
                } else {
                    addrs[n as usize % addrs.len()]
                };
                let port = if plan.nobody { 1000 + n as u16 } else { 6881 };
                reply.nodes.push(Contact { id: id(&mut turn), addr: SocketAddr::new(ip, port) });
            }
            if query.method == "get_peers" {
                let values = (0..plan.names).map(|n| {
                    SocketAddr::from(([78, turn as u8, (turn >> 8) as u8, n as u8], 6881))
                });
                reply.values = Some(values.collect());
                reply.token = Some(Bytes::from_static(b"worthless"));
            }
            let body = Body::Reply(reply);
            Some(Packet { t, v: None, ip: None, read_only: false, body }.encode().into())
        })
    }

    /// An announcement of local discovery.
    pub(super) fn announcement(&self, content: &Content, chance: &mut Entropy) -> Bytes {
        let mut info_hashes = vec![content.hash()];
        while info_hashes.len() < self.hashes as usize {
            let mut hash = [0; 20];
            hash.iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
            info_hashes.push(Sha1Hash(hash));
        }
        let port = 1 + chance.below(60_000) as u16;
        let cookie = Some(format!("{:x}", chance.below(u32::MAX)));
        Announcement { port, info_hashes, cookie }.encode(false)
    }
}
