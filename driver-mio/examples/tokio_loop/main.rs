//! A complete client in an event loop of one's own, here tokio's: it listens, asks trackers and the DHT, and keeps
//! what is verified for the next run. Files and hashing are those of `eddyline-disk`, names and HTTP those of
//! `eddyline-mio`. Whatever happens is left in one mailbox, which wakes the loop.
//!
//! ```sh
//! cargo run --release -p eddyline-mio --example tokio_loop -- file.torrent FOLDER [HOST:PORT...]
//! ```

mod sockets;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::ids::UdpSocketId;
use eddyline::base::rng::Seed;
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, AddTorrent, Command, Config, Encryption, Engine, Event, HttpAction, Notice, ResumeData,
    Transports, Wakeup,
};
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{DiskPool, Locations, PoolOptions};
use eddyline_mio::clock::Clock;
use eddyline_mio::dns::{Dns, Names};
use eddyline_mio::http::Http;
use sockets::Sockets;
use tokio::sync::Notify;

/// Everything outside of the engine.
struct World {
    sockets: Sockets,
    disk: DiskPool,
    dns: Dns,
    http: Http,
}

/// Starts the threads, and reads what an earlier run left.
fn start_disk(
    folder: &Path,
    add: &mut AddTorrent,
    mailbox: &Mailbox,
) -> Result<DiskPool, Box<dyn Error>> {
    let store = Arc::new(ResumeStore::open(&folder.join(".state"))?);
    let resume = store.load(add.metainfo.info_hashes().wire());
    add.resume = resume.and_then(|data| Some(Box::new(ResumeData::decode(&data).ok()?)));
    let locations = Locations::folder(folder);
    add.naming = locations.naming(add.location);
    let options = PoolOptions {
        locations,
        store: Some(store),
        threads: 2,
        open_files: 256,
        read_cache: 16 << 20,
        unhashed: 16 << 20,
        keep_executable: false,
    };
    Ok(DiskPool::start(options, mailbox.clone()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: tokio_loop TORRENT FOLDER [HOST:PORT...]");
    let mut add = AddTorrent::new(Arc::new(Metainfo::parse(&std::fs::read(next()?)?)?));
    let folder = next()?;
    for peer in arguments {
        add.peers.extend(tokio::net::lookup_host(peer).await?);
    }
    let wake = Arc::new(Notify::new());
    let mailbox = Mailbox::new({
        let wake = wake.clone();
        move || wake.notify_one()
    });
    let disk = start_disk(folder.as_ref(), &mut add, &mailbox)?;
    let dns = Dns::start(&mailbox, Names::default());
    let http = Http::start(&mailbox, "Example/1", Names::default());
    let sockets = Sockets::open(mailbox.clone()).await?;
    let port = Some(sockets.port()?);
    let mut world = World { sockets, disk, dns, http };

    let (clock, mut seed) = (Clock::start(), [0; 32]);
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    // It speaks IPv4 only, and joins no multicast group.
    let config = Config {
        ipv6: false,
        lsd: false,
        encryption: Encryption::PREFERRED,
        transports: Transports::Both,
        ..Config::default()
    };
    let mut engine = Engine::new(config, Seed(seed), clock.now());
    let listen = Command::ListenOn { port, udp4: Some(UdpSocketId(0)), udp6: None };
    let mut events = vec![Event::from(listen), Event::from(add)];
    let mut actions = Vec::new();
    loop {
        world.disk.turn_begins();
        mailbox.collect(&mut events);
        let wakeup = engine.step(clock.now(), events.drain(..), &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Notify(Notice::Finished(id) | Notice::Checked(id, _)) => {
                    let view = engine.torrent(id);
                    if view.is_some_and(|view| view.wanted_done == view.wanted) {
                        // What is verified is stored, and peers and trackers are told.
                        mailbox.leave([Event::from(Command::ShutDown)]);
                    }
                }
                Action::Notify(Notice::ShutDown) => {
                    println!("complete");
                    return Ok(());
                }
                Action::Notify(Notice::TorrentFailed(_, error)) => {
                    return Err(format!("{error:?}").into());
                }
                other => world.perform(other),
            }
        }
        let patience = match wakeup {
            Wakeup::Immediately => Duration::ZERO,
            Wakeup::At { deadline, .. } => deadline.since(clock.now()),
            Wakeup::OnEvent => Duration::from_secs(3600),
        };
        // Running out of patience is how time passes for the engine.
        let _ = tokio::time::timeout(patience, wake.notified()).await;
    }
}

impl World {
    /// Does what the engine asks for.
    fn perform(&mut self, action: Action) {
        match action {
            Action::Stream(id, action) => self.sockets.perform(id, action),
            Action::Refuse { socket } => self.sockets.refuse(socket),
            Action::SendDatagram { to, data, .. } => self.sockets.send_to(&data, to),
            Action::Transmit(_, packet) => self.sockets.transmit(&packet),
            Action::Disk(id, op) => self.disk.submit(vec![(id, op)]),
            Action::Resolve(id, name) => self.dns.resolve(id, name),
            Action::Http(id, HttpAction::Get(get)) => self.http.get(id, *get),
            Action::Notify(Notice::PieceVerified(_, piece)) => eprintln!("piece {piece}"),
            Action::Notify(_) => {}
        }
    }
}
