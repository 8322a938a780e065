//! Local service discovery (BEP 14): peers on the same network find each other by multicast.
//!
//! An announcement names the torrents that we are in and the port we listen on. A cookie tells our
//! own announcements, which come back to us, from those of others.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::hash::Sha1Hash;
use crate::base::prefix::Prefix;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Where announcements of IPv4 go (BEP 14).
pub const GROUP_V4: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)), 6771);
/// Where announcements of IPv6 go (BEP 14).
pub const GROUP_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)), 6771);

/// Time between two announcements of one torrent.
const INTERVAL: Duration = Duration::from_secs(300);
/// Time between announcements (BEP 14: at most one in a minute), but for the first of a torrent.
const PAUSE: Duration = Duration::from_secs(60);
/// The same where something new is to be told.
const PAUSE_NEW: Duration = Duration::from_secs(5);
/// Torrents in one announcement: with the rest they fit into one packet.
const MAX_HASHES: usize = 15;
/// Longest announcement that is read.
const MAX_PACKET: usize = 1400;
/// Announcements of others that are heeded in ten seconds.
const MAX_ANNOUNCEMENTS: u32 = 100;
/// Those of one sender among them.
const MAX_ANNOUNCEMENTS_OF_ONE: u32 = 10;

/// What somebody announces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Where it listens.
    pub port: u16,
    /// Its torrents.
    pub info_hashes: Vec<Sha1Hash>,
    /// Tells announcements of one sender from those of others.
    pub cookie: Option<String>,
}

/// Why a packet is no announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoAnnouncement;

impl Announcement {
    /// Reads a packet.
    ///
    /// # Errors
    /// When it is no announcement, or names no port or no torrent.
    pub fn decode(packet: &[u8]) -> Result<Self, NoAnnouncement> {
        if packet.len() > MAX_PACKET {
            return Err(NoAnnouncement);
        }
        let text = core::str::from_utf8(packet).map_err(|_| NoAnnouncement)?;
        let mut lines = text.split("\r\n");
        if lines.next() != Some("BT-SEARCH * HTTP/1.1") {
            return Err(NoAnnouncement);
        }
        let (mut port, mut info_hashes, mut cookie) = (0, Vec::new(), None);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("port") {
                port = value.parse().map_err(|_| NoAnnouncement)?;
            } else if name.eq_ignore_ascii_case("infohash") {
                let hash = data_encoding::HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok();
                info_hashes.extend(hash.and_then(|hash| Sha1Hash::from_slice(&hash)));
            } else if name.eq_ignore_ascii_case("cookie") {
                cookie = Some(value.chars().take(64).collect());
            }
        }
        if port == 0 || info_hashes.is_empty() {
            return Err(NoAnnouncement);
        }
        Ok(Self { port, info_hashes, cookie })
    }

    /// The packet for the group of one address family.
    pub fn encode(&self, ipv6: bool) -> Bytes {
        let host = if ipv6 { "[ff15::efc0:988f]:6771" } else { "239.192.152.143:6771" };
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: {}\r\n", self.port);
        for hash in &self.info_hashes {
            text.push_str(&format!("Infohash: {}\r\n", hash.to_hex()));
        }
        if let Some(cookie) = &self.cookie {
            text.push_str(&format!("cookie: {cookie}\r\n"));
        }
        text.push_str("\r\n\r\n");
        text.into_bytes().into()
    }
}

/// Announces torrents, and hears of others who do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalDiscovery {
    cookie: String,
    next_at: Instant,
    /// Since when announcements are counted, how many came, and from whom.
    announcements: (Instant, u32, BTreeMap<IpAddr, u32>),
}

impl LocalDiscovery {
    /// With a cookie of its own.
    pub fn new(rng: &mut Rng, now: Instant) -> Self {
        let cookie = format!("{:08x}", rng.next_u32());
        Self { cookie, next_at: now, announcements: (now, 0, BTreeMap::new()) }
    }

    /// When a torrent is due that was last announced then; at once for one that never was.
    pub fn due_at(last: Option<Instant>) -> Instant {
        last.map_or(Instant::ZERO, |last| last + INTERVAL)
    }

    /// Whether an announcement may go out now.
    pub fn may_announce(&self, now: Instant) -> bool {
        self.next_at <= now
    }

    /// When the next announcement may go out.
    pub fn next_at(&self) -> Instant {
        self.next_at
    }

    /// An announcement of these torrents, of which more wait or not. Those that did not fit in are
    /// left for the next one; the number of those that did is returned too.
    pub fn announce(
        &mut self,
        due: &[Sha1Hash],
        port: u16,
        rng: &mut Rng,
        now: Instant,
    ) -> (Announcement, usize) {
        let count = due.len().min(MAX_HASHES);
        let pause = if due.len() > count { PAUSE_NEW } else { PAUSE };
        // Random, so that two nodes that started together do not announce at the same moment for ever.
        let jitter = Duration::from_millis(rng.below(2000).into());
        self.next_at = now + pause + jitter;
        let info_hashes = due[..count].to_vec();
        (Announcement { port, info_hashes, cookie: Some(self.cookie.clone()) }, count)
    }

    /// Something new is there to be announced before the pause is over.
    pub fn hurry(&mut self, now: Instant) {
        self.next_at = self.next_at.min(now + PAUSE_NEW);
    }

    /// A packet came on the group's port: who listens where for which torrents, unless it is ours.
    /// Anybody on the internet can send one there, so only senders on the same network count:
    /// [`Self::is_local`]. `own` is our address as others see it.
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        own: IpAddr,
        packet: &[u8],
        now: Instant,
    ) -> Option<(SocketAddr, Vec<Sha1Hash>)> {
        if !Self::is_local(from.ip(), own) || !self.is_within_bounds(from.ip(), now) {
            return None;
        }
        let announcement = Announcement::decode(packet).ok()?;
        if announcement.cookie.as_ref() == Some(&self.cookie) {
            return None;
        }
        let addr = SocketAddr::new(from.ip(), announcement.port);
        Some((addr, announcement.info_hashes))
    }

    /// Whether a sender is on our network: it has an address that means something only here, or one
    /// of the /64 of `own`, since hosts of IPv6 use their global addresses at home too.
    pub fn is_local(from: IpAddr, own: IpAddr) -> bool {
        match from.to_canonical() {
            IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
            IpAddr::V6(v6) => {
                let same = own.is_ipv6() && Prefix::of(from) == Prefix::of(own);
                let ours = v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback();
                ours || (same && !v6.is_unspecified())
            }
        }
    }

    /// Counts an announcement; one sender cannot use up what there is for all.
    fn is_within_bounds(&mut self, from: IpAddr, now: Instant) -> bool {
        let (since, count, senders) = &mut self.announcements;
        if now.since(*since) >= Duration::from_secs(10) {
            (*since, *count) = (now, 0);
            senders.clear();
        }
        if *count >= MAX_ANNOUNCEMENTS {
            return false;
        }
        let own = senders.entry(from).or_default();
        if *own >= MAX_ANNOUNCEMENTS_OF_ONE {
            return false;
        }
        *own += 1;
        *count += 1;
        true
    }
}
