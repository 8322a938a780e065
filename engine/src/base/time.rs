//! The engine's own clock value. Time enters only through the `now` argument of
//! [`Engine::step`](crate::Engine::step), so a run can be replayed from recorded instants.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since an arbitrary zero chosen by the embedder.
///
/// The engine keeps zero for "never": the first step is called at a later instant, a second after zero for
/// instance.
///
/// Arithmetic saturates, so a clock that jumps (suspend, simulation) can never overflow.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The zero of the embedder's clock, which stands for "never".
    pub const ZERO: Self = Self(0);

    /// An instant `nanos` nanoseconds after zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// An instant `millis` milliseconds after zero.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since zero, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The span from `earlier` to `self`, zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds from `earlier` to `self`, zero when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
