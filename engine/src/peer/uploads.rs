//! A peer's requests: a bounded queue, with what is being read for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::wire::BlockRequest;

/// Requests of one peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Uploads {
    queue: VecDeque<BlockRequest>,
    /// Blocks being read; cancelled ones stay until the read ends, marked.
    reading: Vec<(BlockRequest, bool)>,
    reading_bytes: u64,
}

/// What to do with a new request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is queued.
    Queued,
    /// It is queued already.
    Duplicate,
    /// The queue is full.
    Full,
    /// The queue is full, and the peer keeps pushing.
    Flood,
}

impl Uploads {
    /// Takes in a request; the queue holds up to `limit`. Whether a request stands in the queue is
    /// looked for only behind that limit, so a flood costs nothing.
    pub fn push(&mut self, request: BlockRequest, limit: u32, refused: &mut u32) -> Verdict {
        if self.len() >= limit {
            *refused += 1;
            return if *refused > limit { Verdict::Flood } else { Verdict::Full };
        }
        let twice = self.queue.back() == Some(&request)
            || self.reading.iter().any(|(known, cancelled)| *known == request && !cancelled);
        if twice {
            return Verdict::Duplicate;
        }
        self.queue.push_back(request);
        Verdict::Queued
    }

    /// Requests queued and being read.
    pub fn len(&self) -> u32 {
        (self.queue.len() + self.reading.len()) as u32
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.reading.is_empty()
    }

    /// True when something waits to be read.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Blocks being read.
    pub fn reading(&self) -> usize {
        self.reading.len()
    }

    /// Bytes being read.
    pub const fn reading_bytes(&self) -> u64 {
        self.reading_bytes
    }

    /// Takes the next request to be read.
    pub fn start_next(&mut self) -> Option<BlockRequest> {
        let request = self.queue.pop_front()?;
        self.reading.push((request, false));
        self.reading_bytes += u64::from(request.length);
        Some(request)
    }

    /// A read ended. Returns whether the block is still wanted.
    pub fn finish(&mut self, request: BlockRequest) -> bool {
        let Some(place) = self.reading.iter().position(|(known, _)| *known == request) else {
            return false;
        };
        self.reading_bytes -= u64::from(request.length);
        !self.reading.swap_remove(place).1
    }

    /// Withdraws a request. Returns whether it was waiting.
    pub fn cancel(&mut self, request: BlockRequest) -> bool {
        if let Some(place) = self.queue.iter().position(|known| *known == request) {
            self.queue.remove(place);
            return true;
        }
        let reading = self.reading.iter_mut().find(|(known, gone)| *known == request && !gone);
        reading.map(|(_, cancelled)| *cancelled = true).is_some()
    }

    /// Withdraws all requests but those `keep` accepts, and returns them.
    pub fn withdraw(&mut self, keep: impl Fn(u32) -> bool) -> Vec<BlockRequest> {
        let mut gone = Vec::new();
        self.queue.retain(|request| {
            let kept = keep(request.piece);
            if !kept {
                gone.push(*request);
            }
            kept
        });
        for (request, cancelled) in &mut self.reading {
            if !*cancelled && !keep(request.piece) {
                *cancelled = true;
                gone.push(*request);
            }
        }
        gone
    }
}
