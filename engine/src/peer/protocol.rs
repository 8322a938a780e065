//! Messages in, checked against the state of the connection; events for the torrent out.

use alloc::boxed::Box;
use bytes::Bytes;

use super::extensions::{OUR_DONT_HAVE_ID, OUR_HOLEPUNCH_ID, OUR_METADATA_ID, OUR_PEX_ID};
use super::{Misbehaviour, Peer, PeerError};
use crate::api::MAX_REQUEST_LENGTH;
use crate::base::bits::Bits;
use crate::base::payload::Payload;
use crate::base::work::{STEPS_A_UNIT, Work};
use crate::metainfo::{BLOCK_LENGTH, Geometry};
use crate::picker::PeerPieces;
use crate::wire::{
    BlockRequest, ExtendedHandshake, HolepunchMessage, Message, MetadataMessage, PexMessage,
    parse_dont_have,
};

/// Pieces a peer may allow or suggest that are remembered.
const MAX_ALLOWED_FAST: usize = 32;
/// How often a peer may say that it has everything or nothing: BEP 6 allows once.
const MAX_DECLARATIONS: u32 = 8;
/// Requests while choked that are put down to crossing messages.
const MAX_CHOKED_REQUESTS: u32 = 500;

/// Something a peer said that the torrent has to act on. Flags are updated already.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// It has everything; `Peer::pieces` is new.
    HasAll {
        /// What it had been taken to have until then.
        before: PeerPieces,
    },
    /// It has these pieces, none of which it had until then.
    Gained(Bits),
    /// It got a piece that it did not have.
    Have(u32),
    /// It lost a piece that it had (BEP 54).
    DontHave(u32),
    /// It serves us nothing any more.
    Choked,
    /// It serves us now.
    Unchoked,
    /// It allows another piece while choking.
    MayRequest,
    /// It began or ceased to want something.
    Interest,
    /// It wants a block that exists.
    Request(BlockRequest),
    /// It does not want a block any more.
    Cancel(BlockRequest),
    /// A block of a length that fits its place.
    Block {
        /// Piece.
        piece: u32,
        /// First byte in the piece.
        begin: u32,
        /// The bytes.
        payload: Payload,
    },
    /// It will not serve a request.
    Reject(BlockRequest),
    /// Its extended handshake; `Peer::extensions` is updated.
    Extended(Box<ExtendedHandshake>),
    /// Something about the info dictionary (BEP 9).
    Metadata(MetadataMessage),
    /// Peers that it knows (BEP 11).
    Pex(Box<PexMessage>),
    /// Somebody to whom it introduces us, or wants to be introduced (BEP 55).
    Holepunch(HolepunchMessage),
    /// The port of its DHT node (BEP 5).
    DhtPort(u16),
}

impl Peer {
    /// Decodes buffered bytes up to the next message that matters, as long as `work` has not reached
    /// `until`. Without a `geometry`, what is said of pieces is kept for [`Peer::learn_geometry`].
    ///
    /// # Errors
    /// A malformed message or a broken rule; the peer is at fault.
    pub fn next_event(
        &mut self,
        geometry: Option<Geometry>,
        work: &mut Work,
        until: u64,
    ) -> Result<Option<PeerEvent>, PeerError> {
        // What it is to be told has no room any more: it does not read.
        if self.outbox.is_overfull() {
            return Err(Misbehaviour::NotReading.into());
        }
        while work.total() < until
            && let Some(message) = self.assembler.next_message()?
        {
            work.add(units(&message));
            let event = match geometry {
                Some(geometry) => self.take(message, geometry)?,
                None => self.take_before_metadata(message)?,
            };
            if event.is_some() || self.outbox.is_overfull() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// A message while it is not known how many pieces there are.
    fn take_before_metadata(&mut self, message: Message) -> Result<Option<PeerEvent>, PeerError> {
        self.check_fast(&message)?;
        if self.before_metadata.keep(&message)? {
            return Ok(None);
        }
        match message {
            Message::Request(request) => {
                if self.fast {
                    self.send(&Message::Reject(request));
                }
                self.refused += 1;
                if self.refused > MAX_CHOKED_REQUESTS {
                    return Err(Misbehaviour::RequestFlood.into());
                }
                Ok(None)
            }
            Message::Piece { .. } => Err(Misbehaviour::BlockRange.into()),
            Message::Cancel(_) | Message::Reject(_) => Ok(None),
            other => self.take_other(other, 0),
        }
    }

    fn check_fast(&self, message: &Message) -> Result<(), Misbehaviour> {
        let fast_only = matches!(
            message,
            Message::HaveAll
                | Message::HaveNone
                | Message::Reject(_)
                | Message::AllowedFast(_)
                | Message::Suggest(_)
        );
        if fast_only && !self.fast { Err(Misbehaviour::FastNotAgreed) } else { Ok(()) }
    }

    fn take(
        &mut self,
        message: Message,
        geometry: Geometry,
    ) -> Result<Option<PeerEvent>, PeerError> {
        self.check_fast(&message)?;
        let pieces = geometry.pieces();
        Ok(match message {
            Message::Have(_)
            | Message::Bitfield(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::AllowedFast(_)
            | Message::Suggest(_) => self.take_about_pieces(&message, pieces)?,
            Message::Request(request) => Some(self.request(request, geometry)?),
            Message::Cancel(request) => Some(PeerEvent::Cancel(request)),
            Message::Reject(request) => Some(PeerEvent::Reject(request)),
            Message::Piece { piece, begin, payload } => {
                Some(self.take_block(piece, begin, payload, geometry)?)
            }
            other => self.take_other(other, pieces)?,
        })
    }

    /// A message about what the peer has, or would give.
    pub(super) fn take_about_pieces(
        &mut self,
        message: &Message,
        pieces: u32,
    ) -> Result<Option<PeerEvent>, Misbehaviour> {
        Ok(match message {
            Message::Have(piece) => self.have(index(*piece, pieces)?),
            Message::Bitfield(bytes) => {
                let bits = Bits::from_wire(bytes, pieces).ok_or(Misbehaviour::Bitfield)?;
                self.gain(&bits)
            }
            Message::HaveAll => self.has_all(pieces)?,
            Message::HaveNone => {
                self.count_declaration()?;
                None
            }
            Message::AllowedFast(piece) => self.allowed_fast(index(*piece, pieces)?),
            Message::Suggest(piece) => {
                self.suggested = Some(index(*piece, pieces)?);
                None
            }
            _ => None,
        })
    }

    /// A message that is about no piece.
    fn take_other(
        &mut self,
        message: Message,
        pieces: u32,
    ) -> Result<Option<PeerEvent>, PeerError> {
        Ok(match message {
            Message::Choke => {
                let changed = !core::mem::replace(&mut self.peer_choking, true);
                changed.then_some(PeerEvent::Choked)
            }
            Message::Unchoke => {
                let changed = core::mem::replace(&mut self.peer_choking, false);
                changed.then_some(PeerEvent::Unchoked)
            }
            Message::Interested => self.interest(true),
            Message::NotInterested => self.interest(false),
            Message::Port(port) => (port != 0).then_some(PeerEvent::DhtPort(port)),
            Message::Extended { id, payload } => self.extended(id, &payload, pieces)?,
            _ => None,
        })
    }

    fn interest(&mut self, interested: bool) -> Option<PeerEvent> {
        let changed = self.peer_interested != interested;
        self.peer_interested = interested;
        changed.then_some(PeerEvent::Interest)
    }

    fn have(&mut self, piece: u32) -> Option<PeerEvent> {
        let (PeerPieces::Some(bits) | PeerPieces::AllBut(bits)) = &mut self.pieces else {
            return None;
        };
        if !bits.set(piece) {
            return None;
        }
        self.piece_count += 1;
        Some(PeerEvent::Have(piece))
    }

    /// A peer may say again what it has (aria2 sends a bitfield where many haves are due); what it
    /// had before it still has. Only what is new costs anything.
    fn gain(&mut self, bits: &Bits) -> Option<PeerEvent> {
        let (PeerPieces::Some(known) | PeerPieces::AllBut(known)) = &self.pieces else {
            return None;
        };
        let gained = bits.without(known);
        if gained.count() == 0 {
            return None;
        }
        self.piece_count += gained.count();
        if let (PeerPieces::Some(_), true) = (&self.pieces, self.piece_count == bits.len()) {
            let before = core::mem::replace(&mut self.pieces, PeerPieces::All);
            return Some(PeerEvent::HasAll { before });
        }
        if let PeerPieces::Some(known) | PeerPieces::AllBut(known) = &mut self.pieces {
            known.extend(&gained);
        }
        Some(PeerEvent::Gained(gained))
    }

    fn has_all(&mut self, pieces: u32) -> Result<Option<PeerEvent>, Misbehaviour> {
        self.count_declaration()?;
        if self.piece_count == pieces {
            return Ok(None);
        }
        self.piece_count = pieces;
        let before = core::mem::replace(&mut self.pieces, PeerPieces::All);
        Ok(Some(PeerEvent::HasAll { before }))
    }

    fn count_declaration(&mut self) -> Result<(), Misbehaviour> {
        self.declared += 1;
        if self.declared > MAX_DECLARATIONS {
            return Err(Misbehaviour::DeclaresTooOften);
        }
        Ok(())
    }

    fn request(
        &mut self,
        request: BlockRequest,
        geometry: Geometry,
    ) -> Result<PeerEvent, PeerError> {
        let BlockRequest { piece, begin, length } = request;
        if length > MAX_REQUEST_LENGTH || !geometry.contains(piece, begin, length) {
            return Err(Misbehaviour::RequestRange.into());
        }
        if self.am_choking && !self.allowed_fast_out.contains(&piece) {
            self.choked_requests += 1;
            if self.choked_requests > MAX_CHOKED_REQUESTS {
                return Err(Misbehaviour::RequestWhileChoked.into());
            }
        }
        Ok(PeerEvent::Request(request))
    }

    fn take_block(
        &mut self,
        piece: u32,
        begin: u32,
        payload: Payload,
        geometry: Geometry,
    ) -> Result<PeerEvent, PeerError> {
        if payload.is_empty() && piece < geometry.pieces() {
            // BitComet's way to reject; the length is not said, but it is known.
            let length = geometry.block_size(piece, begin / BLOCK_LENGTH);
            return Ok(PeerEvent::Reject(BlockRequest { piece, begin, length }));
        }
        let fits = geometry.contains(piece, begin, payload.len())
            && begin.is_multiple_of(BLOCK_LENGTH)
            && payload.len() == geometry.block_size(piece, begin / BLOCK_LENGTH);
        if !fits {
            return Err(Misbehaviour::BlockRange.into());
        }
        Ok(PeerEvent::Block { piece, begin, payload })
    }

    fn allowed_fast(&mut self, piece: u32) -> Option<PeerEvent> {
        if self.allowed_fast_in.len() < MAX_ALLOWED_FAST && !self.allowed_fast_in.contains(&piece) {
            self.allowed_fast_in.push(piece);
            return self.peer_choking.then_some(PeerEvent::MayRequest);
        }
        None
    }

    fn extended(
        &mut self,
        id: u8,
        payload: &Bytes,
        pieces: u32,
    ) -> Result<Option<PeerEvent>, PeerError> {
        if !self.extended {
            return Err(Misbehaviour::ExtendedNotAgreed.into());
        }
        match id {
            0 => {
                let handshake = ExtendedHandshake::decode(payload)?;
                self.extensions.update(&handshake);
                if let Some(v) = &handshake.v {
                    self.client.clone_from(v);
                }
                Ok(Some(PeerEvent::Extended(Box::new(handshake))))
            }
            OUR_METADATA_ID => Ok(Some(PeerEvent::Metadata(MetadataMessage::decode(payload)?))),
            OUR_PEX_ID => Ok(Some(PeerEvent::Pex(Box::new(PexMessage::decode(payload)?)))),
            OUR_HOLEPUNCH_ID => Ok(Some(PeerEvent::Holepunch(HolepunchMessage::decode(payload)?))),
            // Before there is metadata nothing is known that could be lost.
            OUR_DONT_HAVE_ID if pieces == 0 => Ok(None),
            OUR_DONT_HAVE_ID => Ok(self.dont_have(index(parse_dont_have(payload)?, pieces)?)),
            _ => Ok(None),
        }
    }

    /// The piece stays in `pieces` until the torrent, which counts holders, takes it out.
    fn dont_have(&mut self, piece: u32) -> Option<PeerEvent> {
        self.pieces.has(piece).then_some(PeerEvent::DontHave(piece))
    }

    /// Takes a lost piece out of what the peer has, giving a seed a bit field.
    pub fn forget_piece(&mut self, piece: u32, pieces: u32) {
        if matches!(self.pieces, PeerPieces::All) {
            self.pieces = PeerPieces::AllBut(Bits::full(pieces));
        }
        if let PeerPieces::Some(bits) | PeerPieces::AllBut(bits) = &mut self.pieces
            && bits.clear(piece)
        {
            self.piece_count -= 1;
        }
    }
}

/// What a message costs before anybody acts on it: one unit, and what its bytes take to look at.
/// Blocks are not looked at. An extended handshake is a dictionary, whose entries are kept: that is ten
/// times the instructions of a short message.
fn units(message: &Message) -> u64 {
    if let Message::Extended { id: 0, payload } = message {
        return 8 + payload.len() as u64 / (STEPS_A_UNIT / 2);
    }
    let bytes = match message {
        Message::Bitfield(bytes)
        | Message::Extended { payload: bytes, .. }
        | Message::Unknown { payload: bytes, .. } => bytes.len(),
        Message::Hashes(_, hashes) => hashes.len() * 32,
        _ => 0,
    };
    1 + bytes as u64 / STEPS_A_UNIT
}

fn index(piece: u32, pieces: u32) -> Result<u32, Misbehaviour> {
    if piece < pieces { Ok(piece) } else { Err(Misbehaviour::PieceIndex) }
}
