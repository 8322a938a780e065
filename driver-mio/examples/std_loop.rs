//! A complete client in a plain loop over sockets of the standard library: it listens, asks trackers and the DHT,
//! speaks with encryption or without, and keeps what is verified for the next run. Files, names and HTTP are
//! [`Services`]; what is kept of each connection is a [`Flow`].
//!
//! ```sh
//! cargo run --release -p eddyline-mio --example std_loop -- file.torrent FOLDER [HOST:PORT...]
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, AddTorrent, Command, Config, ConnId, ConnectFailure, Encryption, Engine, Event, Notice,
    SocketToken, StreamAction, StreamEvent, UdpSocketId,
};
use eddyline_disk::mailbox::Mailbox;
use eddyline_mio::clock::Clock;
use eddyline_mio::{Flow, Services, random_seed};

/// All sockets. None of them waits.
struct Sockets {
    listener: TcpListener,
    udp: UdpSocket,
    dialled: mpsc::Receiver<(ConnId, io::Result<TcpStream>)>,
    dialling: mpsc::Sender<(ConnId, io::Result<TcpStream>)>,
    /// Accepted, and not adopted by the engine.
    waiting: HashMap<SocketToken, TcpStream>,
    accepted: u64,
    open: HashMap<ConnId, (TcpStream, Flow)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: std_loop TORRENT FOLDER [HOST:PORT...]");
    let mut add = AddTorrent::new(Metainfo::parse(&std::fs::read(next()?)?)?);
    let dir = std::path::PathBuf::from(next()?);
    for peer in arguments {
        add.peers.extend(peer.to_socket_addrs()?);
    }
    // This loop looks everywhere every few milliseconds: nobody has to wake it.
    let services = Services::start(&dir, &dir.join(".state"), "Example/1", Mailbox::new(|| {}))?;
    services.recall(&mut add);
    // It speaks IPv4 only, and joins no multicast group.
    let (mut sockets, clock, encryption) =
        (Sockets::open()?, Clock::start(), Encryption::PREFERRED);
    let config = Config { ipv6: false, lsd: false, encryption, ..Config::default() };
    let mut engine = Engine::new(config, random_seed()?, clock.now());
    let port = Some(sockets.udp.local_addr()?.port());
    let listen = Command::ListenOn { port, udp4: Some(UdpSocketId(0)), udp6: None };
    let (mut events, mut actions) = (vec![Event::from(listen), Event::from(add)], Vec::new());
    'run: loop {
        // 1. What happened?
        services.collect(&mut events);
        sockets.collect(&mut events);
        // 2. What does the engine make of it?
        let wakeup = engine.step(clock.now(), events.drain(..), &mut actions);
        let idle = actions.is_empty();
        // 3. Do what it asks for.
        for action in actions.drain(..).filter_map(|action| services.perform(action)) {
            match action {
                // What is verified is stored then, and peers and trackers are told.
                Action::Notify(Notice::Finished(id) | Notice::Checked(id, _))
                    if engine.torrent(id).is_some_and(|view| view.is_complete()) =>
                {
                    events.push(Event::from(Command::ShutDown));
                }
                Action::Notify(Notice::ShutDown) => break 'run,
                Action::Notify(Notice::TorrentFailed(_, error)) => return Err(error.into()),
                Action::Notify(Notice::CommandRejected { error, .. }) => return Err(error.into()),
                Action::Stream(id, action) => sockets.perform(id, action),
                Action::Refuse { socket } => drop(sockets.waiting.remove(&socket)),
                // A datagram may be lost.
                Action::SendDatagram { to, data, .. } => drop(sockets.udp.send_to(&data, to)),
                _ => {}
            }
        }
        if idle {
            std::thread::sleep(wakeup.patience(clock.now()).min(Duration::from_millis(2)));
        }
    }
    println!("complete");
    Ok(())
}

impl Sockets {
    /// Listens on a free port, for TCP and UDP.
    fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0))?;
        let udp = UdpSocket::bind(("0.0.0.0", listener.local_addr()?.port()))?;
        listener.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let ((dialling, dialled), waiting, open) =
            (mpsc::channel(), HashMap::new(), HashMap::new());
        Ok(Self { listener, udp, dialled, dialling, waiting, accepted: 0, open })
    }

    fn perform(&mut self, id: ConnId, action: StreamAction) {
        match action {
            StreamAction::Connect { remote } => {
                // The standard library has no way to connect that does not wait.
                let (done, patience) = (self.dialling.clone(), Duration::from_secs(10));
                let dial = move || done.send((id, TcpStream::connect_timeout(&remote, patience)));
                drop(std::thread::spawn(dial));
            }
            StreamAction::Adopt { socket } => {
                let stream = self.waiting.remove(&socket);
                self.open.extend(stream.map(|stream| (id, (stream, Flow::default()))));
            }
            action => {
                let Some((_, flow)) = self.open.get_mut(&id) else { return };
                flow.perform(action);
            }
        }
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        while let Ok((id, stream)) = self.dialled.try_recv() {
            let stream = stream.and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
            let refused = StreamEvent::ConnectFailed(ConnectFailure::Refused);
            let event = stream.as_ref().map_or(refused, |_| StreamEvent::Connected);
            events.push(Event::Stream(id, event));
            self.open.extend(stream.ok().map(|stream| (id, (stream, Flow::default()))));
        }
        while let Ok((stream, remote)) = self.listener.accept() {
            self.accepted += 1;
            let socket = SocketToken(self.accepted);
            if stream.set_nonblocking(true).is_ok() {
                self.waiting.insert(socket, stream);
                events.push(Event::Incoming { socket, remote });
            }
        }
        let mut packet = [0; 2048];
        while let Ok((count, from)) = self.udp.recv_from(&mut packet) {
            let data = Bytes::copy_from_slice(&packet[..count]);
            events.push(Event::Datagram { socket: UdpSocketId(0), from, data, waited: 0 });
        }
        for (id, (stream, flow)) in &mut self.open {
            let (mut write, mut read) = (&*stream, &*stream);
            let told = flow.pump(|bytes| write.write(bytes), |into| read.read(into));
            events.extend(told.into_iter().map(|event| Event::Stream(*id, event)));
        }
        self.open.retain(|_, (_, flow)| !flow.is_over());
    }
}
