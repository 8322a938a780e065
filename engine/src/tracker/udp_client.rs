//! Conversations with UDP trackers (BEP 15): connection ids that live a minute, transactions that
//! are matched by address and number, and retransmissions that do not keep fail-over waiting.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::url::address_key;
use super::{
    Admission, AnnounceEvent, AnnounceParams, Hosts, SwarmCounts, UdpRequest, UdpResponse,
};
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
    /// The tracker refused.
    Refused(String),
    /// No answer.
    TimedOut,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Conversation {
    id: ConversationId,
    to: SocketAddr,
    params: AnnounceParams,
    options: Vec<u8>,
    began: Instant,
    /// The connection id that the announce in flight used; `None` while asking for one.
    announcing: Option<u64>,
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
    /// What is asked of each address: names are free, and any number of them may lead to one.
    addresses: Hosts,
}

impl UdpClient {
    /// Whether the tracker at `to` could be asked now, by whatever name.
    pub fn look(&mut self, to: SocketAddr, now: Instant) -> Admission {
        self.addresses.look(&address_key(to), now)
    }

    /// The user wants to know whether a tracker is at `to`.
    pub fn pardon(&mut self, to: SocketAddr) {
        self.addresses.pardon(&address_key(to));
    }

    /// Begins to announce to the tracker at `to`, if that address may be asked now; what has to be sent goes to `out`.
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
    ) -> Admission {
        let address = address_key(to);
        let admission = if params.event != AnnounceEvent::Stopped {
            self.addresses.begin(&address, now)
        } else if self.addresses.last_word(&address, now) {
            Admission::Go
        } else {
            // Nobody waits until it may.
            Admission::Shunned(now)
        };
        if admission != Admission::Go {
            return admission;
        }
        let conversation = Conversation {
            id,
            to,
            params,
            options,
            began: now,
            announcing: None,
            tries: 0,
            renewed: false,
            deadline: now,
        };
        self.transmit(conversation, now, rng, out);
        Admission::Go
    }

    /// A conversation has ended; `spoke` says whether a tracker has answered.
    fn ended(&mut self, conversation: &Conversation, spoke: bool, now: Instant) {
        if conversation.params.event != AnnounceEvent::Stopped {
            let address = address_key(conversation.to);
            self.addresses.ended(&address, conversation.began, spoke, now);
        }
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
        if self.conversations.get(&transaction)?.to != from {
            return None;
        }
        let mut conversation = self.conversations.remove(&transaction)?;
        match (response, conversation.announcing) {
            (UdpResponse::Connect { connection, .. }, None) => {
                if self.connections.len() >= MAX_CONNECTIONS {
                    self.connections.clear();
                }
                let until = now + Duration::from_secs(CONNECTION_SECONDS);
                self.connections.insert(from, (connection, until));
                conversation.tries = 0;
                self.transmit(conversation, now, rng, out);
                None
            }
            (UdpResponse::Announce { interval, counts, peers, .. }, Some(_)) => {
                let peers = peers.into_iter().take(2000).collect();
                self.ended(&conversation, true, now);
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
                self.ended(&conversation, true, now);
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
            if conversation.tries >= TIMEOUTS.len() {
                self.ended(&conversation, false, now);
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

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let counted = |c: &&Conversation| c.params.event != AnnounceEvent::Stopped;
        let talking = self.conversations.values().filter(counted).count();
        if talking != self.addresses.in_flight() as usize {
            return Err("conversations with UDP trackers are counted by address");
        }
        self.addresses.check()
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "conversations with UDP trackers are counted by address" => {
                let nobody = SocketAddr::from(([1, 2, 3, 4], 5));
                self.addresses.begin(&address_key(nobody), Instant::from_nanos(7));
            }
            _ => return None,
        }
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
        conversation.announcing = known.map(|(connection, _)| *connection);
        let request = match conversation.announcing {
            None => UdpRequest::Connect { transaction },
            Some(connection) => UdpRequest::Announce {
                connection,
                transaction,
                params: conversation.params,
                ip: Ipv4Addr::UNSPECIFIED,
                options: conversation.options.clone(),
            },
        };
        out.push((conversation.to, request.encode().into()));
        let wait = TIMEOUTS[conversation.tries.min(TIMEOUTS.len() - 1)];
        conversation.tries += 1;
        conversation.deadline = now + Duration::from_secs(wait);
        self.conversations.insert(transaction, conversation);
    }
}
