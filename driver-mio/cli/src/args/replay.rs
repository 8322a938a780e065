//! The command line of `replay`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueHint};

use super::Force;
use super::text::below;

const LOOK: &str = "Look around";
const WRITE: &str = "Make another trace";

const LONG: &str = "\
Tell what happened in a recorded run, and check it step by step.

Without a flag the whole run is told in a few lines, and every step is compared with the record: \
identical means that the engine, given the same events at the same times, did exactly what it did \
then, so that whatever is seen here is what happened.

COND is one of:
  piece N verified
  piece N failed
  torrent complete
  torrent failed
  tracker answered
  tracker failed
  resume saved
  contract violated
  time 90s
  peer X STATE
where X is an address, or a connection as in 3.1, and STATE is connected, closed, banned, choked or \
unchoked (whether it sends to us), served or unserved (whether we send to it), interested, or \
snubbed.

The exit code is 7 where the condition was never met, and for a trace that ends in the middle of a \
step.";

/// Tell what happened in a recorded run, and check it step by step.
#[derive(Args, Debug)]
#[command(
    long_about = LONG,
    after_long_help = below(
        &[
            ("The story of a run", "eddyline replay run.trace"),
            (
                "Why it was choked",
                "eddyline replay run.trace --why --until 'peer 192.0.2.1:6881 choked'",
            ),
            ("For a bug report", "eddyline replay run.trace --redact public.trace"),
        ],
        &["3", "7", "9", "13", "26", "33"],
    )
)]
pub struct ReplayArgs {
    /// A trace that --record wrote; - for stdin.
    #[arg(value_name = "TRACE", value_hint = ValueHint::FilePath)]
    pub trace: PathBuf,
    #[command(flatten)]
    pub look: LookFlags,
    #[command(flatten)]
    pub write: WriteFlags,
}

/// What is shown of a run.
#[derive(Args, Debug)]
#[command(next_help_heading = LOOK)]
pub struct LookFlags {
    /// Show step N.
    #[arg(long, value_name = "N")]
    pub goto: Option<u64>,
    /// Show the step that meets a condition.
    #[arg(long, value_name = "COND")]
    pub until: Option<String>,
    /// Search back from the step of --goto.
    #[arg(long, requires_all = ["until", "goto"])]
    pub backwards: bool,
    /// Show all steps with this peer.
    #[arg(long, value_name = "X")]
    pub peer: Option<String>,
    /// Show all steps with this piece.
    #[arg(long, value_name = "N")]
    pub piece: Option<u32>,
    /// Say what led to the step, and what it changed.
    #[arg(long)]
    pub why: bool,
    /// Show how the states after two steps differ.
    #[arg(long, num_args = 2, value_names = ["N", "M"], action = ArgAction::Set)]
    pub diff: Vec<u64>,
    /// Take commands; 'help' lists them.
    #[arg(long, short)]
    pub interactive: bool,
}

/// Traces that are made of this one.
#[derive(Args, Debug)]
#[command(next_help_heading = WRITE)]
pub struct WriteFlags {
    #[command(flatten)]
    pub force: Force,
    /// Write the trace without addresses, names, hashes and keys.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub redact: Option<PathBuf>,
    /// Write the shortest trace found that fails in the same way.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub minimise: Option<PathBuf>,
}
