//! What the fuzzers run of the driver, beside what they run of the engine: one function a target.
//! Each panics when something does not hold. No part of the interface.

mod replies;
mod state;

pub use replies::http_replies;
pub use state::session_journal;

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the driver.
pub const TARGETS: &[Target] =
    &[("http_replies", http_replies), ("session_journal", session_journal)];
