//! The engine's clock: monotonic time since the driver started.

use std::time::{Duration, Instant as StdInstant};

use eddyline::base::time::Instant;

/// A monotonic clock that begins at one second, so that zero can mean never.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: StdInstant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: StdInstant::now() }
    }

    /// The time, in whole microseconds: finer ones decide nothing and cost a trace its size.
    #[must_use]
    pub fn now(&self) -> Instant {
        let micros = self.started.elapsed().as_micros();
        let elapsed = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        Instant::from_millis(1000) + elapsed
    }
}
