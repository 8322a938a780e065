//! Every combination of what others speak: transport, encryption, direction, and whether the metadata is known.

use crate::clients::{
    Client, Manner, libtorrent, libtorrent_of, qbittorrent, transmission_utp_encrypted,
};
use crate::lab::{Lab, Process, eddyline, wait_until};
use crate::recording_tracker::RecordingTracker;

const LENGTH: usize = 3_000_003;

/// How libtorrent is forced to speak: its flags, the transport, and whether all bytes are encrypted, where that is
/// not for us to choose.
const MANNERS: [(&[&str], &str, Option<bool>); 8] = [
    (&["--utp=only"], "utp", None),
    (&["--encrypt=1"], "tcp", Some(false)),
    (&["--encrypt=2"], "tcp", Some(true)),
    (&["--encrypt=3"], "tcp", None),
    (&["--utp=only", "--encrypt=1"], "utp", Some(false)),
    (&["--utp=only", "--encrypt=2"], "utp", Some(true)),
    (&["--utp=only", "--encrypt=3"], "utp", None),
    (&["--utp=both", "--encrypt=2"], "", Some(true)),
];

/// Fetches from one peer, which is to be spoken with as said.
fn fetch(lab: &Lab, magnet: bool, port: u16, transport: &str, encrypted: Option<bool>) {
    let (source, name) = match magnet {
        true => (lab.magnet(), "by-magnet"),
        false => (lab.torrent.display().to_string(), "fetched"),
    };
    let mut command = eddyline();
    command.arg("download").arg(source).arg("--dir").arg(lab.dir(name));
    command.args(["--port", "0", "--no-trackers", "--stop-timeout", "60s", "--json", "-v"]);
    command.args(["--peer", &format!("127.0.0.1:{port}")]);
    let state = lab.dir(&format!("state-{name}"));
    let mut download = Process::start(command.arg("--state-dir").arg(state));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    let connected = |line: &&String| line.contains("\"state\":\"connected\"");
    let output = download.output();
    let peer = output.iter().find(connected).expect("a peer was connected");
    let carried = format!("\"transport\":\"{transport}");
    assert!(peer.contains(&carried), "{carried}: {peer}");
    if let Some(encrypted) = encrypted {
        assert!(peer.contains(&format!("\"encrypted\":{encrypted}")), "{encrypted}: {peer}");
    }
    lab.assert_same(name);
}

/// Whether by magnet, for the manner of this number: by turns the one and the other, and at night both.
fn by_magnet(number: usize) -> &'static [bool] {
    match (std::env::var_os("EDDYLINE_EVERY_MANNER"), number % 2) {
        (Some(_), _) => &[false, true],
        (None, 0) => &[false],
        (None, _) => &[true],
    }
}

fn owned(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn we_download_from_libtorrent_however_it_speaks_also_by_magnet() {
    for (number, (flags, transport, encrypted)) in MANNERS.into_iter().enumerate() {
        for magnet in by_magnet(number).iter().copied() {
            let lab = Lab::with_file(LENGTH, &[]);
            let seed = libtorrent(&lab, lab.source(), "seed", &owned(flags));
            fetch(&lab, magnet, seed.port, transport, encrypted);
        }
    }
}

#[test]
fn libtorrent_downloads_from_us_however_it_speaks_also_by_magnet() {
    for (number, (flags, ..)) in MANNERS.into_iter().enumerate() {
        // The other half of those in which we download.
        for magnet in by_magnet(number + 1).iter().copied() {
            let lab = Lab::with_file(LENGTH, &[]);
            let (_seed, port) = lab.seed(&[]);
            let dir = lab.dir("leech");
            let mut flags = owned(flags);
            flags.push(format!("127.0.0.1:{port}"));
            let source = if magnet { lab.magnet() } else { lab.torrent.display().to_string() };
            libtorrent_of(&source, &dir, "leech", &flags).wait_done();
            lab.assert_same("leech");
        }
    }
}

/// A torrent with a tracker, at which we are known as a seed with `flags`.
fn known_seed(flags: &[&str]) -> (RecordingTracker, Lab, Process) {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    let (seed, _) = lab.seed(flags);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    (tracker, lab, seed)
}

fn finish(lab: &Lab, mut client: Client) {
    client.wait_done();
    lab.assert_same("leech");
}

#[test]
fn transmission_with_utp_and_encryption_at_once_in_both_directions() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = transmission_utp_encrypted(&lab, lab.source(), true);
    for magnet in [false, true] {
        fetch(&lab, magnet, seed.port, "", Some(true));
    }
    let (_tracker, lab, _seed) = known_seed(&["--transport", "utp", "--encryption", "require"]);
    let dir = lab.dir("leech");
    finish(&lab, transmission_utp_encrypted(&lab, &dir, false));
}

const QBITTORRENT: [(Manner, &str, Option<bool>); 4] = [
    (Manner { transport: "TCP", encrypted: false }, "tcp", None),
    (Manner { transport: "TCP", encrypted: true }, "tcp", Some(true)),
    (Manner { transport: "UTP", encrypted: false }, "utp", None),
    (Manner { transport: "UTP", encrypted: true }, "utp", Some(true)),
];

#[test]
fn we_download_from_qbittorrent_however_it_speaks_also_by_magnet() {
    for (manner, transport, encrypted) in QBITTORRENT {
        let lab = Lab::with_file(LENGTH, &[]);
        let torrent = lab.torrent.display().to_string();
        let seed = qbittorrent(&lab, &torrent, lab.source(), true, &manner);
        for magnet in [false, true] {
            fetch(&lab, magnet, seed.port, transport, encrypted);
        }
    }
}

#[test]
fn qbittorrent_downloads_from_us_however_it_speaks_also_by_magnet() {
    for (number, (manner, ..)) in QBITTORRENT.into_iter().enumerate() {
        for magnet in by_magnet(number).iter().copied() {
            let (_tracker, lab, _seed) = known_seed(&[]);
            let dir = lab.dir("leech");
            let source = if magnet { lab.magnet() } else { lab.torrent.display().to_string() };
            finish(&lab, qbittorrent(&lab, &source, &dir, false, &manner));
        }
    }
}
