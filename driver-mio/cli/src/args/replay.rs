//! The command line of `replay`.

use clap::{Arg, Command, ValueHint, value_parser};

use super::text::explained;
use super::{flag, force, option};

const LOOK: &str = "Look around";
const WRITE: &str = "Make another trace";

const MORE: &str = "\
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

/// `replay`.
pub(super) fn replay() -> Command {
    let path = |name: &'static str, help: &'static str| {
        option(name, "OUT", help)
            .value_parser(value_parser!(std::path::PathBuf))
            .value_hint(ValueHint::FilePath)
            .help_heading(WRITE)
    };
    let step = || value_parser!(u64);
    let look = [
        option("goto", "N", "Show step N").value_parser(step()),
        option("until", "COND", "Show the step that meets a condition"),
        flag("backwards", "Search back from the step of --goto").requires_all(["until", "goto"]),
        option("peer", "X", "Show all steps with this peer"),
        option("piece", "N", "Show all steps with this piece").value_parser(value_parser!(u32)),
        flag("why", "Say what led to the step, and what it changed"),
        Arg::new("diff")
            .long("diff")
            .num_args(2)
            .value_names(["N", "M"])
            .value_parser(step())
            .help("Show how the states after two steps differ"),
        flag("interactive", "Take commands; 'help' lists them").short('i'),
    ];
    let command = Command::new("replay")
        .about("Tell what happened in a recorded run, and check it step by step")
        .arg(
            Arg::new("trace")
                .value_name("TRACE")
                .required(true)
                .value_hint(ValueHint::FilePath)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("A trace that --record wrote; - for stdin"),
        )
        .args(look.map(|arg| arg.help_heading(LOOK)))
        .arg(force().help_heading(WRITE))
        .arg(path("redact", "Write the trace without addresses, names, hashes and keys"))
        .arg(path("minimise", "Write the shortest trace found that fails in the same way"));
    explained(
        command,
        MORE,
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
}
