//! UDP trackers: packets both ways (BEP 15, BEP 41).

use alloc::string::String;
use alloc::vec::Vec;
use bytes::BufMut;
use core::net::{Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::{AnnounceEvent, AnnounceParams, SwarmCounts};
use crate::api::EncryptionPolicy;
use crate::base::addr::{compact_v4, compact_v6};
use crate::base::hash::Sha1Hash;
use crate::wire::PeerId;

const MAGIC: u64 = 0x0417_2710_1980;

/// A packet to a UDP tracker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UdpRequest {
    /// Asks for a connection id.
    Connect {
        /// Chosen by the sender.
        transaction: u32,
    },
    /// An announce.
    Announce {
        /// From the reply to a connect, at most a minute old.
        connection: u64,
        /// Chosen by the sender.
        transaction: u32,
        /// What is announced.
        params: AnnounceParams,
        /// Address to record instead of the sender's; unspecified for none.
        ip: Ipv4Addr,
        /// Options behind the packet (BEP 41).
        options: Vec<u8>,
    },
    /// A scrape.
    Scrape {
        /// From the reply to a connect.
        connection: u64,
        /// Chosen by the sender.
        transaction: u32,
        /// The torrents asked about, at most 74.
        info_hashes: Vec<Sha1Hash>,
    },
}

/// A packet from a UDP tracker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UdpResponse {
    /// A connection id.
    Connect {
        /// Of the request.
        transaction: u32,
        /// Valid for a minute.
        connection: u64,
    },
    /// The reply to an announce.
    Announce {
        /// Of the request.
        transaction: u32,
        /// Seconds to the next announce.
        interval: u32,
        /// Sizes of the swarm.
        counts: SwarmCounts,
        /// Other peers.
        peers: Vec<SocketAddr>,
    },
    /// The reply to a scrape, in the order asked.
    Scrape {
        /// Of the request.
        transaction: u32,
        /// One for each torrent.
        files: Vec<SwarmCounts>,
    },
    /// A refusal.
    Error {
        /// Of the request.
        transaction: u32,
        /// Why.
        message: String,
    },
}

/// The option that carries path and query of a tracker URL (BEP 41), with its end mark.
pub fn url_data_option(path_and_query: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in path_and_query.as_bytes().chunks(255) {
        out.extend([2, part.len() as u8]);
        out.extend_from_slice(part);
    }
    out
}

impl UdpRequest {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Connect { transaction } => {
                out.put_u64(MAGIC);
                out.put_u32(0);
                out.put_u32(*transaction);
            }
            Self::Announce { connection, transaction, params, ip, options } => {
                out.put_u64(*connection);
                out.put_u32(1);
                out.put_u32(*transaction);
                out.put_slice(&params.info_hash.0);
                out.put_slice(&params.peer_id.0);
                out.put_u64(params.downloaded);
                out.put_u64(params.left);
                out.put_u64(params.uploaded);
                out.put_u32(params.event as u32);
                out.put_slice(&ip.octets());
                out.put_u32(params.key);
                out.put_u32(params.num_want);
                out.put_u16(params.port);
                out.put_slice(options);
            }
            Self::Scrape { connection, transaction, info_hashes } => {
                out.put_u64(*connection);
                out.put_u32(2);
                out.put_u32(*transaction);
                info_hashes.iter().for_each(|hash| out.put_slice(&hash.0));
            }
        }
        out
    }

    /// Reads a request as a tracker does. `None` for anything that is none.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let connection = u64::from_be_bytes(*packet.first_chunk()?);
        let (action, transaction) = (word(packet, 8)?, word(packet, 12)?);
        match action {
            0 if connection == MAGIC => Some(Self::Connect { transaction }),
            1 => {
                let long =
                    |at: usize| Some(u64::from_be_bytes(packet.get(at..at + 8)?.try_into().ok()?));
                let event = match word(packet, 80)? {
                    1 => AnnounceEvent::Completed,
                    2 => AnnounceEvent::Started,
                    3 => AnnounceEvent::Stopped,
                    _ => AnnounceEvent::None,
                };
                let params = AnnounceParams {
                    info_hash: Sha1Hash::from_slice(packet.get(16..36)?)?,
                    peer_id: PeerId(packet.get(36..56)?.try_into().ok()?),
                    downloaded: long(56)?,
                    left: long(64)?,
                    uploaded: long(72)?,
                    event,
                    key: word(packet, 88)?,
                    num_want: word(packet, 92)?,
                    port: u16::from_be_bytes(packet.get(96..98)?.try_into().ok()?),
                    encryption: EncryptionPolicy::Disable,
                };
                let ip = Ipv4Addr::from(word(packet, 84)?);
                let options = packet[98..].to_vec();
                Some(Self::Announce { connection, transaction, params, ip, options })
            }
            2 => {
                let info_hashes =
                    packet[16..].chunks_exact(20).filter_map(Sha1Hash::from_slice).collect();
                Some(Self::Scrape { connection, transaction, info_hashes })
            }
            _ => None,
        }
    }
}

impl UdpResponse {
    /// Reads a response. Peers have the form of the address family that the packet came over.
    /// `None` for anything to be ignored.
    pub fn decode(packet: &[u8], ipv6: bool) -> Option<Self> {
        let (action, transaction) = (word(packet, 0)?, word(packet, 4)?);
        match action {
            0 => {
                let connection = u64::from_be_bytes(packet.get(8..16)?.try_into().ok()?);
                Some(Self::Connect { transaction, connection })
            }
            1 => {
                let peers = packet.get(20..)?;
                let peers =
                    if ipv6 { compact_v6(peers).collect() } else { compact_v4(peers).collect() };
                let counts = SwarmCounts {
                    incomplete: word(packet, 12),
                    complete: word(packet, 16),
                    downloaded: None,
                };
                let interval = word(packet, 8)?;
                Some(Self::Announce { transaction, interval, counts, peers })
            }
            2 => {
                // Unlike an announce, a scrape has no room for what a later version may add.
                let files = packet[8..].chunks_exact(12);
                if files.len() == 0 || !files.remainder().is_empty() {
                    return None;
                }
                let files = files.map(|file| SwarmCounts {
                    complete: word(file, 0),
                    downloaded: word(file, 4),
                    incomplete: word(file, 8),
                });
                Some(Self::Scrape { transaction, files: files.collect() })
            }
            3 => {
                let text = String::from_utf8_lossy(&packet[8..]);
                let message = text.chars().filter(|c| !c.is_control()).take(300).collect();
                Some(Self::Error { transaction, message })
            }
            _ => None,
        }
    }

    /// The transaction that this answers.
    pub const fn transaction(&self) -> u32 {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}
