//! A hostile peer on one connection.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use eddyline::base::payload::Payload;
use eddyline::peer::OUR_METADATA_ID;
use eddyline::wire::{
    BlockRequest, FrameAssembler, Handshake, METADATA_PIECE, Message, MetadataMessage, PeerId,
    Reserved,
};

use super::moves::{Kind, Move, handshake};
use super::{Strategy, kinds};
use crate::content::Content;
use crate::entropy::Entropy;
use crate::puppet::encode;
use crate::scripted::{Script, ScriptAction};

/// Bytes that one foe sends at the most: what floods a line is no fault of an engine.
const MOST_BYTES: u64 = 1 << 20;
/// The id under which it takes metadata messages.
const THEIR_ID: u8 = 3;

/// What all connections of one foe share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// Ids of honest peers.
    met: Vec<PeerId>,
    /// Bytes that may still be sent.
    left: u64,
}

impl Common {
    /// A share of the bytes of one foe.
    pub(super) fn share(part: u32) -> Shared {
        let left = MOST_BYTES / u64::from(part.max(1));
        Rc::new(RefCell::new(Self { met: Vec::new(), left }))
    }
}

pub(super) type Shared = Rc<RefCell<Common>>;

/// What it does with requests, for blocks and for metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    Silent,
    Rejecting,
    Honest,
    /// Spoils one block in this many.
    Spoiling(u32),
    /// Answers one request in this many.
    Sparse(u32),
}

/// How a hostile peer behaves.
#[derive(Clone, Debug)]
pub(super) struct PeerPlan {
    fast: bool,
    /// Whether it says that it has everything and serves, or that it has nothing.
    poses: bool,
    /// Whether it takes the id of somebody whom it has met.
    borrows_ids: bool,
    /// Whether it ever reads from its socket.
    reads: bool,
    opening: Vec<Move>,
    cycle: Vec<Move>,
    /// Rounds of the cycle for each thing that it hears, and for each second.
    per_hearing: u32,
    per_second: u32,
    service: Service,
    /// Answers after which it hangs up; 0 for never.
    hangs_up: u32,
    /// Whether it takes what it is served, and asks for more as long as it is.
    pub(super) fetches: bool,
    /// Whether it is content when it has been served everything once.
    modest: bool,
}

/// Requests that one who fetches has out.
const AHEAD: u32 = 4;

impl PeerPlan {
    pub(super) fn draw(strategy: Strategy, entropy: &mut Entropy) -> Self {
        let kinds = kinds(strategy);
        let poisons = matches!(strategy, Strategy::PoisonBlocks | Strategy::PoisonMetadata);
        let services = [
            Service::Silent,
            Service::Rejecting,
            Service::Honest,
            Service::Spoiling(1),
            Service::Spoiling(5),
            Service::Sparse(8),
        ];
        let choice = entropy.choose(&services);
        let wanted = [Service::Spoiling(1), Service::Spoiling(2), Service::Spoiling(7)];
        Self {
            fast: !entropy.chance(1, 4),
            poses: entropy.chance(2, 3) || poisons,
            borrows_ids: strategy == Strategy::DeceiveIds || entropy.chance(1, 16),
            reads: strategy != Strategy::SpendAnswers && !entropy.chance(1, 8),
            opening: (0..entropy.below(8)).map(|_| Move::draw(kinds, entropy)).collect(),
            cycle: (0..entropy.between(1, 4)).map(|_| Move::draw(kinds, entropy)).collect(),
            per_hearing: entropy.choose(&[0, 1, 20, 400]),
            per_second: entropy.choose(&[0, 1, 50, 2000]),
            service: if poisons { entropy.choose(&wanted) } else { choice },
            hangs_up: entropy.choose(&[0, 0, 1, 5, 30]),
            fetches: false,
            modest: false,
        }
    }

    /// What an honest newcomer is that fetches the same.
    pub(super) fn tamed() -> Self {
        Self {
            fast: true,
            poses: false,
            borrows_ids: false,
            reads: true,
            opening: vec![Move::still(Kind::HaveNone)],
            cycle: Vec::new(),
            per_hearing: 0,
            per_second: 0,
            service: Service::Silent,
            hangs_up: 0,
            fetches: true,
            modest: true,
        }
    }
}

/// A hostile peer.
pub(super) struct HostilePeer {
    plan: PeerPlan,
    content: Content,
    shared: Shared,
    id: PeerId,
    assembler: FrameAssembler,
    shaken: bool,
    garbled: bool,
    said: u32,
    answers: u32,
    fetched: u32,
}

impl HostilePeer {
    pub(super) fn boxed(
        plan: &PeerPlan,
        content: &Content,
        shared: &Shared,
        ip: IpAddr,
    ) -> Box<dyn Script> {
        let own = PeerId([ip.to_string().as_bytes()[ip.to_string().len() - 1]; 20]);
        let met = shared.borrow().met.last().copied();
        let borrowed = met.filter(|_| plan.borrows_ids);
        Box::new(Self {
            plan: plan.clone(),
            content: content.clone(),
            shared: shared.clone(),
            id: borrowed.unwrap_or(own),
            assembler: FrameAssembler::default(),
            shaken: false,
            garbled: false,
            said: 0,
            answers: 0,
            fetched: 0,
        })
    }

    /// Some rounds of the cycle.
    fn rounds(&mut self, rounds: u32, out: &mut BytesMut) {
        for _ in 0..rounds {
            for at in 0..self.plan.cycle.len() {
                if out.len() as u64 >= self.shared.borrow().left {
                    return;
                }
                let bytes = self.plan.cycle[at].bytes(&self.content, self.said);
                self.said += 1;
                out.extend_from_slice(&bytes);
            }
        }
    }

    fn answer(&mut self, message: &Message) -> Option<Message> {
        let service = self.plan.service;
        match message {
            Message::Request(request) => self.serve(*request),
            Message::Extended { id: THEIR_ID, payload } => {
                let Ok(MetadataMessage::Request(piece)) = MetadataMessage::decode(payload) else {
                    return None;
                };
                let info = self.content.metainfo.info();
                let start = (piece.saturating_mul(METADATA_PIECE) as usize).min(info.len());
                let end = (start + METADATA_PIECE as usize).min(info.len());
                let mut data = info[start..end].to_vec();
                self.answers += 1;
                match service {
                    Service::Silent => return None,
                    Service::Sparse(one_in) if !self.answers.is_multiple_of(one_in) => return None,
                    Service::Spoiling(one_in) if self.answers.is_multiple_of(one_in) => {
                        data.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                    }
                    _ => {}
                }
                let answer = match service {
                    Service::Rejecting => MetadataMessage::Reject(piece),
                    _ => MetadataMessage::Data {
                        piece,
                        total_size: Some(info.len() as u32),
                        data: data.into(),
                    },
                };
                Some(Message::Extended { id: OUR_METADATA_ID, payload: answer.encode().into() })
            }
            _ => None,
        }
    }

    /// Asks for more, where it is served: it keeps an upload slot by using it.
    fn fetch(&mut self, message: &Message, out: &mut BytesMut) {
        let count = match message {
            Message::Unchoke => AHEAD,
            Message::Piece { .. } => 1,
            Message::Have(_) | Message::HaveAll | Message::Bitfield(_) => {
                return out.extend_from_slice(&encode(&[Message::Interested]));
            }
            _ => return,
        };
        let geometry = self.content.metainfo.geometry();
        if self.plan.modest && self.fetched >= geometry.pieces() {
            return out.extend_from_slice(&encode(&[Message::NotInterested]));
        }
        for _ in 0..count {
            let piece = self.fetched % geometry.pieces().max(1);
            self.fetched += 1;
            let length = geometry.block_size(piece, 0);
            let request = Message::Request(BlockRequest { piece, begin: 0, length });
            out.extend_from_slice(&encode(&[request]));
        }
    }

    fn serve(&mut self, request: BlockRequest) -> Option<Message> {
        let BlockRequest { piece, begin, length } = request;
        self.answers += 1;
        let mut block = self.content.block(piece, begin, length).to_vec();
        match self.plan.service {
            Service::Silent => return None,
            Service::Rejecting => return Some(Message::Reject(request)),
            Service::Honest => {}
            Service::Spoiling(one_in) if self.answers.is_multiple_of(one_in) => block[0] ^= 0x55,
            Service::Sparse(one_in) if !self.answers.is_multiple_of(one_in) => return None,
            Service::Spoiling(_) | Service::Sparse(_) => {}
        }
        Some(Message::Piece { piece, begin, payload: Payload::One(block.into()) })
    }

    fn say(&mut self, bytes: BytesMut) -> Vec<ScriptAction> {
        {
            let left = &mut self.shared.borrow_mut().left;
            *left = left.saturating_sub(bytes.len() as u64);
        }
        let mut actions = Vec::new();
        if !bytes.is_empty() {
            actions.push(ScriptAction::Send(bytes.freeze()));
        }
        if self.plan.hangs_up > 0 && self.answers >= self.plan.hangs_up {
            actions.push(ScriptAction::Close);
        }
        actions
    }
}

impl Script for HostilePeer {
    fn connected(&mut self) -> Vec<ScriptAction> {
        let reserved = if self.plan.fast { Reserved::OURS } else { Reserved::default() };
        let info_hash = self.content.hash();
        let first = Handshake { reserved, info_hash, peer_id: self.id }.encode();
        let mut out = BytesMut::from(&first[..]);
        if self.plan.fast {
            let payload = handshake(&self.content, 0).encode().into();
            out.extend_from_slice(&encode(&[Message::Extended { id: 0, payload }]));
        }
        if self.plan.poses && self.plan.fast {
            out.extend_from_slice(&encode(&[Message::HaveAll, Message::Unchoke]));
        }
        for n in 0..self.plan.opening.len() {
            out.extend_from_slice(&self.plan.opening[n].bytes(&self.content, n as u32));
        }
        self.say(out)
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        let mut out = BytesMut::new();
        self.assembler.push(Bytes::copy_from_slice(bytes));
        if !self.shaken
            && let Ok(Some(handshake)) = self.assembler.take_handshake()
        {
            self.shaken = true;
            let met = &mut self.shared.borrow_mut().met;
            if met.len() < 16 && !met.contains(&handshake.peer_id) {
                met.push(handshake.peer_id);
            }
        }
        while self.shaken && !self.garbled {
            let Ok(message) = self.assembler.next_message() else {
                self.garbled = true;
                break;
            };
            let Some(message) = message else { break };
            if self.plan.fetches && (out.len() as u64) < self.shared.borrow().left {
                self.fetch(&message, &mut out);
            }
            if (out.len() as u64) < self.shared.borrow().left
                && let Some(answer) = self.answer(&message)
            {
                out.extend_from_slice(&encode(&[answer]));
            }
        }
        self.rounds(self.plan.per_hearing, &mut out);
        self.say(out)
    }

    fn tick(&mut self) -> Vec<ScriptAction> {
        let mut out = BytesMut::new();
        self.rounds(self.plan.per_second, &mut out);
        self.say(out)
    }

    fn reads(&self) -> bool {
        self.plan.reads
    }
}
