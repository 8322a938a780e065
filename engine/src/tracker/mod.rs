//! Trackers: what is said to them and understood from them (BEP 3, 7, 12, 15, 21, 23, 24, 31, 41,
//! 48), and the machines that decide when to say it (`announcer`), how much is asked of one host (`hosts`), and that
//! carry it out (`client`).

mod announcer;
mod client;
mod hosts;
mod http_codec;
mod udp_client;
mod udp_codec;
mod url;

pub use http_codec::{HttpAnnounceReply, HttpScrapeReply, PeerHost, announce_url, scrape_url};
pub use http_codec::{parse_announce, parse_scrape, percent_encode_bytes};
pub use udp_codec::{UdpRequest, UdpResponse, url_data_option};
pub use url::{
    host_of, is_web, literal_ip, may_be_near, may_be_near_by_redirect, split_udp_url, udp_host,
};

#[cfg(not(feature = "unstable"))]
pub(crate) use {
    announcer::{Announcer, Answer, Failure, MAX_ASKED, Order, Tracker, TrackerRef},
    client::{Around, Output, TrackerClient, UdpHost},
    hosts::{Admission, Hosts, Turned, Waits},
    udp_client::{ConversationId, UdpClient, UdpOutcome},
};
#[cfg(feature = "unstable")]
pub use {
    announcer::{Announcer, Answer, Failure, MAX_ASKED, Order, Tracker, TrackerRef},
    client::{Around, Output, TrackerClient, UdpHost},
    hosts::{Admission, Hosts, Turned, Waits},
    udp_client::{ConversationId, UdpClient, UdpOutcome},
};

use crate::api::EncryptionPolicy;
use crate::base::hash::Sha1Hash;
use crate::wire::PeerId;
use serde::{Deserialize, Serialize};

/// Why an announce is made (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum AnnounceEvent {
    /// A regular one.
    None,
    /// The download has just finished.
    Completed,
    /// The first one.
    Started,
    /// The last one.
    Stopped,
}

/// What one announce says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnnounceParams {
    /// The torrent.
    pub info_hash: Sha1Hash,
    /// Ourselves.
    pub peer_id: PeerId,
    /// Payload bytes uploaded since `started`.
    pub uploaded: u64,
    /// Payload bytes downloaded since `started`.
    pub downloaded: u64,
    /// Bytes that are missing.
    pub left: u64,
    /// Why.
    pub event: AnnounceEvent,
    /// The same number in every announce of this engine, by which a tracker knows us again when
    /// our address changes.
    pub key: u32,
    /// How many peers are wanted.
    pub num_want: u32,
    /// Where we listen.
    pub port: u16,
    /// Whether encrypted connections are accepted, or no others. Only HTTP trackers are told.
    pub encryption: EncryptionPolicy,
}

/// Counts that a tracker or a scrape gives.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that have not.
    pub incomplete: Option<u32>,
    /// Downloads finished since the tracker began to count.
    pub downloaded: Option<u32>,
}

#[cfg(test)]
mod tests;
