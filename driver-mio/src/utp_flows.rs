//! All connections over µTP, for embedders whose sockets are their own: the counterpart of [`Flow`](crate::Flow).

use std::collections::HashMap;
use std::net::SocketAddr;

use eddyline::{Action, CloseKind, ConnId, Event, StreamAction, StreamEvent, UtpPacket};

use crate::buffers::Buffers;
use crate::utp_stream::UtpStream;

/// What an embedder keeps of its connections over µTP, which have no sockets: it is given all actions, performs those
/// that are about UDP, and says afterwards what has happened.
#[derive(Debug, Default)]
pub struct UtpFlows {
    streams: HashMap<ConnId, UtpStream>,
    /// Those to which something happened, in order.
    busy: Vec<ConnId>,
    events: Vec<Event>,
    buffers: Buffers,
    datagram: Vec<u8>,
}

impl UtpFlows {
    /// Performs an action where it is about UDP: `send` sends a datagram, and may lose it. Any other action is given
    /// back. As with [`Flow`](crate::Flow), `SendStored` cannot be done and ends its connection.
    pub fn perform(
        &mut self,
        action: Action,
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) -> Option<Action> {
        match action {
            Action::SendDatagram { to, data, .. } => send(to, &data),
            Action::Transmit(_, packet) => {
                if self.read(&packet) {
                    send(packet.to, &self.datagram);
                }
            }
            Action::Stream(conn, StreamAction::OpenUtp { .. }) => {
                self.streams.insert(conn, UtpStream::new(conn));
            }
            Action::Stream(conn, action) if self.streams.contains_key(&conn) => {
                self.stream(conn, action);
            }
            other => return Some(other),
        }
        None
    }

    /// What has happened since this was asked last: events for the next step, which is to be made at once if there are
    /// any.
    pub fn happened(&mut self) -> Vec<Event> {
        for conn in std::mem::take(&mut self.busy) {
            self.ask(conn);
        }
        std::mem::take(&mut self.events)
    }

    /// Puts a datagram together; false where a part of it is not at hand.
    fn read(&mut self, packet: &UtpPacket) -> bool {
        self.datagram.clear();
        self.datagram.extend_from_slice(&packet.header);
        let stream = packet.stream.and_then(|conn| self.streams.get(&conn));
        packet.payload.is_empty() || stream.is_some_and(|it| it.read(packet, &mut self.datagram))
    }

    fn stream(&mut self, conn: ConnId, action: StreamAction) {
        if let StreamAction::Decipher(_) = action {
            // What came before comes as it is.
            self.ask(conn);
        }
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        match action {
            StreamAction::GrantRead(count) => stream.grant(count),
            StreamAction::Release(up_to) => stream.release(up_to),
            StreamAction::Encipher(key) => stream.encipher(&key),
            StreamAction::Decipher(key) => stream.decipher(&key),
            StreamAction::Deliver(payload) => stream.deliver(&payload),
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => stream.send(bytes),
            StreamAction::Close(_) => drop(self.streams.remove(&conn)),
            StreamAction::SendStored(_) => {
                self.streams.remove(&conn);
                let closed = StreamEvent::Closed(CloseKind::Reset);
                self.events.push(Event::Stream(conn, closed));
            }
            StreamAction::Connect { .. }
            | StreamAction::Adopt { .. }
            | StreamAction::OpenUtp { .. }
            | StreamAction::Fetch(_) => {}
        }
        if self.busy.last() != Some(&conn) {
            self.busy.push(conn);
        }
    }

    fn ask(&mut self, conn: ConnId) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            let events = &mut self.events;
            stream.happened(&mut self.buffers, |event| events.push(Event::Stream(conn, event)));
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of connections over µTP of an embedder.

    use super::*;
    use bytes::Bytes;
    use eddyline::base::payload::Payload;
    use eddyline::{CloseMode, StreamCipher, StreamKey, UdpSocketId};

    const CONN: ConnId = ConnId::from_u64(1 << 32);

    fn remote() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 9))
    }

    /// Performs actions of one connection; returns the datagrams that were sent.
    fn perform(flows: &mut UtpFlows, actions: Vec<StreamAction>) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for action in actions {
            let action = Action::Stream(CONN, action);
            assert!(flows.perform(action, |_, data| sent.push(data.to_vec())).is_none());
        }
        sent
    }

    fn transmit(flows: &mut UtpFlows, payload: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        let (to, stream, whole) = (remote(), Some(CONN), true);
        let packet = UtpPacket { to, header: Default::default(), stream, payload, whole };
        let mut sent = Vec::new();
        let action = Action::Transmit(UdpSocketId(0), Box::new(packet));
        assert!(flows.perform(action, |_, data| sent.push(data.to_vec())).is_none());
        sent
    }

    #[test]
    fn what_is_to_be_sent_is_offered_and_leaves_with_the_packets_that_name_it() {
        let mut flows = UtpFlows::default();
        let remote = remote();
        let bytes = StreamAction::Send(Bytes::from_static(b"abcde"));
        perform(&mut flows, vec![StreamAction::OpenUtp { remote }, bytes]);
        let offered = Event::Stream(CONN, StreamEvent::Offered(5));
        assert_eq!(format!("{:?}", flows.happened()), format!("{:?}", [offered]));
        assert_eq!(transmit(&mut flows, 1..4), [b"bcd"]);
        assert!(transmit(&mut flows, 4..9).is_empty(), "nothing is sent where some is missing");
        perform(&mut flows, vec![StreamAction::Release(5), StreamAction::Close(CloseMode::Now)]);
        assert!(transmit(&mut flows, 1..4).is_empty() && flows.happened().is_empty());
        // It is no connection of µTP any more.
        let action = Action::Stream(CONN, StreamAction::GrantRead(1));
        assert!(flows.perform(action, |_, _| ()).is_some());
    }

    #[test]
    fn what_came_before_the_key_comes_as_it_is_and_what_comes_behind_it_deciphered() {
        let mut flows = UtpFlows::default();
        let (remote, key) = (remote(), StreamKey::rc4([7; 20]));
        let mut hidden = *b"cd";
        StreamCipher::new(&key).apply(&mut hidden);
        let deliver =
            |bytes: &[u8]| StreamAction::Deliver(Payload::One(Bytes::copy_from_slice(bytes)));
        perform(
            &mut flows,
            vec![
                StreamAction::OpenUtp { remote },
                StreamAction::GrantRead(2),
                deliver(b"ab"),
                StreamAction::Decipher(key),
                StreamAction::GrantRead(2),
                deliver(&hidden),
            ],
        );
        let received =
            |bytes| Event::Stream(CONN, StreamEvent::Received(Bytes::from_static(bytes)));
        let expected = [received(b"ab"), received(b"cd")];
        assert_eq!(format!("{:?}", flows.happened()), format!("{expected:?}"));
    }
}
