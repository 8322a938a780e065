//! Reads files of lists again when they have changed, on a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use eddyline::filter::Filter;
use eddyline::{Command, Event};
use eddyline_disk::mailbox::Mailbox;

use super::{Blocklist, ListError, ListRead, Lists};

/// What came of files that have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// One was read.
    Read(ListRead),
    /// One cannot be used: what it said before counts.
    Unread(ListError),
    /// As many ranges are blocked now.
    Blocked(usize),
}

/// A thread that looks at the files of lists now and then. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    told: Receiver<Told>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// When a file was changed, and how long it is.
type Stamp = Option<(SystemTime, u64)>;

impl Watch {
    /// Looks every so often; a new filter goes to the engine and to everything that makes sockets.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        mut lists: Lists,
        every: Duration,
        mailbox: Mailbox,
        blocklist: Blocklist,
    ) -> std::io::Result<Self> {
        let (tell, told) = unbounded();
        let (stop, stopped) = bounded::<()>(0);
        let mut seen = stamps(&lists);
        let look = move || {
            let mut before = seen.clone();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let now = stamps(&lists);
                // A file that somebody writes at this moment is read when it stays as it is.
                let settled = now == before;
                before.clone_from(&now);
                if !settled || now == seen {
                    continue;
                }
                seen = now;
                read(&mut lists, &tell, &blocklist, &mailbox);
            }
        };
        let thread = std::thread::Builder::new().name("lists".into()).spawn(look)?;
        Ok(Self { told, stop: Some(stop), thread: Some(thread) })
    }

    /// What happened since this was asked last.
    #[must_use]
    pub fn take_told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It may be in the middle of a list: that is read to its end, and nobody hears of it.
        drop(self.thread.take());
    }
}

fn read(lists: &mut Lists, tell: &Sender<Told>, blocklist: &Blocklist, mailbox: &Mailbox) {
    let outcomes = lists.read_again().into_iter();
    let outcomes: Vec<Told> =
        outcomes.map(|outcome| outcome.map_or_else(Told::Unread, Told::Read)).collect();
    let filter: Arc<Filter> = lists.filter().into();
    let changed = *filter != *blocklist.get();
    let blocked = changed.then(|| Told::Blocked(filter.len()));
    if changed {
        blocklist.set(filter.clone());
        mailbox.leave([Event::from(Command::SetFilter(filter))]);
    }
    for told in outcomes.into_iter().chain(blocked) {
        let _ = tell.send(told);
    }
    mailbox.wake();
}

fn stamps(lists: &Lists) -> Vec<Stamp> {
    lists.files().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}
