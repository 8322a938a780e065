//! What a peer announced in its extended handshake (BEP 10), boiled down to what is used.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::wire::ExtendedHandshake;

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
    /// Its listening port.
    pub port: Option<u16>,
    /// Our address as it sees it.
    pub your_ip: Option<IpAddr>,
}

impl Default for Extensions {
    fn default() -> Self {
        Self { reqq: DEFAULT_REQQ, upload_only: false, dont_have: None, port: None, your_ip: None }
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
        if let Some(id) = handshake.m.get("lt_donthave") {
            self.dont_have = (*id != 0).then_some(*id);
        }
        self.port = handshake.p.or(self.port);
        self.your_ip = handshake.yourip.or(self.your_ip);
    }
}
