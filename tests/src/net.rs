//! Wires between nodes: latency, rate, and delivery within the credit that was granted.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::ConnId;
use eddyline::base::time::Instant;

use crate::node::NodeId;

/// One end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A connection of an engine.
    Engine(NodeId, ConnId),
    /// A socket that an engine has not adopted yet.
    Waiting(NodeId),
    /// A scripted peer.
    Script(usize),
    /// Closed on this side.
    Gone,
}

/// A connection in both directions.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    pub(crate) inbound: [Inbound; 2],
    /// When the last byte sent by each side will have left, for the rate.
    pub(crate) free_at: [Instant; 2],
}

/// What has arrived at one end and waits for credit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbound {
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) credit: u64,
}

impl Inbound {
    /// Takes up to `limit` bytes within the credit, as one buffer.
    pub(crate) fn take(&mut self, limit: usize) -> Option<Bytes> {
        let limit = limit.min(usize::try_from(self.credit).unwrap_or(usize::MAX));
        if limit == 0 || self.queue.is_empty() {
            return None;
        }
        let mut out = BytesMut::new();
        while out.len() < limit
            && let Some(front) = self.queue.front_mut()
        {
            let part = front.split_to((limit - out.len()).min(front.len()));
            if front.is_empty() {
                self.queue.pop_front();
            }
            out.extend_from_slice(&part);
        }
        self.credit -= out.len() as u64;
        Some(out.freeze())
    }
}
