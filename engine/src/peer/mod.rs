//! One connected peer: what it said, what was said to it, what is outstanding either way.
//!
//! The machine knows the rules of the protocol (BEP 3, 6, 9, 10, 11, 21, 54, 55) and nothing about other peers
//! or the disk; the torrent that owns it makes the decisions.

mod before_metadata;
mod calm;
mod error;
mod extensions;
mod metadata;
mod outbox;
mod protocol;
mod receive_window;
mod requests;
mod uploads;

#[cfg(test)]
mod tests;

use alloc::string::String;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::api::{EncryptionMethod, PeerSource, Transport};
use crate::base::bits::Bits;
use crate::base::ids::ConnId;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::peer_exchange::PexLedger;
use crate::picker::{PeerKey, PeerPieces};
use crate::wire::{BlockRequest, FrameAssembler, Handshake, Message, PeerId};

/// An upload slot from which nothing is asked for this long is not used: longer than a round trip to
/// anywhere, and than a slow peer takes between two blocks.
const IDLE_SLOT_MILLIS: u64 = 4000;

pub use before_metadata::BeforeMetadata;
pub use calm::Calm;
pub use error::{Misbehaviour, PeerError};
pub use extensions::{Extensions, OUR_DONT_HAVE_ID, OUR_HOLEPUNCH_ID, OUR_METADATA_ID, OUR_PEX_ID};
pub use metadata::MetadataUploads;
pub use outbox::{HAVES_MARK, Outbox};
pub use protocol::PeerEvent;
pub use receive_window::ReceiveWindow;
pub use requests::{Outstanding, Requests};
pub use uploads::{Uploads, Verdict};

/// Who a peer is and how it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// Connection.
    pub conn: ConnId,
    /// Key in the torrent's candidate list.
    pub key: PeerKey,
    /// Remote address.
    pub addr: SocketAddr,
    /// It connected to us.
    pub incoming: bool,
    /// Who named it.
    pub source: PeerSource,
    /// BEP 40 priority of the pair of addresses.
    pub priority: u32,
}

/// State of one connected peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Who it is and how it came.
    pub intro: Introduction,
    /// Its id.
    pub peer_id: PeerId,
    /// Its client's name.
    pub client: String,
    /// How the bytes behind its encrypted handshake go; `None` where there was none.
    pub encryption: Option<EncryptionMethod>,
    /// What carries the connection.
    pub transport: Transport,
    /// Fast extension agreed on (BEP 6).
    pub fast: bool,
    /// Extended messages agreed on (BEP 10).
    pub extended: bool,
    /// It is a node of the DHT (BEP 5).
    pub dht: bool,
    /// What it said in its extended handshake.
    pub extensions: Extensions,
    /// What it has.
    pub pieces: PeerPieces,
    /// How many pieces it has.
    pub piece_count: u32,
    /// How often it has said that it has all or nothing.
    declared: u32,
    /// How many of them are missing here.
    pub interesting: u32,
    /// We serve it nothing.
    pub am_choking: bool,
    /// We told it that we want something.
    pub am_interested: bool,
    /// It serves us nothing.
    pub peer_choking: bool,
    /// It wants something.
    pub peer_interested: bool,
    /// Pieces it lets us fetch while choking (BEP 6).
    pub allowed_fast_in: SmallVec<[u32; 16]>,
    /// The piece it suggested last (BEP 6).
    pub suggested: Option<u32>,
    /// Pieces we let it fetch while choking.
    pub allowed_fast_out: SmallVec<[u32; 16]>,
    /// Bytes it may still fetch while choked; without a bound it could drain us (BEP 6).
    pub fast_allowance: u64,
    /// Requests to it.
    pub requests: Requests,
    /// Its requests.
    pub uploads: Uploads,
    /// Received bytes that are not decoded yet.
    pub assembler: FrameAssembler,
    /// Complete messages wait in it for the next step.
    pub awaits_turn: bool,
    /// How often it changed whether it wants something.
    pub interest_calm: Calm,
    /// How often it changed whether it serves us.
    pub choke_calm: Calm,
    /// Bytes of its messages that are accounted for as not acted upon.
    pub assembling: u64,
    /// What is on its way to it.
    pub outbox: Outbox,
    /// Of the torrent's log of verified pieces, the number of the first that it was not told; nothing if
    /// it was told all.
    pub haves_told: Option<u64>,
    /// Bytes granted and not received.
    pub granted: u32,
    /// How many that may be, where the connection is over µTP.
    pub receive_window: ReceiveWindow,
    /// Payload from it.
    pub down: RateMeter,
    /// Payload to it.
    pub up: RateMeter,
    /// When anything was last received.
    pub last_received: Instant,
    /// When anything was last sent.
    pub last_sent: Instant,
    /// When it was connected.
    pub connected_at: Instant,
    /// When it last brought something that was needed; at first, when it was connected.
    pub useful_at: Instant,
    /// When it was last unchoked; zero for never.
    pub unchoked_at: Instant,
    /// When it was last choked; zero for never.
    pub choked_at: Instant,
    /// When it last asked for a block that it is given.
    pub asked_at: Instant,
    /// It let its last turn in an upload slot pass without asking for anything.
    pub missed_turn: bool,
    /// On parole: it contributed to a bad piece and has to prove itself.
    pub parole: bool,
    /// How many good pieces it had a part in.
    pub verified: u32,
    /// It has brought something that was needed, and answers for it.
    pub is_sender: bool,
    /// Requests it sent while choked that no allowance covers.
    choked_requests: u32,
    /// Requests it sent beyond what is queued for it.
    refused: u32,
    /// Payload bytes it sent that nobody asked for.
    pub unasked: u64,
    /// Rejects it sent of requests that nobody made.
    pub unasked_rejects: u32,
    /// What it said of pieces before it was known how many there are.
    before_metadata: BeforeMetadata,
    /// Pieces of the info dictionary that it asked for and that do not exist.
    pub impossible_metadata: u32,
    /// What it is given of the info dictionary.
    pub metadata: MetadataUploads,
    /// What it was told of other peers, and has told of them.
    pub pex: PexLedger,
    /// When its timer is set to fire.
    pub tick_at: Instant,
}

impl Peer {
    /// A peer whose handshake is complete. `assembler` may hold bytes that followed the handshake.
    pub fn new(
        intro: Introduction,
        handshake: &Handshake,
        assembler: FrameAssembler,
        granted: u32,
        pieces: u32,
        now: Instant,
    ) -> Self {
        Self {
            intro,
            peer_id: handshake.peer_id,
            client: handshake.peer_id.client(),
            encryption: None,
            transport: Transport::Tcp,
            fast: handshake.reserved.fast(),
            extended: handshake.reserved.extended(),
            dht: handshake.reserved.dht(),
            extensions: Extensions::default(),
            pieces: PeerPieces::Some(Bits::new(pieces)),
            piece_count: 0,
            declared: 0,
            interesting: 0,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            allowed_fast_in: SmallVec::new(),
            suggested: None,
            allowed_fast_out: SmallVec::new(),
            fast_allowance: 0,
            requests: Requests::new(now),
            uploads: Uploads::default(),
            assembler,
            awaits_turn: false,
            interest_calm: Calm::default(),
            choke_calm: Calm::default(),
            assembling: 0,
            outbox: Outbox::new(pieces / 8, now),
            haves_told: None,
            granted,
            receive_window: ReceiveWindow::default(),
            down: RateMeter::default(),
            up: RateMeter::default(),
            last_received: now,
            last_sent: now,
            connected_at: now,
            useful_at: now,
            unchoked_at: Instant::ZERO,
            choked_at: Instant::ZERO,
            asked_at: Instant::ZERO,
            missed_turn: false,
            parole: false,
            verified: 0,
            is_sender: false,
            choked_requests: 0,
            refused: 0,
            unasked: 0,
            unasked_rejects: 0,
            before_metadata: BeforeMetadata::default(),
            pex: PexLedger::default(),
            impossible_metadata: 0,
            metadata: MetadataUploads::new(now),
            tick_at: now,
        }
    }

    /// Queues a message for the next flush.
    pub fn send(&mut self, message: &Message) {
        self.outbox.queue(message);
    }

    /// Queues the header of a block, which its content has to follow at once.
    pub fn send_block_header(&mut self, block: BlockRequest) {
        self.outbox.queue_block_header(block);
    }

    /// Takes in a request that may be served.
    pub fn take_request(&mut self, request: BlockRequest, limit: u32, now: Instant) -> Verdict {
        self.asked_at = now;
        // Requests from the allowed-fast set do not count as use of an upload slot.
        self.missed_turn &= self.am_choking;
        self.uploads.push(request, limit, &mut self.refused)
    }

    /// Whether it has an upload slot that it makes no use of: it has asked for nothing for a while, and
    /// nothing is on its way to it; or its socket takes next to nothing of what it asked for.
    pub fn is_idle(&self, now: Instant) -> bool {
        let since = self.unchoked_at.max(self.asked_at);
        let asks = !self.uploads.is_empty() || self.outbox.blocks() > 0;
        let idle = !asks && now.millis_since(since) >= IDLE_SLOT_MILLIS;
        !self.am_choking && (idle || self.outbox.is_slow(now))
    }

    /// Bytes that it sent and that wait: for the rest of their message, for its turn, or for the
    /// metadata.
    pub fn waiting_bytes(&self) -> u64 {
        self.assembler.buffered() as u64 + self.before_metadata.bytes()
    }

    /// Whether it has everything.
    pub fn is_seed(&self) -> bool {
        match &self.pieces {
            PeerPieces::All => true,
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => bits.is_full() && !bits.is_empty(),
        }
    }

    /// Whether it will never download (BEP 21).
    pub fn is_upload_only(&self) -> bool {
        self.is_seed() || self.extensions.upload_only
    }

    /// Whether it may be asked for blocks, and if so, whether only for its allowed-fast set.
    pub fn may_request(&self) -> Option<Option<&[u32]>> {
        if !self.peer_choking {
            Some(None)
        } else if self.fast && !self.allowed_fast_in.is_empty() {
            Some(Some(&self.allowed_fast_in))
        } else {
            None
        }
    }
}
