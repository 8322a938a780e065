//! What the engine tells, in words and as events.

use eddyline::base::ids::TorrentId;
use eddyline::{EncryptionMethod, Notice, Reachability, Transport, WebSeedState, WebSeedView};

use super::super::clients::client_name;
use super::super::output::tell_failure;
use super::super::passkeys::without_passkey;
use super::super::session::Session;
use super::super::units::count;
use super::Reporter;
use super::events::{
    Carrier, Event, PeerChange, Reason, Source, TrackerAnswer, close_reason, reachability,
    source_words,
};

impl Reporter {
    /// Tells one notice.
    pub(super) fn notice(&mut self, session: &Session, notice: &Notice) {
        match notice {
            Notice::TorrentAdded { torrent: id, .. } => self.known(session, *id),
            Notice::MetadataReady(id) => {
                self.known(session, *id);
                // Perhaps nothing that is wanted is there.
                self.failed(session, *id);
            }
            Notice::PieceVerified(id, piece) if self.verbose > 0 => {
                self.event(session, session.item(*id), Event::Piece { index: *piece });
            }
            // A download is complete when nothing is left to be checked either.
            Notice::Finished(id) if !self.fetching => {
                if let Some(item) = session.item(*id) {
                    self.torrent_complete(session, item);
                }
            }
            Notice::PieceWithdrawn(id, piece) => {
                let text = format!("piece {piece} is not what it was; it is fetched again");
                self.say_of(session, session.item(*id), &text);
            }
            Notice::PieceFailed(id, piece) if self.verbose > 0 => {
                let text = format!("piece {piece} failed its hash");
                self.say_of(session, session.item(*id), &text);
            }
            Notice::LocationBack(id) => {
                let item = session.item(*id);
                self.event(session, item, Event::Resumed);
                self.say_of(session, item, "the folder is back; the download goes on");
            }
            Notice::DiskHasRoom(id) => {
                let item = session.item(*id);
                self.event(session, item, Event::Resumed);
                self.say_of(session, item, "there is room on the disk again");
                if let Some(told) = item.and_then(|item| self.told.get_mut(&item.hash())) {
                    told.failure = None;
                }
            }
            Notice::DiskFull(id)
            | Notice::TorrentFailed(id, _)
            | Notice::StorageFailed { torrent: id, .. } => {
                self.failed(session, *id);
            }
            Notice::DhtReplied { torrent, peers, nodes } if self.verbose > 0 => {
                let text = format!(
                    "the DHT knows {}; we are announced at {}",
                    count(*peers, "peer"),
                    count(*nodes, "node")
                );
                self.say_of(session, session.item(*torrent), &text);
            }
            Notice::Reachability { state, address } => {
                let address = address.map(|address| address.to_string());
                let (name, words) = reachability(*state);
                // What cannot be reached is told to everybody: something can be done about it.
                if self.verbose > 0 || *state == Reachability::Closed {
                    let at = address.iter().map(|at| format!(" ({at})")).collect::<String>();
                    self.say(&format!("{words}{at}"));
                }
                self.event(session, None, Event::Reachability { state: name, address });
            }
            Notice::TrackerReplied { .. } | Notice::TrackerFailed { .. } => {
                self.tracker_notice(session, notice);
            }
            notice => self.peer_notice(session, notice),
        }
    }

    fn tracker_notice(&mut self, session: &Session, notice: &Notice) {
        match notice {
            Notice::TrackerReplied { torrent, url, peers, warning } => {
                let item = session.item(*torrent);
                let shown = without_passkey(url, self.verbose);
                let event = Event::Tracker { url: &shown, answer: TrackerAnswer::Peers(*peers) };
                self.event(session, item, event);
                if let Some(warning) = warning {
                    self.say_of(session, item, &format!("{shown} says: {warning}"));
                }
                if self.verbose > 0 {
                    let text = format!("{shown} knows {}", count(*peers, "peer"));
                    self.say_of(session, item, &text);
                }
            }
            Notice::TrackerFailed { torrent, url, error } => {
                let item = session.item(*torrent);
                let shown = without_passkey(url, self.verbose);
                let event = Event::Tracker { url: &shown, answer: TrackerAnswer::Error(error) };
                self.event(session, item, event);
                self.say_of(session, item, &format!("{shown}: {error}"));
            }
            _ => {}
        }
    }

    fn peer_notice(&mut self, session: &Session, notice: &Notice) {
        match notice {
            Notice::PeerConnected {
                torrent,
                conn,
                addr,
                client,
                source,
                encryption,
                transport,
            } if self.verbose > 0 => {
                let client = client_name(client);
                self.clients.insert(*conn, client.clone());
                let item = session.item(*torrent);
                let encrypted = *encryption == Some(EncryptionMethod::Rc4);
                self.encrypted.insert(*conn, encrypted);
                let change = PeerChange::Connected { source: (*source).into() };
                let event = peer(addr, change, &client, Some(*transport), Some(encrypted));
                self.event(session, item, event);
                let client = if client.is_empty() { "an unknown client".into() } else { client };
                let hidden = match encryption {
                    Some(EncryptionMethod::Rc4) => ", encrypted",
                    Some(EncryptionMethod::Plaintext) => ", encrypted handshake",
                    None => "",
                };
                let source = source_words(*source);
                let carried = if *transport == Transport::Utp { ", uTP" } else { "" };
                let text = format!("peer {addr} connected ({client}, {source}{carried}{hidden})");
                self.say_of(session, item, &text);
            }
            Notice::PeerClosed { torrent, conn, addr, reason, transport } if self.verbose > 0 => {
                let client = self.clients.remove(conn).unwrap_or_default();
                let encrypted = self.encrypted.remove(conn);
                let item = torrent.and_then(|torrent| session.item(torrent));
                let (reason, words) = close_reason(*reason);
                let event =
                    peer(addr, PeerChange::Closed { reason }, &client, Some(*transport), encrypted);
                self.event(session, item, event);
                let client = if client.is_empty() { client } else { format!(" ({client})") };
                self.say_of(session, item, &format!("peer {addr}{client} closed: {words}"));
            }
            Notice::PeerBanned(torrent, addr) => {
                let item = session.item(*torrent);
                if self.verbose > 0 {
                    let event = peer(addr, PeerChange::Banned, "", None, None);
                    self.event(session, item, event);
                }
                self.say_of(session, item, &format!("peer {addr} sent bad data and is banned"));
            }
            Notice::WebSeed(torrent, seed) => self.web_seed(session, *torrent, seed),
            _ => {}
        }
    }

    /// A web seed works, or does not.
    fn web_seed(&mut self, session: &Session, torrent: TorrentId, seed: &WebSeedView) {
        let item = session.item(torrent);
        let url = without_passkey(&seed.url, self.verbose);
        let source = if seed.by_user { Source::User } else { Source::Torrent };
        let (change, text) = match (&seed.message, seed.state) {
            (Some(why), WebSeedState::GivenUp) => {
                (PeerChange::Banned, format!("web seed {url} is not asked any more: {why}"))
            }
            (Some(why), _) => {
                let reason = Reason::Failed;
                (PeerChange::Closed { reason }, format!("web seed {url}: {why}"))
            }
            (None, _) => (PeerChange::Connected { source }, format!("web seed {url} works")),
        };
        let works = seed.message.is_none();
        if self.verbose > 0 {
            let transport = Some(Carrier::Http);
            let event = Event::Peer { addr: url, client: "", transport, encrypted: None, change };
            self.event(session, item, event);
        }
        if self.verbose > 0 || !works {
            self.say_of(session, item, &text);
        }
    }

    /// Peers that have said by now what they call themselves, for when they go.
    pub(super) fn learn_clients(&mut self, session: &Session) {
        for id in session.items().iter().filter_map(|item| item.id) {
            for view in session.driver.engine().peers(id) {
                if let Some(known) = self.clients.get_mut(&view.conn) {
                    let name = client_name(&view.client);
                    if !name.is_empty() && name != *known {
                        *known = name;
                    }
                }
            }
        }
    }

    /// A torrent stands still.
    fn failed(&mut self, session: &Session, id: TorrentId) {
        let Some(item) = session.item(id) else { return };
        let Some(failure) = session.failure_of(item) else { return };
        let told = self.told.entry(item.hash()).or_default();
        if told.failure.replace(failure.message.clone()).as_ref() == Some(&failure.message) {
            return;
        }
        let event = Event::Error { message: &failure.message, code: failure.code };
        self.event(session, Some(item), event);
        if (session.items().len() > 1 || !self.ends) && !self.json {
            tell_failure(&failure.message);
        }
    }

    /// What a torrent holds, and whether a magnet called it otherwise.
    fn known(&self, session: &Session, id: TorrentId) {
        let item = session.item(id).filter(|item| item.metainfo().is_some());
        let Some(item) = item else { return };
        let name = item.name();
        if let Some(called) = item.misnamed() {
            self.say(&format!("the magnet is called '{called}'; it leads to '{name}'"));
        }
        let stored = item.files().iter().filter(|file| !file.attributes.pad);
        let event = Event::Metadata {
            magnet_name: item.called.as_deref(),
            length: item.selected.length(),
            files: stored.count() as u32,
            selected: item.selected.files(),
        };
        self.event(session, Some(item), event);
    }
}

fn peer<'a>(
    addr: &std::net::SocketAddr,
    change: PeerChange,
    client: &'a str,
    transport: Option<Transport>,
    encrypted: Option<bool>,
) -> Event<'a> {
    let addr = addr.to_string();
    let transport = transport.map(Into::into);
    Event::Peer { addr, client, transport, encrypted, change }
}
