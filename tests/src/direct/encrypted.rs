//! Connections that begin with an encrypted handshake.

use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::{Event, StreamEvent};
use eddyline_mse::{Handshake, Initiator, MAX_PAD, Methods, Need};

use super::Direct;

impl Direct {
    /// Somebody connects from `remote` and goes through an encrypted handshake with as much padding as there may be;
    /// what follows is plain. `None` where it is not let in.
    ///
    /// # Panics
    /// When the engine does not answer as the other side of such a handshake does.
    pub fn connect_encrypted(&mut self, remote: SocketAddr, reads: bool) -> Option<ConnId> {
        let conn = self.arrive(remote, false)?;
        let (mut out, mut heard, hello) = (Vec::new(), Vec::new(), self.hello());
        let mut side = self.initiate(&hello, &mut out);
        let rest = loop {
            let sent = self.send_all(conn, &out);
            out.drain(..sent);
            heard.clear();
            heard.extend(self.take_unread(conn).into_iter().flatten());
            let mut input = &heard[..];
            match side.receive(&mut input, &mut out) {
                Ok(Need::Agreement) => {
                    side.agree(&[7; 20], &[7; MAX_PAD], &mut out).expect("its key is sound");
                }
                Ok(Need::Nothing(_)) => break Bytes::copy_from_slice(input),
                // A key may have to be waited for.
                Ok(_) if self.lines.contains_key(&conn) => self.pass(6),
                Ok(_) => return None,
                Err(error) => panic!("{error:?}"),
            }
        };
        let line = self.lines.get_mut(&conn)?;
        line.reads = reads;
        line.assembler.push(rest);
        line.shaken = line.assembler.take_handshake().expect("a handshake").is_some();
        Some(conn)
    }

    /// A handshake of a caller that draws the same as all others.
    pub fn initiate(&self, payload: &[u8], out: &mut Vec<u8>) -> Handshake {
        let setup = Initiator {
            private: [7; 20],
            pad: &[7; MAX_PAD],
            inner_pad: MAX_PAD as u16,
            info_hash: self.info_hash().0,
            offer: Methods::PLAINTEXT,
        };
        Handshake::initiate(setup, payload, out).expect("all of it is allowed")
    }

    /// Sends bytes as they are granted, as long as any are. Returns how many were sent.
    pub fn send_all(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let count = self.send(conn, &bytes[sent..]);
            if count == 0 {
                break;
            }
            sent += count;
        }
        sent
    }

    /// Takes what the engine sent and nobody has read.
    pub fn take_unread(&mut self, conn: ConnId) -> Vec<Bytes> {
        let Some(line) = self.lines.get_mut(&conn) else { return Vec::new() };
        let unread = std::mem::take(&mut line.unread);
        let count: usize = unread.iter().map(Bytes::len).sum();
        if count > 0 {
            self.events.push(Event::Stream(conn, StreamEvent::Sent(count as u32)));
        }
        unread
    }
}
