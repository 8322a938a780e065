//! Standard output and standard error: the only place in the program that writes to them.
//!
//! What goes to standard output is data. When it cannot be written, nothing more is written, and the
//! program ends with a code of its own: 141 if nobody reads it any more, as SIGPIPE would end it, and 17
//! for any other reason. What goes to standard error is news for people. It is dropped when it cannot be
//! written, also when the reader stands still: a transfer does not wait for whoever watches it.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};
use rustix::termios::{LocalModes, isatty, tcgetattr};

use super::exit::{CLOSED, DISK, Failure, io_text};
use super::signals;

/// Most bytes handed over at once: what a pipe that has room takes without waiting.
const CHUNK: usize = 4096;
/// How long a line on standard error waits for its reader, and a picture that is redrawn.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a wait for the reader of data looks whether the program was told to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long a program that was told to stop still waits for the reader of its data.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Whether standard output was closed when the program began. The runtime opens `/dev/null` in its place,
/// so it has to be asked before that.
static NEVER_OPEN: AtomicBool = AtomicBool::new(false);
/// Why data was lost, once it was.
static LOST: Mutex<Option<Lost>> = Mutex::new(None);
/// The reader of standard error has not taken anything for a while: it is not waited for until it does.
static DEAF: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Debug)]
enum Lost {
    /// Nobody reads it.
    Closed,
    /// The system refused it, for this reason.
    Refused(String),
}

/// Notes whether standard output is closed; to be called before the runtime of Rust is set up.
pub fn look_before_main() {
    let closed = rustix::io::fcntl_getfd(stdout()) == Err(Errno::BADF);
    NEVER_OPEN.store(closed, Ordering::Relaxed);
}

/// Writes data to standard output. After the first failure, which [`lost`] tells, this does nothing.
pub fn write_data(bytes: &[u8]) {
    let mut lost = LOST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if lost.is_some() {
        return;
    }
    if NEVER_OPEN.load(Ordering::Relaxed) {
        *lost = Some(Lost::Closed);
        return;
    }
    *lost = match write(stdout(), bytes, wait_for_reader) {
        Ok(()) => None,
        Err(Errno::PIPE | Errno::CONNRESET) => Some(Lost::Closed),
        Err(error) => Some(Lost::Refused(io_text(&io::Error::from(error)))),
    };
}

/// Why data was lost, with the exit code that tells it.
pub fn lost() -> Option<Failure> {
    let lost = LOST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lost.as_ref().map(|lost| match lost {
        Lost::Closed => Failure::new(CLOSED, ""),
        Lost::Refused(why) => Failure::new(DISK, format!("cannot write to stdout: {why}")),
    })
}

/// Writes news to standard error, after a short wait if its reader is busy. Whether it was taken.
pub fn write_news(bytes: &[u8]) -> bool {
    let patience = if DEAF.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    let written = write_within(bytes, patience);
    DEAF.store(written == Err(Errno::AGAIN), Ordering::Relaxed);
    written.is_ok()
}

/// Writes a picture to standard error if its reader is there at once. Whether it was taken.
pub fn write_picture(bytes: &[u8]) -> bool {
    write_within(bytes, Duration::ZERO).is_ok()
}

fn write_within(bytes: &[u8], patience: Duration) -> Result<(), Errno> {
    let end = Instant::now() + patience;
    let mut begun = false;
    write(stderr(), bytes, |fd| {
        // Half a sequence would leave the terminal in a state of its own.
        let end = if begun { end.max(Instant::now() + PATIENCE) } else { end };
        begun = true;
        let left = end.saturating_duration_since(Instant::now());
        if may_write(fd) && is_writable(fd, left)? { Ok(()) } else { Err(Errno::AGAIN) }
    })
}

/// Writes everything, a chunk at a time, each after `wait` has said that it may go.
fn write(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    mut wait: impl FnMut(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        wait(fd)?;
        match rustix::io::write(fd, &rest[..rest.len().min(CHUNK)]) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until data can be written, for as long as that takes; a program that was told to stop does not
/// wait for ever.
fn wait_for_reader(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut told: Option<Instant> = None;
    loop {
        if may_write(fd) {
            if is_writable(fd, LOOK)? {
                return Ok(());
            }
        } else {
            std::thread::sleep(LOOK);
        }
        if signals::told_to_stop()
            && told.get_or_insert_with(Instant::now).elapsed() >= LAST_PATIENCE
        {
            return Err(Errno::TIMEDOUT);
        }
    }
}

/// Whether something can be written without waiting, or will be refused, within this time.
fn is_writable(fd: BorrowedFd<'_>, patience: Duration) -> Result<bool, Errno> {
    let mut entry = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    match poll(&mut entry, Some(&patience)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a write is not answered with a signal that stops this process: where `stty tostop` is set, a
/// terminal stops whoever writes from the background, and neither SIGTERM nor SIGHUP would end it then.
fn may_write(fd: BorrowedFd<'_>) -> bool {
    if !isatty(fd) || is_foreground(fd) {
        return true;
    }
    tcgetattr(fd).map_or(true, |state| !state.local_modes.contains(LocalModes::TOSTOP))
}

/// Whether this is a terminal, and this process belongs to the job that it is shown.
pub fn is_foreground(fd: BorrowedFd<'_>) -> bool {
    tcgetpgrp(fd).is_ok_and(|group| group == getpgrp())
}
