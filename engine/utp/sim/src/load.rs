//! A download with nothing between the two machines but a moment: what a packet costs the machines.

use bytes::{Bytes, BytesMut};
use eddyline_utp::{Config, ConnectionId, Multiplexer, Output, Time};

use crate::pair::address;

/// Two machines with a connection that has warmed up.
pub struct Load {
    sides: [Multiplexer; 2],
    now: Time,
    outputs: Vec<Output>,
    /// Datagrams for each side.
    carried: [Vec<Bytes>; 2],
    received: u64,
    zeros: Bytes,
    connection: ConnectionId,
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

impl Load {
    /// A pair whose windows have opened.
    pub fn new() -> Self {
        let config = Config { burst: 1 << 17, ..Config::default() };
        let mut sides =
            [Multiplexer::new(config.clone(), [1, 1]), Multiplexer::new(config, [2, 2])];
        let connection = sides[0].connect(Time::ZERO, address(1)).expect("a free id");
        sides[0].offer(connection, 1 << 60);
        let mut load = Self {
            sides,
            now: Time::ZERO,
            outputs: Vec::new(),
            carried: [Vec::new(), Vec::new()],
            received: 0,
            zeros: Bytes::from(vec![0; 2_000]),
            connection,
        };
        load.run(2_000);
        load
    }

    /// Carries at least this many packets of payload. Returns how many were carried.
    pub fn run(&mut self, packets: u64) -> u64 {
        let end = self.received + packets;
        let begun = self.received;
        while self.received < end {
            self.now = self.now + 500;
            self.turn(0);
            self.turn(1);
        }
        self.received - begun
    }

    /// How the download is doing.
    pub fn statistics(&self) -> eddyline_utp::Statistics {
        self.sides[0].statistics(self.connection).unwrap_or_default()
    }

    fn turn(&mut self, side: usize) {
        for datagram in self.carried[side].drain(..) {
            self.sides[side].datagram(self.now, self.now, address(1 - side), &datagram);
        }
        self.sides[side].advance(self.now, &mut self.outputs);
        for output in self.outputs.drain(..) {
            match output {
                Output::Send(datagram) => {
                    let length = (datagram.payload.end - datagram.payload.start) as usize;
                    let mut bytes = BytesMut::with_capacity(datagram.header.len() + length);
                    bytes.extend_from_slice(&datagram.header);
                    bytes.extend_from_slice(&self.zeros[..length]);
                    self.carried[1 - side].push(bytes.freeze());
                }
                Output::Accepted { connection, .. } => self.sides[side].grant(connection, 1 << 24),
                Output::Received { connection, slices } => {
                    self.received += slices.len() as u64;
                    let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
                    self.sides[side].grant(connection, bytes);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_packets_share_a_turn_and_none_is_lost() {
        let mut load = Load::new();
        let packets = load.run(5_000);
        let statistics = load.statistics();
        assert!(packets >= 5_000 && statistics.lost == 0, "{statistics:?}");
        assert!(statistics.congestion_window > 20 * 1_472);
    }
}
