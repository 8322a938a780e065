//! Conversations with UDP trackers (BEP 15): connection ids that live a minute, transactions that
//! are matched by address and number, and retransmissions that do not keep fail-over waiting. One of several
//! conversations with a tracker asks for a connection id, and the others wait for that.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::{AnnounceParams, SwarmCounts, UdpRequest, UdpResponse};
use crate::base::addr::is_placeholder;
use crate::base::hash::Sha1Hash;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Seconds to wait for a reply, try by try. BEP 15 has 15 · 2^n, with which a dead tracker would
/// hold up the next one for an hour.
const TIMEOUTS: [u64; 3] = [5, 10, 15];
/// Seconds that a connection id is good for.
const CONNECTION_SECONDS: u64 = 60;
/// Connection ids remembered.
const MAX_CONNECTIONS: usize = 1000;

/// The caller's name for a conversation.
pub type ConversationId = u64;

/// The end of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UdpOutcome {
    /// The tracker answered.
    Answered {
        /// Seconds to the next announce.
        interval: u32,
        /// Sizes of the swarm.
        counts: SwarmCounts,
        /// Other peers.
        peers: Vec<SocketAddr>,
    },
    /// The sizes of swarms, in the order in which they were asked for.
    Scraped {
        /// One for each torrent.
        files: Vec<SwarmCounts>,
    },
    /// The tracker refused.
    Refused(String),
    /// No answer.
    TimedOut,
}

/// What a tracker is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Asks {
    /// An announce, with options behind it.
    Announce(AnnounceParams, Vec<u8>),
    /// The sizes of these swarms.
    Scrape(Vec<Sha1Hash>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Conversation {
    id: ConversationId,
    to: SocketAddr,
    asks: Asks,
    /// The connection id that the request in flight used; `None` while there is none.
    asking: Option<u64>,
    /// Another conversation asks for a connection id.
    waits: bool,
    tries: usize,
    /// A connection id was refused once already.
    renewed: bool,
    deadline: Instant,
}

/// All conversations of an engine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UdpClient {
    /// By transaction.
    conversations: BTreeMap<u32, Conversation>,
    connections: BTreeMap<SocketAddr, (u64, Instant)>,
}

impl UdpClient {
    /// Begins to announce to the tracker at `to`; what has to be sent goes to `out`.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing, used once")]
    pub fn announce(
        &mut self,
        id: ConversationId,
        to: SocketAddr,
        params: AnnounceParams,
        options: Vec<u8>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) {
        let asks = Asks::Announce(params, options);
        self.transmit(Conversation::new(id, to, asks, now), now, rng, out);
    }

    /// Asks the tracker at `to` for the sizes of swarms, at most 74 of them.
    pub fn scrape(
        &mut self,
        id: ConversationId,
        to: SocketAddr,
        info_hashes: Vec<Sha1Hash>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) {
        let asks = Asks::Scrape(info_hashes);
        self.transmit(Conversation::new(id, to, asks, now), now, rng, out);
    }

    /// Ends a conversation without an outcome.
    pub fn forget(&mut self, id: ConversationId) {
        self.conversations.retain(|_, conversation| conversation.id != id);
    }

    /// The address that was asked what this packet from `from` answers: another one where that stands for a name.
    pub fn asked_by(&self, packet: &[u8], from: SocketAddr) -> SocketAddr {
        let number =
            packet.get(4..8).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
        let asked = number.and_then(|number| self.conversations.get(&number));
        asked.map(|asked| asked.to).filter(|to| is_placeholder(to.ip())).unwrap_or(from)
    }

    /// Whether a conversation goes to that address.
    pub fn asks_at(&self, addr: SocketAddr) -> bool {
        self.conversations.values().any(|conversation| conversation.to == addr)
    }

    /// Takes in a packet. Returns the outcome if that ends a conversation.
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) -> Option<(ConversationId, UdpOutcome)> {
        let response = UdpResponse::decode(packet, from.is_ipv6())?;
        let transaction = response.transaction();
        // A reply from any other address is a forgery, whatever its number.
        let from = self.asked_by(packet, from);
        if self.conversations.get(&transaction)?.to != from {
            return None;
        }
        let mut conversation = self.conversations.remove(&transaction)?;
        match (response, conversation.asking) {
            (UdpResponse::Connect { connection, .. }, None) => {
                if self.connections.len() >= MAX_CONNECTIONS {
                    self.connections.clear();
                }
                let until = now + Duration::from_secs(CONNECTION_SECONDS);
                self.connections.insert(from, (connection, until));
                self.connected(conversation, now, rng, out);
                None
            }
            (UdpResponse::Scrape { files, .. }, Some(_)) if conversation.scrapes() => {
                Some((conversation.id, UdpOutcome::Scraped { files }))
            }
            (UdpResponse::Announce { interval, counts, peers, .. }, Some(_))
                if !conversation.scrapes() =>
            {
                let peers = peers.into_iter().take(2000).collect();
                Some((conversation.id, UdpOutcome::Answered { interval, counts, peers }))
            }
            (UdpResponse::Error { message, .. }, used) => {
                // A tracker that restarted knows our connection id no more.
                if used.is_some() && !conversation.renewed {
                    conversation.renewed = true;
                    self.connections.remove(&from);
                    self.transmit(conversation, now, rng, out);
                    return None;
                }
                Some((conversation.id, UdpOutcome::Refused(message)))
            }
            _ => {
                // A reply to something else: keep waiting for ours.
                self.conversations.insert(transaction, conversation);
                None
            }
        }
    }

    /// Sends again what was not answered in time. Returns the conversations that are given up.
    pub fn poll(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) -> Vec<(ConversationId, UdpOutcome)> {
        let due: Vec<u32> = self
            .conversations
            .iter()
            .filter(|(_, conversation)| conversation.deadline <= now)
            .map(|(transaction, _)| *transaction)
            .collect();
        let mut ended = Vec::new();
        for transaction in due {
            let Some(conversation) = self.conversations.remove(&transaction) else { continue };
            if conversation.tries >= TIMEOUTS.len() || conversation.is_given_up() {
                ended.push((conversation.id, UdpOutcome::TimedOut));
            } else {
                self.transmit(conversation, now, rng, out);
            }
        }
        ended
    }

    /// When [`Self::poll`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.conversations.values().map(|conversation| conversation.deadline).min()
    }

    /// The announces in progress, and where they go.
    pub fn announces(&self) -> impl Iterator<Item = (ConversationId, SocketAddr)> {
        let announces = self.conversations.values().filter(|conversation| !conversation.scrapes());
        announces.map(|conversation| (conversation.id, conversation.to))
    }

    /// Breaks a rule that the parent knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        use super::{AnnounceEvent, EncryptionPolicy, PeerId};

        if rule != "conversations with UDP trackers are counted by address" {
            return None;
        }
        let params = AnnounceParams {
            info_hash: Sha1Hash([7; 20]),
            peer_id: PeerId([7; 20]),
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: AnnounceEvent::None,
            key: 7,
            num_want: 0,
            port: 7,
            encryption: EncryptionPolicy::default(),
        };
        let asks = Asks::Announce(params, Vec::new());
        let nobody = SocketAddr::from(([1, 2, 3, 4], 5));
        self.conversations.insert(7, Conversation::new(0, nobody, asks, Instant::ZERO));
        Some(())
    }

    /// Conversations in progress.
    pub fn len(&self) -> usize {
        self.conversations.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.conversations.is_empty()
    }

    /// There is a connection id: `first`, and whoever waited for it, can go on.
    fn connected(
        &mut self,
        first: Conversation,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) {
        let to = first.to;
        let waits = |(_, other): &(&u32, &Conversation)| other.to == to && other.waits;
        let numbers = self.conversations.iter().filter(waits).map(|(number, _)| *number);
        let numbers: Vec<u32> = numbers.collect();
        let waited = numbers.iter().filter_map(|number| self.conversations.remove(number));
        let mut waited: Vec<_> = waited.collect();
        // In the order in which they came, whatever numbers were drawn for them.
        waited.sort_by_key(|other| other.id);
        for other in [first].into_iter().chain(waited) {
            self.transmit(Conversation { tries: 0, ..other }, now, rng, out);
        }
    }

    /// Sends what the conversation needs next under a transaction number of its own.
    fn transmit(
        &mut self,
        mut conversation: Conversation,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<(SocketAddr, Bytes)>,
    ) {
        let mut transaction = rng.next_u32();
        while self.conversations.contains_key(&transaction) {
            transaction = transaction.wrapping_add(1);
        }
        let known = self.connections.get(&conversation.to).filter(|(_, until)| now < *until);
        conversation.asking = known.map(|(connection, _)| *connection);
        let asks_for_one = |other: &Conversation| {
            other.to == conversation.to && other.asking.is_none() && !other.waits
        };
        conversation.waits =
            conversation.asking.is_none() && self.conversations.values().any(asks_for_one);
        let request = match (conversation.asking, &conversation.asks) {
            (None, _) => UdpRequest::Connect { transaction },
            (Some(connection), Asks::Announce(params, options)) => UdpRequest::Announce {
                connection,
                transaction,
                params: *params,
                ip: Ipv4Addr::UNSPECIFIED,
                options: options.clone(),
            },
            (Some(connection), Asks::Scrape(info_hashes)) => {
                UdpRequest::Scrape { connection, transaction, info_hashes: info_hashes.clone() }
            }
        };
        if !conversation.waits {
            out.push((conversation.to, request.encode().into()));
        }
        let wait = TIMEOUTS[conversation.tries.min(TIMEOUTS.len() - 1)];
        conversation.tries += 1;
        conversation.deadline = now + Duration::from_secs(wait);
        self.conversations.insert(transaction, conversation);
    }
}

impl Conversation {
    fn new(id: ConversationId, to: SocketAddr, asks: Asks, now: Instant) -> Self {
        let (asking, waits, tries, renewed) = (None, false, 0, false);
        Self { id, to, asks, asking, waits, tries, renewed, deadline: now }
    }

    fn scrapes(&self) -> bool {
        matches!(self.asks, Asks::Scrape(_))
    }

    /// A tracker that does not answer a scrape may know none; it is not asked again.
    fn is_given_up(&self) -> bool {
        self.scrapes() && self.asking.is_some()
    }
}
