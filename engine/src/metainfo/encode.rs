//! Writing `.torrent` files: the parts around the info dictionary.

use alloc::string::String;
use alloc::vec::Vec;

use super::Metainfo;
use crate::bencode::Encoder;

/// The trackers: the first on its own for old clients, all of them in tiers (BEP 12).
pub(super) fn write_trackers(out: &mut Encoder, tiers: &[Vec<String>]) {
    if let Some(url) = tiers.first().and_then(|tier| tier.first()) {
        out.bytes(b"announce").bytes(url.as_bytes());
    }
    if tiers.concat().len() > 1 {
        out.bytes(b"announce-list").list();
        for tier in tiers {
            out.list();
            for url in tier {
                out.bytes(url.as_bytes());
            }
            out.end();
        }
        out.end();
    }
}

/// Web seeds: one as a string, several as a list (BEP 19).
pub(super) fn write_web_seeds(out: &mut Encoder, urls: &[String]) {
    match urls {
        [] => {}
        [only] => {
            out.bytes(b"url-list").bytes(only.as_bytes());
        }
        many => {
            out.bytes(b"url-list").list();
            for url in many {
                out.bytes(url.as_bytes());
            }
            out.end();
        }
    }
}

impl Metainfo {
    /// The `.torrent`: the info dictionary byte for byte, with the trackers, nodes and web seeds
    /// that are known.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.dict();
        write_trackers(&mut out, &self.outside.trackers);
        let mut text = |key: &[u8], value: Option<&String>| {
            if let Some(value) = value {
                out.bytes(key).bytes(value.as_bytes());
            }
        };
        text(b"comment", self.outside.comment.as_ref());
        text(b"created by", self.outside.created_by.as_ref());
        if let Some(date) = self.outside.creation_date {
            out.bytes(b"creation date").int(date);
        }
        if !self.outside.http_seeds.is_empty() {
            out.bytes(b"httpseeds").list();
            for url in &self.outside.http_seeds {
                out.bytes(url.as_bytes());
            }
            out.end();
        }
        out.bytes(b"info").raw(&self.info);
        if !self.outside.nodes.is_empty() {
            out.bytes(b"nodes").list();
            for node in &self.outside.nodes {
                out.list().bytes(node.host.as_bytes()).int(node.port.into()).end();
            }
            out.end();
        }
        if !self.piece_layers.is_empty() {
            out.bytes(b"piece layers").dict();
            for (root, layer) in &self.piece_layers {
                out.bytes(&root.0).bytes(layer);
            }
            out.end();
        }
        write_web_seeds(&mut out, &self.outside.web_seeds);
        out.end();
        out.finish()
    }
}
