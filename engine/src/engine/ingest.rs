//! Events in: each is dealt with as far as it goes by itself. State changes; what a driver waits for is
//! answered (a connection that comes is adopted or refused); what was asked of a connection that has ended
//! is taken back; whoever breaks a rule is closed and, after three, banned; blocks go to the disk; and what
//! was written, hashed or synced is followed by the next operation on it. What concerns several peers or
//! torrents waits, marked in the agenda, for the phases behind: whom to ask, serve, unchoke, connect to,
//! announce to.

use alloc::boxed::Box;
use core::ops::Bound;

use super::{Engine, ShutDown};
use crate::api::CloseReason;
use crate::api::{
    AddTorrent, Command, CommandError, DiskOutcome, Event, Notice, PeerSource, StreamEvent, Tag,
    TorrentCommand, Transport, ViolatedRule,
};
use crate::base::ids::{ConnId, DiskOpId, TorrentId};
use crate::base::work::Payer;
use crate::candidates::Namer;
use crate::context::{DiskJob, Phase};
use crate::mixed_mode::Way;
use crate::torrent::{Exit, Torrent};

/// On whose behalf an event is dealt with.
fn payer(event: &Event) -> Payer {
    match event {
        Event::Stream(conn, _) => Payer::Conn(*conn),
        Event::Datagram { from, .. } => Payer::Datagram(crate::base::addr::normalise(*from)),
        Event::Http(exchange, _) => Payer::Exchange(*exchange),
        _ => Payer::Engine,
    }
}

impl Engine {
    pub(super) fn ingest(&mut self, event: Event) {
        self.ctx.work.charge(payer(&event));
        match event {
            Event::Command(tag, command) => self.command(tag, command),
            Event::Incoming { socket, remote } => self.incoming(socket, remote),
            Event::Stream(conn, event) => self.stream(conn, event),
            Event::Datagram { socket, from, data, waited } => {
                let from = crate::base::addr::normalise(from);
                if self.ctx.net.standing.filter().blocks(from.ip()) {
                    return;
                }
                if self.local.owns(socket) {
                    self.local_datagram(from, &data);
                } else if data.first() == Some(&b'd') {
                    self.dht_datagram(from, &data);
                } else if self.is_utp(&data) {
                    self.utp_datagram(from, &data, waited);
                } else {
                    self.tracker_datagram(from, &data);
                }
            }
            Event::Disk(op, outcome) => self.disk(op, outcome),
            Event::Resolved(lookup, result) => self.resolved(lookup, result),
            Event::Http(exchange, event) => self.http(exchange, event),
        }
    }

    fn command(&mut self, tag: Tag, command: Command) {
        match command {
            Command::Add(add) => self.add(tag, *add),
            Command::Torrent(id, command) => self.torrent_command(tag, id, command),
            Command::ListenOn { port, udp4, udp6 } => {
                self.ctx.net.identity.port = port;
                self.ctx.net.identity.udp4 = udp4;
                self.ctx.net.identity.udp6 = udp6;
                self.start_dht();
                self.announce_locally();
            }
            Command::ListenLocally { udp4, udp6 } => self.listen_locally([udp4, udp6]),
            #[cfg(feature = "dht")]
            Command::RestoreDht(state) => self.restore_dht(*state),
            #[cfg(not(feature = "dht"))]
            Command::RestoreDht(state) => match *state {},
            Command::Dht(request) => self.dht_request(tag, *request),
            Command::StandBy { info_hash, announce } => self.stand_by(tag, info_hash, announce),
            Command::Forget(info_hash) => self.forget_standby(tag, info_hash),
            Command::ShutDown => self.begin_shut_down(),
            Command::SetFilter(filter) => self.set_filter(filter),
            Command::SetLimits(limits) => {
                let now = self.ctx.now;
                self.ctx.limits.down.set_rate(limits.down, now);
                self.ctx.limits.up.set_rate(limits.up, now);
                self.ctx.limits.tokens_at = now;
            }
        }
    }

    fn torrent_command(&mut self, tag: Tag, id: TorrentId, command: TorrentCommand) {
        use TorrentCommand as Asked;
        let Some(torrent) = self.torrents.get_mut(id) else {
            return self.ctx.reject(tag, CommandError::UnknownTorrent);
        };
        let ctx = &mut self.ctx;
        match command {
            Asked::Remove => torrent.close(ctx, Exit::Remove { data: false }),
            Asked::RemoveWithData => torrent.close(ctx, Exit::Remove { data: true }),
            _ if torrent.life().is_going_to_rest() => ctx.reject(tag, CommandError::Busy),
            Asked::Move(to) => torrent.move_to(ctx, tag, to),
            Asked::Rename(rename) => torrent.rename(ctx, tag, &rename),
            Asked::Pause => torrent.pause(ctx),
            Asked::Resume => torrent.resume(ctx),
            Asked::Recheck => torrent.recheck(ctx),
            Asked::SaveResume => torrent.save_resume(ctx),
            Asked::Announce => self.announce_now(id),
            Asked::SetPriorities(changes) => torrent.set_priorities(ctx, tag, &changes),
            Asked::SetSequential(on) => torrent.set_sequential(on),
            Asked::SetReader { reader, ahead } => {
                torrent.set_reader(ctx, tag, reader, ahead.as_ref())
            }
            Asked::Read { range, within } => torrent.read_ahead(ctx, tag, range, within),
            Asked::SetLimits(limits) => torrent.set_limits(ctx, limits),
            Asked::AddPeers { peers, source } => {
                for addr in peers {
                    torrent.add_candidate(ctx, addr, Namer::all(source));
                }
            }
        }
    }

    fn add(&mut self, tag: Tag, mut add: AddTorrent) {
        if let Some(resume) = add.resume.as_mut().filter(|_| self.ctx.config.anonymous) {
            // What trackers know us by from another run.
            resume.trackers.iter_mut().for_each(|(_, id)| *id = None);
        }
        let hashes = add.source.info_hashes();
        let known = self.by_hash.get(&hashes.wire()).copied();
        let refused = if self.shut_down != ShutDown::No {
            Some(CommandError::ShuttingDown)
        } else if known.is_some() {
            Some(CommandError::Duplicate)
        } else if hashes.v1.is_none() {
            Some(CommandError::V2Only)
        } else {
            None
        };
        if let Some(error) = refused {
            let torrent = known.filter(|_| error == CommandError::Duplicate);
            if let Some(known) = torrent.and_then(|id| self.torrents.get_mut(id)) {
                known.merge(&mut self.ctx, &add);
            }
            return self.ctx.notify(Notice::CommandRejected { tag, error, torrent });
        }
        let peers = add.peers.clone();
        let known = add.source.metainfo().is_some();
        let returned = self.standby.remove(hashes.wire());
        let ctx = &mut self.ctx;
        let id = self.torrents.insert_with(|id| Box::new(Torrent::new(id, add, ctx)));
        self.by_hash.insert(hashes.wire(), id);
        self.torrent_hashes.add(hashes.wire());
        self.ctx.notify(Notice::TorrentAdded { tag, torrent: id, info_hashes: hashes });
        if let Some(returned) = returned {
            self.take_over(id, returned);
        }
        let (Some(torrent), ctx) = (self.torrents.get_mut(id), &mut self.ctx) else { return };
        if known {
            torrent.open(ctx);
        } else {
            torrent.begin_metadata(ctx);
        }
        for addr in peers {
            torrent.add_candidate(ctx, addr, Namer::all(PeerSource::User));
        }
    }

    fn stream(&mut self, conn: ConnId, event: StreamEvent) {
        let over = matches!(
            event,
            StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_) | StreamEvent::NotFetched(_)
        );
        if over {
            // Actions of this step for the connection are dropped: it has ended.
            self.ctx.out.withdraw(conn);
        }
        if let StreamEvent::ConnectFailed(why) = event
            && !self.tcp_failed(conn, why)
        {
            return;
        }
        // An event for a connection that we closed is a normal race.
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        if matches!(entry.phase, Phase::Fetching) {
            return self.fetch(conn, event);
        }
        let active = matches!(entry.phase, Phase::Active);
        let (torrent, transport) = (entry.torrent, entry.transport);
        let is_hidden = entry.residue.is_some();
        match event {
            StreamEvent::Connected => {
                self.ctx.net.utp.give_up(conn);
                self.connected(conn);
            }
            StreamEvent::ConnectFailed(_) => self.lost(conn, CloseReason::ConnectFailed),
            StreamEvent::Received(mut bytes) => {
                let count = bytes.len() as u64;
                self.ctx.carried(Way::Down, transport, count);
                if is_hidden {
                    bytes = self.ctx.net.conns.decipher(conn, bytes);
                    self.content.note_clear(&bytes);
                }
                match active {
                    true => self.bytes_received(conn, torrent, bytes),
                    false => self.received_early(conn, bytes),
                }
                self.utp_returned(conn, count);
            }
            StreamEvent::Sent(count) => self.sent(conn, torrent, transport, count),
            StreamEvent::Closed(_) => {
                self.ctx.net.utp.dropped(conn);
                self.lost(conn, CloseReason::Remote);
            }
            StreamEvent::Offered(count) => self.utp_offered(conn, count),
            // No peer is asked with HTTP.
            StreamEvent::Answered(_) | StreamEvent::NotFetched(_) => {
                self.violated(ViolatedRule::UnknownCompletion);
            }
        }
    }

    /// Something about a request to a web seed.
    fn fetch(&mut self, conn: ConnId, event: StreamEvent) {
        if let StreamEvent::Received(bytes) = &event {
            let count = bytes.len() as u64;
            self.ctx.carried(Way::Down, Transport::Tcp, count);
            self.ctx.work.add_steps(1 + count / 16_384);
            // Whatever a web seed sends is content, or is passed over unread.
            if self.content.on {
                self.content.note(0, bytes.len() as u32);
            }
        }
        let Some((torrent, ctx)) = self.torrent_of(conn) else { return };
        if !torrent.web_event(ctx, conn, event) {
            self.violated(ViolatedRule::MoreThanGranted);
        }
    }

    pub(super) fn sent(
        &mut self,
        conn: ConnId,
        torrent: Option<TorrentId>,
        transport: Transport,
        count: u32,
    ) {
        self.ctx.carried(Way::Up, transport, count.into());
        if let Some(torrent) = torrent.and_then(|id| self.torrents.get_mut(id))
            && torrent.peers().contains_key(&conn)
        {
            if !torrent.sent(&mut self.ctx, conn, count) {
                self.violated(ViolatedRule::MoreThanSent);
            }
            return;
        }
        self.sent_early(conn, count);
    }

    /// A connection is no more, by the peer's doing or the network's.
    pub(super) fn lost(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        // Of TCP the driver knows it already.
        let tell = self.ctx.net.utp.carries(conn);
        let torrent = entry.torrent.and_then(|id| self.torrents.get_mut(id));
        match (&entry.phase, torrent) {
            (Phase::Active, Some(torrent)) => {
                torrent.close_peer(&mut self.ctx, conn, reason, tell);
            }
            _ => self.forget_early(conn, reason, tell),
        }
    }

    fn disk(&mut self, op: DiskOpId, outcome: DiskOutcome) {
        let Some(job) = self.ctx.disk.end(op) else {
            return self.violated(ViolatedRule::UnknownCompletion);
        };
        if let DiskJob::Read { request, .. } = job {
            self.ctx.budgets.sending.give(request.length.into());
        }
        if !self.ctx.limits.awaiting_disk.is_empty() && !self.ctx.disk_is_behind() {
            let held = core::mem::take(&mut self.ctx.limits.awaiting_disk);
            self.ctx.agenda.flush.extend(held);
        }
        let id = job.torrent();
        match self.torrents.get_mut(id) {
            Some(_) if matches!(job, DiskJob::Close(_)) => self.closed(id),
            Some(torrent) => torrent.operation_ended(&mut self.ctx, job, outcome),
            None => return,
        }
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.go_on_closing(&mut self.ctx);
        }
    }

    /// Gives the hash jobs that are free to the torrents that wait, one after the other, so that a
    /// large one delays none.
    pub(super) fn give_hash_jobs(&mut self) {
        while self.ctx.disk.hashing() < self.ctx.config.hash_jobs {
            let waiting = &self.ctx.agenda.awaiting_hash;
            let behind = (Bound::Excluded(self.ctx.agenda.hashed_last), Bound::Unbounded);
            let next = waiting.range(behind).next().or_else(|| waiting.first()).copied();
            let Some(id) = next else { return };
            self.ctx.agenda.hashed_last = id;
            self.ctx.agenda.awaiting_hash.remove(&id);
            if let Some(torrent) = self.torrents.get_mut(id)
                && torrent.hash_one(&mut self.ctx)
                && torrent.awaits_hash()
            {
                self.ctx.agenda.awaiting_hash.insert(id);
            }
        }
    }

    /// The files of a torrent are closed: it is gone, or at rest.
    fn closed(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        match torrent.closed() {
            Some(Exit::Rest) => self.rested(id),
            // It was removed on its way to rest: what is on disk goes too.
            None => torrent.go_on_closing(&mut self.ctx),
            Some(Exit::Remove { .. }) => {
                self.by_hash.remove(&torrent.info_hash());
                self.torrent_hashes.remove(torrent.info_hash());
                self.torrents.remove(id);
                self.standby.not_announce_only(id);
                self.ctx.notify(Notice::TorrentRemoved(id));
            }
            Some(Exit::Stop) => {}
        }
    }
}
