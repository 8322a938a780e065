//! Sockets of the example: each connection over TCP has tasks that read and write; those over µTP share the socket of
//! the DHT, and need none.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::{ConnId, SocketToken, UdpSocketId};
use eddyline::{CloseKind, ConnectFailure, Event, StreamAction, StreamEvent, UtpPacket};
use eddyline_disk::mailbox::Mailbox;
use eddyline_mio::buffers::Buffers;
use eddyline_mio::ciphers::Ciphers;
use eddyline_mio::utp_stream::UtpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Accepted, and not adopted by the engine.
type Waiting = Arc<Mutex<HashMap<SocketToken, TcpStream>>>;

/// How a connection's tasks are talked to. Dropping it ends them.
struct Connection {
    send: UnboundedSender<Bytes>,
    /// One permit for each byte that may be delivered.
    credit: Arc<Semaphore>,
    hidden: Arc<Mutex<Hidden>>,
}

/// What hides the bytes of a connection.
#[derive(Default)]
struct Hidden {
    ciphers: Ciphers,
    /// Bytes that were granted and have not come.
    granted: u32,
}

impl Connection {
    fn perform(&self, action: StreamAction) {
        let mut hidden = self.hidden.lock().expect("nobody panics");
        match action {
            StreamAction::GrantRead(count) => {
                hidden.granted += count;
                self.credit.add_permits(count as usize);
            }
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
                let _ = self.send.send(hidden.ciphers.outgoing(bytes));
            }
            StreamAction::Encipher(key) => hidden.ciphers.encipher(&key),
            StreamAction::Decipher(key) => {
                let granted = hidden.granted;
                hidden.ciphers.decipher(&key, granted);
            }
            // The disk answers reads with bytes, so nothing is sent from where it is stored.
            _ => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.credit.close();
    }
}

/// All sockets.
pub struct Sockets {
    mailbox: Mailbox,
    connections: HashMap<ConnId, Connection>,
    utp: HashMap<ConnId, UtpStream>,
    buffers: Buffers,
    waiting: Waiting,
    udp: Arc<UdpSocket>,
}

impl Sockets {
    /// Listens on a free port, for TCP and UDP.
    pub async fn open(mailbox: Mailbox) -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
        let udp = Arc::new(UdpSocket::bind(("0.0.0.0", listener.local_addr()?.port())).await?);
        let waiting = Waiting::default();
        tokio::spawn(accept(listener, waiting.clone(), mailbox.clone()));
        tokio::spawn(receive(udp.clone(), mailbox.clone()));
        let (connections, utp, buffers) = (HashMap::new(), HashMap::new(), Buffers::default());
        Ok(Self { mailbox, connections, utp, buffers, waiting, udp })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.udp.local_addr()?.port())
    }

    pub fn refuse(&self, socket: SocketToken) {
        drop(self.waiting.lock().expect("nobody panics").remove(&socket));
    }

    pub fn send_to(&self, data: &[u8], to: SocketAddr) {
        // A datagram may be lost.
        let _ = self.udp.try_send_to(data, to);
    }

    /// Sends a packet of µTP: its header, and behind it a part of what the connection has to send.
    pub fn transmit(&self, packet: &UtpPacket) {
        let mut datagram = packet.header.to_vec();
        let stream = packet.stream.and_then(|id| self.utp.get(&id));
        if packet.payload.is_empty() || stream.is_some_and(|it| it.read(packet, &mut datagram)) {
            self.send_to(&datagram, packet.to);
        }
    }

    /// Does what is to be done with a connection over µTP, and tells what came of it.
    fn perform_utp(&mut self, id: ConnId, action: StreamAction) {
        let Some(stream) = self.utp.get_mut(&id) else { return };
        let mailbox = &self.mailbox;
        let mut tell = |event| mailbox.leave([Event::Stream(id, event)]);
        match action {
            StreamAction::GrantRead(count) => stream.grant(count),
            StreamAction::Release(up_to) => stream.release(up_to),
            StreamAction::Deliver(payload) => stream.deliver(&payload),
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => stream.send(bytes),
            StreamAction::Encipher(key) => stream.encipher(&key),
            StreamAction::Decipher(key) => stream.decipher(&key),
            _ => {}
        }
        stream.happened(&mut self.buffers, &mut tell);
    }

    pub fn perform(&mut self, id: ConnId, action: StreamAction) {
        match action {
            StreamAction::OpenUtp { .. } => drop(self.utp.insert(id, UtpStream::new(id))),
            StreamAction::Close(_) => {
                self.connections.remove(&id);
                self.utp.remove(&id);
            }
            action if self.utp.contains_key(&id) => self.perform_utp(id, action),
            StreamAction::Connect { remote } => {
                let (task, mailbox) = (self.add(id), self.mailbox.clone());
                tokio::spawn(async move {
                    let stream = TcpStream::connect(remote).await;
                    let refused = StreamEvent::ConnectFailed(ConnectFailure::Refused);
                    let event = stream.as_ref().map_or(refused, |_| StreamEvent::Connected);
                    mailbox.leave([Event::Stream(id, event)]);
                    if let Ok(stream) = stream {
                        task(stream);
                    }
                });
            }
            StreamAction::Adopt { socket } => {
                let stream = self.waiting.lock().expect("nobody panics").remove(&socket);
                let task = self.add(id);
                if let Some(stream) = stream {
                    task(stream);
                }
            }
            action => {
                if let Some(connection) = self.connections.get(&id) {
                    connection.perform(action);
                }
            }
        }
    }

    /// A connection, and what begins its tasks when there is a socket.
    fn add(&mut self, id: ConnId) -> impl FnOnce(TcpStream) + Send + use<> {
        let (send, outbox) = unbounded_channel();
        let credit = Arc::new(Semaphore::new(0));
        let hidden = Arc::<Mutex<Hidden>>::default();
        let connection = Connection { send, credit: credit.clone(), hidden: hidden.clone() };
        self.connections.insert(id, connection);
        let mailbox = self.mailbox.clone();
        move |stream| {
            let (read, write) = stream.into_split();
            tokio::spawn(write_all(id, write, outbox, mailbox.clone()));
            tokio::spawn(read_all(id, read, (credit, hidden), mailbox));
        }
    }
}

async fn accept(listener: TcpListener, waiting: Waiting, mailbox: Mailbox) {
    for token in (0..).map(SocketToken) {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of descriptors, as it may be: there are some later.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        waiting.lock().expect("nobody panics").insert(token, stream);
        mailbox.leave([Event::Incoming { socket: token, remote }]);
    }
}

async fn receive(udp: Arc<UdpSocket>, mailbox: Mailbox) {
    let mut packet = vec![0; 65_536];
    loop {
        // An error is that of an earlier packet; the next one may be good.
        let Ok((count, from)) = udp.recv_from(&mut packet).await else { continue };
        let data = Bytes::copy_from_slice(&packet[..count]);
        mailbox.leave([Event::Datagram { socket: UdpSocketId(0), from, data, waited: 0 }]);
    }
}

/// Reads within the credit until the connection or the engine's interest in it ends.
async fn read_all(
    id: ConnId,
    mut socket: OwnedReadHalf,
    (credit, hidden): (Arc<Semaphore>, Arc<Mutex<Hidden>>),
    mailbox: Mailbox,
) {
    let mut buffer = BytesMut::new();
    loop {
        let Ok(permit) = credit.acquire().await else { return };
        permit.forget();
        // One byte is certain; take what else there is, up to a few blocks.
        let more = credit.forget_permits(64 * 1024 - 1);
        buffer.resize(1 + more, 0);
        match socket.read(&mut buffer).await {
            Ok(count) if count > 0 => {
                credit.add_permits(buffer.len() - count);
                {
                    let mut hidden = hidden.lock().expect("nobody panics");
                    hidden.granted -= count as u32;
                    hidden.ciphers.incoming(&mut buffer[..count]);
                }
                let bytes = buffer.split_to(count).freeze();
                mailbox.leave([Event::Stream(id, StreamEvent::Received(bytes))]);
            }
            ended => {
                let kind = if ended.is_ok() { CloseKind::Eof } else { CloseKind::Reset };
                mailbox.leave([Event::Stream(id, StreamEvent::Closed(kind))]);
                return;
            }
        }
    }
}

async fn write_all(
    id: ConnId,
    mut socket: OwnedWriteHalf,
    mut outbox: UnboundedReceiver<Bytes>,
    mailbox: Mailbox,
) {
    while let Some(bytes) = outbox.recv().await {
        if socket.write_all(&bytes).await.is_err() {
            // The reading half notices too, and tells the engine.
            return;
        }
        mailbox.leave([Event::Stream(id, StreamEvent::Sent(bytes.len() as u32))]);
    }
}
