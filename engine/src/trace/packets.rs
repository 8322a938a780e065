//! Datagrams of µTP in a trace. Their payload is left out, for nobody looks at it there: what it means comes in a
//! second time, as what a connection received. Of a header is kept what does not follow from the one before it on the
//! same connection, a few bytes for each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use core::net::SocketAddr;

use super::format::{put_number, take_number};
use crate::api::Event;
use crate::base::ids::UdpSocketId;
use crate::base::time::Instant;

/// Bytes of a header without extensions.
const HEADER: usize = 20;
/// Longest datagram.
const MAX_DATAGRAM: u64 = 65_535;
/// Connections that are told apart; the oldest gives way.
const MAX_LINES: u32 = 4_096;
/// What an event takes in memory besides its bytes, at the most.
pub(super) const EVENT: u64 = 128;

/// Not of the connection of the one before; it is named.
const OTHER_LINE: u8 = 0x01;
/// The header as it came.
const VERBATIM: u8 = 0x02;
const SEQUENCE: u8 = 0x04;
const ACKNOWLEDGED: u8 = 0x08;
const WINDOW: u8 = 0x10;
const DIFFERENCE: u8 = 0x20;
const LENGTH: u8 = 0x40;
const WAITED: u8 = 0x80;

type Key = (UdpSocketId, SocketAddr, [u8; 2]);

/// What came last of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    socket: UdpSocketId,
    from: SocketAddr,
    header: [u8; HEADER],
    /// Bytes of payload.
    length: u32,
    /// Microseconds.
    arrived: u64,
}

/// What the next datagram is guessed from.
#[derive(Clone, Default, Debug)]
pub(super) struct Packets {
    lines: BTreeMap<u32, Line>,
    /// Lines that there ever were.
    count: u32,
    last: u32,
    waited: u32,
    by_key: BTreeMap<Key, u32>,
}

/// What is known before a step, of the connections in it.
#[derive(Clone, Default, Debug)]
pub(super) struct Base {
    lines: Vec<(u32, Line)>,
    count: u32,
    last: u32,
    waited: u32,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// Numbers near zero on either side are small.
const fn zigzag(number: i32) -> u64 {
    ((number << 1) ^ (number >> 31)) as u32 as u64
}

fn take_zigzag(bytes: &mut &[u8]) -> Option<i32> {
    let number = u32::try_from(take_number(bytes)?).ok()?;
    Some((number >> 1) as i32 ^ -((number & 1) as i32))
}

impl Line {
    fn is_data(&self) -> bool {
        self.header[0] >> 4 == 0
    }

    /// The sequence number that comes next.
    fn next(&self) -> u16 {
        half(&self.header, 16).wrapping_add(u16::from(self.is_data()))
    }
}

const fn micros(now: Instant, waited: u32) -> u64 {
    (now.as_nanos() / 1000).saturating_sub(waited as u64)
}

impl Packets {
    /// Appends a datagram.
    pub(super) fn put(
        &mut self,
        out: &mut Vec<u8>,
        now: Instant,
        (socket, from, data, waited): (UdpSocketId, SocketAddr, &Bytes, u32),
    ) {
        let payload = eddyline_utp::packet::Packet::decode(data).map_or(0, |p| p.payload.len());
        let head = &data[..data.len() - payload];
        let id = [data.get(2), data.get(3)].map(|byte| byte.copied().unwrap_or_default());
        let known = self.by_key.get(&(socket, from, id)).copied();
        let arrived = micros(now, waited);
        let mut flags = 0;
        let mut rest = Vec::new();
        let line = known.and_then(|number| self.lines.get(&number));
        match line.filter(|line| head.len() == HEADER && head[..4] == line.header[..4]) {
            Some(line) => put_changes(&mut flags, &mut rest, line, head, payload, arrived),
            None => {
                flags |= VERBATIM;
                put_number(&mut rest, head.len() as u64);
                rest.extend_from_slice(head);
                put_number(&mut rest, payload as u64);
            }
        }
        let number = known.unwrap_or(self.count);
        if self.waited != waited {
            flags |= WAITED;
        }
        if known.is_none() || number != self.last {
            flags |= OTHER_LINE;
        }
        out.push(flags);
        if flags & OTHER_LINE != 0 {
            put_number(out, number.into());
            if known.is_none() {
                // Neither can fail.
                out.extend(postcard::to_allocvec(&(socket, from)).unwrap_or_default());
            }
        }
        if flags & WAITED != 0 {
            put_number(out, waited.into());
        }
        out.extend(rest);
        self.remember(number, (socket, from), head, payload as u32, (arrived, waited));
    }

    fn remember(
        &mut self,
        number: u32,
        (socket, from): (UdpSocketId, SocketAddr),
        head: &[u8],
        length: u32,
        (arrived, waited): (u64, u32),
    ) {
        let mut header = [0; HEADER];
        let there = head.len().min(HEADER);
        header[..there].copy_from_slice(&head[..there]);
        // Extensions are not guessed.
        header[1] = 0;
        self.lines.insert(number, Line { socket, from, header, length, arrived });
        (self.last, self.waited) = (number, waited);
        if number == self.count {
            self.count += 1;
            self.by_key.insert((socket, from, [header[2], header[3]]), number);
            if let Some(old) =
                number.checked_sub(MAX_LINES).and_then(|number| self.lines.remove(&number))
            {
                self.by_key.remove(&(old.socket, old.from, [old.header[2], old.header[3]]));
            }
        }
    }

    /// Takes the datagram at the front of `bytes`, with zeros in the place of its payload. `touched` is told what was
    /// known of its connection before.
    pub(super) fn take(
        &mut self,
        bytes: &mut &[u8],
        now: Instant,
        touched: &mut impl FnMut(u32, &Line),
    ) -> Option<Taken> {
        let (flags, rest) = bytes.split_first()?;
        *bytes = rest;
        let mut number = self.last;
        let mut named = None;
        if flags & OTHER_LINE != 0 {
            number = u32::try_from(take_number(bytes)?).ok()?;
            if number == self.count && number < u32::MAX {
                let (who, rest) = postcard::take_from_bytes(bytes).ok()?;
                (named, *bytes) = (Some(who), rest);
            }
        }
        let waited = match flags & WAITED {
            0 => self.waited,
            _ => u32::try_from(take_number(bytes)?).ok()?,
        };
        let line = self.lines.get(&number).filter(|_| named.is_none());
        line.iter().for_each(|line| touched(number, line));
        let who = named.or_else(|| line.map(|line| (line.socket, line.from)))?;
        let arrived = micros(now, waited);
        let (head, length) = match flags & VERBATIM {
            0 => take_changes(*flags, bytes, line?, arrived)?,
            _ => {
                let length = take_length(bytes)?;
                let (head, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                (Vec::from(head), take_length(bytes)?)
            }
        };
        if (head.len() + length) as u64 > MAX_DATAGRAM {
            return None;
        }
        self.remember(number, who, &head, length as u32, (arrived, waited));
        Some(Taken { who, head, length, waited })
    }

    /// What is known before a step.
    pub(super) fn base(&self) -> Base {
        Base { lines: Vec::new(), count: self.count, last: self.last, waited: self.waited }
    }
}

/// A datagram that was taken from a trace.
pub(super) struct Taken {
    who: (UdpSocketId, SocketAddr),
    head: Vec<u8>,
    length: usize,
    waited: u32,
}

impl Taken {
    /// Bytes of the datagram.
    pub(super) fn size(&self) -> u64 {
        (self.head.len() + self.length) as u64
    }

    /// As it came, with zeros in the place of payload.
    pub(super) fn event(self) -> Event {
        let mut data = BytesMut::with_capacity(self.head.len() + self.length);
        data.extend_from_slice(&self.head);
        data.put_bytes(0, self.length);
        let (socket, from) = self.who;
        Event::Datagram { socket, from, data: data.freeze(), waited: self.waited }
    }
}

impl Base {
    /// Notes what was known of a connection before the first of its datagrams in the step.
    pub(super) fn note(&mut self, number: u32, line: &Line) {
        if number < self.count && !self.lines.iter().any(|(noted, _)| *noted == number) {
            self.lines.push((number, line.clone()));
        }
    }

    /// The state to read the datagrams of the step with.
    pub(super) fn packets(&self) -> Packets {
        let Self { lines, count, last, waited } = self;
        Packets {
            lines: lines.iter().cloned().collect(),
            count: *count,
            last: *last,
            waited: *waited,
            by_key: BTreeMap::new(),
        }
    }
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let length = take_number(bytes).filter(|length| *length <= MAX_DATAGRAM)?;
    usize::try_from(length).ok()
}

/// What is not as it is guessed from `line`.
fn put_changes(
    flags: &mut u8,
    out: &mut Vec<u8>,
    line: &Line,
    head: &[u8],
    payload: usize,
    arrived: u64,
) {
    let before = &line.header;
    let mut change = |flag: u8, number: i32| {
        if number != 0 {
            *flags |= flag;
            put_number(out, zigzag(number));
        }
    };
    change(SEQUENCE, (half(head, 16).wrapping_sub(line.next()) as i16).into());
    change(ACKNOWLEDGED, (half(head, 18).wrapping_sub(half(before, 18)) as i16).into());
    change(WINDOW, word(head, 12).wrapping_sub(word(before, 12)) as i32);
    change(DIFFERENCE, word(head, 8).wrapping_sub(word(before, 8)) as i32);
    if payload != line.length as usize {
        *flags |= LENGTH;
        put_number(out, payload as u64);
    }
    let passed = arrived.wrapping_sub(line.arrived) as u32;
    let sent = word(head, 4).wrapping_sub(word(before, 4));
    put_number(out, zigzag(sent.wrapping_sub(passed) as i32));
}

fn take_changes(
    flags: u8,
    bytes: &mut &[u8],
    line: &Line,
    arrived: u64,
) -> Option<(Vec<u8>, usize)> {
    let before = &line.header;
    let mut change = |flag: u8| match flags & flag {
        0 => Some(0),
        _ => take_zigzag(bytes),
    };
    let sequence = line.next().wrapping_add(change(SEQUENCE)? as u16);
    let acknowledged = half(before, 18).wrapping_add(change(ACKNOWLEDGED)? as u16);
    let window = word(before, 12).wrapping_add(change(WINDOW)? as u32);
    let difference = word(before, 8).wrapping_add(change(DIFFERENCE)? as u32);
    let length = match flags & LENGTH {
        0 => line.length as usize,
        _ => take_length(bytes)?,
    };
    let passed = arrived.wrapping_sub(line.arrived) as u32;
    let sent = word(before, 4).wrapping_add(passed).wrapping_add(take_zigzag(bytes)? as u32);
    let mut head = Vec::from(&before[..4]);
    head.extend(sent.to_be_bytes());
    head.extend(difference.to_be_bytes());
    head.extend(window.to_be_bytes());
    head.extend(sequence.to_be_bytes());
    head.extend(acknowledged.to_be_bytes());
    Some((head, length))
}

#[cfg(test)]
mod tests {
    //! Unit tests of datagrams in traces.

    use super::*;

    /// Datagrams of several connections, as bytes make them.
    fn drawn(seed: &[u8]) -> Vec<(Instant, UdpSocketId, SocketAddr, Bytes, u32)> {
        let mut now = 1_000_000_000;
        let datagram = |pick: &[u8]| {
            let byte = |at: usize| pick.get(at).copied().unwrap_or_default();
            now += u64::from(byte(0)) * 7_919;
            let mut data = alloc::vec![(byte(1) % 5) << 4 | 1, 0, 0, byte(2) % 3];
            data.extend((now as u32 / 1000 + u32::from(byte(3))).to_be_bytes());
            data.extend(u32::from(byte(4) / 50).to_be_bytes());
            data.extend((u32::from(byte(5) % 2) << 20).to_be_bytes());
            data.extend([byte(6), byte(7), 0, byte(8)]);
            if byte(1) & 0x80 != 0 {
                data[1] = 1;
                data.extend([0, 4, 1, 2, 3, 4]);
            }
            data.resize(data.len() + usize::from(byte(9) % 4) * 300, 0);
            let from = SocketAddr::from(([192, 0, 2, byte(10) % 2], 6881));
            let waited = u32::from(byte(11) % 3) * 40;
            (Instant::from_nanos(now), UdpSocketId(0), from, Bytes::from(data), waited)
        };
        seed.chunks(12).map(datagram).collect()
    }

    #[test]
    fn what_was_put_is_taken_also_from_the_middle() {
        fn property(seed: Vec<u8>) -> bool {
            let all = drawn(&seed);
            let (mut writer, mut reader) = (Packets::default(), Packets::default());
            all.iter().all(|(now, socket, from, data, waited)| {
                let mut out = Vec::new();
                writer.put(&mut out, *now, (*socket, *from, data, *waited));
                let mut base = reader.base();
                let mut bytes = &out[..];
                let one =
                    reader.take(&mut bytes, *now, &mut |number, line| base.note(number, line));
                let mut again = &out[..];
                let two = base.packets().take(&mut again, *now, &mut |_, _| ());
                [(one, bytes), (two, again)].into_iter().all(|(taken, rest)| {
                    let Some(Event::Datagram { from: who, data: there, waited: late, .. }) =
                        taken.map(Taken::event)
                    else {
                        return false;
                    };
                    rest.is_empty() && who == *from && there == data && late == *waited
                })
            })
        }
        quickcheck::quickcheck(property as fn(Vec<u8>) -> bool);
    }

    #[test]
    fn a_packet_that_follows_another_takes_a_few_bytes() {
        let mut packets = Packets::default();
        let from = SocketAddr::from(([192, 0, 2, 1], 6881));
        let sizes: Vec<usize> = (0..3u32)
            .map(|n| {
                let mut data = alloc::vec![1, 0, 0, 7];
                data.extend((n * 120).to_be_bytes());
                data.extend([0, 0, 0, 9, 0, 16, 0, 0, 0, n as u8, 0, 3]);
                data.resize(1_472, 0);
                let now = Instant::from_nanos(u64::from(n) * 123_000 + 1_000_000);
                let mut out = Vec::new();
                packets.put(&mut out, now, (UdpSocketId(0), from, &data.into(), 0));
                out.len()
            })
            .collect();
        assert_eq!(sizes[1..], [2, 2]);
    }

    #[test]
    fn bytes_of_a_stranger_are_refused_or_make_datagrams() {
        fn property(bytes: Vec<u8>) -> bool {
            let mut packets = Packets::default();
            let mut rest = &bytes[..];
            while let Some(taken) = packets.take(&mut rest, Instant::from_millis(5), &mut |_, _| ())
            {
                assert!(taken.size() <= MAX_DATAGRAM);
            }
            true
        }
        quickcheck::quickcheck(property as fn(Vec<u8>) -> bool);
    }
}
