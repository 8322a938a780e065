//! A scripted peer: shakes hands, says something, and answers each message. From it are made the
//! peers that a swarm has to put up with: honest, slow, silent, lying, flooding, never unchoking.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::payload::Payload;
use eddyline::wire::{BlockRequest, FrameAssembler, Handshake, Message, PeerId, Reserved};

use crate::content::Content;
use crate::scripted::{Script, ScriptAction};

/// What a puppet heard, shared with the test.
pub type Heard = Rc<RefCell<Vec<Message>>>;
/// The handshake that a puppet was shown, shared with the test.
pub type Shown = Rc<RefCell<Option<Handshake>>>;
type Answer = Box<dyn FnMut(&Message) -> Vec<Message>>;

/// A scripted peer.
pub struct Puppet {
    handshake: Handshake,
    opening: Vec<Message>,
    raw: Vec<u8>,
    answer: Answer,
    heard: Heard,
    shown: Shown,
    assembler: FrameAssembler,
    shaken: bool,
}

impl Puppet {
    /// A peer of the torrent of `content` that says nothing after its handshake.
    pub fn new(content: &Content, name: u8) -> Self {
        Self {
            handshake: Handshake {
                reserved: Reserved::OURS,
                info_hash: content.metainfo.info_hashes().wire(),
                peer_id: PeerId([name; 20]),
            },
            opening: Vec::new(),
            raw: Vec::new(),
            answer: Box::new(|_| Vec::new()),
            heard: Heard::default(),
            shown: Shown::default(),
            assembler: FrameAssembler::default(),
            shaken: false,
        }
    }

    /// Without extensions.
    pub fn plain(mut self) -> Self {
        self.handshake.reserved = Reserved::default();
        self
    }

    /// Says `messages` after the handshake.
    pub fn opening(mut self, messages: Vec<Message>) -> Self {
        self.opening = messages;
        self
    }

    /// Says one message more after the handshake.
    pub fn also_opening(mut self, message: Message) -> Self {
        self.opening.push(message);
        self
    }

    /// Answers some messages with one more message, before anything else.
    pub fn also_answering(
        mut self,
        mut more: impl FnMut(&Message) -> Option<Message> + 'static,
    ) -> Self {
        let mut rest = self.answer;
        self.answer = Box::new(move |message| {
            let mut answers: Vec<Message> = more(message).into_iter().collect();
            answers.extend(rest(message));
            answers
        });
        self
    }

    /// Of another torrent.
    pub fn of_torrent(mut self, info_hash: Sha1Hash) -> Self {
        self.handshake.info_hash = info_hash;
        self
    }

    /// Sends `bytes` after the handshake and the opening.
    pub fn raw(mut self, bytes: Vec<u8>) -> Self {
        self.raw = bytes;
        self
    }

    /// Answers each message.
    pub fn answering(mut self, answer: impl FnMut(&Message) -> Vec<Message> + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    /// What it hears.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// The handshake that it is shown.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// With a peer id of its own choice.
    pub fn called(mut self, peer_id: PeerId) -> Self {
        self.handshake.peer_id = peer_id;
        self
    }

    /// Ready to be connected.
    pub fn boxed(self) -> Box<dyn Script> {
        Box::new(self)
    }

    /// A seed that serves every request, each block through `twist`.
    pub fn seed(
        content: &Content,
        name: u8,
        mut twist: impl FnMut(&BlockRequest, Vec<u8>) -> Option<Vec<u8>> + 'static,
    ) -> Self {
        let bytes = content.bytes.clone();
        let geometry = content.metainfo.geometry();
        Self::new(content, name).opening(vec![Message::HaveAll, Message::Unchoke]).answering(
            move |message| {
                let Message::Request(request) = message else { return Vec::new() };
                let start = geometry.piece_offset(request.piece) as usize + request.begin as usize;
                let block = bytes[start..start + request.length as usize].to_vec();
                let (piece, begin) = (request.piece, request.begin);
                let block = twist(request, block).into_iter();
                block
                    .map(|block| Message::Piece {
                        piece,
                        begin,
                        payload: Payload::One(block.into()),
                    })
                    .collect()
            },
        )
    }
}

/// The bytes of messages, payload included.
pub fn encode(messages: &[Message]) -> Bytes {
    let mut out = BytesMut::new();
    for message in messages {
        message.encode(&mut out);
        if let Message::Piece { payload, .. } = message {
            payload.parts().iter().for_each(|part| out.extend_from_slice(part));
        }
    }
    out.freeze()
}

impl Script for Puppet {
    fn connected(&mut self) -> Vec<ScriptAction> {
        let mut first = self.handshake.encode().to_vec();
        first.extend(encode(&self.opening));
        first.extend(&self.raw);
        vec![ScriptAction::Send(first.into())]
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        self.assembler.push(Bytes::copy_from_slice(bytes));
        if !self.shaken {
            // Like a client that knows no encryption, it hangs up on who speaks anything else.
            let Ok(handshake) = self.assembler.take_handshake() else {
                return vec![ScriptAction::Close];
            };
            self.shaken = handshake.is_some();
            *self.shown.borrow_mut() = handshake;
        }
        let mut actions = Vec::new();
        while self.shaken
            && let Some(message) = self.assembler.next_message().unwrap()
        {
            let answer = (self.answer)(&message);
            self.heard.borrow_mut().push(message);
            if !answer.is_empty() {
                actions.push(ScriptAction::Send(encode(&answer)));
            }
        }
        actions
    }
}

/// A kind of peer that a swarm has to put up with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Manner {
    /// Serves every request.
    Honest,
    /// Serves every request at 20 KB/s.
    Slow,
    /// Unchokes and never answers.
    Silent,
    /// Spoils one block in this many.
    Lying(u32),
    /// Says that it has everything, and serves nobody.
    NeverUnchoking,
    /// Makes more requests than anyone would queue.
    Flooding,
    /// Rejects every request.
    Rejecting,
    /// Sends blocks that nobody asked for.
    Pushing,
    /// Says nothing that makes sense.
    Babbling,
    /// Leaves after this many blocks.
    Leaving(u32),
}

impl Manner {
    /// Every manner.
    pub const ALL: [Self; 11] = [
        Self::Honest,
        Self::Slow,
        Self::Silent,
        Self::Lying(1),
        Self::Lying(13),
        Self::NeverUnchoking,
        Self::Flooding,
        Self::Rejecting,
        Self::Pushing,
        Self::Babbling,
        Self::Leaving(3),
    ];

    /// A peer of that manner. Its number makes its peer id.
    pub fn peer(self, content: &Content, number: u8) -> Box<dyn Script> {
        let fresh = || Puppet::new(content, number);
        match self {
            Self::Honest => Puppet::seed(content, number, |_, block| Some(block)).boxed(),
            Self::Slow => {
                let seed = Puppet::seed(content, number, |_, block| Some(block));
                Box::new(Limited { puppet: seed, rate: 20_000 })
            }
            Self::Silent => Puppet::seed(content, number, |_, _| None).boxed(),
            Self::Lying(one_in) => {
                let mut count = 0;
                Puppet::seed(content, number, move |_, mut block| {
                    count += 1;
                    if count % one_in == 0 {
                        block[0] ^= 0x55;
                    }
                    Some(block)
                })
                .boxed()
            }
            Self::NeverUnchoking => fresh().opening(vec![Message::HaveAll]).boxed(),
            Self::Flooding => {
                let geometry = content.metainfo.geometry();
                let request = |n: u32| {
                    let piece = n % geometry.pieces().max(1);
                    let length = geometry.block_size(piece, 0);
                    Message::Request(BlockRequest { piece, begin: 0, length })
                };
                let mut opening = vec![Message::HaveNone, Message::Interested];
                opening.extend((0..6000).map(request));
                fresh().opening(opening).boxed()
            }
            Self::Rejecting => fresh()
                .opening(vec![Message::HaveAll, Message::Unchoke])
                .answering(|message| match message {
                    Message::Request(request) => vec![Message::Reject(*request)],
                    _ => Vec::new(),
                })
                .boxed(),
            Self::Pushing => {
                let length = content.metainfo.geometry().block_size(0, 0);
                let payload = Payload::One(vec![7; length as usize].into());
                let block = Message::Piece { piece: 0, begin: 0, payload };
                fresh().opening(vec![block; 80]).boxed()
            }
            Self::Babbling => fresh().raw(vec![0, 0, 0, 200, 250, 1, 2, 3]).boxed(),
            Self::Leaving(blocks) => {
                let mut left = blocks;
                let seed = Puppet::seed(content, number, move |_, block| {
                    left = left.checked_sub(1)?;
                    Some(block)
                });
                Box::new(Quitter { puppet: seed, left: blocks })
            }
        }
    }
}

/// A peer behind a slow line.
struct Limited {
    puppet: Puppet,
    rate: u64,
}

impl Script for Limited {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.puppet.connected()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        self.puppet.received(bytes)
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate)
    }
}

/// A peer that hangs up after a few answers.
struct Quitter {
    puppet: Puppet,
    left: u32,
}

impl Script for Quitter {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.puppet.connected()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        let mut actions = self.puppet.received(bytes);
        self.left = self.left.saturating_sub(actions.len() as u32);
        if self.left == 0 {
            actions.push(ScriptAction::Close);
        }
        actions
    }
}
