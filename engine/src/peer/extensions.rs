//! What a peer announced in its extended handshake (BEP 10), boiled down to what is used.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::wire::ExtendedHandshake;

/// The id under which we take `ut_pex` (BEP 11).
pub const OUR_PEX_ID: u8 = 1;
/// The id under which we take `ut_metadata` (BEP 9).
pub const OUR_METADATA_ID: u8 = 2;
/// The id under which we take `ut_holepunch` (BEP 55).
pub const OUR_HOLEPUNCH_ID: u8 = 4;
/// The id under which we take `lt_donthave` (BEP 54).
pub const OUR_DONT_HAVE_ID: u8 = 7;

/// Requests that a peer queues when it does not say: libtorrent's old default, as BEP 10 has it.
const DEFAULT_REQQ: u32 = 250;

/// What is remembered of extended handshakes; a later one adds to an earlier one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extensions {
    /// How many requests it queues.
    pub reqq: u32,
    /// It downloads nothing (BEP 21).
    pub upload_only: bool,
    /// The id under which it takes `lt_donthave`.
    pub dont_have: Option<u8>,
    /// The id under which it takes `ut_metadata`.
    pub metadata: Option<u8>,
    /// The id under which it takes `ut_pex`.
    pub pex: Option<u8>,
    /// The id under which it takes `ut_holepunch`.
    pub holepunch: Option<u8>,
    /// Its listening port.
    pub port: Option<u16>,
    /// Our address as it sees it.
    pub your_ip: Option<IpAddr>,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            reqq: DEFAULT_REQQ,
            upload_only: false,
            dont_have: None,
            metadata: None,
            pex: None,
            holepunch: None,
            port: None,
            your_ip: None,
        }
    }
}

impl Extensions {
    /// Takes in one extended handshake.
    pub fn update(&mut self, handshake: &ExtendedHandshake) {
        if let Some(reqq) = handshake.reqq {
            self.reqq = reqq.max(1);
        }
        if let Some(upload_only) = handshake.upload_only {
            self.upload_only = upload_only;
        }
        let id = |name: &str, known: Option<u8>| match handshake.m.get(name) {
            Some(id) => (*id != 0).then_some(*id),
            None => known,
        };
        self.dont_have = id("lt_donthave", self.dont_have);
        self.metadata = id("ut_metadata", self.metadata);
        self.pex = id("ut_pex", self.pex);
        self.holepunch = id("ut_holepunch", self.holepunch);
        self.port = handshake.p.or(self.port);
        self.your_ip = handshake.yourip.or(self.your_ip);
    }
}
