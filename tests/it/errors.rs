//! What an embedder may expect of every public error, which no compiler checks.

use super::tidy::sources;

/// Crates that others depend on.
const PUBLISHED: &[&str] = &[
    "engine/src",
    "engine/mse/src",
    "engine/utp/src",
    "driver-mio/src",
    "driver-mio/disk/src",
    "driver-mio/session/src",
];

/// What is missing at the error types of a file: as traits, as a promise that there may be more of them, and as
/// an answer to whose fault it is.
fn faults(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("\npub enum ") {
        let head = &text[at + "\npub enum ".len()..];
        let of: String = head.chars().take_while(|c| c.is_alphanumeric()).collect();
        if !["Error", "Failure", "Trouble"].iter().any(|end| of.ends_with(end)) {
            continue;
        }
        // Attributes stand between the blank line above and the type.
        let before = &text[text[..at].rfind("\n\n").unwrap_or(0)..at];
        let derives = |what: &str| before.contains(what);
        let implements = |what: &str| text.contains(&format!("{what} for {of} "));
        let says_whose = text.contains(&format!("impl {of} {{\n    /// Whose fault it is"));
        let required = [
            ("non_exhaustive", derives("#[non_exhaustive]")),
            ("PartialEq", derives("PartialEq")),
            ("Error", derives("thiserror::Error") || implements("error::Error")),
            ("Display", derives("thiserror::Error") || implements("fmt::Display")),
            ("fault", says_whose && text.contains("pub const fn fault(&self)")),
        ];
        let missing = required.into_iter().filter(|(_, there)| !there);
        found.extend(missing.map(|(what, _)| format!("{name}: {of} has no {what}")));
    }
    found
}

#[test]
fn every_public_error_can_be_shown_compared_and_extended_and_says_whose_fault_it_is() {
    let all: Vec<_> = PUBLISHED.iter().flat_map(|folder| sources(folder)).collect();
    let missing: Vec<_> = all.iter().flat_map(|(name, text)| faults(name, text)).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let types = all.iter().flat_map(|(_, text)| text.split("\npub enum ").skip(1));
    let errors = types.filter(|text| text.split(' ').next().unwrap().ends_with("Error"));
    assert!(errors.count() > 20, "they are found");
}

#[test]
fn an_error_without_what_is_expected_is_found() {
    let bare = "\n\n#[derive(Debug)]\npub enum BadError {\n    One,\n}\n";
    let names = ["non_exhaustive", "PartialEq", "Error", "Display", "fault"];
    assert_eq!(faults("x", bare), names.map(|what| format!("x: BadError has no {what}")));
}
