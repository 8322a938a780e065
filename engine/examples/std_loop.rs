//! A complete download in a plain loop: non-blocking sockets of the standard library, files written
//! inline, no thread, no framework.
//!
//! ```sh
//! cargo run --release -p eddyline --example std_loop -- file.torrent FOLDER HOST:PORT
//! ```

#![expect(clippy::disallowed_types, reason = "the lints of the engine do not bind its embedders")]

mod inline_disk;

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, AddTorrent, CloseKind, Config, ConnectFailure, Encryption, Engine, Event, HttpAction,
    HttpEvent, HttpFailure, LookupError, Notice, StreamAction, StreamCipher, StreamEvent,
};
use inline_disk::InlineDisk;

/// A socket, what waits to be written to it, and how much it may still deliver.
struct Socket {
    stream: TcpStream,
    queue: VecDeque<Bytes>,
    credit: usize,
    /// Where keys were agreed on: what hides what is sent, and what comes behind so many bytes.
    encipher: Option<StreamCipher>,
    decipher: Option<(usize, StreamCipher)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: std_loop TORRENT FOLDER HOST:PORT");
    let metainfo = Arc::new(Metainfo::parse(&std::fs::read(next()?)?)?);
    let mut disk = InlineDisk::new(next()?.into());
    let peer = next()?.to_socket_addrs()?.next().ok_or("the peer has no address")?;

    // The engine knows no clock and no randomness but these two.
    let started = StdInstant::now();
    let clock = || Instant::from_millis(1000) + started.elapsed();
    let seed = Seed::from_u64(std::process::id().into());
    let config = Config { encryption: Encryption::PREFERRED, ..Config::default() };
    let mut engine = Engine::new(config, seed, clock());
    let mut add = AddTorrent::new(metainfo);
    add.peers.push(peer);
    let mut events = vec![Event::from(add)];
    let mut actions = Vec::new();
    let mut sockets: HashMap<ConnId, Socket> = HashMap::new();

    loop {
        // 1. What happened on the sockets?
        let mut closed = Vec::new();
        for (id, socket) in &mut sockets {
            if !serve(*id, socket, &mut events) {
                closed.push(*id);
            }
        }
        closed.iter().for_each(|id| drop(sockets.remove(id)));

        // 2. What does the engine make of it?
        let idle = events.is_empty();
        engine.step(clock(), events.drain(..), &mut actions);

        // 3. Do what it asks for.
        for action in actions.drain(..) {
            match action {
                Action::Stream(id, action) => perform(id, action, &mut sockets, &mut events),
                Action::Disk(id, op) => events.push(Event::Disk(id, disk.perform(op))),
                Action::Notify(Notice::PieceVerified(_, piece)) => eprintln!("piece {piece}"),
                Action::Notify(Notice::TorrentFailed(_, error)) => {
                    return Err(format!("{error:?}").into());
                }
                Action::Notify(Notice::Finished(_)) => {
                    println!("complete");
                    return Ok(());
                }
                Action::Notify(_) => {}
                // This loop listens nowhere and has no resolver, HTTP client or UDP socket.
                Action::Refuse { .. } | Action::SendDatagram { .. } | Action::Transmit(..) => {}
                Action::Resolve(id, _) => {
                    events.push(Event::Resolved(id, Err(LookupError::NotFound)));
                }
                Action::Http(id, HttpAction::Get(_)) => {
                    events.push(Event::Http(id, HttpEvent::Failed(HttpFailure::Connect)));
                }
            }
        }
        if idle {
            // A real loop would sleep until a socket is ready or the wake-up that `step` returned.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Performs an action on a connection.
fn perform(
    id: ConnId,
    action: StreamAction,
    sockets: &mut HashMap<ConnId, Socket>,
    events: &mut Vec<Event>,
) {
    if let StreamAction::Connect { remote } = action {
        let connected = TcpStream::connect(remote).and_then(|stream| {
            stream.set_nonblocking(true)?;
            let queue = VecDeque::new();
            Ok(Socket { stream, queue, credit: 0, encipher: None, decipher: None })
        });
        let event = match connected {
            Ok(socket) => {
                sockets.insert(id, socket);
                StreamEvent::Connected
            }
            Err(_) => StreamEvent::ConnectFailed(ConnectFailure::Refused),
        };
        return events.push(Event::Stream(id, event));
    }
    let Some(socket) = sockets.get_mut(&id) else { return };
    match action {
        StreamAction::GrantRead(count) => socket.credit += count as usize,
        StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
            let mut bytes = bytes.to_vec();
            if let Some(cipher) = &mut socket.encipher {
                cipher.apply(&mut bytes);
            }
            socket.queue.push_back(bytes.into());
        }
        // From here on; the other direction from what is granted next.
        StreamAction::Encipher(key) => socket.encipher = Some(StreamCipher::new(&key)),
        StreamAction::Decipher(key) => {
            socket.decipher = Some((socket.credit, StreamCipher::new(&key)));
        }
        StreamAction::Close(_) => drop(sockets.remove(&id)),
        StreamAction::Connect { .. } | StreamAction::Adopt { .. } => {}
        // Only asked for where the configuration has µTP.
        StreamAction::OpenUtp { .. } | StreamAction::Deliver(_) | StreamAction::Release(_) => {}
        // For drivers that answered a read with `Ready`; this one always reads.
        StreamAction::SendStored(_) => {}
    }
}

/// Writes what is queued and reads what credit allows. Returns false when the connection is over.
fn serve(id: ConnId, socket: &mut Socket, events: &mut Vec<Event>) -> bool {
    let over = |kind| Event::Stream(id, StreamEvent::Closed(kind));
    while let Some(front) = socket.queue.front_mut() {
        match socket.stream.write(front) {
            Ok(count) => {
                events.push(Event::Stream(id, StreamEvent::Sent(count as u32)));
                let _ = front.split_to(count);
                if front.is_empty() {
                    socket.queue.pop_front();
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => {
                events.push(over(CloseKind::Reset));
                return false;
            }
        }
    }
    if socket.credit == 0 {
        return true;
    }
    let mut buffer = vec![0; socket.credit.min(64 * 1024)];
    match socket.stream.read(&mut buffer) {
        Ok(0) => {
            events.push(over(CloseKind::Eof));
            false
        }
        Ok(count) => {
            buffer.truncate(count);
            socket.credit -= count;
            if let Some((plain, cipher)) = &mut socket.decipher {
                let before = count.min(*plain);
                *plain -= before;
                cipher.apply(&mut buffer[before..]);
            }
            events.push(Event::Stream(id, StreamEvent::Received(buffer.into())));
            true
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => true,
        Err(_) => {
            events.push(over(CloseKind::Reset));
            false
        }
    }
}
