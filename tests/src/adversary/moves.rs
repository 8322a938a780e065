//! What a hostile peer can say.

use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::base::hash::Sha256Hash;
use eddyline::base::payload::Payload;
use eddyline::peer::{OUR_DONT_HAVE_ID, OUR_METADATA_ID, OUR_PEX_ID};
use eddyline::wire::{
    BlockRequest, ExtendedHandshake, HashRange, METADATA_PIECE, Message, MetadataMessage, PexFlags,
    PexMessage,
};

use crate::content::Content;
use crate::entropy::Entropy;
use crate::puppet::encode;

/// A kind of message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    HaveAll,
    HaveNone,
    Have,
    Bitfield,
    DontHave,
    Request,
    BigRequest,
    Cancel,
    Reject,
    Suggest,
    AllowedFast,
    Port,
    Unknown,
    ShakeExtended,
    MetadataRequest,
    /// Of a piece that does not exist.
    MetadataBeyond,
    MetadataReject,
    MetadataData,
    Pex,
    HashRequest,
    /// A block that nobody asked for.
    BadBlock,
    /// One byte of a long message.
    Fragment,
}

/// A message with what varies in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    kind: Kind,
    /// Added to each number at each use, so that the same is not said twice.
    stride: u32,
}

impl Move {
    pub(super) fn draw(kinds: &[Kind], entropy: &mut Entropy) -> Self {
        Self { kind: entropy.choose(kinds), stride: entropy.choose(&[0, 1, 1, 7]) }
    }

    pub(super) fn still(kind: Kind) -> Self {
        Self { kind, stride: 0 }
    }

    /// What is said the `n`th time.
    pub(super) fn bytes(self, content: &Content, n: u32) -> Bytes {
        let pieces = content.metainfo.geometry().pieces().max(1);
        let n = n.wrapping_mul(self.stride);
        let piece = n % pieces;
        let size = content.metainfo.geometry().block_size(piece, 0);
        let block = BlockRequest { piece, begin: 0, length: size };
        let extended = |id: u8, payload: Vec<u8>| Message::Extended { id, payload: payload.into() };
        let metadata = |message: MetadataMessage| extended(OUR_METADATA_ID, message.encode());
        let message = match self.kind {
            Kind::KeepAlive => Message::KeepAlive,
            Kind::Choke => Message::Choke,
            Kind::Unchoke => Message::Unchoke,
            Kind::Interested => Message::Interested,
            Kind::NotInterested => Message::NotInterested,
            Kind::HaveAll => Message::HaveAll,
            Kind::HaveNone => Message::HaveNone,
            Kind::Have => Message::Have(piece),
            Kind::Bitfield => {
                let mut bits = vec![0u8; pieces.div_ceil(8) as usize];
                bits[piece as usize / 8] |= 0x80 >> (piece % 8);
                Message::Bitfield(bits.into())
            }
            Kind::DontHave => extended(OUR_DONT_HAVE_ID, piece.to_be_bytes().to_vec()),
            Kind::Request => Message::Request(block),
            Kind::BigRequest => {
                let length = content.metainfo.geometry().piece_size(piece).min(128 << 10);
                Message::Request(BlockRequest { length, ..block })
            }
            Kind::Cancel => Message::Cancel(block),
            Kind::Reject => Message::Reject(block),
            Kind::Suggest => Message::Suggest(piece),
            Kind::AllowedFast => Message::AllowedFast(piece),
            Kind::Port => Message::Port(1 + (n % 60_000) as u16),
            Kind::Unknown => Message::Unknown { id: 99, payload: Bytes::new() },
            Kind::ShakeExtended => extended(0, handshake(content, n).encode()),
            Kind::MetadataRequest => metadata(MetadataMessage::Request(0)),
            Kind::MetadataBeyond => metadata(MetadataMessage::Request(n.saturating_add(1_000))),
            Kind::MetadataReject => metadata(MetadataMessage::Reject(n % 4)),
            Kind::MetadataData => metadata(MetadataMessage::Data {
                piece: n % 4,
                total_size: Some(content.metainfo.info().len() as u32),
                data: vec![0; content.metainfo.info().len().min(METADATA_PIECE as usize)].into(),
            }),
            Kind::Pex => extended(OUR_PEX_ID, strangers(n).encode()),
            Kind::HashRequest => Message::HashRequest(HashRange {
                pieces_root: Sha256Hash([7; 32]),
                base_layer: 0,
                index: n,
                length: 512,
                proof_layers: 0,
            }),
            Kind::BadBlock => {
                let payload = Payload::One(vec![9; size as usize].into());
                Message::Piece { piece, begin: 0, payload }
            }
            Kind::Fragment => return Bytes::from_static(&[0]),
        };
        encode(&[message])
    }
}

/// What it says of itself, a little different each time.
pub(super) fn handshake(content: &Content, n: u32) -> ExtendedHandshake {
    let size = content.metainfo.info().len() as i64;
    ExtendedHandshake {
        m: [("ut_metadata".to_owned(), 3), ("ut_pex".to_owned(), 1), ("lt_donthave".to_owned(), 7)]
            .into(),
        metadata_size: Some(size + i64::from(n % 3) * 16_384),
        p: Some(1 + (n % 60_000) as u16),
        reqq: Some(n % 5000),
        yourip: Some([66, 66, 66, (n % 250) as u8].into()),
        ..ExtendedHandshake::default()
    }
}

/// Addresses at which nobody is.
fn strangers(n: u32) -> PexMessage {
    let addr = |k: u32| {
        let [_, a, b, c] = n.wrapping_mul(50).wrapping_add(k).to_be_bytes();
        (SocketAddr::from(([77, a, b, c], 6881)), PexFlags(PexFlags::REACHABLE))
    };
    PexMessage { added: (0..50).map(addr).collect(), dropped: Vec::new() }
}
