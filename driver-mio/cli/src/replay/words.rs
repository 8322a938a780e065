//! What the protocol and the disk say, in words.

use eddyline::dht::Packet;
use eddyline::dht::krpc::Body;
use eddyline::tracker::{UdpRequest, UdpResponse};
use eddyline::wire::Message;
use eddyline::{
    CloseKind, CloseMode, CloseReason, Command, ConnectFailure, DiskOp, DiskOutcome,
    EncryptionMethod, HttpEvent, HttpHead, Notice, Priority, RateLimits, Rename, StreamKey,
    TorrentCommand, Transport, WakeReason,
};

use super::super::clients::client_name;
use super::super::output::printable;
use super::super::passkeys::without_passkey;
use super::super::units::rate;

/// So many of something, with the right number of the noun.
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    several(number, noun, &format!("{noun}s"))
}

/// The same where the plural is not made with an s, or a verb follows.
fn several(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// What the user wants, with what he has said.
pub fn command(command: &Command) -> String {
    match command {
        Command::Torrent(_, command) => torrent_command(command),
        Command::SetLimits(both) => format!("for all torrents together, {}", limits(*both)),
        Command::ListenOn { port: Some(port), .. } => format!("listen on port {port}"),
        Command::ListenOn { port: None, .. } => "listen on no port".to_owned(),
        Command::SetFilter(filter) => {
            format!("block {} of addresses", count(filter.len(), "range"))
        }
        Command::ListenLocally { .. } => "listen to the local network".to_owned(),
        Command::RestoreDht(state) => {
            format!("use {} of the DHT from an earlier run", count(state.nodes.len(), "node"))
        }
        Command::StandBy { info_hash, .. } => {
            format!("have {}… stand by", &info_hash.to_hex()[..8])
        }
        Command::Forget(info_hash) => format!("forget {}…", &info_hash.to_hex()[..8]),
        Command::ShutDown => "stop".to_owned(),
        other => kind_of(&format!("{other:?}")),
    }
}

fn torrent_command(command: &TorrentCommand) -> String {
    match command {
        TorrentCommand::Remove => "remove the torrent, and leave its data".to_owned(),
        TorrentCommand::RemoveWithData => "remove the torrent with its data".to_owned(),
        TorrentCommand::Move(to) => format!("move the data to location {}", to.0),
        TorrentCommand::Rename(Rename::Torrent(name)) => {
            format!("call the torrent {}", printable(name))
        }
        TorrentCommand::Rename(Rename::File(file, path)) => {
            format!("call file {} {}", file + 1, printable(path))
        }
        TorrentCommand::Recheck => "check the data again".to_owned(),
        TorrentCommand::SetPriorities(files) => {
            let skipped = files.iter().filter(|file| file.priority == Priority::Skip).count();
            format!("choose files: {} wanted, {skipped} not", files.len() - skipped)
        }
        TorrentCommand::SetSequential(true) => "fetch pieces in order".to_owned(),
        TorrentCommand::SetSequential(false) => "fetch pieces in any order".to_owned(),
        TorrentCommand::SetLimits(both) => limits(*both),
        TorrentCommand::AddPeers { peers, .. } => format!("add {}", count(peers.len(), "peer")),
        other => kind_of(&format!("{other:?}")),
    }
}

fn limits(RateLimits { down, up }: RateLimits) -> String {
    let limit = |limit: Option<u64>, what: &str| match limit {
        None => format!("{what} without a limit"),
        Some(limit) => format!("{what} at most {}", rate(limit)),
    };
    format!("{}, {}", limit(down, "download"), limit(up, "upload"))
}

/// Why a step was made without an event.
pub fn timer(reason: WakeReason) -> String {
    match reason {
        WakeReason::Bandwidth => "the rate limit allows more".to_owned(),
        WakeReason::ChokeRound => "it was time to choose whom to upload to".to_owned(),
        WakeReason::Connection => "a time-out or keep-alive of a connection was due".to_owned(),
        WakeReason::Torrent => {
            "a torrent had something to do: connect, save, or look again".to_owned()
        }
        other => format!("the {} timer was due", format!("{other:?}").to_lowercase()),
    }
}

/// What becomes of bytes under a key, said with the word for it.
pub fn cipher(key: &StreamKey, word: &str) -> String {
    match key.length() {
        0 => format!("is not {word} from here on"),
        u64::MAX => format!("is {word} from here on"),
        length => format!("is {word} for {} from here on", count(length, "byte")),
    }
}

/// Why a connection ended.
pub fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Remote => "it hung up",
        CloseReason::ConnectFailed => "it could not be reached",
        CloseReason::HandshakeTimeout => "its handshake did not come in time",
        CloseReason::Silent => "nothing was heard of it for too long",
        CloseReason::BadMessage => "it sent something malformed",
        CloseReason::Misbehaved => "it broke the rules of the protocol",
        CloseReason::UnknownTorrent => "it wants a torrent that is not here",
        CloseReason::EncryptionUnsuited => "one side wants encryption and the other does not",
        CloseReason::Ourselves => "it is this program itself",
        CloseReason::Duplicate => "it is connected already",
        CloseReason::BothComplete => "both have everything",
        CloseReason::Banned => "its address is banned",
        CloseReason::Blocked => "its address is blocked by the filter",
        CloseReason::Private => "the torrent is private",
        CloseReason::Limit => "there are too many connections",
        CloseReason::Stopped => "the torrent was stopped",
        CloseReason::NotReading => "it does not read what is sent",
        _ => "of something else",
    }
}

/// Why there is no connection.
pub fn connect_failure(why: ConnectFailure) -> &'static str {
    match why {
        ConnectFailure::Refused => "it is refused",
        ConnectFailure::TimedOut => "it timed out",
        ConnectFailure::Unreachable => "the network does not lead there",
        _ => "it failed",
    }
}

/// How a connection ended.
pub fn close_kind(kind: CloseKind) -> &'static str {
    match kind {
        CloseKind::Eof => "hangs up",
        CloseKind::Reset => "breaks the connection",
    }
}

/// How a connection is ended.
pub fn close_mode(mode: CloseMode) -> &'static str {
    match mode {
        CloseMode::Flush => "hang up, when everything is sent",
        CloseMode::Now => "hang up",
    }
}

/// An operation of the disk, as an order.
pub fn disk_order(op: &DiskOp) -> String {
    match op {
        DiskOp::Open { .. } => "open the files".to_owned(),
        DiskOp::WriteBlock { piece, begin, .. } => format!("write block {piece}+{begin}"),
        DiskOp::ReadBlock { piece, begin, .. } => format!("read block {piece}+{begin}"),
        DiskOp::HashPiece { piece, .. } => format!("hash piece {piece}"),
        DiskOp::HashBlocks { piece, .. } => format!("hash each block of piece {piece}"),
        DiskOp::Sync { .. } => "make what is written durable".to_owned(),
        DiskOp::StoreResume { data, .. } => {
            format!("store {} of resume data", count(data.len(), "byte"))
        }
        other => kind_of(&format!("{other:?}")),
    }
}

/// What came of an operation of the disk.
pub fn disk_outcome(outcome: &DiskOutcome) -> String {
    match outcome {
        DiskOutcome::Opened(files) => {
            let there = files.iter().filter(|file| file.length.is_some()).count();
            format!("{there} of {} there", count(files.len(), "file"))
        }
        DiskOutcome::Written | DiskOutcome::Done | DiskOutcome::Synced(_) => "done".to_owned(),
        DiskOutcome::Read(bytes) => count(bytes.len(), "byte"),
        DiskOutcome::PieceHashed(hash) => format!("the hash is {}", &hash.to_hex()[..8]),
        DiskOutcome::BlocksHashed(hashes) => several(hashes.len(), "hash", "hashes"),
        DiskOutcome::Failed(error) => format!("failed, {error}"),
        DiskOutcome::Ready => "it can be sent from where it lies".to_owned(),
        DiskOutcome::OpenedAs(files, names) => {
            let (all, other) = (files.len(), names.len());
            format!("{} looked at, {other} under names of their own", count(all, "file"))
        }
        DiskOutcome::Changed(files) => {
            format!("{} changed meanwhile", several(files.len(), "file has", "files have"))
        }
    }
}

/// Part of a reply to an HTTP request.
pub fn http(event: &HttpEvent) -> String {
    match event {
        HttpEvent::Head { status, location: None, .. } => format!("answers with status {status}"),
        HttpEvent::Head { status, location: Some(to), .. } => {
            format!("answers with status {status}, and sends us to {}", without_passkey(to, 0))
        }
        HttpEvent::Body(bytes) => format!("sends {}", count(bytes.len(), "byte")),
        HttpEvent::Finished => "has sent all of its reply".to_owned(),
        HttpEvent::Failed(why) => format!("gives no reply: {why}"),
    }
}

/// The head of a web seed's reply.
pub fn http_head(head: &HttpHead) -> String {
    let text = match &head.location {
        Some(to) => format!("sends us to {}", without_passkey(to, 0)),
        None => format!("answers with status {}", head.status),
    };
    match head.range {
        Some(range) => format!("{text}, and bytes {} to {}", range.first, range.last),
        None => text,
    }
}

/// What the program is told.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::TorrentAdded { .. } => "the torrent is added".to_owned(),
        Notice::CommandRejected { error, .. } => format!("the command is refused: {error}"),
        Notice::MetadataReady(_) => "the metadata is known".to_owned(),
        Notice::Checked(_, good) => {
            let good = several(u64::from(*good), "piece is", "pieces are");
            format!("the files are checked, {good} good")
        }
        Notice::PieceVerified(_, piece) => format!("piece {piece} verified"),
        Notice::PieceFailed(_, piece) => format!("piece {piece} failed its hash"),
        Notice::PieceWithdrawn(_, piece) => format!("piece {piece} is good no more"),
        Notice::Finished(_) => "torrent complete".to_owned(),
        Notice::TorrentFailed(_, error) => {
            format!("torrent failed: {}", kind_of(&format!("{error:?}")))
        }
        Notice::DiskFull(_) => "the disk is full".to_owned(),
        Notice::PeerConnected { addr, client, transport, encryption, .. } => {
            let manner = manner(*transport, *encryption);
            format!("peer {addr} connected {manner}, it is {}", known(client))
        }
        Notice::PeerClosed { addr, reason, .. } => {
            format!("peer {addr} closed: {}", close_reason(*reason))
        }
        Notice::PeerBanned(_, addr) => format!("peer {addr} banned"),
        Notice::TrackerReplied { url, peers, .. } => {
            let peers = count(u64::from(*peers), "peer");
            format!("tracker answered: {} knows {peers}", without_passkey(url, 0))
        }
        Notice::TrackerFailed { url, error, .. } => {
            format!("tracker failed: {}: {error}", without_passkey(url, 0))
        }
        Notice::DhtReplied { peers, nodes, .. } => {
            let nodes = several(u64::from(*nodes), "node knows", "nodes know");
            format!("the DHT knows {}, {nodes} us", count(u64::from(*peers), "peer"))
        }
        Notice::ResumeSaved(_) => "resume saved".to_owned(),
        Notice::ShutDown => "the engine has stopped".to_owned(),
        other => kind_of(&format!("{other:?}")),
    }
}

/// A client by name, where its peer id says one.
pub fn known(client: &str) -> String {
    if client.is_empty() { "an unknown client".to_owned() } else { client_name(client) }
}

/// What a connection with a peer goes over, and how it is encrypted.
pub fn manner(transport: Transport, encryption: Option<EncryptionMethod>) -> String {
    let carried = if transport == Transport::Utp { "over uTP" } else { "over TCP" };
    let hidden = match encryption {
        Some(EncryptionMethod::Rc4) => ", encrypted",
        Some(EncryptionMethod::Plaintext) => ", with an encrypted handshake",
        None => "",
    };
    format!("{carried}{hidden}")
}

/// A message of the peer protocol.
pub fn message(message: &Message) -> String {
    match message {
        Message::Request(block) => format!("request {}+{}", block.piece, block.begin),
        Message::Cancel(block) => format!("cancel {}+{}", block.piece, block.begin),
        Message::Reject(block) => format!("reject {}+{}", block.piece, block.begin),
        Message::Piece { piece, begin, .. } => format!("block {piece}+{begin}"),
        Message::Have(piece) => format!("have {piece}"),
        Message::Bitfield(bits) => format!("bitfield of {}", count(bits.len(), "byte")),
        Message::Extended { id: 0, .. } => "extended handshake".to_owned(),
        Message::Extended { id, payload } => {
            format!("extended {id} ({})", count(payload.len(), "byte"))
        }
        Message::AllowedFast(piece) => format!("allowed fast {piece}"),
        Message::Suggest(piece) => format!("suggest {piece}"),
        Message::KeepAlive => "keep-alive".to_owned(),
        Message::NotInterested => "not interested".to_owned(),
        Message::HaveAll => "have all".to_owned(),
        Message::HaveNone => "have none".to_owned(),
        other => printable(&format!("{other:?}").to_lowercase()),
    }
}

/// A UDP packet: of the DHT, to or from a tracker, of local discovery.
pub fn datagram(data: &[u8], ipv6: bool) -> String {
    if data.first() == Some(&b'd') {
        let packet = Packet::decode(data).ok();
        return packet.map_or_else(|| "something malformed for the DHT".to_owned(), |p| dht(&p));
    }
    if data.starts_with(b"BT-SEARCH") {
        return "an announcement for the local network".to_owned();
    }
    if let Some(request) = UdpRequest::decode(data) {
        return match request {
            UdpRequest::Connect { .. } => "a greeting to a tracker".to_owned(),
            UdpRequest::Announce { .. } => "an announce to a tracker".to_owned(),
            UdpRequest::Scrape { .. } => "a scrape of a tracker".to_owned(),
        };
    }
    if let Some(packet) = utp(data) {
        return packet;
    }
    match UdpResponse::decode(data, ipv6) {
        Some(UdpResponse::Connect { .. }) => "a tracker's greeting".to_owned(),
        Some(UdpResponse::Announce { peers, interval, .. }) => {
            let peers = count(peers.len(), "peer");
            format!("a tracker's answer: {peers}, again in {interval} s")
        }
        Some(UdpResponse::Scrape { .. }) => "a tracker's counts".to_owned(),
        Some(UdpResponse::Error { message, .. }) => {
            format!("a tracker's refusal: {}", printable(&message))
        }
        None => format!("{} of no known protocol", count(data.len(), "byte")),
    }
}

/// A packet of uTP (BEP 29): a kind and the version 1 in the first byte, and a header of twenty.
fn utp(data: &[u8]) -> Option<String> {
    let kind = match data.first()? {
        0x01 => "data",
        0x11 => "the end of a stream",
        0x21 => "an ack",
        0x31 => "a reset",
        0x41 => "a call",
        _ => return None,
    };
    (data.len() >= 20).then(|| format!("{kind} over uTP ({} bytes)", data.len()))
}

fn dht(packet: &Packet) -> String {
    match &packet.body {
        Body::Query(query) => format!("DHT query {}", printable(&query.method)),
        Body::Reply(reply) => match &reply.values {
            Some(values) => {
                let nodes = count(reply.nodes.len(), "node");
                format!("DHT reply with {}, {nodes}", count(values.len(), "peer"))
            }
            None => format!("DHT reply with {}", count(reply.nodes.len(), "node")),
        },
        Body::Error { code, message } => format!("DHT error {code}: {}", printable(message)),
    }
}

/// `StoreResume { … }` as `store resume`: what has no words of its own.
pub fn kind_of(debug: &str) -> String {
    let name = debug.split(|c: char| !c.is_alphanumeric()).find(|part| !part.is_empty());
    let mut words = String::new();
    for c in name.unwrap_or("nothing").chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    //! Unit tests of words.

    use super::*;

    #[test]
    fn a_datagram_is_told_by_what_it_says() {
        let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        assert_eq!(datagram(ping, false), "DHT query ping");
        let pong = b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re";
        assert_eq!(datagram(pong, false), "DHT reply with 0 nodes");
        assert_eq!(datagram(b"dx", false), "something malformed for the DHT");
        assert_eq!(
            datagram(&UdpRequest::Connect { transaction: 1 }.encode(), false),
            "a greeting to a tracker"
        );
        assert_eq!(
            datagram(&[0, 0, 0, 3, 0, 0, 0, 1, b'n', b'o'], false),
            "a tracker's refusal: no"
        );
        assert_eq!(datagram(b"xyz", false), "3 bytes of no known protocol");
        assert_eq!(datagram(&[0x31; 20], false), "a reset over uTP (20 bytes)");
        assert_eq!(datagram(&[0x01; 900], false), "data over uTP (900 bytes)");
    }

    #[test]
    fn one_of_something_is_not_told_as_several() {
        assert_eq!([count(0, "peer"), count(1, "peer")], ["0 peers", "1 peer"]);
        let files = |count| vec![Default::default(); count].into_boxed_slice();
        let outcome = |count| disk_outcome(&DiskOutcome::Opened(files(count)));
        assert_eq!([outcome(1), outcome(2)], ["0 of 1 file there", "0 of 2 files there"]);
        assert_eq!(datagram(b"x", false), "1 byte of no known protocol");
    }

    #[test]
    fn a_command_is_told_with_its_values() {
        let both = RateLimits { down: Some(100_000), up: None };
        let text = "for all torrents together, download at most 97.7 KiB/s, upload without a limit";
        assert_eq!(command(&Command::SetLimits(both)), text);
        let listen = Command::ListenOn { port: Some(6881), udp4: None, udp6: None };
        assert_eq!(command(&listen), "listen on port 6881");
    }

    #[test]
    fn what_has_no_words_goes_by_its_name() {
        assert_eq!(kind_of("StoreResume { torrent: 1 }"), "store resume");
        assert_eq!(kind_of("[]"), "nothing");
    }
}
