//! What the fuzzers run: a pair over a network that an adversary controls, and a machine that is sent anything.

use std::net::SocketAddr;

use bytes::Bytes;
use eddyline_utp::packet::{Header, Kind, Packet};
use eddyline_utp::{Config, Fault, Multiplexer, Output, Time, is_utp};

use crate::link::{SECOND, Weather};
use crate::pair::Pair;

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[("utp_pair", utp_pair), ("utp_packets", utp_packets)];

/// Steps of a script beyond which it is not read.
const STEPS: usize = 200;

fn weather(bytes: &[u8]) -> Weather {
    let at = |n: usize| u64::from(bytes.get(n).copied().unwrap_or(0));
    Weather {
        rate: [0, 20_000, 200_000, 2_000_000][at(0) as usize % 4],
        delay: at(1) * 1_000_000,
        buffer: 3_000 + at(2) * 1_000,
        loss: at(3) as u32 * 1_000,
        twice: at(4) as u32 * 1_000,
        late: at(5) as u32 * 2_000,
        lateness: at(6) * 2_000_000,
        mtu: 700 + at(7) * 8,
    }
}

/// Whatever a network does for a while, the rules hold, and what arrives is what was sent; and once it behaves,
/// everything arrives, unless somebody has given up.
pub fn utp_pair(data: &[u8]) {
    let (head, script) = data.split_at(data.len().min(17));
    let seed = head.first().copied().unwrap_or(0);
    let mut pair =
        Pair::new(&Config::default(), &weather(head.get(1..9).unwrap_or(&[])), seed.into());
    pair.links[1].weather = weather(head.get(9..17).unwrap_or(&[]));
    pair.check_every = 1;
    pair.connect(1 << 16);
    pair.offer(0, 68);
    for step in script.as_chunks::<2>().0.iter().take(STEPS) {
        let (side, amount) = (usize::from(step[0] >> 7), u64::from(step[1]));
        match step[0] & 0x7f {
            0..40 => pair.wait(amount * SECOND / 100),
            40..80 => pair.offer(side, amount * 64),
            80..90 => pair.sides[side].reads = false,
            90..100 => pair.read(side),
            100..110 => pair.links[side].weather.loss = amount as u32 * 4_000,
            110..116 => pair.links[side].weather.mtu = 600 + amount * 4,
            116..122 => pair.links[side].weather.delay = amount * 4_000_000,
            _ => pair.grant(side, amount),
        }
    }
    pair.links.iter_mut().for_each(|link| link.weather = Weather::default());
    pair.read(0);
    pair.read(1);
    let alive = |pair: &Pair| {
        pair.sides.iter().all(|side| side.closed.is_none() && side.connection.is_some())
    };
    let done = pair.run(300 * SECOND);
    assert!(
        done || !alive(&pair),
        "{} and {} bytes",
        pair.sides[0].received,
        pair.sides[1].received
    );
    pair.close(0);
    pair.close(1);
    pair.wait(400 * SECOND);
    assert!(
        pair.sides.iter().all(|side| side.connection.is_none()),
        "a connection that both ended is gone"
    );
}

/// A machine, and what its adversary has heard.
struct Victim {
    machine: Multiplexer,
    now: Time,
    from: SocketAddr,
    /// Numbers of the last packet that was sent there.
    last: (u16, u16, u16),
    /// What its clock showed in that packet.
    shown: u32,
    bytes_in: usize,
    bytes_out: usize,
    proven: bool,
}

impl Victim {
    fn advance(&mut self) {
        let mut outputs = Vec::new();
        self.machine.advance(self.now, &mut outputs);
        for output in outputs {
            match output {
                Output::Send(datagram) => {
                    let length = (datagram.payload.end - datagram.payload.start) as usize;
                    self.bytes_out += datagram.header.len() + length;
                    let packet = Packet::decode(&Bytes::copy_from_slice(&datagram.header));
                    let packet = packet.expect("what is sent can be read");
                    self.last = (packet.connection_id, packet.sequence, packet.acknowledged);
                    self.shown = packet.timestamp;
                }
                Output::Accepted { connection, .. } => {
                    self.proven = true;
                    self.machine.grant(connection, 20_000);
                    self.machine.offer(connection, 50_000);
                }
                Output::Received { connection, slices } => {
                    self.machine
                        .grant(connection, slices.iter().map(|slice| slice.len() as u64).sum());
                }
                Output::Ended { connection } => self.machine.close(connection, None),
                _ => {}
            }
        }
        assert!(
            self.proven || self.bytes_out <= self.bytes_in,
            "who has not proven its address gets what it gave"
        );
        let faults = self.machine.violations();
        assert!(faults.is_empty(), "{faults:?}");
    }

    fn give(&mut self, datagram: &Bytes) {
        self.bytes_in += datagram.len();
        if is_utp(datagram) {
            let verdict = self.machine.datagram(self.now, self.now, self.from, datagram);
            // Whoever is blamed knew numbers that nobody can guess.
            assert!(verdict.fault() != Fault::Peer || self.proven);
        }
        self.advance();
    }
}

/// No packets break a rule, whoever sends them: with numbers near those that are expected, or any bytes at all.
pub fn utp_packets(data: &[u8]) {
    let from: SocketAddr = SocketAddr::from(([198, 51, 100, 7], 6881));
    let machine = Multiplexer::new(Config::default(), [3, 4]);
    let mut it = Victim {
        machine,
        now: Time::ZERO,
        from,
        last: (0, 0, 0),
        shown: 0,
        bytes_in: 0,
        bytes_out: 0,
        proven: false,
    };
    let mut rest = data;
    let mut steps = 0;
    while let Some((step, behind)) = rest.split_at_checked(6)
        && steps < 4 * STEPS
    {
        (rest, steps) = (behind, steps + 1);
        let length = usize::from(step[5]).min(rest.len());
        match step[0] >> 5 {
            0 => {
                it.now = it.now + u64::from(step[1]) * 20_000;
                it.advance();
            }
            1 => {
                let raw = Bytes::copy_from_slice(&rest[..length]);
                rest = &rest[length..];
                it.give(&raw);
            }
            2 if it.machine.connections() < 4 => {
                let _ = it.machine.connect(it.now, from);
                it.proven = true;
                it.advance();
            }
            _ => {
                let kind = [Kind::Data, Kind::State, Kind::Fin, Kind::Reset, Kind::Syn, Kind::Data]
                    [usize::from(step[0]) % 6];
                let near =
                    |value: u16, offset: u8| value.wrapping_add_signed(i16::from(offset as i8));
                let (id, sequence, acknowledged) = it.last;
                let sack = [step[4]; 8];
                let header = Header {
                    kind,
                    connection_id: near(id, step[1] % 4)
                        .wrapping_sub(if kind == Kind::Syn { 0 } else { 1 })
                        .wrapping_add(1),
                    timestamp: u32::from(step[4]) << 16,
                    // Our clock, as it was shown.
                    timestamp_difference: (u32::from(step[4]) << 16).wrapping_sub(it.shown),
                    window: u32::from(step[4]) * 100,
                    sequence: near(acknowledged.wrapping_add(1), step[2]),
                    acknowledged: near(sequence, step[3]),
                    selective_ack: if step[1] > 200 { &sack } else { &[] },
                    close_reason: (step[1] > 250).then_some(6),
                    padding: usize::from(step[1] > 245) * 300,
                };
                let payload = if kind == Kind::Data { length } else { 0 };
                it.give(&[&header.encode()[..], &[7; 256][..payload]].concat().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn bytes(seed: u64) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let length = chance.below(600);
        (0..length).map(|_| chance.draw() as u8).collect()
    }

    #[test]
    fn random_inputs_break_no_rule_of_a_pair() {
        (0..60).for_each(|seed| utp_pair(&bytes(seed)));
    }

    #[test]
    fn random_packets_break_no_rule_of_a_machine() {
        (0..2_000).for_each(|seed| utp_packets(&bytes(seed)));
    }
}
