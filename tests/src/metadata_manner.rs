//! Scripted peers that offer metadata (BEP 9): honest, lying in size or content, rejecting, silent,
//! vanishing.

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::wire::{ExtendedHandshake, METADATA_PIECE, Message, MetadataMessage};

use crate::content::Content;
use crate::puppet::Puppet;
use crate::scripted::{Script, ScriptAction};

/// The id under which these peers take metadata messages.
const THEIR_ID: u8 = 3;

/// How a peer deals with metadata.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MetadataManner {
    /// Gives it, and the content too.
    Honest,
    /// Claims this many bytes more than there are, and sends zeros.
    WrongSize(u32),
    /// Says the right size and gives something else.
    WrongContent,
    /// Gives every second piece wrong.
    HalfWrong,
    /// Hangs up after this many pieces.
    Vanishing(u32),
    /// Rejects every request.
    Rejecting,
    /// Says that it has it and does not answer.
    Silent,
    /// Claims this many bytes more than there are, and does not answer.
    SilentAbout(u32),
}

impl MetadataManner {
    /// Every manner but the honest one.
    pub const ALL: [Self; 9] = [
        Self::WrongSize(1),
        Self::WrongSize(5_000_000),
        Self::WrongSize(u32::MAX),
        Self::WrongContent,
        Self::WrongContent,
        Self::HalfWrong,
        Self::Vanishing(1),
        Self::Rejecting,
        Self::Silent,
    ];

    /// A peer of that manner. Its number makes its peer id.
    pub fn peer(self, content: &Content, number: u8) -> Box<dyn Script> {
        let info = content.metainfo.info().clone();
        let real = info.len() as u32;
        let size = match self {
            Self::WrongSize(more) | Self::SilentAbout(more) => real.saturating_add(more),
            _ => real,
        };
        let puppet = match self {
            Self::Honest => Puppet::seed(content, number, |_, block| Some(block)),
            _ => Puppet::new(content, number).opening(vec![Message::HaveAll]),
        };
        let mut given = 0;
        let puppet = puppet.also_opening(offer(size)).also_answering(move |message| {
            let (id, piece) = asked(message)?;
            let answer = match self {
                Self::Rejecting => MetadataMessage::Reject(piece),
                Self::Silent | Self::SilentAbout(_) => return None,
                _ => {
                    given += 1;
                    let wrong = match self {
                        Self::WrongSize(_) | Self::WrongContent => true,
                        Self::HalfWrong => given % 2 == 0,
                        _ => false,
                    };
                    data(&info, piece, size, wrong)
                }
            };
            Some(Message::Extended { id, payload: answer.encode().into() })
        });
        match self {
            Self::Vanishing(pieces) => Box::new(Vanishing { puppet, left: pieces }),
            _ => puppet.boxed(),
        }
    }

    /// A peer of the torrent `hash` that gives `info` as its metadata.
    pub fn holding(content: &Content, hash: Sha1Hash, info: Vec<u8>) -> Box<dyn Script> {
        let info = Bytes::from(info);
        let size = info.len() as u32;
        let puppet = Puppet::new(content, b'H').of_torrent(hash).opening(vec![Message::HaveAll]);
        let puppet = puppet.also_opening(offer(size)).also_answering(move |message| {
            let (id, piece) = asked(message)?;
            let answer = data(&info, piece, size, false);
            Some(Message::Extended { id, payload: answer.encode().into() })
        });
        puppet.boxed()
    }
}

fn offer(size: u32) -> Message {
    let handshake = ExtendedHandshake {
        m: [("ut_metadata".to_owned(), THEIR_ID)].into(),
        metadata_size: Some(size.into()),
        ..ExtendedHandshake::default()
    };
    Message::Extended { id: 0, payload: handshake.encode().into() }
}

/// The piece that a message asks for, and the id under which the answer is taken.
fn asked(message: &Message) -> Option<(u8, u32)> {
    let Message::Extended { id: THEIR_ID, payload } = message else { return None };
    match MetadataMessage::decode(payload) {
        // The engine takes them under this id.
        Ok(MetadataMessage::Request(piece)) => Some((eddyline::peer::OUR_METADATA_ID, piece)),
        _ => None,
    }
}

fn data(info: &Bytes, piece: u32, size: u32, wrong: bool) -> MetadataMessage {
    let start = piece.saturating_mul(METADATA_PIECE);
    let length = METADATA_PIECE.min(size.saturating_sub(start)) as usize;
    let start = start as usize;
    let data = match info.get(start..start + length).filter(|_| !wrong) {
        Some(bytes) => Bytes::copy_from_slice(bytes),
        None => vec![0; length].into(),
    };
    MetadataMessage::Data { piece, total_size: Some(size), data }
}

/// Hangs up after `answers` answers.
struct Vanishing {
    puppet: Puppet,
    left: u32,
}

impl Script for Vanishing {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.puppet.connected()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        let mut actions = self.puppet.received(bytes);
        actions.truncate(self.left as usize);
        self.left -= actions.len() as u32;
        if self.left == 0 {
            actions.push(ScriptAction::Close);
        }
        actions
    }
}
