//! Every id begins once and ends once, and nothing is asked of what has ended.

use std::collections::BTreeSet;

use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, SocketToken};
use eddyline::{Action, Event, HttpEvent, StreamAction, StreamEvent};

/// Ids in use.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    sockets: BTreeSet<SocketToken>,
    conns: BTreeSet<ConnId>,
    ended: BTreeSet<ConnId>,
    ops: BTreeSet<DiskOpId>,
    lookups: BTreeSet<LookupId>,
    exchanges: BTreeSet<ExchangeId>,
}

impl Ids {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Incoming { socket, .. } => {
                self.sockets.insert(*socket);
            }
            Event::Stream(
                conn,
                StreamEvent::ConnectFailed(_) | StreamEvent::NotFetched(_) | StreamEvent::Closed(_),
            ) => {
                self.conns.remove(conn);
                self.ended.insert(*conn);
            }
            Event::Disk(op, _) => {
                self.ops.remove(op);
            }
            Event::Resolved(lookup, _) => {
                self.lookups.remove(lookup);
            }
            Event::Http(id, HttpEvent::Finished | HttpEvent::Failed(_)) => {
                self.exchanges.remove(id);
            }
            _ => {}
        }
    }

    pub(super) fn see(&mut self, action: &Action) -> Result<(), String> {
        let fresh = match action {
            Action::Stream(
                conn,
                StreamAction::Connect { .. }
                | StreamAction::OpenUtp { .. }
                | StreamAction::Fetch(_),
            ) => self.begin(*conn),
            Action::Stream(conn, StreamAction::Adopt { socket }) => {
                self.sockets.remove(socket) && self.begin(*conn)
            }
            Action::Refuse { socket } => self.sockets.remove(socket),
            Action::Stream(conn, StreamAction::Close(_)) => {
                self.ended.insert(*conn);
                self.conns.remove(conn)
            }
            Action::Stream(conn, _) => self.conns.contains(conn),
            Action::Disk(op, _) => self.ops.insert(*op),
            Action::Resolve(lookup, _) => self.lookups.insert(*lookup),
            Action::Http(exchange, _) => self.exchanges.insert(*exchange),
            Action::SendDatagram { .. } | Action::Transmit(..) | Action::Notify(_) => true,
        };
        if fresh { Ok(()) } else { Err(format!("ids begin once and end once: {action:?}")) }
    }

    fn begin(&mut self, conn: ConnId) -> bool {
        !self.ended.contains(&conn) && self.conns.insert(conn)
    }
}
