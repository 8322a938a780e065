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

/// A span of time as what is stored and recorded of it: whole seconds. For settings that count no fractions.
pub(crate) mod whole_seconds {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Whole seconds; what does not fit is the most that does.
    pub(crate) fn of(span: Duration) -> u32 {
        u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
    }

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(of(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u32::deserialize(from).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The same of a span that may be missing.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Duration, Serializer, of};
        use serde::Serialize;

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub(crate) fn serialize<S: Serializer>(
            span: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            span.map(of).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            let seconds = Option::<u32>::deserialize(from)?;
            Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
        }
    }
}
