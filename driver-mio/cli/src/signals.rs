//! What ends a run from outside, and what stops it for a while. SIGINT and SIGTERM once to stop tidily,
//! twice to leave at once; SIGHUP to stop tidily, however often it comes: a terminal that closes sends it
//! more than once. SIGTSTP stops the job and leaves the terminal as it was.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::unistd::{Pid, getpgrp, getsid};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH, SIGXFSZ};
use signal_hook::iterator;
use signal_hook::low_level::emulate_default_handler;

use super::{streams, terminal};

/// What came of work that a signal can end.
#[derive(Debug)]
pub enum Ended<T> {
    /// It was done.
    Done(T),
    /// A signal came first; the exit code that goes with it.
    BySignal(u8),
}

/// The number of the last signal that came, for whoever waits elsewhere.
static LAST: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Signals that came.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        let signals = Self { last: LAST.get_or_init(Arc::default).clone() };
        let mut watched = vec![SIGINT, SIGTERM, SIGCONT, SIGWINCH];
        for signal in [SIGINT, SIGTERM] {
            let again = Arc::new(AtomicBool::new(false));
            // Registered first, so that it acts only on the second signal.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
            signal_hook::flag::register(signal, again)?;
            signal_hook::flag::register_usize(signal, signals.last.clone(), signal as usize)?;
        }
        // nohup has it ignored so that it stays without effect.
        if !is_ignored(SIGHUP) {
            signal_hook::flag::register_usize(SIGHUP, signals.last.clone(), SIGHUP as usize)?;
            watched.push(SIGHUP);
        }
        // Beyond a limit of the user's, a write fails and says so.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        if !is_ignored(SIGTSTP) && !is_orphaned() {
            watched.push(SIGTSTP);
        }
        let mut coming = iterator::Signals::new(watched)?;
        std::thread::spawn(move || coming.forever().for_each(handle));
        Ok(signals)
    }

    /// The exit code for what should end the run, if anything should: a signal that came, or data that
    /// cannot be written any more.
    pub fn exit_code(&self) -> Option<u8> {
        match self.last.load(Ordering::Relaxed) {
            0 => streams::lost().map(|failure| failure.code),
            number => Some(128 + number as u8),
        }
    }
}

/// Whether a signal has told the program to stop.
pub fn told_to_stop() -> bool {
    stop_code().is_some()
}

/// The exit code for a signal that has told the program to stop.
pub fn stop_code() -> Option<u8> {
    let last = LAST.get().map_or(0, |last| last.load(Ordering::Relaxed));
    (last != 0).then_some(128 + last as u8)
}

fn handle(signal: i32) {
    match signal {
        SIGTSTP => {
            let terminal = terminal::let_go();
            // All threads stand still here until the job goes on.
            let _ = emulate_default_handler(SIGTSTP);
            terminal.go_on();
        }
        SIGCONT => terminal::go_on(),
        SIGWINCH => terminal::resized(),
        // A second one ends the program at once, wherever it is.
        _ => drop(terminal::let_go()),
    }
}

/// Whether whoever started this process has this signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether no shell could let this job go on: that of the leader of the terminal's session is not stopped
/// by the system either.
fn is_orphaned() -> bool {
    getsid(None).is_ok_and(|leader| leads_its_own_session(leader, getpgrp()))
}

/// Zero stands for whoever is outside of this process's namespace, as in a container that was entered: a
/// shell may be there.
fn leads_its_own_session(leader: Pid, group: Pid) -> bool {
    leader == group && leader.as_raw() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_whose_leader_cannot_be_seen_from_here_may_have_a_shell() {
        let pid = Pid::from_raw;
        assert!(leads_its_own_session(pid(7), pid(7)));
        assert!(!leads_its_own_session(pid(7), pid(8)));
        assert!(!leads_its_own_session(pid(0), pid(8)));
        assert!(!leads_its_own_session(pid(0), pid(0)));
    }
}
