//! One failing scenario, in ten lines, and what makes it the same as another.

use std::fmt;

use eddyline::base::hash::Sha1Hash;
use serde::{Deserialize, Serialize};

/// Lines of what the engine did last.
pub(super) const STORY: usize = 5;
/// Characters of a line of a report.
const WIDTH: usize = 200;
/// Scenarios that are named for one fingerprint.
const NAMED: usize = 5;

/// What kind of failure it is; numbers are exit codes of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// An engine panicked.
    Panic = 10,
    /// An invariant or a rule of a checker was broken.
    Invariant = 11,
    /// Something did not complete in time.
    Liveness = 12,
    /// Something is complete and wrong.
    Correctness = 13,
}

/// Failing scenarios that fail in the same way: those of one fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of failure.
    pub kind: FindingKind,
    /// Names the kind of failure and its message without what differs from seed to seed.
    pub fingerprint: String,
    /// What the first one said.
    pub message: String,
    /// Where, when, and in what swarm.
    pub place: String,
    /// The swarm, and what befell it.
    pub swarm: Vec<String>,
    /// What the engine did last.
    pub story: Vec<String>,
    /// How to see it again.
    pub command: String,
    /// How many scenarios failed like that.
    pub count: u64,
    /// The first of them.
    pub scenarios: Vec<u64>,
    /// What befell each of them: faults and blows that none was without.
    pub always: Vec<String>,
}

impl Finding {
    /// Takes in another one with the same fingerprint.
    pub fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.scenarios.extend(&other.scenarios);
        self.scenarios.sort_unstable();
        self.scenarios.truncate(NAMED);
        self.always.retain(|befell| other.always.contains(befell));
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        writeln!(f, "{} {kind}: {}", self.fingerprint, cut(&self.message))?;
        writeln!(f, "  {}", cut(&self.place))?;
        // Ten lines in any case.
        let many = usize::from(self.count > 1);
        for line in self.swarm.iter().chain(self.story.iter().skip(many)) {
            writeln!(f, "  {}", cut(line))?;
        }
        if self.count > 1 {
            let (count, some, all) = (self.count, &self.scenarios, self.always.join(", "));
            writeln!(f, "  {}", cut(&format!("{count} scenarios, {some:?}; to all came {all}")))?;
        }
        writeln!(f, "  to see it again: {}", self.command)
    }
}

fn cut(line: &str) -> String {
    let line = line.lines().next().unwrap_or_default();
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line.to_owned(),
    }
}

/// A name for all failures of a kind whose messages differ in nothing but numbers and names.
pub(super) fn fingerprint(kind: FindingKind, message: &str) -> String {
    let text = format!("{kind:?} {}", normalise(message));
    Sha1Hash::of(text.as_bytes()).to_hex()[..10].to_owned()
}

/// A message without what differs from seed to seed: addresses and numbers that are not zero become
/// signs, things said of several nodes are said once. How many of something there are matters only
/// where there are none.
pub(super) fn normalise(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    // Where it happened is told apart from what happened.
    let first = first.split(" (node at ").next().unwrap_or_default();
    let (head, rest) = first.split_once(": ").unwrap_or((first, ""));
    let mut parts: Vec<String> = rest.split("; ").map(signs).collect();
    parts.sort();
    parts.dedup();
    format!("{}: {}", signs(head), parts.join("; "))
}

fn signs(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if bare.parse::<std::net::SocketAddr>().is_ok() || bare.parse::<std::net::IpAddr>().is_ok()
        {
            return word.replace(bare, "A");
        }
        if bare.len() >= 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return word.replace(bare, "H");
        }
        numbers(word)
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Digits in a row become `N`, but for a zero that stands alone.
fn numbers(word: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in word.chars().chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        match digits.as_str() {
            "" => {}
            // How many of something there are matters where there are none; ids have zeros, too.
            "0" if word == "0" => out.push('0'),
            _ => out.push('N'),
        }
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}
