//! Web seeds: servers that have the files of a torrent (BEP 19), or send its pieces (BEP 17). A server is a contributor
//! that is no peer: it is asked for runs of blocks, each of which is a request for a range of a file or a part of a
//! piece, or several where those end in it. How bytes are allowed, come, and become blocks is as of peers; who asks the
//! picker and the driver is the torrent.

mod address;
mod audit;
mod choice;
mod fetch;
mod hosts;
mod reply;
mod run;
mod server;
mod view;

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::{HttpFailure, HttpHead, RangeGet};
use crate::base::addr::Scope;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::metainfo::{MAX_URL_BYTES, MAX_WEB_SEEDS, Metainfo, Source};
use crate::picker::{BlockRef, PeerKey, PeerPieces};
use crate::tracker::{host_of, is_web};

pub use choice::{Room, Terms};
pub use fetch::{Assignment, Flow};
use fetch::{Fetch, address_of, part_of};
pub use hosts::WebHosts;
use reply::{Asked, Verdict, judge, judge_piece};
pub use run::Taken;
use run::{Next, Run};
use server::Server;
pub use server::{GivenUp, Kind};

/// Servers of which it is known which files they lack; it takes a bit a piece.
const MAX_LISTS: usize = 16;
/// Redirects followed for one request.
const MAX_HOPS: u8 = 5;

/// What follows from what a server says.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Who brought blocks.
    pub key: Option<PeerKey>,
    /// Blocks that came.
    pub taken: Taken,
    /// Blocks that will not come with this request, and of whom they were asked.
    pub dropped: Vec<(PeerKey, BlockRef)>,
    /// The connection is to be closed.
    pub close: bool,
    /// The connection has ended, and held this much credit.
    pub released: Option<u32>,
    /// The rest of the run, to be asked for with another request.
    pub next: Option<(Assignment, RangeGet)>,
    /// Something is told of this server.
    pub news: Option<usize>,
    /// Hosts that were asked for what has ended.
    pub visited: Vec<String>,
    /// Whether that brought anything; `None` where it was we who ended it.
    pub came: Option<bool>,
}

/// The web seeds of a torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WebSeeds {
    servers: Vec<Server>,
    fetches: BTreeMap<ConnId, Fetch>,
    /// Who was asked last.
    turn: usize,
}

impl WebSeeds {
    /// One more server. One that is named again by the user is trusted from then on.
    pub fn add(&mut self, url: &str, kind: Kind, trusted: bool) {
        let known = |server: &&mut Server| server.url == url && server.kind == kind;
        if let Some(known) = self.servers.iter_mut().find(known) {
            known.trusted |= trusted;
            return;
        }
        // The torrent names at most that many, and so does the user.
        let named = self.servers.iter().filter(|server| server.trusted == trusted).count();
        if is_web(url) && url.len() <= MAX_URL_BYTES && named < MAX_WEB_SEEDS {
            // Peers are numbered from below.
            let key = PeerKey::MAX - self.servers.len() as u32;
            self.servers.push(Server::new(url.into(), kind, trusted, key));
        }
    }

    /// Those that the user names, and those of a torrent.
    pub fn add_all(&mut self, source: &Source, mirrors: &[String]) {
        mirrors.iter().for_each(|url| self.add(url, Kind::Files, true));
        self.add_named(source.web_seeds(), source.http_seeds());
    }

    /// Those that a torrent names: servers of files, and of pieces.
    pub fn add_named(&mut self, files: &[String], pieces: &[String]) {
        files.iter().for_each(|url| self.add(url, Kind::Files, false));
        pieces.iter().for_each(|url| self.add(url, Kind::Pieces, false));
    }

    /// Whether there is nobody to ask, now or later.
    pub fn is_hopeless(&self) -> bool {
        self.servers.iter().all(|server| server.given_up.is_some())
    }

    /// Whether anything is asked for.
    pub fn is_busy(&self) -> bool {
        !self.fetches.is_empty()
    }

    /// How many requests are in progress.
    pub fn count(&self) -> u32 {
        self.fetches.len() as u32
    }

    /// Requests in progress.
    pub fn conns(&self) -> Vec<ConnId> {
        self.fetches.keys().copied().collect()
    }

    /// Whether a connection is one of those.
    pub fn has(&self, conn: ConnId) -> bool {
        self.fetches.contains_key(&conn)
    }

    /// Blocks that were asked for.
    pub fn blocks_asked(&self) -> u32 {
        self.fetches.values().map(|fetch| fetch.run.len()).sum()
    }

    /// The same, one by one, and of whom.
    pub fn requests(&self) -> impl Iterator<Item = (BlockRef, PeerKey)> + '_ {
        self.fetches.values().flat_map(|fetch| {
            let key = self.servers[fetch.server].key;
            fetch.run.blocks().map(move |at| (at, key))
        })
    }

    /// Bytes granted and not received.
    pub fn granted(&self) -> u64 {
        self.fetches.values().map(|fetch| u64::from(fetch.granted)).sum()
    }

    fn of_key(&mut self, key: PeerKey) -> Option<&mut Server> {
        self.servers.get_mut((PeerKey::MAX - key) as usize)
    }

    /// Whether a contributor is a server of these.
    pub fn is_server(&self, key: PeerKey) -> bool {
        ((PeerKey::MAX - key) as usize) < self.servers.len()
    }

    /// A server is asked for a run. `None` where that is all padding, or where a server that knows no ranges would
    /// send too much.
    pub fn assign(
        &mut self,
        server: usize,
        blocks: Vec<BlockRef>,
        metainfo: &Metainfo,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        self.servers[server].next = blocks.last().map(|last| last.piece + 1);
        self.turn = server;
        let run = Run::new(metainfo.geometry(), blocks);
        self.go_on(server, run, metainfo, now, outcome);
    }

    /// The next request for a run, if anything of it has to be asked for.
    fn go_on(
        &mut self,
        server: usize,
        mut run: Run,
        metainfo: &Metainfo,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        let asked = &mut self.servers[server];
        let next = match asked.kind {
            Kind::Files => run.next(metainfo.layout(), &mut outcome.taken),
            Kind::Pieces => run.next_in_piece(metainfo.layout(), &mut outcome.taken),
        };
        outcome.key = Some(asked.key);
        let Next::Get { file, first, end } = next else { return asked.delivered(now) };
        let (offset, length) = part_of(metainfo, asked.kind, file).unwrap_or_default();
        if asked.no_ranges && first > run.length() {
            outcome.dropped.extend(run.blocks().map(|at| (asked.key, at)));
            return;
        }
        let (url, only) = match &asked.moved {
            Some((moved, url, only)) if *moved == file => (url.clone(), *only),
            _ => (address_of(asked, metainfo, file, first..end), asked.only()),
        };
        let visited = [host_of(&url)].into();
        let fetch = Fetch {
            server,
            run,
            file,
            first,
            end,
            offset,
            length,
            at: offset + first,
            until: offset + end,
            answered: false,
            url,
            only,
            hops: 0,
            visited,
            whole: asked.kind == Kind::Pieces,
            granted: 0,
            brought: 0,
            heard_at: now,
            since: now,
            before: 0,
        };
        let get = fetch.get();
        outcome.next = Some((Assignment(fetch), get));
    }

    /// The connection for an assignment is made.
    pub fn began(&mut self, conn: ConnId, Assignment(fetch): Assignment) {
        let server = &mut self.servers[fetch.server];
        server.lanes = server.lanes.saturating_add(1);
        self.fetches.insert(conn, fetch);
    }

    /// The connection for an assignment cannot be made.
    pub fn not_begun(&self, Assignment(fetch): Assignment, outcome: &mut Outcome) {
        let key = self.servers[fetch.server].key;
        outcome.dropped.extend(fetch.run.blocks().map(|at| (key, at)));
    }

    /// The connection for an assignment is not made before `at`.
    pub fn postponed(&mut self, assignment: Assignment, at: Instant, outcome: &mut Outcome) {
        self.wait_until(assignment.0.server, at);
        self.not_begun(assignment, outcome);
    }

    /// A server is not asked before `at`.
    pub fn wait_until(&mut self, server: usize, at: Instant) {
        let server = &mut self.servers[server];
        server.retry_at = server.retry_at.max(at);
    }

    /// Whether something is asked for by the word of the user.
    pub fn is_named_by_user(&self, Assignment(fetch): &Assignment) -> bool {
        fetch.visited.len() == 1 && self.servers[fetch.server].trusted
    }

    /// The host that a server is at.
    pub fn host(&self, server: usize) -> &str {
        &self.servers[server].host
    }

    fn end(&mut self, conn: ConnId, outcome: &mut Outcome) -> Option<Fetch> {
        let mut fetch = self.fetches.remove(&conn)?;
        self.servers[fetch.server].lanes -= 1;
        outcome.released = Some(fetch.granted);
        outcome.came = Some(fetch.has_brought_something());
        outcome.visited = core::mem::take(&mut fetch.visited);
        Some(fetch)
    }

    /// The blocks of a request that ended are open to everybody.
    fn give_back(&self, fetch: &Fetch, outcome: &mut Outcome) {
        let key = self.servers[fetch.server].key;
        outcome.dropped.extend(fetch.run.blocks().map(|at| (key, at)));
    }

    /// A request ends without what was asked for, and its server is asked again later.
    fn fail(&mut self, conn: ConnId, why: &str, now: Instant, outcome: &mut Outcome) {
        let Some(fetch) = self.end(conn, outcome) else { return };
        self.servers[fetch.server].failed(why, now);
        self.give_back(&fetch, outcome);
        outcome.news = Some(fetch.server);
    }

    /// A request ends as its server is not asked any more.
    fn lose(&mut self, conn: ConnId, why: GivenUp, outcome: &mut Outcome) {
        let Some(fetch) = self.end(conn, outcome) else { return };
        self.servers[fetch.server].give_up(why);
        self.give_back(&fetch, outcome);
        outcome.news = Some(fetch.server);
    }

    /// The head of a reply.
    pub fn answered(
        &mut self,
        conn: ConnId,
        head: &HttpHead,
        metainfo: &Metainfo,
        now: Instant,
    ) -> Outcome {
        let mut outcome = Outcome { close: true, ..Outcome::default() };
        let Some(fetch) = self.fetches.get_mut(&conn) else { return outcome };
        let Fetch { first, end, length, .. } = *fetch;
        let asked = Asked { first, end, length, run: fetch.run.length() };
        let verdict = match self.servers[fetch.server].kind {
            _ if fetch.answered => Verdict::Wrong,
            Kind::Files => judge(head, asked),
            Kind::Pieces => judge_piece(head, asked),
        };
        match verdict {
            Verdict::Body { first, end } => {
                fetch.answered = true;
                fetch.heard_at = now;
                fetch.at = fetch.offset + first;
                fetch.until = fetch.offset + end;
                outcome.close = false;
                if !core::mem::replace(&mut self.servers[fetch.server].told, true) {
                    outcome.news = Some(fetch.server);
                }
                if head.status == 200 && !fetch.whole && asked.end - asked.first < asked.length {
                    self.servers[fetch.server].no_ranges = true;
                }
            }
            Verdict::Elsewhere(to) => self.follow(conn, to, head.scope, now, &mut outcome),
            Verdict::NoSuchFile => self.lacks_file(conn, metainfo, now, &mut outcome),
            Verdict::NoRanges => {
                if let Some(fetch) = self.end(conn, &mut outcome) {
                    self.servers[fetch.server].no_ranges = true;
                    self.servers[fetch.server].width = 1;
                    self.give_back(&fetch, &mut outcome);
                }
            }
            Verdict::Busy(seconds) => {
                if let Some(fetch) = self.end(conn, &mut outcome) {
                    self.servers[fetch.server].busy(seconds, now);
                    self.give_back(&fetch, &mut outcome);
                    outcome.news = Some(fetch.server);
                }
            }
            Verdict::Locked => self.lose(conn, GivenUp::Locked, &mut outcome),
            Verdict::Wrong => {
                let why = "the server sends something else than was asked for";
                self.fail(conn, why, now, &mut outcome);
            }
            Verdict::Failed => {
                let why = alloc::format!("HTTP status {}", head.status);
                self.fail(conn, &why, now, &mut outcome);
            }
        }
        outcome
    }

    /// The file is somewhere else: a server on the internet must not lead us into a private network.
    fn follow(
        &mut self,
        conn: ConnId,
        to: String,
        scope: Scope,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        let Some(fetch) = self.fetches.get(&conn) else { return };
        if !is_web(&to) || to.len() > MAX_URL_BYTES {
            return self.fail(conn, "the server redirects to what is no web address", now, outcome);
        }
        if fetch.hops >= MAX_HOPS {
            return self.fail(conn, "the server redirects too often", now, outcome);
        }
        let Some(mut fetch) = self.end(conn, outcome) else { return };
        // Who leads somewhere answers for what comes of it.
        (fetch.visited, outcome.came) = (core::mem::take(&mut outcome.visited), None);
        fetch.visited.push(host_of(&to));
        let nearest = match self.servers[fetch.server].trusted {
            true => fetch.only.unwrap_or(Scope::Loopback).min(scope),
            false => Scope::Public,
        };
        fetch.only = (nearest != Scope::Loopback).then_some(nearest);
        fetch.hops += 1;
        fetch.granted = 0;
        fetch.heard_at = now;
        // Of a piece the address names the part that is asked for now.
        if !fetch.whole {
            self.servers[fetch.server].moved = Some((fetch.file, to.clone(), fetch.only));
        }
        fetch.url = to;
        let get = fetch.get();
        outcome.next = Some((Assignment(fetch), get));
    }

    /// The server lacks a file, or has another one of that name: the others may still be right.
    fn lacks_file(
        &mut self,
        conn: ConnId,
        metainfo: &Metainfo,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        let lists = |server: &&Server| matches!(server.pieces, PeerPieces::Some(_));
        let room = self.servers.iter().filter(lists).count() < MAX_LISTS;
        let Some(fetch) = self.end(conn, outcome) else { return };
        let server = &mut self.servers[fetch.server];
        // A file that was found once may be gone from where it was.
        let stale = fetch.hops == 0 && server.moved.as_ref().is_some_and(|at| at.0 == fetch.file);
        if stale {
            server.moved = None;
            server.failed("the file is not there any more", now);
        } else {
            let geometry = metainfo.geometry();
            let lacking = geometry.pieces_of(fetch.offset, fetch.length);
            let may_list = room || lists(&&*server);
            let has_some = may_list && server.lacks(lacking, geometry.pieces()) > 0;
            if !has_some || server.misses_all() {
                server.give_up(GivenUp::NoFiles);
                outcome.news = Some(fetch.server);
            }
        }
        self.give_back(&fetch, outcome);
    }

    /// Part of a body. Returns whether it was within what was granted, and what follows.
    pub fn received(&mut self, conn: ConnId, bytes: Bytes, now: Instant) -> (u32, Outcome) {
        let mut outcome = Outcome::default();
        let Some(fetch) = self.fetches.get_mut(&conn) else { return (0, outcome) };
        let count = bytes.len() as u64;
        let within = u64::from(fetch.granted).min(count) as u32;
        fetch.granted -= within;
        fetch.heard_at = now;
        fetch.brought += count;
        let server = &mut self.servers[fetch.server];
        server.down.add(now, count);
        outcome.key = Some(server.key);
        let room = fetch.until.saturating_sub(fetch.at);
        if !fetch.answered || count > room {
            let why = "the server sends more than was asked for";
            outcome.close = true;
            self.fail(conn, why, now, &mut outcome);
            return (within, outcome);
        }
        fetch.run.take(fetch.at, bytes, &mut outcome.taken);
        fetch.at += count;
        // Of a server that knows no ranges the rest is of no use; what somebody else has brought is neither.
        let useless = fetch.run.needs().is_none_or(|needs| needs >= fetch.until);
        if useless && fetch.at < fetch.until && fetch.run.is_empty() {
            outcome.close = true;
            if let Some(fetch) = self.end(conn, &mut outcome) {
                self.servers[fetch.server].delivered(now);
            }
        }
        (within, outcome)
    }

    /// The connection has ended; `whole` where the server says that this was all.
    pub fn ended(
        &mut self,
        conn: ConnId,
        whole: bool,
        metainfo: &Metainfo,
        now: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(fetch) = self.fetches.get(&conn) else { return outcome };
        let all = fetch.answered && whole && fetch.at >= fetch.until;
        // What was cut short is asked for where it ended, unless that would go on for ever.
        if !all && !fetch.has_brought_something() {
            self.fail(conn, "the connection was closed too early", now, &mut outcome);
            return outcome;
        }
        if let Some(fetch) = self.end(conn, &mut outcome) {
            if all {
                self.servers[fetch.server].brought();
            }
            self.go_on(fetch.server, fetch.run, metainfo, now, &mut outcome);
        }
        outcome
    }

    /// There is no reply.
    pub fn not_fetched(&mut self, conn: ConnId, why: HttpFailure, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        match why {
            HttpFailure::Forbidden => self.lose(conn, GivenUp::Forbidden, &mut outcome),
            why => self.fail(conn, &why.to_string(), now, &mut outcome),
        }
        outcome
    }

    /// Time has passed for a request.
    pub fn due(&mut self, conn: ConnId, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(fetch) = self.fetches.get(&conn) else { return outcome };
        let (silent, drips, server) = (fetch.is_silent(now), fetch.drips(now), fetch.server);
        if silent || drips {
            outcome.close = true;
            self.servers[server].slow |= drips;
            let why = if silent { "timed out" } else { "the server sends too slowly" };
            self.fail(conn, why, now, &mut outcome);
        }
        outcome
    }

    /// The slowest request that may make room for another, with its rate; the user's own may stay.
    pub fn slowest(&self, now: Instant) -> Option<(u64, ConnId)> {
        let others = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.may_give_way(now) && !self.servers[fetch.server].trusted);
        others.map(|(conn, fetch)| (fetch.rate(now), *conn)).min()
    }

    /// A request makes room for another.
    pub fn give_way(&mut self, conn: ConnId, now: Instant) -> Outcome {
        let mut outcome = Outcome { close: true, ..Outcome::default() };
        if let Some(fetch) = self.fetches.get(&conn) {
            self.servers[fetch.server].slow = true;
        }
        self.fail(conn, "the server is slow, and others wait", now, &mut outcome);
        outcome
    }

    /// When a request has to be looked at again.
    pub fn due_at(&self, conn: ConnId) -> Option<Instant> {
        self.fetches.get(&conn).map(Fetch::due_at)
    }

    /// A request is given up.
    pub fn stop(&mut self, conn: ConnId) -> Outcome {
        let mut outcome = Outcome { close: true, ..Outcome::default() };
        if let Some(fetch) = self.end(conn, &mut outcome) {
            outcome.came = outcome.came.filter(|came| *came);
            self.give_back(&fetch, &mut outcome);
        }
        outcome
    }

    /// Somebody else has brought a block that was asked of a server. Returns the request that is of no use any more.
    pub fn forget(&mut self, key: PeerKey, at: BlockRef) -> Option<ConnId> {
        let servers = &self.servers;
        let theirs = self.fetches.iter_mut().filter(|(_, f)| servers[f.server].key == key);
        let found = theirs.filter_map(|(conn, f)| f.run.forget(at).then_some((*conn, &f.run)));
        let mut empty = found.filter(|(_, run)| run.is_empty()).map(|(conn, _)| conn);
        empty.next()
    }

    /// A server is to answer for a bad piece with others.
    pub fn suspect(&mut self, key: PeerKey) {
        if let Some(server) = self.of_key(key) {
            server.parole = true;
        }
    }

    /// A piece is good that a server had a part in.
    pub fn trust(&mut self, key: PeerKey) {
        if let Some(server) = self.of_key(key) {
            server.verified = server.verified.saturating_add(1);
            server.parole = false;
        }
    }

    /// Whether a server has proven itself.
    pub fn is_trusted(&self, key: PeerKey) -> bool {
        let server = self.servers.get((PeerKey::MAX - key) as usize);
        server.is_some_and(|server| server.verified > 0 && !server.parole)
    }

    /// A bad block is pinned on a server: it is not asked any more. Returns its number.
    pub fn convict(&mut self, key: PeerKey) -> Option<usize> {
        self.of_key(key)?.give_up(GivenUp::BadData);
        Some((PeerKey::MAX - key) as usize)
    }

    /// A request to a server that is given up.
    pub fn orphan(&self) -> Option<ConnId> {
        let given_up = |fetch: &Fetch| self.servers[fetch.server].given_up.is_some();
        self.fetches.iter().find(|(_, fetch)| given_up(fetch)).map(|(conn, _)| *conn)
    }

    /// Bytes that a request may still get: of credit what is out, how fast its server is, how much is left of it.
    pub fn flow(&self, conn: ConnId, now: Instant) -> Option<Flow> {
        let fetch = self.fetches.get(&conn)?;
        let server = &self.servers[fetch.server];
        let rate = server.down.per_second(now) / u64::from(server.lanes.max(1));
        let left = fetch.until.saturating_sub(fetch.at);
        Some(Flow { granted: fetch.granted, rate, left, answered: fetch.answered })
    }

    /// More may come.
    pub fn grant(&mut self, conn: ConnId, amount: u32, now: Instant) {
        if let Some(fetch) = self.fetches.get_mut(&conn) {
            fetch.grant(amount, now);
        }
    }
}
