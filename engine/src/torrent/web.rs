//! What web seeds are asked for, and what comes of it (`webseed`): each request is a connection, credit is given and
//! blocks come as of peers.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::{Contents, Sharing, Torrent};
use crate::api::{CloseKind, CloseMode, Notice, RangeGet, StreamAction, StreamEvent, Transport};
use crate::base::ids::ConnId;
use crate::base::payload::Payload;
use crate::context::{Conn, Context, Phase, Timer};
use crate::picker::{BlockRef, PeerKey, PickMode, Received};
use crate::webseed::{Assignment, Outcome, Room};

/// Servers for which nothing is found in a row before others are not looked at in this step.
const MAX_MISSES: u32 = 4;
/// Blocks that a server is asked for at once of those that others were asked for.
const BLOCKS_AGAIN: u32 = 64;
/// Seconds until a request is looked at again that is not awaited: it may be we who keep it waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Of a web seed there is no address: its name is looked up by the driver.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Torrent {
    /// Asks web seeds for what they can bring.
    pub(super) fn ask_web_seeds(&mut self, ctx: &mut Context) {
        if self.web.is_hopeless() || ctx.stopping {
            return;
        }
        if !self.is_transferring() || self.storage.is_read_only() || self.contents.are_finished() {
            return;
        }
        let mut misses = 0;
        for server in self.web.order(ctx.now) {
            while misses < MAX_MISSES && self.has_turn(ctx, server) {
                ctx.work.add_steps(1);
                if !self.ask_web_seed(ctx, server) {
                    misses += 1;
                    break;
                }
            }
        }
        if let Some(at) = self.web.next_deadline(ctx.now) {
            self.alarms.web.set(&mut ctx.timers, at, ctx.now, Timer::Torrent(self.id));
        }
    }

    /// Whether one may be asked for another run now. Where its host has no turn, it waits for that; where others have
    /// all places, the slowest of them gives way.
    fn has_turn(&mut self, ctx: &mut Context, server: usize) -> bool {
        match self.web.room(server, ctx.now) {
            Room::NotWanted | Room::Soon => return false,
            Room::None => {
                self.make_room_for_web(ctx);
                return false;
            }
            Room::Free => {}
        }
        if let Err(at) = ctx.net.web_hosts.may_ask(self.web.host(server), ctx.now) {
            self.web.wait_until(server, at);
            return false;
        }
        let (own, all) = (self.web.count(), ctx.net.conns.fetching());
        let room = ctx.net.web_hosts.has_room(own, all);
        if !room {
            self.wait_for_room(ctx);
            if own == 0 {
                ctx.net.web_hosts.is_crowded();
            }
        }
        room && ctx.net.conns.len() < ctx.config.max_connections
    }

    /// The slowest request of this torrent that may gives way. Returns whether there was one.
    pub(crate) fn make_room_for_web(&mut self, ctx: &mut Context) -> bool {
        let slowest = self.web.slowest(ctx.now);
        if let Some((_, conn)) = slowest {
            let outcome = self.web.give_way(conn, ctx.now);
            self.follow_web(ctx, Some(conn), outcome);
        } else {
            self.wait_for_room(ctx);
        }
        slowest.is_some()
    }

    /// It is looked for a place again when one is free, or somebody has become slow.
    fn wait_for_room(&mut self, ctx: &mut Context) {
        ctx.agenda.awaiting_room.insert(self.id);
        self.alarms.web.set(
            &mut ctx.timers,
            ctx.now + LOOK_AGAIN,
            ctx.now,
            Timer::Torrent(self.id),
        );
    }

    /// Asks one for a run. Returns whether there was one for it.
    fn ask_web_seed(&mut self, ctx: &mut Context, server: usize) -> bool {
        let room = self.room_for_requests(ctx);
        let max_partial = 8 + 2 * self.peers.len() as u32;
        let Contents::Known(metainfo, picker) = &mut self.contents else { return false };
        let geometry = picker.geometry();
        let mut start = None;
        if self.web.terms(server, geometry, ctx.now).no_ranges {
            start = self.web.whole_file(server, metainfo, picker.missing());
            if start.is_none() {
                self.web.put_off(server, ctx.now);
                return false;
            }
        }
        let terms = self.web.terms(server, geometry, ctx.now);
        let mode = PickMode {
            fast: true,
            parole: terms.parole,
            max_partial,
            proven: terms.proven,
            ..PickMode::default()
        };
        let (key, count) = (terms.key, terms.count.min(room));
        let (rng, start) = (&mut ctx.random.picks, start.or(terms.start));
        let mut blocks = picker.pick_run(key, terms.pieces, start, count, mode, rng);
        let again = terms.proven && terms.idle && !terms.parole && !terms.no_ranges;
        if blocks.is_empty() && again && ctx.config.endgame {
            let count = count.min(BLOCKS_AGAIN);
            blocks = picker.pick_run_again(key, terms.pieces, count, mode, rng);
        }
        if blocks.is_empty() {
            return false;
        }
        let metainfo = metainfo.clone();
        let mut outcome = Outcome::default();
        self.web.assign(server, blocks, &metainfo, ctx.now, &mut outcome);
        let found = outcome.next.is_some() || !outcome.taken.blocks.is_empty();
        if !found {
            self.web.put_off(server, ctx.now);
        }
        self.follow_web(ctx, None, outcome);
        found
    }

    /// Something about a request to a web seed.
    pub(crate) fn web_event(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        event: StreamEvent,
    ) -> bool {
        let Contents::Known(metainfo, _) = &self.contents else { return true };
        let (metainfo, now) = (metainfo.clone(), ctx.now);
        let mut is_granted = true;
        let outcome = match event {
            StreamEvent::Answered(head) => self.web.answered(conn, &head, &metainfo, now),
            StreamEvent::Received(bytes) => {
                let count = bytes.len() as u32;
                ctx.net.received += u64::from(count);
                self.traffic.down.add(now, count.into());
                let (within, outcome) = self.web.received(conn, bytes, now);
                ctx.budgets.credit.give(within.into());
                is_granted = within == count;
                outcome
            }
            StreamEvent::Closed(kind) => {
                let whole = kind == CloseKind::Eof;
                self.web.ended(conn, whole, &metainfo, now)
            }
            StreamEvent::NotFetched(why) => self.web.not_fetched(conn, why, now),
            // Nothing else is told of such a connection.
            _ => self.web.stop(conn),
        };
        self.follow_web(ctx, Some(conn), outcome);
        ctx.agenda.flush.insert(conn);
        is_granted
    }

    /// Time has passed for a request to a web seed.
    pub(crate) fn web_due(&mut self, ctx: &mut Context, conn: ConnId) {
        let outcome = self.web.due(conn, ctx.now);
        self.follow_web(ctx, Some(conn), outcome);
        if let Some(at) = self.web.due_at(conn) {
            ctx.timers.schedule(at.max(ctx.now + LOOK_AGAIN), Timer::Conn(conn));
        }
    }

    /// Does what is said about a request, and about those that follow from it.
    fn follow_web(&mut self, ctx: &mut Context, conn: Option<ConnId>, outcome: Outcome) {
        let Outcome { key, taken, dropped, close, released, next, news, visited, came } = outcome;
        visited.iter().for_each(|host| match came {
            Some(true) => ctx.net.web_hosts.brought(host),
            Some(false) => ctx.net.web_hosts.missed(host, ctx.now),
            None => {}
        });
        if conn.is_some() || !dropped.is_empty() || news.is_some() {
            ctx.agenda.touched.insert(self.id);
        }
        self.traffic.wasted += taken.useless;
        if let (Some(conn), Some(granted)) = (conn, released) {
            ctx.budgets.credit.give(granted.into());
            ctx.agenda.flush.remove(&conn);
            ctx.limits.awaiting_disk.remove(&conn);
            ctx.net.conns.remove(conn);
            ctx.room_for_connections();
            if close {
                ctx.stream(conn, StreamAction::Close(CloseMode::Now));
            }
        }
        if let Some(picker) = self.contents.picker_mut() {
            self.undecided.reopened |= !dropped.is_empty();
            if let Some((key, _)) = dropped.first() {
                picker.release(*key);
            }
            dropped.into_iter().for_each(|(key, at)| picker.request_dropped(at, key));
        }
        if let Some(key) = key {
            taken.blocks.into_iter().for_each(|(at, payload)| {
                self.web_block(ctx, key, at, payload);
            });
        }
        if let Some((assignment, get)) = next {
            self.begin_fetch(ctx, assignment, get);
        }
        if let Some(view) = news.and_then(|server| self.web.view(server, ctx.now)) {
            ctx.notify(Notice::WebSeed(self.id, view.into()));
        }
        // Whoever is given up is not waited for.
        if let Some(conn) = self.web.orphan() {
            self.stop_fetch(ctx, conn);
        }
    }

    fn begin_fetch(&mut self, ctx: &mut Context, assignment: Assignment, get: RangeGet) {
        if ctx.stopping || !self.is_transferring() {
            let mut outcome = Outcome::default();
            self.web.not_begun(assignment, &mut outcome);
            return self.follow_web(ctx, None, outcome);
        }
        if let Err(at) = ctx.net.web_hosts.may_ask(assignment.host(), ctx.now) {
            let mut outcome = Outcome::default();
            self.web.postponed(assignment, at, &mut outcome);
            return self.follow_web(ctx, None, outcome);
        }
        let named = self.web.is_named_by_user(&assignment);
        ctx.net.web_hosts.asked(assignment.host(), named, ctx.now);
        let conn = Conn::new(NOWHERE, Some(self.id), None, Phase::Fetching, ctx.now);
        let conn = ctx.net.conns.insert(conn);
        ctx.stream(conn, StreamAction::Fetch(get.into()));
        self.web.began(conn, assignment);
        self.rest.visited();
        if let Some(at) = self.web.due_at(conn) {
            ctx.timers.schedule(at, Timer::Conn(conn));
        }
        ctx.agenda.flush.insert(conn);
    }

    /// A block came from a web seed.
    fn web_block(&mut self, ctx: &mut Context, key: PeerKey, at: BlockRef, payload: Payload) {
        let Some(picker) = self.contents.picker_mut() else { return };
        match picker.block_received(at, key) {
            Received::Needed { also_asked } => {
                for other in also_asked {
                    self.cancel_at(ctx, other, at);
                }
                self.write(ctx, at, payload);
            }
            Received::Useless => self.traffic.wasted += u64::from(payload.len()),
        }
    }

    /// Somebody else has brought a block that a web seed was asked for.
    pub(super) fn cancel_at_web_seed(&mut self, ctx: &mut Context, key: PeerKey, at: BlockRef) {
        if let Some(conn) = self.web.forget(key, at) {
            self.stop_fetch(ctx, conn);
        }
    }

    fn stop_fetch(&mut self, ctx: &mut Context, conn: ConnId) {
        let outcome = self.web.stop(conn);
        self.follow_web(ctx, Some(conn), outcome);
    }

    /// Nothing is asked of web seeds any more.
    pub(super) fn leave_web_seeds(&mut self, ctx: &mut Context) {
        for conn in self.web.conns() {
            self.stop_fetch(ctx, conn);
        }
    }

    /// A web seed is proven to have sent bad data.
    pub(super) fn ban_web_seed(&mut self, ctx: &mut Context, key: PeerKey) {
        let news = self.web.convict(key);
        if let Some(picker) = self.contents.picker_mut() {
            self.undecided.reopened |= picker.reopen(key);
            picker.release(key);
        }
        self.follow_web(ctx, None, Outcome { news, ..Outcome::default() });
    }

    /// What carries a connection of this torrent: of a peer, or for a web seed.
    pub(crate) fn transport_of(&self, conn: ConnId) -> Option<Transport> {
        let peer = self.peers.get(&conn).map(|peer| peer.transport);
        peer.or_else(|| self.web.has(conn).then_some(Transport::Tcp))
    }

    /// The turn of somebody who waits for credit has come. Returns how long it has to wait where there is less than
    /// a portion.
    pub(crate) fn grant_share(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        sharing: Sharing,
    ) -> Option<Duration> {
        if let Some(peer) = self.peers.get_mut(&conn) {
            return self.traffic.grant_share(ctx, peer, sharing);
        }
        match self.traffic.share(ctx, Transport::Tcp, sharing) {
            Ok(share) => self.grant_fetch(ctx, conn, Some(share)),
            Err(wait) => return wait,
        }
        None
    }

    /// Lets a request to a web seed go on.
    pub(super) fn grant_fetch(&mut self, ctx: &mut Context, conn: ConnId, share: Option<u64>) {
        let Some(flow) = self.web.flow(conn, ctx.now) else { return };
        if let Some(amount) = self.traffic.fetch_grant(ctx, conn, flow, share) {
            self.web.grant(conn, amount, ctx.now);
        }
    }
}
