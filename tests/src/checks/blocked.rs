//! Nothing goes to an address that the user blocks, and nobody stays who is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use eddyline::base::ids::{ConnId, SocketToken};
use eddyline::filter::Filter;
use eddyline::{Action, Command, Event, StreamAction, StreamEvent};

/// What is known of the filter at one node.
#[derive(Clone, Debug, Default)]
pub struct Blocked {
    /// The one of the step before.
    filter: Arc<Filter>,
    /// The one that was given in this step. What was answered before that, in the same step, may have left.
    next: Option<Arc<Filter>>,
    waiting: BTreeMap<SocketToken, SocketAddr>,
    standing: BTreeMap<ConnId, SocketAddr>,
}

impl Blocked {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Command(_, Command::SetFilter(filter)) => self.next = Some(filter.clone()),
            Event::Incoming { socket, remote } => drop(self.waiting.insert(*socket, *remote)),
            Event::Stream(conn, StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_)) => {
                self.standing.remove(conn);
            }
            _ => {}
        }
    }

    pub(super) fn see(&mut self, action: &Action) -> Result<(), String> {
        let reached = match action {
            Action::SendDatagram { to, .. } => Some(*to),
            Action::Transmit(_, packet) => Some(packet.to),
            Action::Stream(conn, StreamAction::Connect { remote }) => {
                self.standing.insert(*conn, *remote);
                Some(*remote)
            }
            Action::Stream(conn, StreamAction::OpenUtp { remote }) => {
                self.standing.insert(*conn, *remote);
                None
            }
            Action::Stream(conn, StreamAction::Adopt { socket }) => {
                let remote = self.waiting.remove(socket);
                self.standing.extend(remote.map(|remote| (*conn, remote)));
                None
            }
            Action::Stream(conn, StreamAction::Close(_)) => {
                self.standing.remove(conn);
                None
            }
            Action::Refuse { socket } => {
                self.waiting.remove(socket);
                None
            }
            _ => None,
        };
        let now = self.next.as_ref().unwrap_or(&self.filter);
        match reached.filter(|to| self.filter.blocks(to.ip()) && now.blocks(to.ip())) {
            Some(to) => Err(format!("nothing is sent to an address that is blocked: {to}")),
            None => Ok(()),
        }
    }

    /// The step is over.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        if let Some(next) = self.next.take() {
            self.filter = next;
        }
        match self.standing.values().find(|remote| self.filter.blocks(remote.ip())) {
            Some(remote) => Err(format!("nobody stays who is blocked: {remote}")),
            None => Ok(()),
        }
    }
}
