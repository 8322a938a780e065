//! The command line of `replay`.

use clap::{Arg, Command, ValueHint, value_parser};

use super::{flag, force, option};

const REPLAY_HELP: &str = "\
COND is one of: 'piece N verified', 'piece N failed', 'torrent complete', 'torrent failed',
'tracker answered', 'tracker failed', 'resume saved', 'contract violated', 'time 90s', or 'peer X'
with connected, closed, banned, choked, unchoked (whether it serves us), served, unserved (whether
we serve it), interested, snubbed; X is an address or a connection like 3.1.

Exit codes: 0 identical, or found; 7 never happens; 33 the replay left the record; 26 not a trace.";

/// `replay`.
pub(super) fn replay() -> Command {
    let path = |name: &'static str, help: &'static str| {
        option(name, "OUT", help)
            .value_parser(value_parser!(std::path::PathBuf))
            .value_hint(ValueHint::FilePath)
    };
    let step = || value_parser!(u64);
    Command::new("replay")
        .about("Run a recorded run again, compare every step, and look around in it")
        .after_help(REPLAY_HELP)
        .arg(
            Arg::new("trace")
                .value_name("TRACE")
                .required(true)
                .value_hint(ValueHint::FilePath)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("A trace that --record wrote"),
        )
        .arg(option("goto", "N", "Show step N").value_parser(step()))
        .arg(option("until", "COND", "Show the step that brings this about"))
        .arg(
            flag("backwards", "Look for it before --goto, not behind")
                .requires_all(["until", "goto"]),
        )
        .arg(option("peer", "X", "Show all steps with this peer: an address, or a connection"))
        .arg(
            option("piece", "N", "Show all steps with this piece").value_parser(value_parser!(u32)),
        )
        .arg(flag("why", "Say what caused the step and what it changed"))
        .arg(
            Arg::new("diff")
                .long("diff")
                .num_args(2)
                .value_names(["N", "M"])
                .value_parser(step())
                .help("Show in what the states behind two steps differ"),
        )
        .arg(flag("interactive", "Take commands; 'help' lists them"))
        .arg(force())
        .arg(path("redact", "Write the trace without addresses, names, hashes and keys"))
        .arg(path("minimise", "Write the shortest trace that fails in the same way"))
}
