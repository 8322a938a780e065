//! Packets of µTP in a redacted trace. Their headers are numbers and stay; payload and extensions that are not
//! understood become zeros. The ids of connections go on as they were, like the choice of pieces. But what we answer
//! to those who call follows from their addresses too, and what they acknowledge follows from that: it is moved by as
//! much.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use eddyline_utp::packet::{Kind, Packet};

use crate::api::Action;
use crate::base::addr::normalise;

/// Bytes of a header without extensions.
const HEADER: usize = 20;
/// Extensions that name nobody: acks of single packets, and the reason for an end.
const SELECTIVE_ACK: u8 = 1;
const CLOSE_REASON: u8 = 3;

/// How our numbers differ from those of the recorded run, by address and id of the connections that others made.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<(SocketAddr, u16), u16>);

/// State packets among what is sent: to whom, with which id, and our number.
fn states(actions: &[Action]) -> impl Iterator<Item = (SocketAddr, u16, u16)> + '_ {
    actions.iter().filter_map(|action| {
        let Action::Transmit(_, packet) = action else { return None };
        let header = Bytes::copy_from_slice(&packet.header);
        let state = Packet::decode(&header).ok().filter(|header| header.kind == Kind::State)?;
        Some((packet.to, state.connection_id, state.sequence))
    })
}

impl Answers {
    /// What both runs sent in a step.
    pub(super) fn pair(&mut self, before: &[Action], after: &[Action]) {
        for ((to, id, recorded), (_, same, now)) in states(before).zip(states(after)) {
            if id == same && now != recorded {
                self.0.insert((normalise(to), id.wrapping_add(1)), now.wrapping_sub(recorded));
            }
        }
    }

    /// A packet as it would have come to the redacted run.
    pub(super) fn rewrite(&self, from: SocketAddr, data: &Bytes) -> Vec<u8> {
        let Ok(packet) = Packet::decode(data) else { return Vec::new() };
        let mut out = Vec::from(&data[..]);
        let payload = data.len() - packet.payload.len();
        out[payload..].fill(0);
        let (mut next, mut at) = (out[1], HEADER);
        while next != 0
            && let Some((link, length)) = out.get(at).copied().zip(out.get(at + 1).copied())
        {
            let content = at + 2..(at + 2 + usize::from(length)).min(payload);
            if !matches!((next, length), (SELECTIVE_ACK, _) | (CLOSE_REASON, 4)) {
                out[content.clone()].fill(0);
            }
            (next, at) = (link, content.end);
        }
        let id = packet.connection_id;
        let ids = match packet.kind {
            // It may bear the id that we send.
            Kind::Reset => [id, id.wrapping_add(1)],
            _ => [id, id],
        };
        let from = normalise(from);
        let shift = ids.iter().find_map(|id| self.0.get(&(from, *id))).copied();
        if packet.kind != Kind::Syn {
            let acknowledged = packet.acknowledged.wrapping_add(shift.unwrap_or(0));
            out[18..HEADER].copy_from_slice(&acknowledged.to_be_bytes());
        }
        out
    }
}
