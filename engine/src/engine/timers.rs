//! Timers that are due.

use super::Engine;
use crate::api::CloseReason;
use crate::base::ids::ConnId;
use crate::context::{Phase, Timer};

impl Engine {
    pub(super) fn fire_timers(&mut self) {
        while let Some(timer) = self.ctx.timers.pop_due(self.ctx.now) {
            match timer {
                Timer::ChokeRound => self.look_at_slots(),
                Timer::Conn(conn) => self.conn_due(conn),
                Timer::Keys => self.work_out_keys(),
                Timer::Torrent(id) | Timer::Announce(id) => {
                    self.ctx.agenda.touched.insert(id);
                }
                Timer::Trackers => self.poll_trackers(),
                Timer::Dht => self.poll_dht(),
                Timer::LocalDiscovery => self.announce_locally(),
                Timer::MixedMode => self.share_lines(),
                Timer::Bandwidth | Timer::ShutDown | Timer::Standby | Timer::Utp => {}
            }
        }
    }

    fn conn_due(&mut self, conn: ConnId) {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        match entry.phase {
            Phase::Active => {
                let torrent = entry.torrent.and_then(|id| self.torrents.get_mut(id));
                if let Some(torrent) = torrent {
                    torrent.tick(&mut self.ctx, conn);
                }
            }
            Phase::Fetching => {
                if let Some((torrent, ctx)) = self.torrent_of(conn) {
                    torrent.web_due(ctx, conn);
                }
            }
            // The deadline moves when a connection goes from connecting to shaking hands.
            Phase::Connecting if self.ctx.now < entry.deadline => {
                self.try_otherwise(conn);
            }
            _ if self.ctx.now < entry.deadline => {}
            Phase::Connecting => self.forget_early(conn, CloseReason::ConnectFailed, true),
            Phase::Handshaking(_) => self.forget_early(conn, CloseReason::HandshakeTimeout, true),
        }
    }
}
