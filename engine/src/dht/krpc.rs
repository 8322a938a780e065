//! KRPC: queries, replies and errors of the DHT as bytes and back (BEP 5, 32, 33, 42, 43, 44, 51).
//!
//! One flat struct for the arguments of all queries and one for the values of all replies: whether
//! what a method needs is there is for the node to say.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::node_id::NodeId;
use crate::base::addr::{compact_v4, compact_v6, push_compact};
use crate::bencode::{Encoder, Limits, Mode, Value, scan};

/// What a packet of the DHT may hold.
const LIMITS: Limits = Limits { depth: 12, size: 4096, tokens: 1500 };
/// Nodes, and peers, of one packet that are read.
const MAX_READ: usize = 100;
/// What we call ourselves: two letters and a version.
pub const VERSION: &[u8; 4] = b"ED\x01\x00";

/// The errors of BEP 5 and BEP 44.
pub mod code {
    /// Anything.
    pub const GENERIC: i64 = 201;
    /// The node has too much to do.
    pub const SERVER: i64 = 202;
    /// Malformed packet, missing or bad argument, bad token.
    pub const PROTOCOL: i64 = 203;
    /// Unknown method.
    pub const METHOD: i64 = 204;
    /// The item is too large.
    pub const TOO_BIG: i64 = 205;
    /// The signature is wrong.
    pub const SIGNATURE: i64 = 206;
    /// The salt is too long.
    pub const SALT: i64 = 207;
    /// The item has changed in the meantime.
    pub const CAS: i64 = 301;
    /// There is a newer item.
    pub const SEQUENCE: i64 = 302;
}

/// A node and where it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub addr: SocketAddr,
}

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The transaction, chosen by who asks.
    pub t: Bytes,
    /// The sender's client.
    pub v: Option<Bytes>,
    /// The receiver's address as the sender sees it (BEP 42).
    pub ip: Option<SocketAddr>,
    /// The sender answers no queries (BEP 43).
    pub read_only: bool,
    /// What it says.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// The sender wants something.
    Query(Query),
    /// The answer.
    Reply(Reply),
    /// No answer, and why.
    Error {
        /// See [`code`].
        code: i64,
        /// For people.
        message: String,
    },
}

/// A query. Of byte strings the length is not checked here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// `ping`, `find_node` and so on.
    pub method: String,
    /// The sender.
    pub id: NodeId,
    /// `target`.
    pub target: Option<Bytes>,
    /// `info_hash`.
    pub info_hash: Option<Bytes>,
    /// `token`.
    pub token: Option<Bytes>,
    /// `port`.
    pub port: Option<u16>,
    /// `implied_port`: take the port that the packet came from.
    pub implied_port: bool,
    /// `seed`: the sender announces itself as a seed (BEP 33).
    pub seed: bool,
    /// `noseed`: seeds are of no use to the sender (BEP 33).
    pub no_seed: bool,
    /// `scrape` (BEP 33).
    pub scrape: bool,
    /// `want`: nodes of these families, IPv4 and IPv6 (BEP 32); `None` where it does not say.
    pub want: Option<(bool, bool)>,
    /// Parts of an item (BEP 44).
    pub item: ItemFields,
    /// `cas` (BEP 44).
    pub cas: Option<i64>,
}

impl Query {
    /// A query without arguments.
    pub fn new(method: &str, id: NodeId) -> Self {
        Self {
            method: method.into(),
            id,
            target: None,
            info_hash: None,
            token: None,
            port: None,
            implied_port: false,
            seed: false,
            no_seed: false,
            scrape: false,
            want: None,
            item: ItemFields::default(),
            cas: None,
        }
    }
}

/// Parts of an item as they stand in a packet (BEP 44).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ItemFields {
    /// `k`: the public key of a mutable item.
    pub key: Option<Bytes>,
    /// `salt`, of a query only: an answer has none.
    pub salt: Option<Bytes>,
    /// `seq`.
    pub seq: Option<i64>,
    /// `sig`.
    pub signature: Option<Bytes>,
    /// `v`, bencoded.
    pub value: Option<Bytes>,
}

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The sender.
    pub id: NodeId,
    /// Nodes of both families nearer to what was asked for.
    pub nodes: Vec<Contact>,
    /// Whether `nodes` and `nodes6` are there, even if empty.
    pub families: (bool, bool),
    /// `token`, for a later announce or put.
    pub token: Option<Bytes>,
    /// `values`: peers.
    pub values: Option<Vec<SocketAddr>>,
    /// `BFsd` and `BFpe`: filters of seeds and of others (BEP 33).
    pub filters: Option<(Bytes, Bytes)>,
    /// `samples` (BEP 51), 20 bytes each, with `num` and `interval`.
    pub samples: Option<(Vec<NodeId>, i64, i64)>,
    /// Parts of an item (BEP 44).
    pub item: ItemFields,
}

impl Reply {
    /// A reply that says no more than who answers.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            nodes: Vec::new(),
            families: (false, false),
            token: None,
            values: None,
            filters: None,
            samples: None,
            item: ItemFields::default(),
        }
    }
}

/// Why bytes are no packet to act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KrpcError {
    /// The transaction of what was meant as a query, to be answered with error 203.
    pub query: Option<Bytes>,
    /// For people.
    pub why: &'static str,
}

type Dict<'a, 'd> = Value<'a, 'd>;

fn bytes(dict: &Dict<'_, '_>, key: &[u8]) -> Option<Bytes> {
    dict.get(key).and_then(|v| v.as_bytes()).map(Bytes::copy_from_slice)
}

fn int(dict: &Dict<'_, '_>, key: &[u8]) -> Option<i64> {
    dict.get(key).and_then(|v| v.as_int())
}

fn flag(dict: &Dict<'_, '_>, key: &[u8]) -> bool {
    int(dict, key).is_some_and(|n| n != 0)
}

fn compact(bytes: &[u8]) -> Option<SocketAddr> {
    match bytes.len() {
        6 => compact_v4(bytes).next(),
        18 => compact_v6(bytes).next(),
        _ => None,
    }
}

impl Packet {
    /// Decodes a packet.
    ///
    /// # Errors
    /// When it is nothing to act on.
    pub fn decode(packet: &[u8]) -> Result<Self, KrpcError> {
        let silent = |why| KrpcError { query: None, why };
        let document = scan(packet, LIMITS, Mode::Lenient)
            .map_err(|_| silent("not bencoded, or too large"))?;
        let root = document.root();
        let t = bytes(&root, b"t").ok_or(silent("no transaction"))?;
        let body = match root.get(b"y").and_then(|v| v.as_bytes()) {
            Some(b"q") => {
                let query = query(&root);
                Body::Query(query.map_err(|why| KrpcError { query: Some(t.clone()), why })?)
            }
            Some(b"r") => Body::Reply(reply(&root).ok_or(silent("a reply without an id"))?),
            Some(b"e") => error(&root),
            _ => return Err(silent("neither query nor reply nor error")),
        };
        let ip = root.get(b"ip").and_then(|v| v.as_bytes()).and_then(compact);
        Ok(Self { t, v: bytes(&root, b"v"), ip, read_only: flag(&root, b"ro"), body })
    }

    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.dict();
        let kind: &[u8] = match &self.body {
            Body::Query(query) => {
                out.bytes(b"a");
                encode_query(&mut out, query);
                b"q"
            }
            Body::Error { code, message } => {
                out.bytes(b"e").list().int(*code).bytes(message.as_bytes()).end();
                b"e"
            }
            Body::Reply(_) => b"r",
        };
        if let Some(ip) = self.ip {
            let mut compact = Vec::new();
            push_compact(&mut compact, ip);
            out.bytes(b"ip").bytes(&compact);
        }
        match &self.body {
            Body::Query(query) => drop(out.bytes(b"q").bytes(query.method.as_bytes())),
            Body::Reply(reply) => {
                out.bytes(b"r");
                encode_reply(&mut out, reply);
            }
            Body::Error { .. } => {}
        }
        if self.read_only {
            out.bytes(b"ro").int(1);
        }
        out.bytes(b"t").bytes(&self.t);
        if let Some(v) = &self.v {
            out.bytes(b"v").bytes(v);
        }
        out.bytes(b"y").bytes(kind);
        out.end();
        out.finish()
    }
}

fn query(root: &Dict<'_, '_>) -> Result<Query, &'static str> {
    let method = root.get(b"q").and_then(|v| v.as_str()).ok_or("missing 'q' key")?;
    let a = root.get(b"a").filter(Value::is_dict).ok_or("missing 'a' key")?;
    let id = a.get(b"id").and_then(|v| v.as_bytes()).ok_or("missing 'id' key")?;
    let id = NodeId::from_slice(id).ok_or("invalid value for 'id'")?;
    let want = a.get(b"want").filter(Value::is_list).map(|list| {
        let has = |name: &[u8]| list.items().any(|item| item.as_bytes() == Some(name));
        (has(b"n4"), has(b"n6"))
    });
    Ok(Query {
        method: method.into(),
        id,
        target: bytes(&a, b"target"),
        info_hash: bytes(&a, b"info_hash"),
        token: bytes(&a, b"token"),
        port: int(&a, b"port").and_then(|port| u16::try_from(port).ok()),
        implied_port: flag(&a, b"implied_port"),
        seed: flag(&a, b"seed"),
        no_seed: flag(&a, b"noseed"),
        scrape: flag(&a, b"scrape"),
        want,
        item: item_fields(&a),
        cas: int(&a, b"cas"),
    })
}

fn item_fields(dict: &Dict<'_, '_>) -> ItemFields {
    ItemFields {
        key: bytes(dict, b"k"),
        salt: bytes(dict, b"salt"),
        seq: int(dict, b"seq"),
        signature: bytes(dict, b"sig"),
        value: dict.get(b"v").map(|v| Bytes::copy_from_slice(v.raw())),
    }
}

fn contacts(dict: &Dict<'_, '_>, key: &[u8], width: usize) -> Option<Vec<Contact>> {
    let bytes = dict.get(key)?.as_bytes()?;
    let read = bytes.chunks_exact(width).take(MAX_READ);
    let contact = |entry: &[u8]| {
        let (id, addr) = entry.split_at(20);
        Some(Contact { id: NodeId::from_slice(id)?, addr: compact(addr)? })
    };
    Some(read.filter_map(contact).collect())
}

fn reply(root: &Dict<'_, '_>) -> Option<Reply> {
    let r = root.get(b"r").filter(Value::is_dict)?;
    let id = NodeId::from_slice(r.get(b"id")?.as_bytes()?)?;
    let (v4, v6) = (contacts(&r, b"nodes", 26), contacts(&r, b"nodes6", 38));
    let families = (v4.is_some(), v6.is_some());
    let mut nodes = v4.unwrap_or_default();
    nodes.extend(v6.unwrap_or_default());
    let values = r.get(b"values").filter(Value::is_list).map(|list| {
        let peers = list.items().take(2 * MAX_READ);
        peers.filter_map(|peer| compact(peer.as_bytes()?)).collect()
    });
    let samples = r.get(b"samples").and_then(|v| v.as_bytes()).map(|samples| {
        let samples = samples.chunks_exact(20).take(MAX_READ).filter_map(NodeId::from_slice);
        let number = |key: &[u8]| int(&r, key).unwrap_or(0);
        (samples.collect(), number(b"num"), number(b"interval"))
    });
    let filters = bytes(&r, b"BFsd").zip(bytes(&r, b"BFpe"));
    // An answer has no salt (BEP 44): whoever asked knows it, and must not be told another.
    let item = ItemFields { salt: None, ..item_fields(&r) };
    let token = bytes(&r, b"token");
    Some(Reply { id, nodes, families, token, values, filters, samples, item })
}

fn error(root: &Dict<'_, '_>) -> Body {
    let mut parts = root.get(b"e").iter().flat_map(Value::items).collect::<Vec<_>>().into_iter();
    let code = parts.next().and_then(|v| v.as_int()).unwrap_or(code::GENERIC);
    let text = parts.next().and_then(|v| v.as_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    Body::Error { code, message: text.chars().filter(|c| !c.is_control()).take(200).collect() }
}

fn put(out: &mut Encoder, key: &[u8], value: Option<&Bytes>) {
    if let Some(value) = value {
        out.bytes(key).bytes(value);
    }
}

fn encode_query(out: &mut Encoder, query: &Query) {
    out.dict();
    if let Some(cas) = query.cas {
        out.bytes(b"cas").int(cas);
    }
    out.bytes(b"id").bytes(&query.id.0);
    if query.implied_port {
        out.bytes(b"implied_port").int(1);
    }
    put(out, b"info_hash", query.info_hash.as_ref());
    put(out, b"k", query.item.key.as_ref());
    if query.no_seed {
        out.bytes(b"noseed").int(1);
    }
    if let Some(port) = query.port {
        out.bytes(b"port").int(port.into());
    }
    put(out, b"salt", query.item.salt.as_ref());
    if query.scrape {
        out.bytes(b"scrape").int(1);
    }
    if query.seed {
        out.bytes(b"seed").int(1);
    }
    if let Some(seq) = query.item.seq {
        out.bytes(b"seq").int(seq);
    }
    put(out, b"sig", query.item.signature.as_ref());
    put(out, b"target", query.target.as_ref());
    put(out, b"token", query.token.as_ref());
    if let Some(value) = &query.item.value {
        out.bytes(b"v").raw(value);
    }
    if let Some((v4, v6)) = query.want {
        out.bytes(b"want").list();
        if v4 {
            out.bytes(b"n4");
        }
        if v6 {
            out.bytes(b"n6");
        }
        out.end();
    }
    out.end();
}

fn encode_reply(out: &mut Encoder, reply: &Reply) {
    out.dict();
    if let Some((seeds, others)) = &reply.filters {
        out.bytes(b"BFpe").bytes(others).bytes(b"BFsd").bytes(seeds);
    }
    out.bytes(b"id").bytes(&reply.id.0);
    if let Some((_, _, interval)) = &reply.samples {
        out.bytes(b"interval").int(*interval);
    }
    put(out, b"k", reply.item.key.as_ref());
    for (ipv6, wanted, key) in
        [(false, reply.families.0, &b"nodes"[..]), (true, reply.families.1, b"nodes6")]
    {
        if wanted {
            let mut compact = Vec::new();
            for node in reply.nodes.iter().filter(|node| node.addr.is_ipv6() == ipv6) {
                compact.extend(node.id.0);
                push_compact(&mut compact, node.addr);
            }
            out.bytes(key).bytes(&compact);
        }
    }
    if let Some((samples, number, _)) = &reply.samples {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.0).collect();
        out.bytes(b"num").int(*number).bytes(b"samples").bytes(&bytes);
    }
    if let Some(seq) = reply.item.seq {
        out.bytes(b"seq").int(seq);
    }
    put(out, b"sig", reply.item.signature.as_ref());
    put(out, b"token", reply.token.as_ref());
    if let Some(value) = &reply.item.value {
        out.bytes(b"v").raw(value);
    }
    if let Some(values) = &reply.values {
        out.bytes(b"values").list();
        for peer in values {
            let mut compact = Vec::new();
            push_compact(&mut compact, *peer);
            out.bytes(&compact);
        }
        out.end();
    }
    out.end();
}
