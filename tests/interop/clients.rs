//! The other clients, each as a seeder and as a leecher.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Process, free_port, succeed, wait_until};

/// A client at work.
pub struct Client {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    done: Box<dyn FnMut(&mut Process) -> bool>,
    name: &'static str,
}

impl Client {
    /// Waits until it has everything.
    pub fn wait_done(&mut self) {
        let name = self.name;
        wait_until(&format!("{name} is done"), || {
            assert!(self.process.is_alive(), "{name} ended: {:#?}", self.process.output());
            (self.done)(&mut self.process)
        });
    }
}

fn python() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop-venv/bin/python3");
    std::env::var_os("EDDYLINE_PYTHON").map_or(built, PathBuf::from)
}

/// libtorrent, which connects to `peers`; flags of its script may stand among them.
pub fn libtorrent(lab: &Lab, dir: &Path, role: &str, peers: &[String]) -> Client {
    libtorrent_of(&lab.torrent.to_string_lossy(), dir, role, peers)
}

/// libtorrent with a `.torrent` or a magnet.
pub fn libtorrent_of(source: &str, dir: &Path, role: &str, peers: &[String]) -> Client {
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/libtorrent_peer.py");
    let mut command = Command::new(python());
    command.arg(script).arg(source).arg(dir).arg(port.to_string()).arg(role).args(peers);
    let mut process = Process::start(&mut command);
    process.wait_for("READY");
    let done = Box::new(|process: &mut Process| process.output().iter().any(|l| l == "DONE"));
    Client { process, port, done, name: "libtorrent" }
}

/// Transmission, which finds peers by the torrent's tracker.
pub fn transmission(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    transmission_of(lab, &lab.torrent.to_string_lossy(), dir, seeding)
}

/// Transmission with a `.torrent` or a magnet.
pub fn transmission_of(lab: &Lab, source: &str, dir: &Path, seeding: bool) -> Client {
    transmission_that(lab, source, dir, seeding, (0, "false"))
}

/// Transmission that requires encryption.
pub fn transmission_encrypted(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    transmission_that(lab, &lab.torrent.to_string_lossy(), dir, seeding, (2, "false"))
}

/// Transmission that speaks µTP too.
pub fn transmission_utp(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    transmission_that(lab, &lab.torrent.to_string_lossy(), dir, seeding, (0, "true"))
}

/// Transmission that requires encryption and speaks µTP too.
pub fn transmission_utp_encrypted(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    transmission_that(lab, &lab.torrent.to_string_lossy(), dir, seeding, (2, "true"))
}

/// Transmission with what it says of encryption, and of µTP.
fn transmission_that(
    lab: &Lab,
    source: &str,
    dir: &Path,
    seeding: bool,
    (encryption, utp): (u8, &str),
) -> Client {
    let (port, rpc) = (free_port(), free_port());
    let config = lab.dir(&format!("transmission-{port}"));
    let settings = format!(
        r#"{{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": {utp},
            "port-forwarding-enabled": false, "peer-port": {port}, "rpc-port": {rpc},
            "rpc-bind-address": "127.0.0.1", "bind-address-ipv4": "127.0.0.1",
            "rpc-authentication-required": false, "rpc-whitelist-enabled": false,
            "download-dir": {dir:?}, "encryption": {encryption}, "start-added-torrents": true}}"#
    );
    std::fs::write(config.join("settings.json"), settings).unwrap();
    let mut command = Command::new("transmission-daemon");
    let process = Process::start(command.arg("-f").arg("-g").arg(&config));
    let remote = move || {
        let mut command = Command::new("transmission-remote");
        command.arg(format!("127.0.0.1:{rpc}"));
        command
    };
    wait_until("transmission answers", || {
        remote().arg("-l").output().is_ok_and(|output| output.status.success())
    });
    succeed(remote().arg("-a").arg(source));
    let percent = move || {
        let output = remote().args(["-t", "1", "-i"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("Percent Done: 100%") && !text.contains("State: Verifying")
    };
    let mut client =
        Client { process, port, done: Box::new(move |_| percent()), name: "transmission" };
    if seeding {
        client.wait_done();
    }
    client
}

/// aria2, which finds peers by the torrent's tracker.
pub fn aria2(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    aria2_of(lab, &lab.torrent.to_string_lossy(), dir, seeding)
}

/// aria2 with a `.torrent` or a magnet.
pub fn aria2_of(lab: &Lab, source: &str, dir: &Path, seeding: bool) -> Client {
    aria2_with(lab, source, dir, seeding, &[])
}

/// aria2 that speaks RC4 with everybody.
pub fn aria2_encrypted(lab: &Lab, dir: &Path, seeding: bool) -> Client {
    let flags = ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"];
    aria2_with(lab, &lab.torrent.to_string_lossy(), dir, seeding, &flags)
}

fn aria2_with(lab: &Lab, source: &str, dir: &Path, seeding: bool, flags: &[&str]) -> Client {
    let port = free_port();
    let mut command = Command::new("aria2c");
    command.arg(format!("--dir={}", dir.display())).arg(format!("--listen-port={port}"));
    command.args([
        "--no-conf",
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--seed-ratio=0.0",
        "--check-integrity=true",
        "--bt-max-peers=50",
        "--bt-tracker-interval=5",
        "--summary-interval=1",
        "--file-allocation=none",
        "--disable-ipv6=true",
    ]);
    let mut process = Process::start(command.args(flags).arg(source));
    let target = dir.join(lab.payload.file_name().unwrap());
    let total = std::fs::metadata(&lab.payload).map_or(0, |meta| meta.len());
    if seeding {
        process.wait_for("[#");
    }
    let done = Box::new(move |_: &mut Process| {
        // The control file goes when everything is there.
        let control = PathBuf::from(format!("{}.aria2", target.display()));
        std::fs::metadata(&target).is_ok_and(|meta| meta.len() == total) && !control.exists()
    });
    Client { process, port, done, name: "aria2" }
}

/// What qBittorrent speaks.
pub struct Manner {
    /// `Both`, `TCP` or `UTP`.
    pub transport: &'static str,
    /// Whether it speaks to those alone who encrypt.
    pub encrypted: bool,
}

/// qBittorrent with a `.torrent` or a magnet, which finds peers by the torrent's tracker.
pub fn qbittorrent(lab: &Lab, source: &str, dir: &Path, seeding: bool, manner: &Manner) -> Client {
    let (port, web) = (free_port(), free_port());
    let profile = lab.dir(&format!("qbittorrent-{port}"));
    let config = profile.join("qBittorrent/config");
    std::fs::create_dir_all(&config).unwrap();
    let (encryption, transport) = (u8::from(manner.encrypted), manner.transport);
    let settings = format!(
        r"[LegalNotice]
Accepted=true
[BitTorrent]
Session\Port={port}
Session\BTProtocol={transport}
Session\Encryption={encryption}
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\InterfaceAddress=127.0.0.1
Session\MultiConnectionsPerIp=true
Session\DefaultSavePath={}
[Network]
PortForwardingEnabled=false
[Preferences]
WebUI\LocalHostAuth=false
WebUI\Address=127.0.0.1
",
        dir.display()
    );
    std::fs::write(config.join("qBittorrent.conf"), settings).unwrap();
    let mut command = Command::new("qbittorrent-nox");
    command.env("HOME", &profile).arg(format!("--profile={}", profile.display()));
    let process = Process::start(command.arg(format!("--webui-port={web}")).arg(source));
    let done = Box::new(move |_: &mut Process| {
        let said = get(web, "/api/v2/torrents/info").unwrap_or_default();
        said.contains("\"progress\":1,")
            && ["\"stalledUP\"", "\"uploading\""].iter().any(|state| said.contains(state))
    });
    let mut client = Client { process, port, done, name: "qBittorrent" };
    if seeding {
        client.wait_done();
    }
    client
}

/// What qBittorrent's web interface answers: a list. It leaves the connection open.
fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"]") {
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
