//! The terminal while a display is redrawn on it.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Keeps the terminal from writing `^C` into the display; gone with the value. A process that is
/// killed leaves no more than that behind.
#[derive(Debug)]
pub struct QuietControlKeys {
    was_on: bool,
}

impl QuietControlKeys {
    /// Takes effect where there is a terminal.
    pub fn begin() -> Self {
        let was_on = change(|modes| {
            let was_on = modes.contains(LocalModes::ECHOCTL);
            modes.remove(LocalModes::ECHOCTL);
            was_on
        });
        Self { was_on: was_on == Some(true) }
    }
}

impl Drop for QuietControlKeys {
    fn drop(&mut self) {
        if self.was_on {
            change(|modes| modes.insert(LocalModes::ECHOCTL));
        }
    }
}

fn change<T>(apply: impl FnOnce(&mut LocalModes) -> T) -> Option<T> {
    let terminal = std::io::stderr();
    let mut state = tcgetattr(&terminal).ok()?;
    let outcome = apply(&mut state.local_modes);
    tcsetattr(&terminal, OptionalActions::Now, &state).ok()?;
    Some(outcome)
}
