//! What is redrawn on the terminal, as one job among others: nothing is drawn and no mode is changed from
//! the background, the terminal is restored when the job is stopped, and drawn on again when it is back
//! in the foreground.

mod picture;

use std::sync::{Mutex, MutexGuard};

use rustix::stdio::{stderr, stdout};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use super::signals::told_to_stop;
use super::streams::{is_foreground, write_data, write_news, write_picture};
use picture::Picture;

/// A size that is assumed where the terminal does not tell it.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

static SCREEN: Mutex<Screen> = Mutex::new(Screen::new());

/// What stands at the bottom of the terminal and is redrawn; gone with the value.
#[derive(Debug)]
pub struct Display(());

impl Display {
    /// A display, where standard error is a terminal that can be redrawn.
    pub fn open() -> Option<Self> {
        if !can_be_redrawn() {
            return None;
        }
        screen().wanted = Some(Vec::new());
        Some(Self(()))
    }

    /// Shows these lines in place of what was shown. What does not fit is left out.
    pub fn show(&self, lines: Vec<String>) {
        let mut screen = screen();
        screen.wanted = Some(lines);
        screen.draw();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let mut screen = screen();
        screen.wanted = None;
        screen.erase();
        screen.restore_modes();
    }
}

/// Writes to standard error, above the display where there is one.
pub fn write_above(text: &str) {
    let mut screen = screen();
    let all = format!("{}{text}", screen.erasing());
    if write_news(all.as_bytes()) {
        screen.picture.forget();
        screen.draw();
    }
}

/// Writes data to standard output; above the display, if both are on a terminal.
pub fn write_data_above(bytes: &[u8]) {
    let mut screen = screen();
    if screen.picture.is_empty() || !isatty(stdout()) {
        drop(screen);
        write_data(bytes);
        return;
    }
    screen.erase();
    write_data(bytes);
    screen.draw();
}

/// The job is about to be stopped, or the program to end: the terminal is left as it was found. The
/// display stays away for as long as the guard is held.
pub fn let_go() -> LetGo {
    let mut screen = screen();
    screen.erase();
    screen.restore_modes();
    LetGo(screen)
}

/// Holds the display back.
pub struct LetGo(MutexGuard<'static, Screen>);

impl LetGo {
    /// The job was stopped and goes on, perhaps in the foreground, on a terminal that others have used meanwhile.
    pub fn go_on(mut self) {
        self.0.awaits_continue = true;
        self.0.go_on();
    }
}

/// The signal came that lets a job go on. After a stop that came without a warning the display stands somewhere above.
pub fn go_on() {
    let mut screen = screen();
    // Else there would be two displays, one below the other.
    if !std::mem::take(&mut screen.awaits_continue) {
        screen.go_on();
    }
}

/// The terminal has another size.
pub fn resized() {
    screen().draw();
}

/// Whether standard error is a terminal on which something can be redrawn.
fn can_be_redrawn() -> bool {
    let term = std::env::var_os("TERM").unwrap_or_default();
    isatty(stderr()) && !term.is_empty() && term != "dumb"
}

/// Columns and rows of the terminal; at least one of each.
pub fn size() -> (usize, usize) {
    let size = tcgetwinsize(stderr()).ok();
    let or = |told: u16, otherwise: usize| if told == 0 { otherwise } else { told.into() };
    size.map_or((COLUMNS, ROWS), |size| (or(size.ws_col, COLUMNS), or(size.ws_row, ROWS)))
}

/// Columns of standard output, if that is a terminal that tells them.
pub fn output_width() -> Option<usize> {
    let size = isatty(stdout()).then(|| tcgetwinsize(stdout()).ok()).flatten()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The display, and what of it stands on the terminal.
#[derive(Debug)]
struct Screen {
    /// Lines to be shown; nothing where there is no display.
    wanted: Option<Vec<String>>,
    /// What of it stands there.
    picture: Picture,
    /// The signal that lets a job go on after one that it was warned of is still to come.
    awaits_continue: bool,
    /// Control keys are not echoed: `^C` would be written into the display.
    modes_changed: bool,
    /// They were echoed before.
    echoed: bool,
}

impl Screen {
    const fn new() -> Self {
        Self {
            wanted: None,
            picture: Picture::new(),
            awaits_continue: false,
            modes_changed: false,
            echoed: false,
        }
    }

    /// Brings the terminal up to date.
    fn draw(&mut self) {
        let Some(wanted) = self.wanted.as_ref().filter(|_| !told_to_stop()) else { return };
        if !is_foreground(stderr()) {
            // Whatever stood there belongs to the job in the foreground now.
            self.picture.forget();
            self.modes_changed = false;
            return;
        }
        let (columns, rows) = size();
        // The last column stays free: what fills it may or may not begin a new line.
        let fitting = wanted.iter().take(rows.saturating_sub(1).max(1));
        let lines: Vec<String> = fitting
            .map(|line| console::truncate_str(line, (columns - 1).max(1), "…").into_owned())
            .map(|line| if is_utf8() { line } else { in_ascii(&line) })
            .collect();
        let Some(drawing) = self.picture.drawing(&lines, (columns, rows)) else { return };
        self.quiet_control_keys();
        if write_picture(drawing.as_bytes()) {
            self.picture.drawn(lines, (columns, rows));
        }
    }

    /// Draws below whatever others have written.
    fn go_on(&mut self) {
        self.picture.forget();
        self.modes_changed = false;
        self.draw();
    }

    /// What removes the drawn lines.
    fn erasing(&self) -> String {
        if !is_foreground(stderr()) {
            return String::new();
        }
        self.picture.erasing()
    }

    fn erase(&mut self) {
        let erasing = self.erasing();
        if write_news(erasing.as_bytes()) {
            self.picture.forget();
        }
    }

    fn quiet_control_keys(&mut self) {
        if self.modes_changed {
            return;
        }
        let Ok(mut state) = tcgetattr(stderr()) else { return };
        self.modes_changed = true;
        if state.local_modes.contains(LocalModes::ECHOCTL) {
            self.echoed = true;
            state.local_modes.remove(LocalModes::ECHOCTL);
            let _ = tcsetattr(stderr(), OptionalActions::Now, &state);
        }
    }

    fn restore_modes(&mut self) {
        if !self.modes_changed || !is_foreground(stderr()) {
            return;
        }
        self.modes_changed = false;
        let Ok(mut state) = tcgetattr(stderr()) else { return };
        if self.echoed {
            state.local_modes.insert(LocalModes::ECHOCTL);
            let _ = tcsetattr(stderr(), OptionalActions::Now, &state);
        }
    }
}

/// Whether the terminal can be given more than ASCII. Where nobody says what it takes, that is so of most.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = set.into_iter().find(|locale| !locale.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Bars, maps and arrows in ASCII, each in as many cells.
fn in_ascii(line: &str) -> String {
    let plain = |c: char| match c {
        '━' | '╸' | '█' => '#',
        '─' => '-',
        '↓' => 'v',
        '↑' => '^',
        '…' => '~',
        '·' => '.',
        // Levels of the map: eighths that are there.
        '▁'..='▇' => char::from_digit(c as u32 - '▁' as u32 + 1, 10).unwrap_or('#'),
        other => other,
    };
    line.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    //! Unit tests of what takes the place of other characters.

    use super::in_ascii;

    #[test]
    fn bars_and_maps_in_ascii_have_the_same_width() {
        let line = "━━╸── ↓ 1 MiB/s ↑ 2 B/s …·▁▂▇█";
        let plain = in_ascii(line);
        assert_eq!(plain, "###-- v 1 MiB/s ^ 2 B/s ~.127#");
        assert_eq!(plain.chars().count(), line.chars().count());
    }
}
