//! SIGINT and SIGTERM: once to stop tidily, twice to leave at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Signals that came.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        let signals = Self::default();
        for (signal, number) in [(SIGINT, 2), (SIGTERM, 15)] {
            let again = Arc::new(AtomicBool::new(false));
            // Registered first, so that it acts only on the second signal.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + number, again.clone())?;
            signal_hook::flag::register(signal, again)?;
            signal_hook::flag::register_usize(signal, signals.last.clone(), number as usize)?;
        }
        Ok(signals)
    }

    /// The exit code of the signal that came, if one did.
    pub fn exit_code(&self) -> Option<u8> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            number => Some(128 + number as u8),
        }
    }
}
