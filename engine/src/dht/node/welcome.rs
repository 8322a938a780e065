//! Which nodes are heard, which are not to be asked any more, and what they hear of us.

use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

use super::{DhtNode, Output};
use crate::base::time::Instant;
use crate::dht::krpc::VERSION;
use crate::dht::table::Table;

impl DhtNode {
    /// What others hear of us.
    pub(in crate::dht) fn version(&self) -> Option<Bytes> {
        (!self.config.anonymous).then(|| Bytes::from_static(VERSION))
    }

    /// A packet came. `other` is the table of the other address family (BEP 32).
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        other: Option<&Table>,
        now: Instant,
        out: &mut Output,
    ) {
        self.hear(from, data, other, &|_| false, now, out);
    }

    /// Nodes at such addresses are not asked any more; a query to one that is on its way has no answer.
    pub(in crate::dht) fn forget(&mut self, gone: &impl Fn(IpAddr) -> bool) {
        self.table.forget(gone);
    }
}
