//! What a driver does for connections over µTP: it keeps what they send, and enciphers and deciphers.

use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::base::time::Instant;
use eddyline::{
    CloseKind, Event, OutgoingStream, StreamAction, StreamCipher, StreamEvent, StreamKey, UtpPacket,
};

use super::{AtNode, World};
use crate::faults::Fault;
use crate::node::NodeId;

/// How late the driver is with what it reads late.
const LATE: Duration = Duration::from_secs(3);

/// One connection over µTP, as a driver has it.
#[derive(Debug, Default)]
pub(crate) struct UtpStream {
    outgoing: OutgoingStream,
    encipher: Option<StreamCipher>,
    /// What it deciphers with, behind as many bytes that come as they are.
    decipher: Option<(u64, StreamCipher)>,
    granted: u64,
    delivered: u64,
    /// When what was read last is at hand: order is kept.
    ready: Instant,
}

impl UtpStream {
    fn enciphered(&mut self, bytes: Bytes) -> Bytes {
        let Some(cipher) = &mut self.encipher else { return bytes };
        let mut hidden = bytes.to_vec();
        cipher.apply(&mut hidden);
        hidden.into()
    }

    fn deciphered(&mut self, bytes: Bytes) -> Bytes {
        let Some((before, cipher)) = &mut self.decipher else { return bytes };
        let plain = usize::try_from(*before).map_or(bytes.len(), |before| before.min(bytes.len()));
        *before -= plain as u64;
        let mut clear = bytes.to_vec();
        cipher.apply(&mut clear[plain..]);
        clear.into()
    }
}

/// The cipher of a key, where it has one.
fn cipher(key: &StreamKey) -> Option<StreamCipher> {
    (!key.is_plain()).then(|| StreamCipher::new(key))
}

impl World {
    /// Performs an action on a connection over µTP. Gives it back where it is none.
    pub(super) fn utp_action(
        &mut self,
        id: NodeId,
        conn: ConnId,
        action: StreamAction,
    ) -> Option<StreamAction> {
        if let StreamAction::OpenUtp { .. } = action {
            self.nodes[id].streams.insert(conn, UtpStream::default());
            return None;
        }
        let tamper = self.nodes[id].tamper;
        let Some(stream) = self.nodes[id].streams.get_mut(&conn) else { return Some(action) };
        match action {
            StreamAction::Send(bytes) => {
                let bytes = match tamper {
                    Some(tamper) => tamper.apply(bytes),
                    None => bytes,
                };
                self.append(id, conn, bytes, "Send");
            }
            StreamAction::SendBlock(bytes) => self.append(id, conn, bytes, "SendBlock"),
            StreamAction::SendStored(block) => match self.nodes[id].disk.stored(block) {
                Some(bytes) => self.append(id, conn, bytes, "SendStored"),
                None => self.break_stream(id, conn),
            },
            StreamAction::Encipher(key) => stream.encipher = cipher(&key),
            StreamAction::Decipher(key) => {
                let before = stream.granted - stream.delivered;
                stream.decipher = cipher(&key).map(|cipher| (before, cipher));
            }
            StreamAction::GrantRead(count) => stream.granted += u64::from(count),
            StreamAction::Deliver(payload) => {
                stream.delivered += u64::from(payload.len());
                let parts = payload.parts().iter().cloned();
                let parts: Vec<Bytes> = parts.map(|part| stream.deciphered(part)).collect();
                for part in parts {
                    let event = Event::Stream(conn, StreamEvent::Received(part));
                    self.at_node(self.now, id, AtNode::Tell(event));
                }
            }
            StreamAction::Release(up_to) => stream.outgoing.release(up_to),
            StreamAction::Close(_) => drop(self.nodes[id].streams.remove(&conn)),
            StreamAction::Connect { .. }
            | StreamAction::Adopt { .. }
            | StreamAction::OpenUtp { .. }
            | StreamAction::Fetch(_) => {}
        }
        None
    }

    /// The stream is of no use any more: something in the middle of it is gone.
    fn break_stream(&mut self, id: NodeId, conn: ConnId) {
        self.nodes[id].streams.remove(&conn);
        let event = Event::Stream(conn, StreamEvent::Closed(CloseKind::Reset));
        self.at_node(self.now, id, AtNode::Tell(event));
    }

    fn append(&mut self, id: NodeId, conn: ConnId, bytes: Bytes, action: &'static str) {
        let delay = match self.fault(id, action) {
            Some(Fault::Broken) => return self.break_stream(id, conn),
            Some(_) => LATE,
            None => Duration::ZERO,
        };
        let now = self.now;
        let Some(stream) = self.nodes[id].streams.get_mut(&conn) else { return };
        let count = bytes.len() as u32;
        let bytes = stream.enciphered(bytes);
        stream.outgoing.append(bytes);
        stream.ready = stream.ready.max(now + delay);
        let ready = stream.ready;
        let event = Event::Stream(conn, StreamEvent::Offered(count));
        self.at_node(ready, id, AtNode::Tell(event));
    }

    /// Sends a packet, if the link carries one of its length.
    pub(super) fn transmit(&mut self, id: NodeId, packet: &UtpPacket) {
        let payload = match packet.stream {
            None => Vec::new(),
            Some(conn) => {
                let stream = self.nodes[id].streams.get(&conn);
                let range = stream.and_then(|stream| stream.outgoing.range(packet.payload.clone()));
                let Some(parts) = range else { return };
                parts.collect::<Vec<_>>().concat()
            }
        };
        let data = [&packet.header[..], &payload].concat();
        self.utp_bytes += payload.len() as u64;
        if !packet.whole || data.len() <= self.mtu {
            self.send_datagram(id, packet.to, data.into());
        }
    }
}
