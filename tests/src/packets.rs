//! Packets of µTP as a stranger writes them, for tests of what strangers can do.

use bytes::Bytes;
use eddyline_utp::packet::{Header, Kind, Packet};

/// What the stranger's clock shows in each of its packets.
const CLOCK: u32 = 1;

/// A packet with these numbers, and a window of a MiB.
pub fn packet(kind: Kind, id: u16, sequence: u16, acknowledged: u16, payload: &[u8]) -> Bytes {
    timed(kind, [id, sequence, acknowledged], 1, payload)
}

/// The first packet of who has read an answer: it acknowledges that, and shows its clock.
pub fn first_packet(id: u16, sequence: u16, answer: &Packet, payload: &[u8]) -> Bytes {
    let numbers = [id, sequence, answer.sequence.wrapping_sub(1)];
    timed(Kind::Data, numbers, CLOCK.wrapping_sub(answer.timestamp), payload)
}

fn timed(
    kind: Kind,
    [id, sequence, acknowledged]: [u16; 3],
    difference: u32,
    payload: &[u8],
) -> Bytes {
    let header = Header {
        kind,
        connection_id: id,
        timestamp: CLOCK,
        timestamp_difference: difference,
        window: 1 << 20,
        sequence,
        acknowledged,
        selective_ack: &[],
        close_reason: None,
        padding: 0,
    };
    [&header.encode()[..], payload].concat().into()
}
