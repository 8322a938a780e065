//! Whole conversations that other clients had: every message is understood and can be said again,
//! and the engine holds up its end of each, once as the seed and once as the leech.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use eddyline::base::payload::Payload;
use eddyline::metainfo::Metainfo;
use eddyline::wire::{BlockRequest, FrameAssembler, Handshake, Message};
use eddyline::{CloseReason, Notice};
use eddyline_sim::{Content, PeerOptions, Script, ScriptAction, World};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{folder, hex, load};
use eddyline_sim::encode;

/// Conversations that cannot be played yet, with what they need. Empty in the end.
const NOT_YET_PLAYED: &[(&str, &str)] =
    &[("lt-utp", "µTP"), ("lt-v2-magnet", "transfer of v2 torrents")];

/// One message as it was recorded: whether the initiator sent it, its kind, its bytes.
struct Recorded {
    by_initiator: bool,
    kind: String,
    frame: Bytes,
}

#[test]
fn every_captured_conversation_is_understood_and_played() {
    let mut left_out = Vec::new();
    let captures = load(&folder().join("captures.json"));
    for case in captures["cases"].as_array().unwrap() {
        let scenario = case["scenario"].as_str().unwrap();
        let postponed = NOT_YET_PLAYED.iter().any(|(name, _)| *name == scenario);
        let Some(connections) = case["connections"].as_array() else {
            assert!(postponed, "{scenario} has no connections, and no reason is given");
            left_out.push(scenario);
            continue;
        };
        let bytes = hex(&case["torrent"]);
        let metainfo = Arc::new(Metainfo::parse(&bytes).unwrap());
        let content = Content {
            bytes: content_bytes(metainfo.layout().payload_length() as usize).into(),
            metainfo,
        };
        for connection in connections {
            let messages = connection.as_array().unwrap();
            if messages[0][1] == "opaque" {
                // Encryption comes later; until then such a connection is refused, not waited for.
                assert!(Handshake::decode(&hex(&messages[0][2])).is_err(), "{scenario}");
                continue;
            }
            let recorded: Vec<_> = messages.iter().map(|m| read(m, &content)).collect();
            understand(scenario, &recorded);
            if !postponed {
                play_leech(scenario, &content, &recorded);
                play_seed(scenario, &content, &recorded);
            }
        }
        if postponed {
            left_out.push(scenario);
        }
    }
    let listed: Vec<_> = NOT_YET_PLAYED.iter().map(|(name, _)| *name).collect();
    assert_eq!(left_out, listed, "the list of conversations not yet played");
}

/// SHA-256 of "9/0", "9/1" and so on, one after the other.
fn content_bytes(length: usize) -> Vec<u8> {
    let digests = (0..length.div_ceil(32)).flat_map(|n| Sha256::digest(format!("9/{n}")));
    digests.take(length).collect()
}

/// A message with its length in front, blocks made whole again.
fn read(message: &Value, content: &Content) -> Recorded {
    let by_initiator = message[0] == ">";
    let kind = message[1].as_str().unwrap().to_owned();
    let text = message[2].as_str().unwrap();
    let (head, cut) = text.split_once('+').map_or((text, 0), |(h, n)| (h, n.parse().unwrap()));
    let mut body = hex(&Value::from(head));
    if kind == "piece" {
        let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        let at = content.metainfo.geometry().piece_offset(word(1)) as usize + word(5) as usize;
        body.extend_from_slice(&content.bytes[at..at + cut]);
    }
    let mut frame = BytesMut::new();
    if kind != "handshake" {
        frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    }
    frame.extend_from_slice(&body);
    Recorded { by_initiator, kind, frame: frame.freeze() }
}

/// Every message is decoded as what it is, and encodes to the same bytes.
fn understand(scenario: &str, recorded: &[Recorded]) {
    for side in [true, false] {
        let mut assembler = FrameAssembler::default();
        let said = recorded.iter().filter(|message| message.by_initiator == side);
        for message in said {
            message.frame.chunks(5).for_each(|c| assembler.push(Bytes::copy_from_slice(c)));
            if message.kind == "handshake" {
                let handshake = assembler.take_handshake().unwrap().unwrap();
                assert_eq!(handshake.encode()[..], message.frame[..], "{scenario}");
                continue;
            }
            let decoded = assembler.next_message().unwrap().unwrap();
            assert_eq!(name(&decoded), message.kind, "{scenario}");
            assert_eq!(encode(&[decoded]), message.frame, "{scenario}: {}", message.kind);
            assert_eq!(assembler.buffered(), 0, "{scenario}: {}", message.kind);
        }
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::KeepAlive => "keepalive",
        Message::Choke => "choke",
        Message::Unchoke => "unchoke",
        Message::Interested => "interested",
        Message::NotInterested => "not_interested",
        Message::Have(_) => "have",
        Message::Bitfield(_) => "bitfield",
        Message::Request(_) => "request",
        Message::Piece { .. } => "piece",
        Message::Cancel(_) => "cancel",
        Message::Port(_) => "port",
        Message::Suggest(_) => "suggest",
        Message::HaveAll => "have_all",
        Message::HaveNone => "have_none",
        Message::Reject(_) => "reject",
        Message::AllowedFast(_) => "allowed_fast",
        Message::Extended { .. } => "extended",
        Message::HashRequest(_) => "hash_request",
        Message::Hashes(..) => "hashes",
        Message::HashReject(_) => "hash_reject",
        Message::Unknown { .. } => "unknown",
    }
}

/// What a player heard: blocks with their content, in the order in which they came.
type Blocks = Rc<RefCell<Vec<(BlockRequest, Vec<u8>)>>>;

/// Says what one side said, each thing once what had come before it in the record has come here.
struct Player {
    /// What it says, with the number of blocks that it had got by then.
    lines: VecDeque<(usize, Recorded)>,
    /// Serves requests from this content instead of saying the recorded blocks.
    serves: Option<Content>,
    assembler: FrameAssembler,
    shaken: bool,
    unchoked: bool,
    blocks: Blocks,
}

impl Player {
    fn new(recorded: &[Recorded], initiator: bool, serves: Option<Content>) -> Self {
        let mut got = 0;
        let mut lines = VecDeque::new();
        for message in recorded {
            if message.by_initiator == initiator {
                let Recorded { by_initiator, kind, frame } = message;
                let (kind, frame) = (kind.clone(), frame.clone());
                lines.push_back((got, Recorded { by_initiator: *by_initiator, kind, frame }));
            } else {
                got += usize::from(message.kind == "piece");
            }
        }
        Self {
            lines,
            serves,
            assembler: FrameAssembler::default(),
            shaken: false,
            unchoked: false,
            blocks: Blocks::default(),
        }
    }

    fn go_on(&mut self) -> Vec<ScriptAction> {
        let mut actions = Vec::new();
        while let Some((needed, line)) = self.lines.front() {
            let waits = *needed > self.blocks.borrow().len()
                || line.kind == "request" && !self.unchoked
                || line.kind != "handshake" && !self.shaken;
            if waits {
                break;
            }
            // What is served is decided by what is asked for here.
            if line.kind != "piece" || self.serves.is_none() {
                actions.push(ScriptAction::Send(line.frame.clone()));
            }
            self.lines.pop_front();
        }
        actions
    }

    fn hear(&mut self, message: Message) -> Vec<ScriptAction> {
        match message {
            Message::Unchoke => self.unchoked = true,
            Message::Piece { piece, begin, payload } => {
                let bytes = payload.parts().concat();
                let length = bytes.len() as u32;
                let request = BlockRequest { piece, begin, length };
                self.blocks.borrow_mut().push((request, bytes));
            }
            Message::Request(request) => {
                if let Some(content) = &self.serves {
                    let payload = Payload::One(block(content, &request).into());
                    let BlockRequest { piece, begin, .. } = request;
                    let answer = Message::Piece { piece, begin, payload };
                    return vec![ScriptAction::Send(encode(&[answer]))];
                }
            }
            _ => {}
        }
        Vec::new()
    }
}

fn block(content: &Content, request: &BlockRequest) -> Vec<u8> {
    let at = content.metainfo.geometry().piece_offset(request.piece) as usize;
    let at = at + request.begin as usize;
    content.bytes[at..at + request.length as usize].to_vec()
}

impl Script for Player {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.go_on()
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
            actions.extend(self.hear(message));
        }
        actions.extend(self.go_on());
        actions
    }
}

/// The recorded leech comes to our seed and gets, bit for bit, every block that it asked for.
fn play_leech(scenario: &str, content: &Content, recorded: &[Recorded]) {
    let leech = !recorded.iter().any(|message| message.by_initiator && message.kind == "piece");
    let player = Player::new(recorded, leech, None);
    let blocks = player.blocks.clone();
    let asked = recorded.iter().filter(|m| m.by_initiator == leech && m.kind == "request").count();
    let mut world = World::new(91);
    let seed = world.add_node();
    world.seed(seed, content);
    world.run(1);
    world.connect_script(seed, Box::new(player));
    world.run(30);
    let blocks = blocks.borrow();
    assert_eq!(blocks.len(), asked, "{scenario}: {:?}", closes(&world, seed));
    for (request, bytes) in blocks.iter() {
        assert_eq!(*bytes, block(content, request), "{scenario}: {request:?}");
    }
    for reason in closes(&world, seed) {
        let fine = matches!(reason, CloseReason::BothComplete | CloseReason::Remote);
        assert!(fine, "{scenario}: closed for {reason:?}");
    }
}

/// Our leech gets everything from the recorded seed.
fn play_seed(scenario: &str, content: &Content, recorded: &[Recorded]) {
    let seed = recorded.iter().any(|message| message.by_initiator && message.kind == "piece");
    let copies: Rc<Vec<(bool, String, Bytes)>> = Rc::new(
        recorded.iter().map(|m| (m.by_initiator, m.kind.clone(), m.frame.clone())).collect(),
    );
    let serves = content.clone();
    let mut world = World::new(92);
    let addr = world.add_script(move || {
        let recorded: Vec<_> = copies
            .iter()
            .cloned()
            .map(|(by_initiator, kind, frame)| Recorded { by_initiator, kind, frame })
            .collect();
        Box::new(Player::new(&recorded, seed, Some(serves.clone())))
    });
    let leech = world.add_node();
    world.add(leech, content, PeerOptions { peers: vec![addr], ..PeerOptions::default() });
    let done = world.run_until(60, |world| world.is_complete(leech));
    assert!(done, "{scenario}: {:?}", closes(&world, leech));
    let torrent = world.torrent(leech);
    assert_eq!(world.node(leech).disk.content(torrent).unwrap(), content.bytes);
}

fn closes(world: &World, node: usize) -> Vec<CloseReason> {
    let notices = world.node(node).notices.iter();
    notices
        .filter_map(|notice| match notice {
            Notice::PeerClosed { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}
