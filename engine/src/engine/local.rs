//! Local discovery in the engine (BEP 14): torrents are announced on the local network, and whoever
//! announces one of ours there is a peer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{Action, PeerSource};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{TorrentId, UdpSocketId};
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::candidates::Namer;
use crate::context::Timer;
use crate::local_discovery::{GROUP_V4, GROUP_V6, LocalDiscovery};

/// Local discovery, once there are sockets for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct LocalService {
    sockets: [Option<UdpSocketId>; 2],
    machine: Option<LocalDiscovery>,
    /// When each torrent was announced last.
    announced: BTreeMap<TorrentId, Instant>,
    alarm: Alarm,
}

impl LocalService {
    /// Whether a packet on this socket is for local discovery.
    pub(super) fn owns(&self, socket: UdpSocketId) -> bool {
        self.sockets.contains(&Some(socket))
    }
}

impl Engine {
    /// The driver has joined the groups on these sockets.
    pub(super) fn listen_locally(&mut self, sockets: [Option<UdpSocketId>; 2]) {
        if !self.ctx.config.lsd || self.ctx.config.anonymous {
            return;
        }
        self.local.sockets = sockets;
        if sockets.iter().any(Option::is_some) && self.local.machine.is_none() {
            let machine = LocalDiscovery::new(&mut self.ctx.random.misc, self.ctx.now);
            self.local.machine = Some(machine);
        }
        self.announce_locally();
    }

    /// A packet on a group's port.
    pub(super) fn local_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        let Some(machine) = &mut self.local.machine else { return };
        let own = self.ctx.net.identity.external(from.is_ipv6()).ip();
        let announced = machine.datagram(from, own, data, self.ctx.now);
        let Some((addr, hashes)) = announced else { return };
        for hash in hashes {
            let Some(id) = self.by_hash.get(&hash) else {
                self.want(hash, Some(addr));
                continue;
            };
            if let Some(torrent) = self.torrents.get_mut(*id) {
                let namer = Namer::at(PeerSource::Lsd, addr.ip());
                torrent.add_candidate(&mut self.ctx, addr, namer);
            }
        }
    }

    /// Torrents are new, or came back.
    pub(super) fn search_locally(&mut self) {
        if let Some(machine) = &mut self.local.machine {
            machine.hurry(self.ctx.now);
            self.announce_locally();
        }
    }

    /// Announces what is due, if it is time to.
    pub(super) fn announce_locally(&mut self) {
        let now = self.ctx.now;
        let Some(port) = self.ctx.net.identity.port else { return };
        let Some(machine) = &mut self.local.machine else { return };
        self.local.announced.retain(|id, _| self.torrents.contains(*id));
        // Private torrents never (BEP 27).
        let open = self.torrents.iter();
        let open =
            open.filter(|(_, torrent)| torrent.is_running() && !torrent.contents().are_private());
        let open: Vec<(TorrentId, Sha1Hash, Instant)> = open
            .map(|(id, torrent)| {
                let last = self.local.announced.get(&id).copied();
                (id, torrent.info_hash(), LocalDiscovery::due_at(last))
            })
            .collect();
        let Some(next) = open.iter().map(|(.., at)| *at).min() else { return };
        if next <= now && machine.may_announce(now) {
            let due: Vec<_> = open.iter().filter(|(.., at)| *at <= now).collect();
            let hashes: Vec<Sha1Hash> = due.iter().map(|(_, hash, _)| *hash).collect();
            let (announcement, told) =
                machine.announce(&hashes, port, &mut self.ctx.random.misc, now);
            for (id, ..) in &due[..told] {
                self.local.announced.insert(*id, now);
            }
            for (ipv6, group) in [(false, GROUP_V4), (true, GROUP_V6)] {
                let blocked = self.ctx.net.standing.filter().blocks(group.ip());
                if let Some(socket) = self.local.sockets[usize::from(ipv6)].filter(|_| !blocked) {
                    let data = announcement.encode(ipv6);
                    self.ctx.out.actions.push(Action::SendDatagram { socket, to: group, data });
                }
            }
        }
        let at = next.max(machine.next_at()).max(now + core::time::Duration::from_secs(1));
        self.local.alarm.set(&mut self.ctx.timers, at, now, Timer::LocalDiscovery);
    }
}
