//! The whole engine as bytes, and back: for warm starts, for moving a session to another process,
//! and for looking at a run from any point on.
//!
//! A snapshot holds everything that decisions follow from, the seed's streams and unfinished
//! messages included. It is as trustworthy as whoever wrote it: a checksum finds damage and the
//! invariants find nonsense, but neither is proof against somebody who forges one.

use alloc::vec::Vec;

use super::{CheckDepth, Engine, InvariantViolation};
use crate::base::digest::Digest;
use crate::base::fault::Fault;

const MAGIC: &[u8; 8] = b"EDDYSNAP";
/// Changes whenever any state of the engine changes shape.
const VERSION: u8 = 17;
/// Magic, version, checksum.
const HEAD: usize = 8 + 1 + 8;

/// Why bytes are no snapshot of this engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They are something else.
    #[error("not a snapshot of an engine")]
    NotASnapshot,
    /// They were written by an engine of another shape, whose version this is.
    #[error("a snapshot of version {0}; this engine reads version {VERSION}")]
    Version(u8),
    /// They are cut or damaged.
    #[error("the snapshot is damaged")]
    Damaged,
    /// They describe an engine that breaks this rule.
    #[error("the snapshot makes no sense: {0}")]
    Inconsistent(InvariantViolation),
}

impl SnapshotError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl Engine {
    /// The state between two steps as bytes. [`Self::restore`] makes an engine of them that goes
    /// on with the same actions, in any process.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::from(*MAGIC);
        out.push(VERSION);
        out.extend([0; 8]);
        // The state holds nothing that cannot be written.
        let mut out = postcard::to_extend(self, out).unwrap_or_default();
        if out.len() >= HEAD {
            let sum = checksum(&out[HEAD..]);
            out[9..HEAD].copy_from_slice(&sum);
        }
        out
    }

    /// The engine that [`Self::snapshot`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::NotASnapshot)?;
        let (version, rest) = rest.split_first().ok_or(SnapshotError::Damaged)?;
        if *version != VERSION {
            return Err(SnapshotError::Version(*version));
        }
        let (sum, body) = rest.split_first_chunk::<8>().ok_or(SnapshotError::Damaged)?;
        if *sum != checksum(body) {
            return Err(SnapshotError::Damaged);
        }
        let (engine, rest) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| SnapshotError::Damaged)?;
        if !rest.is_empty() {
            return Err(SnapshotError::Damaged);
        }
        engine.check_shape().map_err(SnapshotError::Inconsistent)?;
        engine.check_invariants(CheckDepth::Full).map_err(SnapshotError::Inconsistent)?;
        Ok(engine)
    }
}

impl Engine {
    /// Makes the choices that name nobody as `other` makes them: which pieces, which peers, and what connections over
    /// µTP are called.
    #[cfg(feature = "trace")]
    pub(crate) fn choose_as(&mut self, other: &Self) {
        let (here, there) = (&mut self.ctx, &other.ctx);
        here.random.picks = there.random.picks.clone();
        here.random.chokes = there.random.chokes.clone();
        here.net.utp = there.net.utp.clone();
    }
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut digest = Digest::default();
    digest.absorb(body);
    digest.value().to_le_bytes()
}
