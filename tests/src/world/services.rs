//! What is not the network: disks, names and HTTP.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::base::ids::{DiskOpId, ExchangeId, LookupId};
use eddyline::{
    DiskError, DiskOp, DiskOutcome, Event, HttpEvent, HttpFailure, HttpGet, LookupError,
};

use super::{AtNode, World};
use crate::faults::Fault;
use crate::node::NodeId;
use crate::tracker::Tracker;

/// How late something late is.
const LATE: Duration = Duration::from_secs(4);

fn kind(op: &DiskOp) -> &'static str {
    match op {
        DiskOp::Open { .. } => "Open",
        DiskOp::WriteBlock { .. } => "WriteBlock",
        DiskOp::ReadBlock { .. } => "ReadBlock",
        DiskOp::HashPiece { .. } => "HashPiece",
        DiskOp::HashBlocks { .. } => "HashBlocks",
        DiskOp::Sync { .. } => "Sync",
        DiskOp::StoreResume { .. } => "StoreResume",
        DiskOp::Select { .. } => "Select",
        DiskOp::Move { .. } => "Move",
        DiskOp::Discard { .. } => "Discard",
        DiskOp::Rename { .. } => "Rename",
        DiskOp::Trim { .. } => "Trim",
        DiskOp::Close { .. } => "CloseFiles",
        DiskOp::Delete { .. } => "Delete",
    }
}

impl World {
    pub(super) fn disk(&mut self, id: NodeId, op: DiskOpId, what: DiskOp) {
        let fault = self.fault(id, kind(&what));
        let most = self.disk_delay;
        let mut when = self.soon(most);
        let disk = &mut self.nodes[id].disk;
        if let Some(speed) = disk.speed {
            let length = disk.piece_length(&what);
            disk.free_at = disk.free_at.max(self.now) + speed.time(&what, length);
            when = disk.free_at;
        }
        if fault == Some(Fault::Late) {
            when = when + LATE;
        }
        self.at_node(when, id, AtNode::Disk(op, what, fault));
    }

    /// Performed as late as it ends, so that operations really overtake each other.
    pub(super) fn disk_ends(
        &mut self,
        id: NodeId,
        op: DiskOpId,
        what: DiskOp,
        fault: Option<Fault>,
    ) {
        let outcome = match fault {
            Some(Fault::Failed) => DiskOutcome::Failed(DiskError::Io),
            Some(Fault::Full) => DiskOutcome::Failed(DiskError::NoSpace),
            Some(Fault::Rotten) => self.nodes[id].disk.perform_badly(what),
            _ => self.nodes[id].disk.perform(what),
        };
        self.tell(id, Event::Disk(op, outcome));
    }

    pub(super) fn resolve(&mut self, id: NodeId, lookup: LookupId, name: String) {
        let fault = self.fault(id, "Resolve");
        let delay = if fault == Some(Fault::Late) { LATE } else { self.weather.latency };
        let when = self.now + delay;
        self.at_node(when, id, AtNode::Resolved(lookup, name, fault));
    }

    pub(super) fn resolved(
        &mut self,
        id: NodeId,
        lookup: LookupId,
        name: &str,
        fault: Option<Fault>,
    ) {
        let known = self.names.get(name).cloned().ok_or(LookupError::NotFound);
        let result = match fault {
            Some(Fault::Failed) => Err(LookupError::NotFound),
            Some(Fault::Wrong) => Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 66, 66, 66))]),
            _ => known,
        };
        self.tell(id, Event::Resolved(lookup, result));
    }

    pub(super) fn http_get(&mut self, id: NodeId, exchange: ExchangeId, get: Box<HttpGet>) {
        let fault = self.fault(id, "Http");
        let delay = if fault == Some(Fault::Late) { LATE } else { Duration::ZERO };
        let base = get.url.split('?').next().unwrap_or_default();
        let takes = self.trackers.get(base).map_or(Duration::ZERO, |tracker| tracker.takes);
        let when = self.now + self.weather.latency * 2 + delay + takes.min(get.timeout);
        self.at_node(when, id, AtNode::Http(exchange, get, fault));
    }

    pub(super) fn http(
        &mut self,
        id: NodeId,
        exchange: ExchangeId,
        get: &HttpGet,
        fault: Option<Fault>,
    ) {
        let from = self.nodes[id].addr;
        let events = match fault {
            Some(Fault::Failed) => vec![HttpEvent::Failed(HttpFailure::Connect)],
            Some(Fault::Garbage) => reply(200, vec![vec![0xff; 3000]]),
            Some(Fault::ServerError) => reply(503, vec![b"d5:hello5:theree".to_vec()]),
            // All addresses of this world are local.
            _ if get.only == Some(Scope::Public) => {
                vec![HttpEvent::Failed(HttpFailure::Forbidden)]
            }
            _ => self.serve(from.ip(), get),
        };
        for event in events {
            let parts = match event {
                HttpEvent::Body(bytes) if fault == Some(Fault::Split) => {
                    let parts = bytes.chunks(7).map(bytes::Bytes::copy_from_slice);
                    parts.map(HttpEvent::Body).collect()
                }
                event => vec![event],
            };
            for part in parts {
                self.tell(id, Event::Http(exchange, part));
            }
        }
    }

    /// What the server behind a URL says.
    fn serve(&mut self, from: IpAddr, get: &HttpGet) -> Vec<HttpEvent> {
        let (url, now) = (get.url.as_str(), self.now);
        let base = url.split('?').next().unwrap_or_default();
        let failed = vec![HttpEvent::Failed(HttpFailure::Connect)];
        let scraped = base.replace("/scrape", "/announce");
        match self.trackers.get_mut(base) {
            Some(Tracker { redirect: Some((to, scope)), .. }) => {
                let location = Some(to.clone());
                let head = HttpEvent::Head { status: 302, location, scope: *scope };
                vec![head, HttpEvent::Finished]
            }
            Some(tracker) if !tracker.reach.admits(get.ipv6) => failed,
            Some(tracker) if tracker.takes >= get.timeout => {
                tracker.answer(url, now, get.ipv6 == Some(true), from);
                vec![HttpEvent::Failed(HttpFailure::TimedOut)]
            }
            Some(tracker) => match tracker.answer(url, now, get.ipv6 == Some(true), from) {
                Some(body) => reply(200, vec![body]),
                None => failed,
            },
            None => match self.trackers.get_mut(&scraped) {
                Some(tracker) if !tracker.down => reply(200, vec![tracker.scrape(url)]),
                _ => failed,
            },
        }
    }
}

fn reply(status: u16, parts: Vec<Vec<u8>>) -> Vec<HttpEvent> {
    let head = HttpEvent::Head { status, location: None, scope: Scope::Local };
    let parts = parts.into_iter().map(|part| HttpEvent::Body(part.into()));
    [head].into_iter().chain(parts).chain([HttpEvent::Finished]).collect()
}
