//! What a step changed: the difference between two states, each value under its path.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::engine::Engine;

/// One value that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Where it is, such as `torrents.0.peers.ConnId(0.1).am_choking`.
    pub path: String,
    /// What it was; `None` when it was not there.
    pub before: Option<String>,
    /// What it is; `None` when it is not there any more.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        write!(f, "{}: {} → {}", self.path, text(&self.before), text(&self.after))
    }
}

/// Everything in which two states of an engine differ, in order of its paths.
pub fn changes(before: &Engine, after: &Engine) -> Vec<Change> {
    let mut old = flatten(&format!("{before:#?}"));
    let mut found = Vec::new();
    for (path, value) in flatten(&format!("{after:#?}")) {
        match old.remove(&path) {
            Some(same) if same == value => {}
            before => found.push(Change { path, before, after: Some(value) }),
        }
    }
    let gone = |(path, value)| Change { path, before: Some(value), after: None };
    found.extend(old.into_iter().map(gone));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The leaves of an indented `Debug` text under their paths. Wrappers that hold one value, such as
/// `Some(..)`, add nothing to the path.
fn flatten(text: &str) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    // Per open bracket: the part of the path, and the number of the next unnamed element.
    let mut open: Vec<(Option<String>, u32)> = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches(',');
        let mut rest = line;
        if line.starts_with(['}', ')', ']']) {
            open.pop();
            rest = line[1..].trim_start_matches(": ");
            if rest.is_empty() {
                continue;
            }
        }
        let (name, value) = match rest.split_once(": ") {
            Some((name, value)) if !name.contains(['"', ' ']) => (Some(name.to_string()), value),
            _ => (None, rest),
        };
        if let Some(head) = value.strip_suffix(['{', '(', '[']) {
            let head = head.trim();
            let wrapper = value.ends_with('(') && !head.is_empty();
            let part = name.or_else(|| element(&mut open).filter(|_| !wrapper));
            open.push((part, 0));
            continue;
        }
        let part = name.or_else(|| element(&mut open));
        let parts = open.iter().filter_map(|(part, _)| part.as_deref()).chain(part.as_deref());
        leaves.insert(parts.collect::<Vec<_>>().join("."), value.to_string());
    }
    leaves
}

fn element(open: &mut [(Option<String>, u32)]) -> Option<String> {
    let (_, next) = open.last_mut()?;
    *next += 1;
    Some((*next - 1).to_string())
}
