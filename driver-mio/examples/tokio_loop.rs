//! A complete client under tokio: it listens, asks trackers and the DHT, speaks TCP and µTP, encrypted or not, and
//! keeps what is verified. Files, names and HTTP are [`Services`], a connection is a [`Flow`] or in [`UtpFlows`].
//!
//! ```sh
//! cargo run --release -p eddyline-mio --example tokio_loop -- file.torrent FOLDER [HOST:PORT...]
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, AddTorrent, Command, Config, ConnId, ConnectFailure, Encryption, Engine, Event, Notice,
    SocketToken, StreamAction, StreamEvent, Transports, UdpSocketId,
};
use eddyline_disk::mailbox::Mailbox;
use eddyline_mio::clock::Clock;
use eddyline_mio::{Flow, Services, UtpFlows, random_seed};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Accepted, and not adopted by the engine.
type Waiting = Arc<Mutex<HashMap<SocketToken, TcpStream>>>;
/// What the loop and the task of a connection share: its bytes, and that an action has changed something.
type Shared = Arc<(Mutex<Flow>, Notify)>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: tokio_loop TORRENT FOLDER [HOST:PORT...]");
    let mut add = AddTorrent::new(Metainfo::parse(&std::fs::read(next()?)?)?);
    let folder = std::path::PathBuf::from(next()?);
    for peer in arguments {
        add.peers.extend(tokio::net::lookup_host(peer).await?);
    }
    let wake = Arc::new(Notify::new());
    let waker = wake.clone();
    let mailbox = Mailbox::new(move || waker.notify_one());
    let services = Services::start(&folder, &folder.join(".state"), "Example/1", mailbox.clone())?;
    services.recall(&mut add);
    let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
    let udp = Arc::new(UdpSocket::bind(("0.0.0.0", listener.local_addr()?.port())).await?);
    let (port, waiting) = (Some(udp.local_addr()?.port()), Waiting::default());
    tokio::spawn(accept(listener, waiting.clone(), mailbox.clone()));
    tokio::spawn(receive(udp.clone(), mailbox.clone()));
    // It speaks IPv4 only, and joins no multicast group.
    let (clock, encryption, transports) = (Clock::start(), Encryption::PREFERRED, Transports::Both);
    let config = Config { ipv6: false, lsd: false, encryption, transports, ..Config::default() };
    let mut engine = Engine::new(config, random_seed()?, clock.now());
    let listen = Command::ListenOn { port, udp4: Some(UdpSocketId(0)), udp6: None };
    let (mut events, mut actions) = (vec![Event::from(listen), Event::from(add)], Vec::new());
    let (mut open, mut utp) = (HashMap::<ConnId, Shared>::new(), UtpFlows::default());
    'run: loop {
        services.collect(&mut events);
        let wakeup = engine.step(clock.now(), events.drain(..), &mut actions);
        for action in actions.drain(..).filter_map(|action| services.perform(action)) {
            // A datagram may be lost.
            let sent = utp.perform(action, |to, datagram| drop(udp.try_send_to(datagram, to)));
            let Some(action) = sent else { continue };
            match action {
                // What is verified is stored then, and peers and trackers are told.
                Action::Notify(Notice::Finished(id) | Notice::Checked(id, _))
                    if engine.torrent(id).is_some_and(|view| view.is_complete()) =>
                {
                    mailbox.leave([Event::from(Command::ShutDown)]);
                }
                Action::Notify(Notice::ShutDown) => break 'run,
                Action::Notify(Notice::TorrentFailed(_, error)) => return Err(error.into()),
                Action::Notify(Notice::CommandRejected { error, .. }) => return Err(error.into()),
                Action::Stream(id, StreamAction::Connect { remote }) => {
                    let shared = open.entry(id).or_default().clone();
                    tokio::spawn(call(id, remote, shared, mailbox.clone()));
                }
                Action::Stream(id, StreamAction::Adopt { socket }) => {
                    let stream = waiting.lock().unwrap().remove(&socket);
                    let shared = open.entry(id).or_default().clone();
                    stream.map(|stream| tokio::spawn(carry(id, stream, shared, mailbox.clone())));
                }
                Action::Stream(id, action) => {
                    let Some(shared) = open.get(&id) else { continue };
                    shared.0.lock().unwrap().perform(action);
                    shared.1.notify_one();
                }
                Action::Refuse { socket } => drop(waiting.lock().unwrap().remove(&socket)),
                _ => {}
            }
        }
        open.retain(|_, shared| !shared.0.lock().unwrap().is_over());
        mailbox.leave(utp.happened());
        // Running out of patience is how time passes for the engine.
        let _ = timeout(wakeup.patience(clock.now()), wake.notified()).await;
    }
    println!("complete");
    Ok(())
}

async fn accept(listener: TcpListener, waiting: Waiting, mailbox: Mailbox) {
    for socket in (0..).map(SocketToken) {
        let Ok((stream, remote)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        waiting.lock().unwrap().insert(socket, stream);
        mailbox.leave([Event::Incoming { socket, remote }]);
    }
}

async fn receive(udp: Arc<UdpSocket>, mailbox: Mailbox) {
    let mut packet = [0; 2048];
    loop {
        let Ok((count, from)) = udp.recv_from(&mut packet).await else { continue };
        let data = Bytes::copy_from_slice(&packet[..count]);
        mailbox.leave([Event::Datagram { socket: UdpSocketId(0), from, data, waited: 0 }]);
    }
}

async fn call(id: ConnId, remote: std::net::SocketAddr, shared: Shared, mailbox: Mailbox) {
    let dialled = timeout(Duration::from_secs(10), TcpStream::connect(remote));
    let Ok(Ok(stream)) = dialled.await else {
        let refused = StreamEvent::ConnectFailed(ConnectFailure::Refused);
        return mailbox.leave([Event::Stream(id, refused)]);
    };
    mailbox.leave([Event::Stream(id, StreamEvent::Connected)]);
    carry(id, stream, shared, mailbox).await;
}

/// Writes and reads what a connection can, until it is over.
async fn carry(id: ConnId, stream: TcpStream, shared: Shared, mailbox: Mailbox) {
    loop {
        let (told, wants_read, wants_write, over) = {
            let mut flow = shared.0.lock().unwrap();
            let told = flow.pump(|bytes| stream.try_write(bytes), |into| stream.try_read(into));
            (told, flow.wants_read(), flow.wants_write(), flow.is_over())
        };
        mailbox.leave(told.into_iter().map(|event| Event::Stream(id, event)));
        if over {
            return;
        }
        let reads = if wants_read { Interest::READABLE } else { Interest::ERROR };
        let interest = if wants_write { reads | Interest::WRITABLE } else { reads };
        tokio::select! {
            () = shared.1.notified() => {}
            _ = stream.ready(interest) => {}
        }
    }
}
