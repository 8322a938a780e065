//! Answers to the queries of others: bounded in bytes and work, and nothing is stored without a
//! token.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use super::item::{Item, ItemError};
use super::item_store::Outdated;
use super::krpc::{Body, Contact, KrpcError, Packet, Query, Reply, code};
use super::node::{DhtNode, Output};
use super::node_id::NodeId;
use super::table::{BUCKET, Table};
use crate::base::time::Instant;

/// Peers of IPv4 in one answer: with nodes and token they fit into any packet.
const MAX_VALUES_IPV4: usize = 60;
/// Peers of IPv6 in one answer.
const MAX_VALUES_IPV6: usize = 25;
/// Info-hashes in one answer (BEP 51).
const SAMPLES: usize = 20;
/// Seconds until there is a new choice of them.
const SAMPLES_INTERVAL: i64 = 3600;
/// Transactions longer than this are somebody's joke.
const MAX_TRANSACTION: usize = 32;
/// Tokens longer than this are not ours.
const MAX_TOKEN: usize = 64;

type Refusal = (i64, &'static str);

impl DhtNode {
    /// Something that was meant as a query and cannot be read.
    pub(super) fn reject(
        &mut self,
        from: SocketAddr,
        error: KrpcError,
        now: Instant,
        out: &mut Output,
    ) {
        let Some(t) = error.query.filter(|t| t.len() <= MAX_TRANSACTION) else { return };
        if self.config.read_only || !self.guard.admit(from.ip(), now) {
            return;
        }
        let message = error.why.into();
        self.say(from, &t, Body::Error { code: code::PROTOCOL, message }, out);
    }

    /// Answers a query.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer(
        &mut self,
        from: SocketAddr,
        t: &Bytes,
        query: &Query,
        read_only: bool,
        other: Option<&Table>,
        now: Instant,
        out: &mut Output,
    ) {
        if self.config.read_only || t.len() > MAX_TRANSACTION || from.port() == 0 {
            return;
        }
        if !self.guard.admit(from.ip(), now) {
            return;
        }
        let body = match self.reply_to(from, query, other, now) {
            Ok(reply) => Body::Reply(reply),
            Err((code, message)) => Body::Error { code, message: message.into() },
        };
        self.say(from, t, body, out);
        if !read_only {
            // Whoever asks may be a node; it is asked before it is named to others.
            self.table.note(Contact { id: query.id, addr: from }, false, now);
        }
    }

    fn say(&mut self, to: SocketAddr, t: &Bytes, body: Body, out: &mut Output) {
        let packet =
            Packet { t: t.clone(), v: self.version(), ip: Some(to), read_only: false, body };
        let bytes = packet.encode();
        self.guard.answered(to.ip(), bytes.len());
        out.packets.push((to, bytes.into()));
    }

    fn reply_to(
        &mut self,
        from: SocketAddr,
        query: &Query,
        other: Option<&Table>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        match query.method.as_str() {
            "ping" => Ok(Reply::new(self.id())),
            "find_node" => Ok(self.near(target(query)?, query, other)),
            "get_peers" => self.get_peers(from, query, other),
            "announce_peer" => self.announce_peer(from, query, now),
            "get" => self.get(from, query, other),
            "put" => self.put(from, query, now),
            "sample_infohashes" => {
                let mut reply = self.near(target(query)?, query, other);
                let (samples, number) = self.peers.samples(SAMPLES, &mut self.rng);
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                reply.samples = Some((samples, number, SAMPLES_INTERVAL));
                Ok(reply)
            }
            // A method of later days that is about a point: nodes near it are always of use.
            _ => match target(query).or_else(|_| info_hash(query)) {
                Ok(target) => Ok(self.near(target, query, other)),
                Err(_) => Err((code::METHOD, "unknown method")),
            },
        }
    }

    /// Nodes near a point, of the families that are wanted (BEP 32).
    fn near(&self, target: NodeId, query: &Query, other: Option<&Table>) -> Reply {
        let ipv6 = self.config.ipv6;
        let (v4, v6) = query.want.unwrap_or((!ipv6, ipv6));
        let (own, foreign) = if ipv6 { (v6, v4) } else { (v4, v6) };
        let mut nodes = Vec::new();
        if own {
            nodes.extend(self.table.nearest(target, BUCKET));
        }
        if let Some(other) = other.filter(|_| foreign) {
            nodes.extend(other.nearest(target, BUCKET));
        }
        Reply { nodes, families: (v4, v6), ..Reply::new(self.id()) }
    }

    fn token(&self, from: SocketAddr, target: NodeId) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(&self.tokens.token(from.ip(), &target.0)))
    }

    fn check_token(&self, from: SocketAddr, query: &Query, target: NodeId) -> Result<(), Refusal> {
        let token = query.token.as_ref().filter(|token| token.len() <= MAX_TOKEN);
        let valid = |token: &Bytes| self.tokens.is_valid(token, from.ip(), &target.0);
        if token.is_some_and(valid) { Ok(()) } else { Err((code::PROTOCOL, "invalid token")) }
    }

    fn get_peers(
        &mut self,
        from: SocketAddr,
        query: &Query,
        other: Option<&Table>,
    ) -> Result<Reply, Refusal> {
        let torrent = info_hash(query)?;
        let mut reply = self.near(torrent, query, other);
        reply.token = self.token(from, torrent);
        if query.scrape {
            let (seeds, others) = self.peers.filters(torrent);
            reply.filters = Some((seeds.to_bytes(), others.to_bytes()));
            return Ok(reply);
        }
        let count = if self.config.ipv6 { MAX_VALUES_IPV6 } else { MAX_VALUES_IPV4 };
        let peers = self.peers.peers(torrent, query.no_seed, count, &mut self.rng);
        reply.values = (!peers.is_empty()).then_some(peers);
        Ok(reply)
    }

    fn announce_peer(
        &mut self,
        from: SocketAddr,
        query: &Query,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let torrent = info_hash(query)?;
        self.check_token(from, query, torrent)?;
        let port = if query.implied_port { Some(from.port()) } else { query.port };
        let port = port.filter(|port| *port != 0).ok_or((code::PROTOCOL, "missing 'port' key"))?;
        let peer = SocketAddr::new(from.ip(), port);
        self.peers.announce(torrent, peer, query.seed, now);
        Ok(Reply::new(self.id()))
    }

    fn get(
        &mut self,
        from: SocketAddr,
        query: &Query,
        other: Option<&Table>,
    ) -> Result<Reply, Refusal> {
        let target = target(query)?;
        let mut reply = self.near(target, query, other);
        reply.token = self.token(from, target);
        if let Some(item) = self.items.get(target) {
            let mut fields = item.fields(false);
            let known = item.mutable.as_ref().map(|mutable| mutable.seq);
            if query.item.seq.zip(known).is_some_and(|(asked, known)| known <= asked) {
                // It has that already (BEP 44): the number alone will do.
                (fields.key, fields.signature, fields.value) = (None, None, None);
            }
            reply.item = fields;
        }
        Ok(reply)
    }

    fn put(&mut self, from: SocketAddr, query: &Query, now: Instant) -> Result<Reply, Refusal> {
        if query.item.key.is_some() {
            // The token first, which is cheap: it names the place without the signature's proof.
            let key = query.item.key.as_deref().and_then(|key| key.try_into().ok());
            let key: &[u8; 32] = key.ok_or((code::PROTOCOL, "invalid value for 'k'"))?;
            let salt = query.item.salt.as_deref().unwrap_or_default();
            self.check_token(from, query, super::mutable_target(key, salt))?;
            if !self.guard.admit_signature(from.ip(), now) {
                return Err((code::SERVER, "too many signatures to verify"));
            }
        }
        let item = Item::from_fields(&query.item, None).map_err(refusal)?;
        if item.mutable.is_none() {
            self.check_token(from, query, item.target())?;
        }
        self.items.put(item, from.ip(), query.cas, now).map_err(|error| match error {
            Outdated::Cas => (code::CAS, "CAS mismatch"),
            Outdated::Sequence => (code::SEQUENCE, "sequence number less than current"),
        })?;
        Ok(Reply::new(self.id()))
    }
}

fn refusal(error: ItemError) -> Refusal {
    match error {
        ItemError::Malformed => (code::PROTOCOL, "malformed item"),
        ItemError::TooBig => (code::TOO_BIG, "message too big"),
        ItemError::Salt => (code::SALT, "salt too big"),
        ItemError::Signature => (code::SIGNATURE, "invalid signature"),
    }
}

fn target(query: &Query) -> Result<NodeId, Refusal> {
    let target = query.target.as_ref().ok_or((code::PROTOCOL, "missing 'target' key"))?;
    NodeId::from_slice(target).ok_or((code::PROTOCOL, "invalid value for 'target'"))
}

fn info_hash(query: &Query) -> Result<NodeId, Refusal> {
    let hash = query.info_hash.as_ref().ok_or((code::PROTOCOL, "missing 'info_hash' key"))?;
    NodeId::from_slice(hash).ok_or((code::PROTOCOL, "invalid value for 'info_hash'"))
}
