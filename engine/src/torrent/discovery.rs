//! Trackers: when to announce, what to say, what to make of the answer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Torrent;
use crate::api::{Notice, PeerSource};
use crate::candidates::Namer;
use crate::context::{Context, Timer, Wish};
use crate::tracker::{AnnounceEvent, AnnounceParams, Answer, Failure, Order, TrackerRef};

impl Torrent {
    /// Makes the announce that is due, and sets the timer for the next.
    pub(super) fn poll_announces(&mut self, ctx: &mut Context) {
        if !self.is_running() || ctx.stopping {
            return;
        }
        if let Some(order) = self.announcer.poll(ctx.now) {
            ctx.agenda.wishes.add(self.id, Wish::Announce(order));
        } else if let Some(at) = self.announcer.next_deadline().filter(|at| *at > ctx.now) {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.announce.set(queue, at, now, Timer::Announce(self.id));
        }
    }

    /// What an announce says.
    pub(crate) fn announce_params(&self, ctx: &Context, order: &Order) -> AnnounceParams {
        let stopped = order.event == AnnounceEvent::Stopped;
        AnnounceParams {
            info_hash: self.info_hash(),
            peer_id: self.persona.peer_id,
            uploaded: self.traffic.up.total(),
            downloaded: self.traffic.down.total(),
            left: self.left(),
            event: order.event,
            key: self.persona.key,
            num_want: if stopped { 0 } else { self.peers_wanted(ctx) },
            // A tracker refuses port 0; port 1 says the same.
            port: ctx.net.identity.port.unwrap_or(1),
        }
    }

    /// Bytes that are missing.
    pub(super) fn left(&self) -> u64 {
        if !self.is_known() {
            // Not nothing, or a tracker would take us for a seed.
            return 16 * 1024;
        }
        let geometry = self.metainfo.geometry();
        let have = self.picker.have();
        let mut done = u64::from(have.count()) * u64::from(geometry.piece_length());
        let last = geometry.pieces().saturating_sub(1);
        if have.has(last) {
            done -= u64::from(geometry.piece_length() - geometry.piece_size(last));
        }
        geometry.length() - done
    }

    /// A tracker answered.
    pub(crate) fn tracker_answered(
        &mut self,
        ctx: &mut Context,
        at: TrackerRef,
        answer: &Answer,
        peers: &[SocketAddr],
        warning: Option<alloc::string::String>,
    ) {
        self.announcer.succeeded(at, answer, ctx.now);
        let own = [ctx.net.identity.external(false), ctx.net.identity.external(true)];
        let others: Vec<_> = peers.iter().filter(|peer| !own.contains(peer)).copied().collect();
        for addr in &others {
            self.add_candidate(ctx, *addr, Namer::tracker(at.0));
        }
        if let Some(tracker) = self.announcer.tracker(at) {
            let (torrent, url) = (self.id, tracker.url.clone());
            let peers = peers.len() as u32;
            ctx.notify(Notice::TrackerReplied { torrent, url, peers, warning });
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// A tracker failed.
    pub(crate) fn tracker_failed(&mut self, ctx: &mut Context, at: TrackerRef, why: &Failure) {
        self.announcer.failed(at, why, ctx.now);
        if let Some(tracker) = self.announcer.tracker(at) {
            let (torrent, url) = (self.id, tracker.url.clone());
            let error = why.message.clone();
            ctx.notify(Notice::TrackerFailed { torrent, url, error });
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// A tracker named a peer by host name, which has been resolved.
    pub(crate) fn peer_resolved(&mut self, ctx: &mut Context, ips: &[IpAddr], port: u16) {
        for ip in ips.iter().take(4) {
            let namer = Namer::all(PeerSource::Tracker);
            self.add_candidate(ctx, SocketAddr::new(*ip, port), namer);
        }
    }
}
