//! Requests to web servers: each is a connection of the engine's, with credit as any other.

use std::time::Duration;

use eddyline::base::ids::ConnId;
use eddyline::{CloseKind, Event, HttpFailure, RangeGet, StreamAction, StreamEvent};

use super::{AtNode, World};
use crate::faults::Fault;
use crate::node::NodeId;
use crate::web_server::{Download, PART};

/// How late something late is.
const LATE: Duration = Duration::from_secs(3);

impl World {
    /// Performs an action on a request to a web server. Gives it back where it is none.
    pub(super) fn web_action(
        &mut self,
        id: NodeId,
        conn: ConnId,
        action: StreamAction,
    ) -> Option<StreamAction> {
        if let StreamAction::Fetch(get) = action {
            let fault = self.fault(id, "Fetch");
            let delay = if fault == Some(Fault::Late) { LATE } else { Duration::ZERO };
            self.nodes[id].downloads.insert(conn, Download::default());
            let when = self.now + self.weather.latency * 4 + delay;
            self.at_node(when, id, AtNode::Fetch(conn, get, fault));
            return None;
        }
        let Some(download) = self.nodes[id].downloads.get_mut(&conn) else { return Some(action) };
        match action {
            StreamAction::GrantRead(count) => {
                download.credit += u64::from(count);
                self.schedule_part(id, conn);
            }
            StreamAction::Close(_) => self.end_download(id, conn),
            other => panic!("nothing else is done with a request: {other:?}"),
        }
        None
    }

    fn end_download(&mut self, id: NodeId, conn: ConnId) {
        if let Some(download) = self.nodes[id].downloads.remove(&conn)
            && let Some(server) = self.web.servers.get_mut(&download.server)
        {
            server.open -= 1;
        }
    }

    /// A request has come to its server.
    pub(super) fn fetch(&mut self, id: NodeId, conn: ConnId, get: &RangeGet, fault: Option<Fault>) {
        if !self.nodes[id].downloads.contains_key(&conn) {
            return;
        }
        let found = self.web.find(&get.url);
        let server = found.and_then(|(base, path)| {
            let server = self.web.servers.get_mut(&base)?;
            Some((base, path, server))
        });
        let refused = match (&server, fault) {
            (None, _) => Some(HttpFailure::Lookup),
            (_, Some(Fault::Failed)) => Some(HttpFailure::Connect),
            (Some((.., server)), _) if get.only.is_some_and(|only| server.scope > only) => {
                Some(HttpFailure::Forbidden)
            }
            _ => None,
        };
        if let Some(why) = refused {
            self.nodes[id].downloads.remove(&conn);
            return self.tell(id, Event::Stream(conn, StreamEvent::NotFetched(why)));
        }
        let Some((base, path, server)) = server else { return };
        let reply = server.answer(path, get);
        server.open += 1;
        server.most_open = server.most_open.max(server.open);
        let hangs = server.hangs();
        let Some(download) = self.nodes[id].downloads.get_mut(&conn) else { return };
        download.server = base;
        let Some(mut reply) = reply else { return };
        if fault == Some(Fault::ServerError) {
            reply.head.status = 503;
            reply.body.clear();
        }
        if fault == Some(Fault::Broken) {
            reply.body.truncate(reply.body.len() / 2);
            reply.whole = false;
        }
        (download.body, download.whole) = (reply.body, reply.whole);
        (download.answered, download.hangs) = (true, hangs);
        self.tell(id, Event::Stream(conn, StreamEvent::Answered(Box::new(reply.head))));
        self.schedule_part(id, conn);
    }

    fn schedule_part(&mut self, id: NodeId, conn: ConnId) {
        let Some(download) = self.nodes[id].downloads.get_mut(&conn) else { return };
        let may = download.answered && (download.credit > 0 || download.body.is_empty());
        if may && !download.hangs && !std::mem::replace(&mut download.scheduled, true) {
            let fault = self.fault(id, "GrantRead");
            let wait = if fault == Some(Fault::Stalled) { LATE } else { PART };
            self.at_node(self.now + wait, id, AtNode::Part(conn));
        }
    }

    /// The next part of a body comes, or its end.
    pub(super) fn part(&mut self, id: NodeId, conn: ConnId) {
        let Some(download) = self.nodes[id].downloads.get_mut(&conn) else { return };
        download.scheduled = false;
        let Some(server) = self.web.servers.get_mut(&download.server) else { return };
        let among = if server.shared { u64::from(server.open.max(1)) } else { 1 };
        let most = (server.rate / among * PART.as_millis() as u64 / 1000).max(1);
        let count = most.min(download.credit).min(download.body.len() as u64);
        let part = download.body.split_to(count as usize);
        download.credit -= count;
        server.sent += count;
        let over = download.body.is_empty();
        let kind = if download.whole { CloseKind::Eof } else { CloseKind::Reset };
        if !part.is_empty() {
            self.tell(id, Event::Stream(conn, StreamEvent::Received(part)));
        }
        if over {
            self.end_download(id, conn);
            self.tell(id, Event::Stream(conn, StreamEvent::Closed(kind)));
        } else {
            self.schedule_part(id, conn);
        }
    }
}
