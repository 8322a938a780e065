//! How things look: colours, and printing to a pipe that may be gone.

use std::io::Write;

use clap::ArgMatches;
use serde_json::Value;

/// Applies `--color` and `NO_COLOR`.
pub fn choose_colors(matches: &ArgMatches) {
    let when = matches.get_one::<String>("color").map_or("auto", String::as_str);
    match when {
        "always" => {
            console::set_colors_enabled(true);
            console::set_colors_enabled_stderr(true);
        }
        "never" => {
            console::set_colors_enabled(false);
            console::set_colors_enabled_stderr(false);
        }
        // `console` looks at the terminal and at NO_COLOR.
        _ => {}
    }
}

/// Prints a line to stdout. A reader that has gone away ends the program as it would any other.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a JSON value on a line of its own.
pub fn json(value: &Value) {
    line(&value.to_string());
}

/// Text that cannot move the cursor or change colours.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
