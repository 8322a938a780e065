//! What strangers cost: for each of them, the bytes that it gave, and the work, the traffic and the
//! requests to others that came of them. Each has a bound, in every scenario.
//!
//! A stranger is an address that speaks to us in one way, or the host of a tracker. What a step does
//! is charged to those whose events it was given, in proportion to their bytes; a connection or a
//! query to an address that has never spoken to us is charged to the last one who named it.

mod account;
mod bounds;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use eddyline::base::ids::{ConnId, ExchangeId, SocketToken};
use eddyline::base::time::Instant;
use eddyline::base::work::{Payer, Work};
use eddyline::dht::krpc::{Body, Packet};
use eddyline::tracker::{PeerHost, UdpResponse, parse_announce};
use eddyline::{Action, Engine, Event, HttpAction, HttpEvent, StreamAction, StreamEvent};

pub use account::{Account, Measure, Stranger};
pub use bounds::Strain;
pub(crate) use memory::check_memory;

/// What a packet or a connection weighs beside its bytes: headers of the layers below.
const OVERHEAD: u64 = 28;
/// The largest block of metadata with its message around it.
const METADATA_REPLY: u64 = 16_384 + 64;

/// What a peer asked for, and whom it named.
#[derive(Clone, Debug)]
pub struct Asked {
    pub(super) conn: ConnId,
    /// Bytes of content.
    pub(super) content: u64,
    /// Pieces of metadata.
    pub(super) metadata: u64,
    pub(super) named: Vec<SocketAddr>,
}

/// What all strangers gave and cost at one node.
#[derive(Clone, Debug)]
pub struct Cost {
    accounts: BTreeMap<Stranger, Account>,
    sockets: BTreeMap<SocketToken, IpAddr>,
    conns: BTreeMap<ConnId, IpAddr>,
    exchanges: BTreeMap<ExchangeId, (String, Vec<u8>)>,
    /// Requests to web seeds, and their hosts.
    fetches: BTreeMap<ConnId, String>,
    /// Who named an address, or a host, last.
    namers: BTreeMap<SocketAddr, Stranger>,
    referrers: BTreeMap<String, Stranger>,
    /// Who gave how much to the step that is being made.
    shares: Vec<(Stranger, u64)>,
    touched: Vec<Stranger>,
    /// What ended in this step, and is forgotten when its work has been counted.
    ended: Vec<ConnId>,
    done: Vec<ExchangeId>,
    strain: Strain,
    now: Instant,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            accounts: BTreeMap::new(),
            sockets: BTreeMap::new(),
            conns: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            fetches: BTreeMap::new(),
            namers: BTreeMap::new(),
            referrers: BTreeMap::new(),
            shares: Vec::new(),
            touched: Vec::new(),
            ended: Vec::new(),
            done: Vec::new(),
            strain: Strain::default(),
            now: Instant::ZERO,
        }
    }
}

impl Cost {
    /// Everything that is known of a stranger.
    pub fn account(&self, stranger: &Stranger) -> Option<&Account> {
        self.accounts.get(stranger)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&Stranger, &Account)> {
        self.accounts.iter()
    }

    /// How near to its bounds anybody came.
    pub fn strain(&self) -> &Strain {
        &self.strain
    }

    /// Bytes that all strangers gave.
    pub fn given(&self) -> u64 {
        self.accounts.values().map(|account| account.given).sum()
    }

    fn at(&mut self, stranger: Stranger) -> &mut Account {
        let now = self.now;
        if self.touched.last() != Some(&stranger) {
            self.touched.push(stranger.clone());
        }
        self.accounts.entry(stranger).or_insert_with(|| Account::since(now))
    }

    /// A stranger gave something to the step that comes.
    fn gave(&mut self, stranger: Stranger, bytes: u64, visits: u64) {
        self.shares.push((stranger.clone(), bytes + OVERHEAD));
        let account = self.at(stranger);
        account.given += bytes;
        account.visits += visits;
    }

    fn named(&mut self, by: &Stranger, addrs: impl IntoIterator<Item = SocketAddr>) {
        for addr in addrs {
            self.namers.insert(addr, by.clone());
        }
    }

    pub(super) fn hear(&mut self, now: Instant, event: &Event) {
        self.now = now;
        match event {
            Event::Incoming { socket, remote } => {
                let ip = remote.ip();
                self.sockets.insert(*socket, ip);
                self.gave(Stranger::Peer(ip), OVERHEAD, 1);
            }
            Event::Stream(conn, event) => self.hear_stream(*conn, event),
            Event::Datagram { from, data, .. } => self.hear_datagram(*from, data),
            Event::Http(id, event) => self.hear_http(*id, event),
            _ => {}
        }
    }

    fn hear_stream(&mut self, conn: ConnId, event: &StreamEvent) {
        if let Some(host) = self.fetches.get(&conn).cloned() {
            return self.hear_fetch(conn, host, event);
        }
        let Some(ip) = self.conns.get(&conn).copied() else { return };
        match event {
            StreamEvent::Received(bytes) => {
                self.gave(Stranger::Peer(ip), bytes.len() as u64, 0);
            }
            StreamEvent::Connected => self.gave(Stranger::Peer(ip), OVERHEAD, 1),
            StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_) => {
                self.ended.push(conn);
            }
            StreamEvent::Sent(_)
            | StreamEvent::Offered(_)
            | StreamEvent::Answered(_)
            | StreamEvent::NotFetched(_) => {}
        }
    }

    /// A web server says something.
    fn hear_fetch(&mut self, conn: ConnId, host: String, event: &StreamEvent) {
        let server = Stranger::Server(host);
        match event {
            StreamEvent::Answered(head) => {
                if let Some(url) = &head.location {
                    self.referrers.insert(host_of(url).to_owned(), server.clone());
                }
                self.gave(server, OVERHEAD, 1);
            }
            StreamEvent::Received(bytes) => self.gave(server, bytes.len() as u64, 0),
            _ => {
                self.gave(server, OVERHEAD, 1);
                self.ended.push(conn);
            }
        }
    }

    fn hear_datagram(&mut self, from: SocketAddr, data: &Bytes) {
        let length = data.len() as u64 + OVERHEAD;
        if data.starts_with(b"BT-SEARCH") {
            return self.gave(Stranger::Local(from.ip()), length, 1);
        }
        let stranger = Stranger::Packets(from.ip());
        self.gave(stranger.clone(), length, 1);
        let named = if data.first() == Some(&b'd') {
            match Packet::decode(data).map(|packet| packet.body) {
                Ok(Body::Reply(reply)) => {
                    let nodes = reply.nodes.iter().map(|contact| contact.addr);
                    nodes.chain(reply.values.into_iter().flatten()).collect()
                }
                _ => Vec::new(),
            }
        } else {
            match UdpResponse::decode(data, from.is_ipv6()) {
                Some(UdpResponse::Announce { peers, .. }) => peers,
                _ => Vec::new(),
            }
        };
        self.named(&stranger, named);
    }

    fn hear_http(&mut self, id: ExchangeId, event: &HttpEvent) {
        let Some((host, body)) = self.exchanges.get_mut(&id) else { return };
        let server = Stranger::Server(host.clone());
        match event {
            HttpEvent::Head { location, .. } => {
                let more = location.as_ref().map_or(0, |url| url.len() as u64);
                if let Some(url) = location {
                    self.referrers.insert(host_of(url).to_owned(), server.clone());
                }
                self.gave(server, 20 + more, 0);
            }
            HttpEvent::Body(bytes) => {
                body.extend_from_slice(bytes);
                self.gave(server, bytes.len() as u64, 0);
            }
            HttpEvent::Finished => {
                let body = std::mem::take(body);
                self.done.push(id);
                let Ok(reply) = parse_announce(&body) else { return };
                let addrs = reply.peers.iter().filter_map(|peer| match peer {
                    PeerHost::Addr(addr) => Some(*addr),
                    PeerHost::Name(..) => None,
                });
                self.named(&server, addrs);
            }
            HttpEvent::Failed(_) => self.done.push(id),
        }
    }

    /// What a peer said that costs more than its bytes.
    pub(super) fn heard(&mut self, heard: Asked) {
        let Some(ip) = self.conns.get(&heard.conn).copied() else { return };
        let account = self.at(Stranger::Peer(ip));
        account.asked += heard.content;
        account.asked_metadata += heard.metadata * METADATA_REPLY;
        self.named(&Stranger::Peer(ip), heard.named);
    }

    /// Of the protocol bytes sent to a peer, `bytes` were metadata.
    pub(super) fn sent_metadata(&mut self, conn: ConnId, bytes: u64) {
        if let Some(ip) = self.conns.get(&conn).copied() {
            let account = self.at(Stranger::Peer(ip));
            account.metadata += bytes;
            account.protocol = account.protocol.saturating_sub(bytes);
        }
    }

    pub(super) fn see(&mut self, action: &Action) {
        match action {
            Action::Stream(conn, action) => self.see_stream(*conn, action),
            Action::SendDatagram { to, data, .. } if !to.ip().is_multicast() => {
                let stranger = Stranger::Packets(to.ip());
                self.at(stranger.clone()).packets += data.len() as u64 + OVERHEAD;
                self.charge(*to, &stranger);
            }
            // What carries a stream was asked for as such.
            Action::Transmit(_, packet) if packet.stream.is_none() => {
                let stranger = Stranger::Packets(packet.to.ip());
                self.at(stranger.clone()).packets += packet.length() + OVERHEAD;
                self.charge(packet.to, &stranger);
            }
            Action::Http(id, HttpAction::Get(get)) => {
                let host = host_of(&get.url).to_owned();
                self.at(Stranger::Server(host.clone())).exchanges += 1;
                if let Some(referrer) = self.referrers.get(&host).cloned() {
                    self.at(referrer).requests += 1;
                }
                self.exchanges.insert(*id, (host, Vec::new()));
            }
            _ => {}
        }
    }

    fn see_stream(&mut self, conn: ConnId, action: &StreamAction) {
        match action {
            StreamAction::Connect { remote } => {
                self.conns.insert(conn, remote.ip());
                self.charge(*remote, &Stranger::Peer(remote.ip()));
            }
            StreamAction::Fetch(get) => {
                self.fetches.insert(conn, host_of(&get.url).to_owned());
            }
            StreamAction::OpenUtp { remote } => {
                self.conns.insert(conn, remote.ip());
                self.gave(Stranger::Peer(remote.ip()), OVERHEAD, 1);
            }
            StreamAction::Adopt { socket } => {
                if let Some(ip) = self.sockets.remove(socket) {
                    self.conns.insert(conn, ip);
                }
            }
            StreamAction::Close(_) => {
                self.ended.push(conn);
            }
            StreamAction::Encipher(_)
            | StreamAction::GrantRead(_)
            | StreamAction::Decipher(_)
            | StreamAction::Deliver(_)
            | StreamAction::Release(_) => {}
            StreamAction::Send(bytes) => self.sent(conn, bytes.len() as u64, false),
            StreamAction::SendBlock(bytes) => self.sent(conn, bytes.len() as u64, true),
            StreamAction::SendStored(block) => self.sent(conn, block.length.into(), true),
        }
    }

    fn sent(&mut self, conn: ConnId, bytes: u64, content: bool) {
        if let Some(ip) = self.conns.get(&conn).copied() {
            let account = self.at(Stranger::Peer(ip));
            *(if content { &mut account.content } else { &mut account.protocol }) += bytes;
        }
    }

    /// Something is sent to an address. Who has never spoken to us has somebody else to thank.
    fn charge(&mut self, to: SocketAddr, as_stranger: &Stranger) {
        let speaks = self.accounts.get(as_stranger).is_some_and(|account| account.given > 0);
        if !speaks
            && let Some(namer) = self.namers.get(&to).cloned()
            && namer.ip() != Some(to.ip())
        {
            self.at(namer).requests += 1;
        }
    }

    /// Ends a step: its work is shared out, and everybody it concerned is looked at.
    pub(super) fn settle(
        &mut self,
        engine: &Engine,
        actions: usize,
        torrents: u32,
    ) -> Result<(), String> {
        self.count_work(engine.work());
        self.share_out(actions as u64);
        let mut touched = std::mem::take(&mut self.touched);
        touched.dedup();
        for stranger in touched.drain(..) {
            if let Some(account) = self.accounts.get(&stranger) {
                bounds::check(&stranger, account, self.now, engine, torrents, &mut self.strain)?;
            }
        }
        self.touched = touched;
        Ok(())
    }

    /// Charges everybody with the work that the engine did for it.
    fn count_work(&mut self, work: &Work) {
        for (payer, units) in work.spent().iter().filter(|(_, units)| *units > 0) {
            let stranger = match payer {
                Payer::Engine => None,
                Payer::Conn(conn) => {
                    let server = self.fetches.get(conn).cloned().map(Stranger::Server);
                    server.or_else(|| self.conns.get(conn).map(|ip| Stranger::Peer(*ip)))
                }
                Payer::Datagram(from) => {
                    let local = Stranger::Local(from.ip());
                    let shouts = self.shares.iter().any(|(stranger, _)| *stranger == local);
                    Some(if shouts { local } else { Stranger::Packets(from.ip()) })
                }
                Payer::Exchange(id) => {
                    self.exchanges.get(id).map(|(host, _)| Stranger::Server(host.clone()))
                }
            };
            if let Some(stranger) = stranger {
                self.at(stranger).work += units;
            }
        }
        for conn in self.ended.drain(..) {
            self.conns.remove(&conn);
            self.fetches.remove(&conn);
        }
        for id in self.done.drain(..) {
            self.exchanges.remove(&id);
        }
    }

    /// What was asked of the world was asked for those whose events were handled, by their bytes.
    fn share_out(&mut self, work: u64) {
        let total: u64 = self.shares.iter().map(|(_, share)| share).sum();
        let mut shares = std::mem::take(&mut self.shares);
        for (stranger, share) in shares.drain(..) {
            self.at(stranger).work += work * share / total.max(1);
        }
        self.shares = shares;
    }
}

/// Host and port of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
