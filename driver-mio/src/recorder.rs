//! Recording a run into a file, on a thread of its own so that no step waits for the disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as StdInstant};

use crossbeam_channel::{Sender, bounded};
use eddyline::base::time::Instant;
use eddyline::trace::{Origin, Recorder};
use eddyline::{Action, Engine, Event, Wakeup};
use eddyline_disk::private;

/// Bytes gathered before they are handed to the thread.
const CHUNK: usize = 64 * 1024;
/// Longest that bytes wait here: what a killed process can lose.
const PATIENCE: Duration = Duration::from_millis(100);
/// Chunks on their way to the disk; a disk that is slower still holds the run up.
const QUEUE: usize = 256;

/// Where a run is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordTo {
    /// The file.
    pub path: PathBuf,
    /// Whether a file that is there is written over.
    pub replace: bool,
}

/// A trace that is being written.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    recorder: Recorder,
    handed_over: StdInstant,
    chunks: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl TraceFile {
    /// Creates the file for an engine that came to be as `origin` says.
    ///
    /// # Errors
    /// When the file cannot be created, or is there already and must not be replaced.
    pub fn create(to: &RecordTo, origin: Origin) -> io::Result<Self> {
        let path = &to.path;
        let mut file = if to.replace { private::create(path)? } else { private::create_new(path)? };
        let (chunks, queue) = bounded::<Vec<u8>>(QUEUE);
        let failure = Arc::new(Mutex::new(None));
        let told = failure.clone();
        let thread = std::thread::spawn(move || {
            for chunk in queue {
                if let Err(error) = file.write_all(&chunk) {
                    *lock(&told) = Some(error);
                    return;
                }
            }
        });
        Ok(Self {
            path: path.to_owned(),
            recorder: Recorder::new(origin),
            handed_over: StdInstant::now(),
            chunks: Some(chunks),
            thread: Some(thread),
            failure,
        })
    }

    /// Where it is written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes and records one step.
    pub fn step(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        events: impl IntoIterator<Item = Event>,
        actions: &mut Vec<Action>,
    ) -> Wakeup {
        let wakeup = self.recorder.step(engine, now, events, actions);
        if self.recorder.pending() >= CHUNK || self.handed_over.elapsed() >= PATIENCE {
            self.hand_over();
        }
        wakeup
    }

    /// Hands everything recorded to the thread; to be called before a long wait.
    pub fn hand_over(&mut self) {
        self.handed_over = StdInstant::now();
        if self.recorder.pending() > 0
            && let Some(chunks) = &self.chunks
        {
            // The thread ends early only after an error, which `finish` tells.
            let _ = chunks.send(self.recorder.take());
        }
    }

    /// Ends the trace and waits until it is written.
    ///
    /// # Errors
    /// When part of it could not be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.close();
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    fn close(&mut self) {
        self.hand_over();
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The step that brought the engine down is what the trace is wanted for.
            self.recorder.interrupted();
        }
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
