//! Recording a run, replaying it bit for bit, and looking around in it.
//!
//! A run is a list of `(now, events)`, so a trace of it is complete: [`Recorder`] writes one,
//! [`Trace`] reads it, [`Replayer`] runs it again and compares every step with what was recorded.
//! [`Condition`] finds the step one is looking for, [`changes`] says what a step changed,
//! [`redact`] takes out whose run it was, and [`minimise`] shrinks a failing one.

mod allowed;
mod answers;
mod chain;
mod commands;
mod condition;
#[cfg(feature = "dht")]
mod dht_commands;
mod explain;
mod format;
mod minimise;
mod packets;
mod read;
mod record;
mod redact;
mod replay;
mod rerun;
mod stand_ins;
mod survey;

#[cfg(test)]
mod tests;

pub use chain::{ActionMark, Chain};
pub use condition::{Condition, ConditionError, PeerState, Watch, Who};
pub use explain::{Change, changes};
pub use format::{Header, Origin, Step, TraceError};
pub use minimise::{Minimised, minimise};
pub use read::Trace;
pub use record::Recorder;
pub use redact::{RedactError, Redacted, redact};
pub use replay::{Divergence, LastStep, Repeated, Replayer};
pub use rerun::{Origination, Plan, PlannedEvent, Rerun};
