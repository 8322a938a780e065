//! Connections over µTP: they have no socket, but share those for datagrams.

use eddyline::base::ids::{ConnId, UdpSocketId};
use eddyline::{CloseKind, Event, StreamAction, StreamEvent, UtpPacket};

use super::Driver;
use super::perform::slot_of;
use super::relay::Way;
use crate::utp_stream::UtpStream;

impl Driver {
    /// A connection goes over µTP from here on.
    pub(super) fn open_utp(&mut self, conn: ConnId) {
        let slot = slot_of(conn);
        if self.utp.len() <= slot {
            self.utp.resize_with(slot + 1, || None);
        }
        self.utp[slot] = Some(UtpStream::new(conn));
    }

    /// Whether a connection goes over µTP.
    pub(super) fn is_utp(&self, conn: ConnId) -> bool {
        let stream = self.utp.get(slot_of(conn)).and_then(Option::as_ref);
        stream.is_some_and(|stream| stream.conn == conn)
    }

    /// Does what is to be done with a connection over µTP.
    pub(super) fn utp_stream(&mut self, conn: ConnId, action: StreamAction) {
        let slot = slot_of(conn);
        if let StreamAction::Close(_) = action {
            self.utp[slot] = None;
            return;
        }
        let span = match &action {
            StreamAction::SendStored(block) => self.lent(*block),
            _ => None,
        };
        let Some(stream) = self.utp[slot].as_mut() else { return };
        match action {
            StreamAction::GrantRead(count) => return stream.grant(count),
            StreamAction::Release(up_to) => return stream.release(up_to),
            StreamAction::Encipher(key) => return stream.encipher(&key),
            StreamAction::Decipher(key) => {
                let events = &mut self.events;
                stream.happened(&mut self.buffers, |event| events.push(Event::Stream(conn, event)));
                return stream.decipher(&key);
            }
            StreamAction::Deliver(payload) => stream.deliver(&payload),
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => stream.send(bytes),
            StreamAction::SendStored(_) => {
                let read = span.map(|(span, _)| stream.send_stored(&span, &mut self.buffers));
                if !matches!(read, Some(Ok(()))) {
                    // Its header is sent: nothing else can follow where it is gone.
                    self.utp[slot] = None;
                    let closed = StreamEvent::Closed(CloseKind::Reset);
                    return self.events.push(Event::Stream(conn, closed));
                }
            }
            StreamAction::Close(_)
            | StreamAction::Connect { .. }
            | StreamAction::Adopt { .. }
            | StreamAction::OpenUtp { .. }
            | StreamAction::Fetch(_) => return,
        }
        if self.utp_busy.last() != Some(&slot) {
            self.utp_busy.push(slot);
        }
    }

    /// Puts a packet into the train to its address.
    pub(super) fn transmit(&mut self, socket: UdpSocketId, packet: &UtpPacket) {
        let UtpPacket { to, header, stream, whole, .. } = packet;
        let (way, length) = (self.way(*to, None), packet.length() as usize);
        let utp = std::mem::take(&mut self.utp);
        let stream = stream.and_then(|conn| {
            let stream = utp.get(slot_of(conn)).and_then(Option::as_ref);
            stream.filter(|stream| stream.conn == conn)
        });
        let fill = |datagram: &mut Vec<u8>| {
            datagram.extend_from_slice(header);
            packet.payload.is_empty() || stream.is_some_and(|it| it.read(packet, datagram))
        };
        match way {
            Way::Nowhere => {}
            Way::Through(target) => self.send_through(&target, *whole, length, fill),
            Way::Direct => {
                if let Some(Some(socket)) = self.udp.get_mut(socket.0 as usize) {
                    socket.send(*to, *whole, length, fill);
                }
            }
        }
        self.utp = utp;
    }

    /// Tells the engine what came of the streams to which something happened in this turn.
    pub(super) fn tell_of_utp(&mut self) {
        let mut busy = std::mem::take(&mut self.utp_busy);
        for slot in busy.drain(..) {
            let Some(stream) = self.utp[slot].as_mut() else { continue };
            let (conn, events) = (stream.conn, &mut self.events);
            stream.happened(&mut self.buffers, |event| events.push(Event::Stream(conn, event)));
        }
        self.utp_busy = busy;
    }
}
