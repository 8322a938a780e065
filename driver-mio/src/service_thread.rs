//! The one thread on which names are looked up and HTTP is spoken. Whatever waits there for somebody else costs a
//! small structure, not a thread.

use std::convert::Infallible;
use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads for look-ups by the system's resolver, which cannot be asked otherwise.
pub(crate) const SYSTEM_LOOKUPS: usize = 4;

/// A thread that is started when it is first needed. It ends when this is dropped, and with it everything that it did.
#[derive(Debug, Default)]
pub(crate) struct ServiceThread(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    handle: Handle,
    /// The thread ends when this is gone.
    _stop: oneshot::Sender<Infallible>,
}

impl ServiceThread {
    /// Where to give the thread something to do.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_ref() {
            return Ok(running.handle.clone());
        }
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().max_blocking_threads(SYSTEM_LOOKUPS);
        let runtime = runtime.build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        std::thread::Builder::new().name("services".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // Nobody waits for a look-up of the system's.
            runtime.shutdown_background();
        })?;
        *running = Some(Running { handle: handle.clone(), _stop: stop });
        Ok(handle)
    }
}
