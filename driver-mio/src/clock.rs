//! The engine's clock: monotonic time since the driver started.

use std::time::Instant as StdInstant;

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

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_millis(1000) + self.started.elapsed()
    }
}
