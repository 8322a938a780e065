//! What those are answered who have no connection. Nobody is sent more than came from there.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Key;
use crate::output::Datagram;
use crate::packet::{Header, Kind, Packet};
use crate::time::Time;

/// Connections that are remembered when they have ended, and for how long.
const REMEMBERED: usize = 1_024;
const REMEMBERED_FOR: u64 = 60_000_000;

fn bare(now: Time, to: SocketAddr, packet: &Packet, header: Header<'_>) -> Datagram {
    // What the clock shows to that address, if it shows something of its own.
    let timestamp = now.on_wire().wrapping_add(header.timestamp);
    let header = Header {
        timestamp,
        timestamp_difference: timestamp.wrapping_sub(packet.timestamp),
        ..header
    };
    Datagram { to, connection: None, header: header.encode(), payload: 0..0, whole: true }
}

const fn header(
    kind: Kind,
    connection_id: u16,
    sequence: u16,
    acknowledged: u16,
) -> Header<'static> {
    Header {
        kind,
        connection_id,
        timestamp: 0,
        timestamp_difference: 0,
        window: 0,
        sequence,
        acknowledged,
        selective_ack: &[],
        close_reason: None,
        padding: 0,
    }
}

/// The answer to a SYN. Whoever called may send `room` bytes at once: libtorrent waits for good where there is none.
pub fn answer(
    now: Time,
    to: SocketAddr,
    syn: &Packet,
    (ours, clock): (u16, u32),
    room: u32,
) -> Datagram {
    let header = header(Kind::State, syn.connection_id, ours, syn.sequence);
    bare(now, to, syn, Header { window: room, timestamp: clock, ..header })
}

/// The answer to a packet of a connection that there is not.
pub fn reset(now: Time, to: SocketAddr, packet: &Packet) -> Datagram {
    bare(now, to, packet, header(Kind::Reset, packet.connection_id, 0, packet.sequence))
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Farewell {
    at: Time,
    send_id: u16,
    sequence: u16,
    acknowledged: u16,
}

/// Connections that have ended: the other side may not have heard it, and asks again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Farewells {
    by_key: BTreeMap<Key, Farewell>,
    order: VecDeque<(Time, Key)>,
}

impl Farewells {
    pub fn remember(
        &mut self,
        now: Time,
        key: Key,
        send_id: u16,
        (sequence, acknowledged): (u16, u16),
    ) {
        self.by_key.insert(key, Farewell { at: now, send_id, sequence, acknowledged });
        self.order.push_back((now, key));
        self.forget(now);
    }

    fn forget(&mut self, now: Time) {
        while let Some((at, key)) = self.order.front().copied()
            && (now.since(at) > REMEMBERED_FOR || self.order.len() > REMEMBERED)
        {
            self.order.pop_front();
            if self.by_key.get(&key).is_some_and(|farewell| farewell.at == at) {
                self.by_key.remove(&key);
            }
        }
    }

    /// What a late packet is answered, when its connection has ended well: that everything is here.
    pub fn answer(&mut self, now: Time, key: Key, packet: &Packet) -> Option<Datagram> {
        self.forget(now);
        let farewell = self.by_key.get(&key)?;
        let (sequence, acknowledged) = (farewell.sequence, farewell.acknowledged);
        Some(bare(
            now,
            key.0,
            packet,
            header(Kind::State, farewell.send_id, sequence, acknowledged),
        ))
    }
}

/// How many resets may be sent to strangers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ration {
    each_second: u32,
    left: u32,
    since: Time,
}

impl Ration {
    pub fn new(each_second: u32) -> Self {
        Self { each_second, left: each_second, since: Time::ZERO }
    }

    /// Whether one more may be sent.
    pub fn take(&mut self, now: Time) -> bool {
        if now.since(self.since) >= 1_000_000 {
            (self.since, self.left) = (now, self.each_second);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}
