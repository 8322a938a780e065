//! Every connection of an engine, from the moment that it is to be made until it is closed, with the counts
//! that bound them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

#[cfg(feature = "corruption")]
use crate::api::StreamKey;
use crate::api::{EncryptionMethod, PeerSource, StreamCipher, Transport};
use crate::base::crowd::{Counts, Crowd};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::prefix::Prefix;
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::picker::PeerKey;
use crate::wire::{FrameAssembler, Handshake};

use super::WaitingRoom;

/// How far a connection has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// It is being made.
    Connecting,
    /// It stands, and the other side's handshake is awaited.
    Handshaking(Box<Handshaking>),
    /// It is a peer of its torrent.
    Active,
    /// It is a request to a web seed: no stranger, and from nowhere.
    Fetching,
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
    /// How far it has come before the handshake.
    pub opening: Opening,
}

/// What comes before the handshake of the protocol, where anything does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Opening {
    /// Nothing: the protocol begins at once.
    #[default]
    Plain,
    /// The first bytes will tell, of which these are here: fewer than a plain handshake begins with.
    Unknown(Vec<u8>),
    /// An encrypted handshake is under way.
    Encrypted(Box<eddyline_mse::Handshake>),
    /// The same, of a stranger who waits until a key is worked out for it, with what it has sent behind its own.
    Waiting(Box<eddyline_mse::Handshake>, Vec<u8>),
    /// It was for this torrent.
    Agreed(Sha1Hash),
}

/// Who had us begin a connection, and shares the places in which connections are made with all others who did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct NamedBy {
    /// The kind of source.
    pub source: PeerSource,
    /// The block of addresses of the stranger who named the address.
    pub from: Option<Prefix>,
    /// The tracker that did, by torrent and number.
    pub tracker: Option<(TorrentId, u32)>,
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
    /// Somebody has told the other side to call us at the same moment (BEP 55): it is called over µTP alone.
    pub introduced: bool,
    /// What carries it, since it stands.
    pub transport: Transport,
    /// How the bytes behind its encrypted handshake go; `None` where there was none.
    pub encryption: Option<EncryptionMethod>,
    /// Who named its address; `None` for the user, and for one that came by itself.
    pub named_by: Option<NamedBy>,
    /// Deciphers the bytes that were granted before the driver knew the key and have not come yet: for as many as
    /// its key is long.
    pub residue: Option<Box<StreamCipher>>,
    /// Somebody is there and has said that nobody listens for TCP.
    pub refused: bool,
    /// It came by itself and has not begun to shake hands: it waits where that takes nobody's place.
    pub waits: bool,
}

impl Conn {
    /// A connection that has said nothing yet.
    pub const fn new(
        remote: SocketAddr,
        torrent: Option<TorrentId>,
        key: Option<PeerKey>,
        phase: Phase,
        deadline: Instant,
    ) -> Self {
        Self {
            remote,
            torrent,
            key,
            phase,
            deadline,
            introduced: false,
            transport: Transport::Tcp,
            encryption: None,
            named_by: None,
            residue: None,
            refused: false,
            waits: false,
        }
    }

    /// Whether it came by itself, has begun to shake hands, and not said yet what it wants.
    pub fn is_stranger(&self) -> bool {
        self.torrent.is_none() && !self.waits
    }

    /// Whether its encrypted handshake cannot go on before there is a key for it.
    pub fn waits_for_a_key(&self) -> bool {
        matches!(&self.phase, Phase::Handshaking(early) if matches!(early.opening, Opening::Waiting(..)))
    }
}

/// All connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConnTable {
    conns: SlotMap<ConnId, Conn>,
    /// From where all of them are, and from where strangers are.
    crowd: Crowd,
    strangers_from: Counts<Prefix>,
    /// Connections of strangers.
    strangers: u32,
    half_open: u32,
    /// Connections being made, by who named the address.
    half_open_by: Counts<NamedBy>,
    handshaking: u32,
    /// Requests to web seeds.
    fetching: u32,
    /// Those who have not begun to shake hands. They are in none of the counts above.
    waiting: WaitingRoom,
}

impl ConnTable {
    /// Adds a connection.
    pub fn insert(&mut self, conn: Conn) -> ConnId {
        if conn.waits {
            let (host, until) = (Prefix::of(conn.remote.ip()), conn.deadline);
            let id = self.conns.insert(conn);
            self.waiting.enter(id, host, until);
            return id;
        }
        self.count_in(&conn);
        self.conns.insert(conn)
    }

    fn count_in(&mut self, conn: &Conn) {
        if matches!(conn.phase, Phase::Fetching) {
            self.fetching += 1;
            return;
        }
        self.crowd.add(conn.remote.ip());
        if conn.is_stranger() {
            self.strangers_from.add(Prefix::of(conn.remote.ip()));
            self.strangers += 1;
        }
        self.count(&conn.phase, conn.named_by, 1);
    }

    /// Somebody begins to shake hands, and has a place from now on.
    pub fn begins(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.waits) else { return };
        self.waiting.leave(id, Prefix::of(conn.remote.ip()), conn.deadline);
        conn.waits = false;
        let conn = conn.clone();
        self.count_in(&conn);
    }

    /// Those who have not begun to shake hands.
    pub const fn waiting(&self) -> &WaitingRoom {
        &self.waiting
    }

    /// Takes a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let conn = self.conns.remove(id)?;
        if conn.waits {
            self.waiting.leave(id, Prefix::of(conn.remote.ip()), conn.deadline);
            return Some(conn);
        }
        if matches!(conn.phase, Phase::Fetching) {
            self.fetching -= 1;
            return Some(conn);
        }
        self.count(&conn.phase, conn.named_by, -1);
        self.crowd.remove(conn.remote.ip());
        if conn.is_stranger() {
            self.strangers_from.remove(Prefix::of(conn.remote.ip()));
            self.strangers -= 1;
        }
        Some(conn)
    }

    /// Gives a connection another name, for its own means something else by now.
    pub fn rename(&mut self, id: ConnId) -> Option<ConnId> {
        let conn = self.remove(id)?;
        Some(self.insert(conn))
    }

    /// A stranger has shaken hands, and belongs to a torrent from now on.
    pub fn introduce(&mut self, id: ConnId, torrent: TorrentId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let was = conn.is_stranger();
        conn.torrent = Some(torrent);
        if was {
            self.strangers_from.remove(Prefix::of(conn.remote.ip()));
            self.strangers -= 1;
        }
    }

    fn count(&mut self, phase: &Phase, named_by: Option<NamedBy>, by: i32) {
        match phase {
            Phase::Connecting => {
                self.half_open = self.half_open.saturating_add_signed(by);
                match named_by {
                    Some(namer) if by > 0 => drop(self.half_open_by.add(namer)),
                    Some(namer) => self.half_open_by.remove(namer),
                    None => {}
                }
            }
            Phase::Handshaking(_) => self.handshaking = self.handshaking.saturating_add_signed(by),
            Phase::Active | Phase::Fetching => {}
        }
    }

    /// Moves a connection on; returns the phase it leaves.
    pub fn set_phase(&mut self, id: ConnId, phase: Phase) -> Option<Phase> {
        let conn = self.conns.get_mut(id)?;
        let left = core::mem::replace(&mut conn.phase, phase);
        let (entered, named_by) = (conn.phase.clone(), conn.named_by);
        self.count(&left, named_by, -1);
        self.count(&entered, named_by, 1);
        Some(left)
    }

    /// One connection.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id)
    }

    /// One connection. Phases are changed by [`Self::set_phase`] only, torrents by
    /// [`Self::introduce`].
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id)
    }

    /// All connections, in order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.conns.iter()
    }

    /// What a connection received, as the other side meant it: deciphered as far as the driver could not do that.
    pub fn decipher(&mut self, id: ConnId, bytes: Bytes) -> Bytes {
        let Some(conn) = self.conns.get_mut(id) else { return bytes };
        let Some(mut cipher) = conn.residue.take() else { return bytes };
        let mut clear = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        cipher.apply(&mut clear);
        conn.residue = Some(cipher).filter(|cipher| !cipher.is_plain());
        clear.freeze()
    }

    /// Number of connections, without those who have not begun to shake hands.
    pub fn len(&self) -> u32 {
        self.conns.len() as u32 - self.waiting.count()
    }

    /// Requests to web seeds.
    pub const fn fetching(&self) -> u32 {
        self.fetching
    }

    /// Connections being made.
    pub const fn half_open(&self) -> u32 {
        self.half_open
    }

    /// Connections being made to addresses that this one named, if it may have another: of `most` places for all it
    /// takes no more than it leaves free. So there is a place for whoever comes next, until many have come.
    pub fn share_of(&self, namer: NamedBy, most: u32) -> Option<u32> {
        let held = self.half_open_by.of(namer);
        (held < most.saturating_sub(self.half_open)).then_some(held)
    }

    /// Connections whose handshake is awaited.
    pub const fn handshaking(&self) -> u32 {
        self.handshaking
    }

    /// Connections that came by themselves and have not said yet what they want.
    pub const fn strangers(&self) -> u32 {
        self.strangers
    }

    /// Connections with this host.
    pub fn count_at(&self, host: Prefix) -> u32 {
        self.crowd.of_host(host)
    }

    /// Connections from this host that have not shaken hands.
    pub fn strangers_at(&self, host: Prefix) -> u32 {
        self.strangers_from.of(host)
    }

    /// The stranger that has been here for longest, of those from a host with more strangers than
    /// `than`; of the host with the most, if there are several.
    pub fn crowding_stranger(&self, than: u32) -> Option<ConnId> {
        let strangers = self.iter().filter(|(_, conn)| conn.is_stranger());
        let counted = strangers
            .map(|(id, conn)| (self.strangers_at(Prefix::of(conn.remote.ip())), conn.deadline, id));
        let crowding = counted.filter(|(count, ..)| *count > than);
        crowding.min_by_key(|(count, at, id)| (u32::MAX - count, *at, *id)).map(|(.., id)| id)
    }

    /// The host with the most connections, if it has more than `than`. This machine is exempt.
    pub fn fullest_host(&self, than: u32) -> Option<Prefix> {
        self.crowd.fullest_host(than)
    }

    /// Connections with the block of addresses of somebody at `remote`; none with one that is not public.
    pub fn count_near(&self, remote: SocketAddr) -> u32 {
        self.crowd.of_block_around(remote.ip())
    }

    /// The block of addresses with the most connections, if it has more than `than`.
    pub fn fullest_block(&self, than: u32) -> Option<Prefix> {
        self.crowd.fullest_block(than)
    }

    /// Checks the counters against a recount.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let placed = || self.conns.iter().filter(|(_, conn)| !conn.waits);
        let count = |wanted: fn(&Phase) -> bool| {
            placed().filter(|(_, conn)| wanted(&conn.phase)).count() as u32
        };
        let mut waiting = WaitingRoom::default();
        for (id, conn) in self.conns.iter().filter(|(_, conn)| conn.waits) {
            waiting.enter(id, Prefix::of(conn.remote.ip()), conn.deadline);
        }
        let half_open = count(|phase| matches!(phase, Phase::Connecting));
        let handshaking = count(|phase| matches!(phase, Phase::Handshaking(_)));
        let named_by = self.conns.iter().filter(|(_, c)| matches!(c.phase, Phase::Connecting));
        let half_open_by: Counts<_> = named_by.filter_map(|(_, conn)| conn.named_by).collect();
        let fetching = count(|phase| matches!(phase, Phase::Fetching));
        let from = placed().filter(|(_, conn)| !matches!(conn.phase, Phase::Fetching));
        let all = from.map(|(_, conn)| conn.remote.ip());
        let strangers = self.conns.iter().filter(|(_, conn)| conn.is_stranger());
        let strangers: Vec<Prefix> =
            strangers.map(|(_, conn)| Prefix::of(conn.remote.ip())).collect();
        let same = half_open == self.half_open
            && half_open_by == self.half_open_by
            && strangers.len() as u32 == self.strangers
            && handshaking == self.handshaking
            && fetching == self.fetching
            && waiting == self.waiting
            && strangers.into_iter().collect::<Counts<_>>() == self.strangers_from
            && all.collect::<Crowd>() == self.crowd;
        if same { Ok(()) } else { Err("connection counters equal the recount") }
    }
}

#[cfg(feature = "corruption")]
impl ConnTable {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "connection counters equal the recount" => self.half_open += 1,
            "every request to a web seed is a connection, and the other way round" => {
                let place = self.conns.iter().find(|(_, c)| matches!(c.phase, Phase::Fetching));
                let (id, conn) = place.map(|(id, conn)| (id, conn.clone()))?;
                self.insert(conn);
                self.get(id)?;
            }
            "every peer is a connection of its torrent" => {
                self.conns.iter_mut().for_each(|(_, conn)| conn.torrent = None);
            }
            "no more is deciphered by the engine than was granted" => {
                let conn = self.conns.iter_mut().next()?.1;
                let endless = StreamCipher::new(&StreamKey::rc4([0; 20]));
                conn.residue = Some(Box::new(endless));
            }
            _ => return None,
        }
        Some(())
    }
}
