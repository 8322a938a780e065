//! Nobody is bothered more often than is polite: trackers, and addresses that do not want us.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::take;
use std::net::SocketAddr;
use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, ExchangeId};
use eddyline::base::time::Instant;
use eddyline::filter::Filter;
use eddyline::tracker::parse_announce;
use eddyline::{
    Action, Command, ConnectFailure, Event, HttpAction, HttpEvent, Notice, PeerSource,
    StreamAction, StreamEvent, TorrentCommand,
};

/// Seconds between two connections to one address, and to one that the user named and where nobody listened.
const REDIAL: u64 = 5;
const REDIAL_NAMED: u64 = 2;
/// Seconds between two regular announces to one tracker over one family, where it has answered, and
/// where it has failed.
const ANNOUNCE: (u64, u64) = (30, 10);

/// A tracker's URL with the torrent in it, and the address family.
type Place = (String, Option<bool>);

/// When each was last bothered.
#[derive(Clone, Debug, Default)]
pub struct Politeness {
    dialled: BTreeMap<ConnId, SocketAddr>,
    /// As many of the last ends as there are torrents: each of those may call an address.
    ended: BTreeMap<SocketAddr, VecDeque<Instant>>,
    torrents: BTreeSet<Sha1Hash>,
    /// Addresses that the user named, and those of them that refused the last connection.
    named: BTreeSet<SocketAddr>,
    refused: BTreeSet<SocketAddr>,
    announced: BTreeMap<Place, Instant>,
    answered: BTreeMap<Place, Instant>,
    asking: BTreeMap<ExchangeId, (Place, Vec<u8>)>,
    resting: BTreeSet<Sha1Hash>,
    /// What the user has blocked.
    filter: Arc<Filter>,
}

impl Politeness {
    pub(super) fn hear(&mut self, now: Instant, event: &Event) {
        if let Event::Stream(conn, StreamEvent::ConnectFailed(_) | StreamEvent::Closed(_)) = event
            && let Some(addr) = self.dialled.remove(conn)
        {
            self.over(addr, now);
            if let Event::Stream(_, StreamEvent::ConnectFailed(ConnectFailure::Refused)) = event {
                self.refused.insert(addr);
            }
        }
        match event {
            Event::Command(_, Command::SetFilter(filter)) => {
                // Where the user lets somebody be who was blocked, nothing that was before counts.
                let before = std::mem::replace(&mut self.filter, filter.clone());
                self.ended.retain(|addr, _| !before.blocks(addr.ip()));
            }
            Event::Command(_, Command::Add(add)) => {
                self.named.extend(&add.peers);
                self.torrents.insert(add.source.info_hashes().wire());
            }
            Event::Command(_, Command::Torrent(_, TorrentCommand::AddPeers { peers, source }))
                if *source == PeerSource::User =>
            {
                self.named.extend(peers);
            }
            _ => {}
        }
        match event {
            Event::Http(id, HttpEvent::Body(bytes)) => {
                if let Some((_, body)) = self.asking.get_mut(id) {
                    body.extend_from_slice(bytes);
                }
            }
            Event::Http(id, HttpEvent::Head { status, location, .. }) if *status != 200 => {
                self.asking.remove(id);
                if location.is_some() {
                    // Going where one is sent is no new announce, even if it leads back.
                    self.announced.clear();
                }
            }
            Event::Http(id, HttpEvent::Finished) => {
                if let Some((place, body)) = self.asking.remove(id)
                    && parse_announce(&body).is_ok_and(|reply| reply.failure.is_none())
                {
                    self.answered.insert(place, now);
                }
            }
            Event::Http(id, HttpEvent::Failed(_)) => {
                self.asking.remove(id);
            }
            // What comes back from standby remembers.
            Event::Command(_, Command::Add(add))
                if self.resting.remove(&add.source.info_hashes().wire()) => {}
            Event::Command(
                _,
                Command::Add(_)
                | Command::Torrent(_, TorrentCommand::Remove | TorrentCommand::RemoveWithData),
            ) => {
                // What the user adds again or removes starts without a history.
                let (named, torrents) = (take(&mut self.named), take(&mut self.torrents));
                *self = Self { named, torrents, ..Self::default() };
            }
            _ => {}
        }
    }

    fn over(&mut self, addr: SocketAddr, now: Instant) {
        let ended = self.ended.entry(addr).or_default();
        ended.push_back(now);
        while ended.len() > self.torrents.len().max(1) {
            ended.pop_front();
        }
    }

    pub(super) fn see(&mut self, now: Instant, action: &Action) -> Result<(), String> {
        match action {
            Action::Stream(conn, StreamAction::Connect { remote }) => {
                self.dialled.insert(*conn, *remote);
                let ended =
                    self.ended.get(remote).filter(|ended| ended.len() >= self.torrents.len());
                let first = ended.and_then(VecDeque::front);
                let soon = first.map(|ended| now.since(*ended).as_secs());
                let named = self.named.contains(remote) && self.refused.remove(remote);
                let least = if named { REDIAL_NAMED } else { REDIAL };
                if soon.is_some_and(|seconds| seconds < least) {
                    return Err(format!("addresses are not dialled again at once: {remote}"));
                }
            }
            Action::Stream(conn, StreamAction::Close(_)) => {
                if let Some(addr) = self.dialled.remove(conn) {
                    self.over(addr, now);
                }
            }
            // A torrent that turns out private forgets whom it knew by hearsay; its tracker may
            // name them again.
            Action::Notify(Notice::MetadataReady(_)) => self.ended.clear(),
            Action::Notify(Notice::Rested(_, hash)) => {
                self.resting.insert(*hash);
            }
            Action::Http(id, HttpAction::Get(get)) => {
                let (base, query) = get.url.split_once('?').unwrap_or((&get.url, ""));
                if base.contains("/scrape") {
                    return Ok(());
                }
                let hash = query.split('&').find(|pair| pair.starts_with("info_hash"));
                let place = (format!("{base}?{}", hash.unwrap_or_default()), get.ipv6);
                let since = |times: &BTreeMap<Place, Instant>| {
                    times.get(&place).map_or(u64::MAX, |last| now.since(*last).as_secs())
                };
                let soon =
                    since(&self.answered) < ANNOUNCE.0 || since(&self.announced) < ANNOUNCE.1;
                if soon && !query.contains("event=") {
                    return Err(format!("trackers are not asked again at once: {base}"));
                }
                self.announced.insert(place.clone(), now);
                // What is answered to a goodbye says nothing of the next announce.
                if !query.contains("event=stopped") {
                    self.asking.insert(*id, (place, Vec::new()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
