//! A complete download under tokio: one task owns the engine, each connection has a task that reads
//! and one that writes, and disk work goes to the blocking pool.
//!
//! ```sh
//! cargo run --release -p eddyline --example tokio_loop -- file.torrent FOLDER HOST:PORT
//! ```

#![expect(clippy::disallowed_types, reason = "the lints of the engine do not bind its embedders")]

mod inline_disk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::ConnId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, AddTorrent, CloseKind, Command, Config, ConnectFailure, Engine, Event, HttpAction,
    HttpEvent, HttpFailure, LookupError, Notice, StreamAction, StreamEvent, Wakeup,
};
use inline_disk::InlineDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Events = UnboundedSender<Event>;

/// How the engine's task talks to a connection's tasks. Dropping it ends them.
struct Connection {
    send: UnboundedSender<Bytes>,
    /// One permit for each byte that may be delivered.
    credit: Arc<Semaphore>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: tokio_loop TORRENT FOLDER HOST:PORT");
    let metainfo = Arc::new(Metainfo::parse(&std::fs::read(next()?)?)?);
    let disk = Arc::new(Mutex::new(InlineDisk::new(next()?.into())));
    let peer = tokio::net::lookup_host(next()?).await?.next().ok_or("the peer has no address")?;

    let started = tokio::time::Instant::now();
    let clock = || Instant::from_millis(1000) + started.elapsed();
    let seed = Seed::from_u64(std::process::id().into());
    let mut engine = Engine::new(Config::default(), seed, clock());
    let mut add = AddTorrent::new(metainfo);
    add.peers.push(peer);
    let (events, mut inbox) = unbounded_channel();
    events.send(Event::Command(Command::Add(Box::new(add))))?;
    let mut connections: HashMap<ConnId, Connection> = HashMap::new();
    let (mut batch, mut actions) = (Vec::new(), Vec::new());
    let mut wakeup = Wakeup::Immediately;

    loop {
        gather(&mut inbox, &mut batch, wakeup, clock()).await;
        wakeup = engine.step(clock(), batch.drain(..), &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Stream(id, StreamAction::Connect { remote }) => {
                    let (send, outbox) = unbounded_channel();
                    let credit = Arc::new(Semaphore::new(0));
                    connections.insert(id, Connection { send, credit: credit.clone() });
                    tokio::spawn(connect(id, remote, outbox, credit, events.clone()));
                }
                Action::Stream(id, StreamAction::Close(_)) => {
                    if let Some(connection) = connections.remove(&id) {
                        connection.credit.close();
                    }
                }
                Action::Stream(id, action) => {
                    let Some(connection) = connections.get(&id) else { continue };
                    match action {
                        StreamAction::GrantRead(n) => connection.credit.add_permits(n as usize),
                        StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
                            let _ = connection.send.send(bytes);
                        }
                        _ => {}
                    }
                }
                Action::Disk(id, op) => {
                    let (disk, events) = (disk.clone(), events.clone());
                    tokio::task::spawn_blocking(move || {
                        let outcome = disk.lock().expect("no operation panics").perform(op);
                        events.send(Event::Disk(id, outcome))
                    });
                }
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
                Action::Refuse { .. } | Action::SendDatagram { .. } => {}
                Action::Resolve(id, _) => {
                    events.send(Event::Resolved(id, Err(LookupError::NotFound)))?;
                }
                Action::Http(id, HttpAction::Get(_)) => {
                    events.send(Event::Http(id, HttpEvent::Failed(HttpFailure::Connect)))?;
                }
            }
        }
    }
}

/// Waits for events or for the wake-up, and takes all that there are.
async fn gather(
    inbox: &mut UnboundedReceiver<Event>,
    batch: &mut Vec<Event>,
    wakeup: Wakeup,
    now: Instant,
) {
    let patience = match wakeup {
        Wakeup::Immediately => Duration::ZERO,
        Wakeup::At { deadline, .. } => deadline.since(now),
        Wakeup::OnEvent => Duration::from_secs(3600),
    };
    // Running out of patience is how time passes for the engine.
    let _ = tokio::time::timeout(patience, inbox.recv_many(batch, 1024)).await;
}

async fn connect(
    id: ConnId,
    remote: std::net::SocketAddr,
    outbox: UnboundedReceiver<Bytes>,
    credit: Arc<Semaphore>,
    events: Events,
) {
    match TcpStream::connect(remote).await {
        Ok(stream) => {
            let (read, write) = stream.into_split();
            let _ = events.send(Event::Stream(id, StreamEvent::Connected));
            tokio::spawn(write_all(id, write, outbox, events.clone()));
            read_all(id, read, credit, events).await;
        }
        Err(_) => {
            let refused = StreamEvent::ConnectFailed(ConnectFailure::Refused);
            let _ = events.send(Event::Stream(id, refused));
        }
    }
}

/// Reads within the credit until the connection or the engine's interest in it ends.
async fn read_all(id: ConnId, mut socket: OwnedReadHalf, credit: Arc<Semaphore>, events: Events) {
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
                let bytes = buffer.split_to(count).freeze();
                let _ = events.send(Event::Stream(id, StreamEvent::Received(bytes)));
            }
            ended => {
                let kind = if ended.is_ok() { CloseKind::Eof } else { CloseKind::Reset };
                let _ = events.send(Event::Stream(id, StreamEvent::Closed(kind)));
                return;
            }
        }
    }
}

async fn write_all(
    id: ConnId,
    mut socket: OwnedWriteHalf,
    mut outbox: UnboundedReceiver<Bytes>,
    events: Events,
) {
    while let Some(bytes) = outbox.recv().await {
        if socket.write_all(&bytes).await.is_err() {
            // The reading half notices too, and tells the engine.
            return;
        }
        let _ = events.send(Event::Stream(id, StreamEvent::Sent(bytes.len() as u32)));
    }
}
