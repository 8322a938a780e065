//! How things look: colours and text. Nothing else in the program prints text, so that what strangers
//! call things reaches no terminal and no reader of JSON raw.

use std::fmt::Write as _;
use std::sync::Mutex;

use serde::Serialize;

use super::args::Color;
use super::terminal;

/// The failure that was told last, while others went on.
static TOLD: Mutex<Option<String>> = Mutex::new(None);

/// Applies `--color` and `NO_COLOR`.
pub fn choose_colors(when: Color) {
    let enabled = match when {
        Color::Always => true,
        Color::Never => false,
        // `console` looks at the terminal and at NO_COLOR.
        Color::Auto => return,
    };
    console::set_colors_enabled(enabled);
    console::set_colors_enabled_stderr(enabled);
}

/// Prints to stdout, in one or more lines. What cannot be printed decides how the program ends.
pub fn line(text: &str) {
    put(&lines(text));
}

/// Prints a value as JSON on a line of its own, its keys in order.
pub fn json(value: &impl Serialize) {
    // What is printed has texts for keys: it can always be written.
    let value = serde_json::to_value(value).unwrap_or_default();
    put(&escaped(&value.to_string()));
}

fn put(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Prints bytes to stdout as they are: a file that was asked for.
pub fn bytes(bytes: &[u8]) {
    terminal::write_data_above(bytes);
}

/// Prints to stderr, in one or more lines. That nobody reads it is no failure.
pub fn say(text: &str) {
    say_styled(&lines(text));
}

/// Prints to stderr what this program has made itself, colours and all.
pub fn say_styled(text: &str) {
    terminal::write_above(&format!("{text}\n"));
}

/// Prints what the parser of the command line has to say, where it belongs. What was given on the command
/// line, as a magnet, may be from anybody.
pub fn parser_message(error: &clap::Error) {
    let text = error.render();
    let (plain, to_stderr) = (text.to_string(), error.use_stderr());
    let colors =
        if to_stderr { console::colors_enabled_stderr() } else { console::colors_enabled() };
    let styled = colors && !plain.chars().any(|c| steers(c) && c != '\n');
    let shown = if styled { text.ansi().to_string() } else { lines(&plain) };
    if to_stderr {
        terminal::write_above(&shown);
    } else {
        bytes(shown.as_bytes());
    }
}

/// Prints to stderr why something failed that may be the end of everything: it is not told again then.
pub fn tell_failure(message: &str) {
    *TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(message.to_owned());
    say(&printable(message));
}

/// What of a message was not told by [`tell_failure`].
pub fn untold(message: &str) -> &str {
    let told = TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let rest = told.as_deref().and_then(|told| message.strip_suffix(told));
    rest.map_or(message, |rest| rest.trim_end_matches([':', ' ']))
}

/// Prints to stderr what one should know, in one line.
pub fn warn(text: &str) {
    say_styled(&format!("warning: {}", printable(text)));
}

/// Text in one line that cannot move the cursor, change colours or the direction of reading.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`printable`], but for ends of lines and tabs: text of our own with names in it.
fn lines(text: &str) -> String {
    let kept = |c| !steers(c) || matches!(c, '\n' | '\t');
    text.chars().map(|c| if kept(c) { c } else { '\u{fffd}' }).collect()
}

/// JSON in which everything that [`steers`] a terminal is escaped. Outside of strings there is no such
/// thing.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character does something else than to be seen: C0, DEL and C1, separators of lines and
/// paragraphs, marks, embeddings, overrides and isolates of direction, tags.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}')
}

#[cfg(test)]
mod tests {
    //! Unit tests of text that strangers have written.

    use super::*;

    const EVIL: &str =
        "a\x1b[31m\u{9b}2J\u{202e}b\u{2066}\u{2028}\u{7f}\u{61c}\u{200f}\n\r\u{e0001}z";

    #[test]
    fn nothing_that_steers_is_left_and_the_rest_stays() {
        for text in [printable(EVIL), lines(EVIL).replace('\n', ""), escaped(EVIL)] {
            assert!(!text.chars().any(steers), "{text:?}");
            assert!(text.starts_with('a') && text.ends_with('z') && text.contains("[31m"));
        }
        for harmless in ["日本語 русский עברית العربية", "👩‍👩‍👧 é", "a b_c-d.e", ""]
        {
            assert_eq!(printable(harmless), harmless);
            assert_eq!(escaped(harmless), harmless);
        }
    }

    #[test]
    fn escaped_json_says_the_same() {
        let value = serde_json::json!({ EVIL: [EVIL, "plain"] });
        let text = escaped(&value.to_string());
        assert!(!text.chars().any(steers));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
