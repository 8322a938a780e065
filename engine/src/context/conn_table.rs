//! Every connection of an engine, from the wish to connect until it is closed, with the counts
//! that bound them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use crate::base::ids::{ConnId, TorrentId};
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::picker::PeerKey;
use crate::wire::{FrameAssembler, Handshake};

/// How far a connection has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// It is being made.
    Connecting,
    /// It stands, and the other side's handshake is awaited.
    Handshaking(Box<Handshaking>),
    /// It is a peer of its torrent.
    Active,
}

/// What is needed until the handshake has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Handshaking {
    /// Received bytes.
    pub assembler: FrameAssembler,
    /// Bytes granted and not received.
    pub granted: u32,
    /// Bytes sent and not taken by the socket.
    pub unsent: u64,
    /// The handshake of a stranger who waits until its torrent is here.
    pub parked: Option<Handshake>,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conn {
    /// Remote address.
    pub remote: SocketAddr,
    /// Its torrent; not known for incoming ones until the handshake.
    pub torrent: Option<TorrentId>,
    /// Its key in the torrent's candidates, for outgoing ones.
    pub key: Option<PeerKey>,
    /// How far it has come.
    pub phase: Phase,
    /// When patience with connecting or shaking hands ends.
    pub deadline: Instant,
}

/// All connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConnTable {
    conns: SlotMap<ConnId, Conn>,
    per_ip: BTreeMap<IpAddr, u32>,
    half_open: u32,
    handshaking: u32,
}

impl ConnTable {
    /// Adds a connection.
    pub fn insert(&mut self, conn: Conn) -> ConnId {
        *self.per_ip.entry(conn.remote.ip()).or_default() += 1;
        self.count(&conn.phase, 1);
        self.conns.insert(conn)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let conn = self.conns.remove(id)?;
        self.count(&conn.phase, -1);
        let ip = conn.remote.ip();
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
        Some(conn)
    }

    fn count(&mut self, phase: &Phase, by: i32) {
        match phase {
            Phase::Connecting => self.half_open = self.half_open.saturating_add_signed(by),
            Phase::Handshaking(_) => self.handshaking = self.handshaking.saturating_add_signed(by),
            Phase::Active => {}
        }
    }

    /// Moves a connection on; returns the phase it leaves.
    pub fn set_phase(&mut self, id: ConnId, phase: Phase) -> Option<Phase> {
        let conn = self.conns.get_mut(id)?;
        let left = core::mem::replace(&mut conn.phase, phase);
        let entered = conn.phase.clone();
        self.count(&left, -1);
        self.count(&entered, 1);
        Some(left)
    }

    /// One connection.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id)
    }

    /// One connection. Phases are changed by [`Self::set_phase`] only.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id)
    }

    /// All connections, in order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.conns.iter()
    }

    /// Number of connections.
    pub fn len(&self) -> u32 {
        self.conns.len() as u32
    }

    /// Connections being made.
    pub const fn half_open(&self) -> u32 {
        self.half_open
    }

    /// Connections whose handshake is awaited.
    pub const fn handshaking(&self) -> u32 {
        self.handshaking
    }

    /// Connections with this address.
    pub fn count_from(&self, ip: IpAddr) -> u32 {
        self.per_ip.get(&ip).copied().unwrap_or(0)
    }

    /// Checks the counters against a recount.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let count = |wanted: fn(&Phase) -> bool| {
            self.conns.iter().filter(|(_, conn)| wanted(&conn.phase)).count() as u32
        };
        let half_open = count(|phase| matches!(phase, Phase::Connecting));
        let handshaking = count(|phase| matches!(phase, Phase::Handshaking(_)));
        let per_ip: u64 = self.per_ip.values().map(|count| u64::from(*count)).sum();
        let same = half_open == self.half_open
            && handshaking == self.handshaking
            && per_ip == u64::from(self.len());
        if same { Ok(()) } else { Err("connection counters equal the recount") }
    }
}
