//! A scripted peer for tests: shakes hands, says something, and answers each message.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use eddyline::base::payload::Payload;
use eddyline::wire::{BlockRequest, FrameAssembler, Handshake, Message, PeerId, Reserved};
use eddyline_sim::{Content, Script, ScriptAction};

/// What a puppet heard, shared with the test.
pub type Heard = Rc<RefCell<Vec<Message>>>;
type Answer = Box<dyn FnMut(&Message) -> Vec<Message>>;

/// A scripted peer.
pub struct Puppet {
    handshake: Handshake,
    opening: Vec<Message>,
    raw: Vec<u8>,
    answer: Answer,
    heard: Heard,
    assembler: FrameAssembler,
    shaken: bool,
}

impl Puppet {
    /// A peer of the torrent of `content` that says nothing after its handshake.
    pub fn new(content: &Content, name: u8) -> Self {
        Self {
            handshake: Handshake {
                reserved: Reserved::OURS,
                info_hash: content.metainfo.info_hashes.wire(),
                peer_id: PeerId([name; 20]),
            },
            opening: Vec::new(),
            raw: Vec::new(),
            answer: Box::new(|_| Vec::new()),
            heard: Heard::default(),
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
        let geometry = content.metainfo.geometry;
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
            self.shaken = self.assembler.take_handshake().unwrap().is_some();
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
