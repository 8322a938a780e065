//! What an engine says to its peers, held against what they said: the rules of BEP 3 and 6.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::base::bits::Bits;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::ConnId;
use eddyline::peer::{OUR_METADATA_ID, OUR_PEX_ID};
use eddyline::wire::{BlockRequest, FrameAssembler, Message, MetadataMessage, PexMessage};
use eddyline::{Action, Event, MAX_SENDS, StreamAction, StreamEvent, UtpPacket};
use eddyline_mse::{Opening, recognise};

use super::cost::Asked;
use super::model::Model;

/// All conversations of a node.
#[derive(Clone, Debug, Default)]
pub struct Conversations {
    talks: BTreeMap<ConnId, Talk>,
    asked: Option<Asked>,
    metadata: Option<(ConnId, u64)>,
    /// How often the engine has worked off all that it heard.
    settled: u64,
}

/// One conversation.
#[derive(Clone, Debug, Default)]
struct Talk {
    heard: FrameAssembler,
    said: FrameAssembler,
    torrent: Option<Sha1Hash>,
    /// Whether either side offered the fast extension.
    fast: [bool; 2],
    shaken: [bool; 2],
    /// The peer serves us.
    unchoked: bool,
    /// We serve the peer.
    serves: bool,
    interested: bool,
    /// When it said last that it is not interested any more, in how often all had been worked off: until that
    /// happens again, the engine may not have come to it.
    lost_interest: Option<u64>,
    allowed_in: BTreeSet<u32>,
    allowed_out: BTreeSet<u32>,
    /// What the peer has; `None` inside for everything.
    has: BTreeSet<u32>,
    has_all: bool,
    outstanding: BTreeSet<BlockRequest>,
    /// A block's header was sent; its content has to follow.
    owed: Option<(u32, u32, u32)>,
    sent: u64,
    taken: u64,
    granted: u64,
    received: u64,
    garbled: bool,
    /// It began with an encrypted handshake.
    hidden: bool,
    /// That is over on our side: what we send is what we say.
    open: bool,
    /// What the peer said in its encrypted handshake was not to be had, so what follows cannot be judged.
    lost: bool,
    /// The torrent that the peer named.
    named_torrent: Option<Sha1Hash>,
    /// Of the last run of bytes: content and pieces of metadata that were asked for, peers named.
    wants: (u64, u64),
    named: Vec<SocketAddr>,
    /// Bytes of metadata in the last send.
    metadata: u64,
    /// Sends that the socket has not taken, by their bytes.
    untaken: VecDeque<u64>,
    /// What is sent next may have waited until the socket took something: it was said to a peer that has
    /// said something else since.
    stale: bool,
}

impl Conversations {
    /// Takes in an event by its number in the step. Returns what is to be [unsealed](Self::unsealed) first, because it
    /// is encrypted or may be.
    pub(super) fn hear(&mut self, number: u32, event: &Event) -> Option<(u32, ConnId, Bytes)> {
        let Event::Stream(conn, event) = event else { return None };
        let talk = self.talks.get_mut(conn)?;
        match event {
            StreamEvent::Received(bytes) => {
                talk.received += bytes.len() as u64;
                if talk.hidden || !talk.shaken[1] {
                    return Some((number, *conn, bytes.clone()));
                }
                self.unsealed(*conn, bytes);
            }
            StreamEvent::Sent(count) => {
                talk.taken += u64::from(*count);
                talk.take(u64::from(*count));
            }
            StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_) => {
                self.talks.remove(conn);
            }
            StreamEvent::Connected
            | StreamEvent::Offered(_)
            | StreamEvent::Answered(_)
            | StreamEvent::NotFetched(_) => {}
        }
        None
    }

    /// What a peer said.
    pub(super) fn unsealed(&mut self, conn: ConnId, bytes: &Bytes) {
        let Some(talk) = self.talks.get_mut(&conn) else { return };
        talk.hear(bytes, self.settled);
        if talk.wants != (0, 0) || !talk.named.is_empty() {
            let (content, metadata) = std::mem::take(&mut talk.wants);
            let named = std::mem::take(&mut talk.named);
            self.asked = Some(Asked { conn, content, metadata, named });
        }
    }

    /// The engine has worked off all that it heard.
    pub(super) fn settle(&mut self) {
        self.settled += 1;
    }

    /// What was asked for and named in the event that was just heard.
    pub(super) fn take_heard(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    /// Bytes of metadata in the action that was just seen.
    pub(super) fn take_metadata(&mut self) -> Option<(ConnId, u64)> {
        self.metadata.take()
    }

    /// What leaves over µTP for the first time is what a socket takes.
    fn left(&mut self, packet: &UtpPacket) {
        if let Some(talk) = packet.stream.and_then(|conn| self.talks.get_mut(&conn)) {
            let more = packet.payload.end.saturating_sub(talk.taken);
            talk.taken += more;
            talk.take(more);
        }
    }

    pub(super) fn see(&mut self, action: &Action, model: &Model) -> Result<(), String> {
        if let Action::Transmit(_, packet) = action {
            self.left(packet);
        }
        let Action::Stream(conn, action) = action else { return Ok(()) };
        match action {
            StreamAction::Connect { .. }
            | StreamAction::Adopt { .. }
            | StreamAction::OpenUtp { .. } => {
                self.talks.insert(*conn, Talk::default());
            }
            StreamAction::Close(_) => {
                self.talks.remove(conn);
            }
            StreamAction::GrantRead(count) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.granted += u64::from(*count);
                }
            }
            StreamAction::Send(bytes) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.sent += bytes.len() as u64;
                    talk.untaken.push_back(bytes.len() as u64);
                    talk.say(bytes, model, self.settled)
                        .map_err(|rule| format!("{rule} ({conn:?})"))?;
                    let metadata = std::mem::take(&mut talk.metadata);
                    self.metadata = (metadata > 0).then_some((*conn, metadata));
                }
            }
            StreamAction::Encipher(_) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.open = true;
                }
            }
            StreamAction::Decipher(_)
            | StreamAction::Deliver(_)
            | StreamAction::Release(_)
            | StreamAction::Fetch(_) => {}
            StreamAction::SendBlock(bytes) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.sent += bytes.len() as u64;
                    talk.untaken.push_back(bytes.len() as u64);
                    let wrong =
                        talk.owed.take().is_none_or(|(.., length)| length != bytes.len() as u32);
                    if wrong && !talk.lost {
                        return Err(format!("content follows its header at once ({conn:?})"));
                    }
                }
            }
            StreamAction::SendStored(block) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.sent += u64::from(block.length);
                    talk.untaken.push_back(u64::from(block.length));
                    let owed = talk.owed.take();
                    if owed != Some((block.piece, block.begin, block.length)) && !talk.lost {
                        return Err(format!("content follows its header at once ({conn:?})"));
                    }
                }
            }
        }
        match self.talks.get(conn) {
            Some(talk) if talk.taken > talk.sent => {
                Err(format!("no more is taken than was sent ({conn:?})"))
            }
            Some(talk) if talk.received > talk.granted => {
                Err(format!("no more is received than was granted ({conn:?})"))
            }
            _ => Ok(()),
        }
    }
}

impl Talk {
    /// The socket took bytes.
    fn take(&mut self, mut count: u64) {
        self.stale |= self.untaken.len() >= MAX_SENDS;
        while count > 0
            && let Some(front) = self.untaken.front_mut()
        {
            let part = count.min(*front);
            *front -= part;
            count -= part;
            if *front == 0 {
                self.untaken.pop_front();
            }
        }
    }

    fn is_fast(&self) -> bool {
        self.fast == [true, true]
    }

    fn hear(&mut self, bytes: &Bytes, settled: u64) {
        if self.garbled || bytes.is_empty() {
            return;
        }
        self.heard.push(bytes.clone());
        if !self.shaken[1] {
            match self.heard.take_handshake() {
                Ok(Some(handshake)) => {
                    self.shaken[1] = true;
                    self.fast[1] = handshake.reserved.fast();
                    self.named_torrent = Some(handshake.info_hash);
                }
                Ok(None) => return,
                Err(_) => {
                    self.garbled = true;
                    return;
                }
            }
        }
        loop {
            match self.heard.next_message() {
                Ok(Some(message)) => self.heard(message, settled),
                Ok(None) => return,
                Err(_) => {
                    self.garbled = true;
                    return;
                }
            }
        }
    }

    fn heard(&mut self, message: Message, settled: u64) {
        match message {
            Message::Choke => {
                self.unchoked = false;
                if !self.is_fast() {
                    self.outstanding.clear();
                }
            }
            Message::Unchoke => self.unchoked = true,
            Message::Interested => self.interested = true,
            Message::NotInterested if self.interested => {
                self.interested = false;
                self.lost_interest = Some(settled);
            }
            Message::Have(piece) => {
                self.has.insert(piece);
            }
            Message::HaveAll => self.has_all = true,
            Message::Bitfield(bytes) => {
                let bits = Bits::from_wire(&bytes, bytes.len() as u32 * 8);
                self.has.extend(bits.iter().flat_map(Bits::ones));
            }
            Message::AllowedFast(piece) => {
                self.allowed_in.insert(piece);
            }
            Message::Piece { piece, begin, payload } => {
                let length = payload.len();
                self.outstanding.retain(|r| {
                    (r.piece, r.begin) != (piece, begin) || (r.length != length && length != 0)
                });
            }
            Message::Reject(request) => {
                self.outstanding.remove(&request);
            }
            Message::Request(request) => self.wants.0 += u64::from(request.length),
            Message::Extended { id: OUR_METADATA_ID, payload } => {
                let asks = MetadataMessage::decode(&payload);
                self.wants.1 += u64::from(matches!(asks, Ok(MetadataMessage::Request(_))));
            }
            Message::Extended { id: OUR_PEX_ID, payload } => {
                let pex = PexMessage::decode(&payload).ok();
                let added = pex.into_iter().flat_map(|pex| pex.added);
                self.named.extend(added.map(|(addr, _)| addr));
            }
            _ => {}
        }
    }

    fn say(&mut self, bytes: &Bytes, model: &Model, settled: u64) -> Result<(), String> {
        let first = !self.shaken[0] && self.said.buffered() == 0;
        let begins = recognise(bytes);
        self.hidden |= first && begins == Opening::Encrypted;
        if self.hidden && first {
            if !self.open {
                return Ok(());
            }
            // Nothing is said before the peer has shaken hands, so its handshake was heard, unless it waited for a key
            // and came with no event.
            self.lost = !self.shaken[1];
            // Who calls has its handshake in the encrypted one.
            if begins == Opening::Encrypted {
                self.shaken[0] = true;
                self.fast[0] = true;
                self.torrent = self.named_torrent;
            }
        }
        if self.lost {
            return Ok(());
        }
        self.said.push(bytes.clone());
        if !self.shaken[0] {
            let handshake = self.said.take_handshake().map_err(|error| error.to_string())?;
            let Some(handshake) = handshake else { return Err("a handshake comes whole".into()) };
            self.shaken[0] = true;
            self.fast[0] = handshake.reserved.fast();
            self.torrent = Some(handshake.info_hash);
        }
        while self.said.buffered() > 0 {
            if let Some(block) = self.block_header(model)? {
                self.owed = Some(block);
                self.said = FrameAssembler::default();
                return Ok(());
            }
            let message = self.said.next_message().map_err(|error| error.to_string())?;
            let Some(message) = message else { return Err("messages are sent whole".into()) };
            self.check(&message, model, settled)?;
        }
        self.stale = false;
        Ok(())
    }

    /// The header of a block ends a send; its content is sent by itself. Returns piece, begin and
    /// length.
    fn block_header(&self, model: &Model) -> Result<Option<(u32, u32, u32)>, String> {
        let Some((piece, begin, length)) = self.said.pending_piece() else { return Ok(None) };
        let hash = self.torrent.unwrap_or(Sha1Hash([0; 20]));
        if !model.is_verified(hash, piece) {
            return Err(format!("only what is verified is served: piece {piece}"));
        }
        if !self.serves && !self.allowed_out.contains(&piece) {
            return Err(format!("who is choked is not served: piece {piece}"));
        }
        Ok(Some((piece, begin, length)))
    }

    fn check(&mut self, message: &Message, model: &Model, settled: u64) -> Result<(), String> {
        let hash = self.torrent.unwrap_or(Sha1Hash([0; 20]));
        let verified = |piece: u32, rule: &str| {
            if model.is_verified(hash, piece) {
                Ok(())
            } else {
                Err(format!("{rule}: piece {piece}"))
            }
        };
        match message {
            Message::Have(piece) => verified(*piece, "only what is verified is told")?,
            Message::HaveAll => {
                for piece in 0..model.pieces(hash).unwrap_or(0) {
                    verified(piece, "only what is verified is told")?;
                }
            }
            Message::Bitfield(bytes) => {
                let bits = Bits::from_wire(bytes, bytes.len() as u32 * 8);
                for piece in bits.iter().flat_map(Bits::ones) {
                    verified(piece, "only what is verified is told")?;
                }
            }
            Message::AllowedFast(piece) => {
                verified(*piece, "only what is verified is allowed")?;
                self.allowed_out.insert(*piece);
            }
            Message::Unchoke => {
                let not_heard = self.lost_interest == Some(settled);
                if !self.interested && !self.stale && !not_heard {
                    return Err("only who is interested is unchoked".into());
                }
                self.serves = true;
            }
            Message::Choke => self.serves = false,
            Message::Extended { id: 1.., payload } => {
                if let Ok(MetadataMessage::Data { .. }) = MetadataMessage::decode(payload) {
                    self.metadata += payload.len() as u64 + 6;
                }
            }
            Message::Request(request) => self.check_request(*request)?,
            Message::Cancel(request) => {
                self.outstanding.remove(request);
            }
            Message::Reject(_) | Message::HaveNone if !self.is_fast() => {
                return Err("fast messages are for fast peers".into());
            }
            _ => {}
        }
        Ok(())
    }

    fn check_request(&mut self, request: BlockRequest) -> Result<(), String> {
        let piece = request.piece;
        let allowed = self.is_fast() && self.allowed_in.contains(&piece);
        if !self.unchoked && !allowed && !self.stale {
            return Err(format!("nothing is asked of who chokes us: piece {piece}"));
        }
        if !self.has_all && !self.has.contains(&piece) && !self.stale {
            return Err(format!("peers are asked for what they have: piece {piece}"));
        }
        if !self.outstanding.insert(request) {
            return Err(format!("a block is asked for once at a time: {request:?}"));
        }
        Ok(())
    }
}
