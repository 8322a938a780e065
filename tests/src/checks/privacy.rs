//! What nobody else is to know: private torrents (BEP 27) are not named in DHT, peer exchange or
//! local discovery, and whoever stays out of the DHT sends it nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, TorrentId};
use eddyline::peer::Extensions;
use eddyline::wire::{ExtendedHandshake, FrameAssembler, Message};
use eddyline::{Action, Command, Engine, Event, Notice, StreamAction, StreamEvent};

/// What is known of privacy at one node.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    private: BTreeSet<Sha1Hash>,
    torrents: BTreeMap<TorrentId, Sha1Hash>,
    talks: BTreeMap<ConnId, Talk>,
}

/// What a connection is about, and under which id the peer takes peer exchange.
#[derive(Clone, Debug, Default)]
struct Talk {
    heard: FrameAssembler,
    said: FrameAssembler,
    shaken: [bool; 2],
    torrent: Option<Sha1Hash>,
    extensions: Extensions,
    garbled: bool,
}

impl Privacy {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Command(_, Command::Add(add)) if add.source.is_private() => {
                self.private.insert(add.source.info_hashes().wire());
            }
            Event::Stream(conn, StreamEvent::Received(bytes)) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.hear(bytes);
                }
            }
            Event::Stream(conn, StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_)) => {
                self.talks.remove(conn);
            }
            _ => {}
        }
    }

    pub(super) fn see(&mut self, action: &Action, engine: &Engine) -> Result<(), String> {
        match action {
            Action::Notify(Notice::TorrentAdded { torrent, info_hashes, .. }) => {
                self.torrents.insert(*torrent, info_hashes.wire());
            }
            // What was not known to be private is from now on.
            Action::Notify(Notice::MetadataReady(id)) => {
                let private = engine.metainfo(*id).is_some_and(|metainfo| metainfo.is_private());
                let hash = self.torrents.get(id).filter(|_| private);
                self.private.extend(hash);
            }
            Action::SendDatagram { data, .. } => self.check_datagram(data, engine)?,
            Action::Stream(conn, StreamAction::Connect { .. } | StreamAction::Adopt { .. }) => {
                self.talks.insert(*conn, Talk::default());
            }
            Action::Stream(conn, StreamAction::Close(_)) => {
                self.talks.remove(conn);
            }
            Action::Stream(conn, StreamAction::Send(bytes)) => {
                if let Some(talk) = self.talks.get_mut(conn) {
                    talk.say(bytes, &self.private)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_datagram(&self, data: &[u8], engine: &Engine) -> Result<(), String> {
        let dht = data.first() == Some(&b'd');
        if dht && !engine.config().dht {
            return Err("who stays out of the DHT sends it nothing".into());
        }
        let local = data.starts_with(b"BT-SEARCH");
        // An answer may repeat what others, who know no better, have announced.
        let repeats = dht && data.windows(6).any(|window| window == b"1:y1:r");
        for hash in self.private.iter().filter(|_| local || dht && !repeats) {
            let hex = hash.to_hex();
            let named = data.windows(20).any(|window| window == hash.0)
                || data.windows(40).any(|window| window == hex.as_bytes());
            if named {
                let place = if dht { "the DHT" } else { "local discovery" };
                return Err(format!("a private torrent is not named in {place}"));
            }
        }
        Ok(())
    }
}

impl Talk {
    fn hear(&mut self, bytes: &Bytes) {
        if self.garbled {
            return;
        }
        self.heard.push(bytes.clone());
        if !self.shaken[1] {
            match self.heard.take_handshake() {
                Ok(Some(_)) => self.shaken[1] = true,
                Ok(None) => return,
                Err(_) => self.garbled = true,
            }
        }
        while !self.garbled {
            match self.heard.next_message() {
                Ok(Some(Message::Extended { id: 0, payload })) => {
                    if let Ok(handshake) = ExtendedHandshake::decode(&payload) {
                        self.extensions.update(&handshake);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.garbled = true,
            }
        }
    }

    fn say(&mut self, bytes: &Bytes, private: &BTreeSet<Sha1Hash>) -> Result<(), String> {
        self.said.push(bytes.clone());
        if !self.shaken[0]
            && let Ok(Some(handshake)) = self.said.take_handshake()
        {
            self.shaken[0] = true;
            self.torrent = Some(handshake.info_hash);
        }
        if self.said.pending_piece().is_some() {
            // The content follows by another way.
            self.said = FrameAssembler::default();
            return Ok(());
        }
        while let Ok(Some(message)) = self.said.next_message() {
            if let Message::Extended { id, .. } = message
                && id != 0
                && self.extensions.pex == Some(id)
                && self.torrent.is_some_and(|torrent| private.contains(&torrent))
            {
                return Err("nobody is told of the peers of a private torrent".into());
            }
            if self.said.pending_piece().is_some() {
                self.said = FrameAssembler::default();
            }
        }
        Ok(())
    }
}
