//! How the engine is put together, counted: what owns what, what changes what, and what must not see what.

use super::tidy::sources;

/// What each machine of a torrent may see of its siblings, and why; none sees the torrent. `upload` and `credit` are
/// parts of `traffic`, in files of their own.
const MACHINES: &[(&str, &[&str])] = &[
    ("contents", &[]),
    ("life", &[]),
    ("goal", &["reads"]),
    ("reads", &[]),
    ("rest", &[]),
    ("blame", &[]),
    ("have_log", &[]),
    ("exchange", &[]),
    ("metadata", &[]),
    ("punch", &[]),
    ("traffic", &[]),
    ("credit", &["traffic"]),
    ("upload", &["traffic"]),
    // What the torrent is doing is lent to it.
    ("storage", &["life"]),
];
/// The same of `torrent/storage/`.
const OF_STORAGE: &[&str] = &["record", "adoption", "arrangement", "doubt", "saving", "full_disk"];
/// What they are made of sees all of them: that is what it is for.
const STORAGE_ITSELF: &[&str] = &["mod", "opening", "upkeep", "tests", "tests/machine"];

/// Files that change a torrent, besides `corrupt.rs`, which tests do.
const CHANGED_FROM: usize = 6;
const FIELDS_OF_A_TORRENT: usize = 20;
const FIELDS_OF_THE_CONTEXT: usize = 12;

/// A source without its unit tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn fields(text: &str, head: &str) -> usize {
    let body = text.split(head).nth(1).and_then(|rest| rest.split("\n}").next());
    let body = body.unwrap_or_else(|| panic!("{head} is there"));
    let is_field = |line: &&str| {
        let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let name = line.split(": ").next().unwrap_or_default();
        line.contains(": ") && name.chars().all(|c| c.is_lowercase() || c == '_')
    };
    body.lines().filter(is_field).count()
}

#[test]
fn a_torrent_and_the_context_have_few_fields_and_a_torrent_is_changed_from_few_files() {
    let all = sources("engine/src");
    let file = |name: &str| all.iter().find(|(path, _)| path == name).map(|(_, text)| &text[..]);
    let torrent = file("engine/src/torrent.rs").expect("a torrent");
    let context = file("engine/src/context.rs").expect("a context");
    let of_torrent = fields(torrent, "pub(crate) struct Torrent {");
    let of_context = fields(context, "pub struct Context {");
    assert!((10..=FIELDS_OF_A_TORRENT).contains(&of_torrent), "{of_torrent}");
    assert!((5..=FIELDS_OF_THE_CONTEXT).contains(&of_context), "{of_context}");
    let changes = |text: &str| {
        let blocks = text.split("\nimpl Torrent {\n").skip(1);
        blocks
            .filter_map(|block| block.split("\n}").next())
            .any(|block| block.contains("&mut self"))
    };
    let changing: Vec<&str> = all
        .iter()
        .filter(|(path, text)| changes(text) && !path.ends_with("/corrupt.rs"))
        .map(|(path, _)| &path[..])
        .collect();
    assert!(changing.len() <= CHANGED_FROM, "{changing:#?}");
    let elsewhere = changing.iter().find(|path| !path.starts_with("engine/src/torrent"));
    assert_eq!(elsewhere, None);
    // What is private to it, the compiler keeps from all others.
    let body = torrent
        .split("pub(crate) struct Torrent {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next());
    let open = body.expect("its fields").lines().find(|line| line.trim_start().starts_with("pub"));
    assert_eq!(open, None);
}

/// The module of a torrent that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("engine/src/torrent/")?;
    Some(inside.split(['/', '.']).next().unwrap_or_default())
}

#[test]
fn no_machine_of_a_torrent_sees_the_torrent_or_another() {
    let all = sources("engine/src");
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in &all {
        let Some((own, allowed)) =
            MACHINES.iter().find(|(name, _)| module(path) == Some(name)).copied()
        else {
            continue;
        };
        seen += 1;
        let text = code(text);
        let siblings = MACHINES.iter().map(|(name, _)| *name);
        for sibling in siblings.filter(|name| *name != own && !allowed.contains(name)) {
            let uses = [format!("super::{sibling}::"), format!("torrent::{sibling}::")];
            if uses.iter().any(|used| text.contains(used)) {
                faults.push(format!("{path} sees {sibling}"));
            }
        }
        let names_it = |line: &str| {
            let line = line.replace("Rename::Torrent", "").replace("Source::Torrent", "");
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            !line.trim_start().starts_with("//") && words.any(|word| word == "Torrent")
        };
        faults.extend(
            text.lines().filter(|line| names_it(line)).map(|line| format!("{path}: {line}")),
        );
    }
    assert!(seen >= MACHINES.len() + OF_STORAGE.len(), "{seen} files");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_machine_of_storage_sees_another() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in sources("engine/src/torrent/storage") {
        let name = path.trim_start_matches("engine/src/torrent/storage/").trim_end_matches(".rs");
        if STORAGE_ITSELF.contains(&name) {
            continue;
        }
        assert!(OF_STORAGE.contains(&name), "{name} is in the table of this test");
        seen += 1;
        let text = code(&text);
        for other in OF_STORAGE.iter().filter(|other| **other != name) {
            if text.contains(&format!("super::{other}::")) || text.contains("super::Storage") {
                faults.push(format!("{path} sees {other}, or storage itself"));
            }
        }
    }
    assert_eq!(seen, OF_STORAGE.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The table of a section of ARCHITECTURE: its rows, each as cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("there");
    let section = text.split(&format!("\n{heading}\n")).nth(1).expect("a heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn what_is_decided_where_is_there() {
    let all = sources("engine/src");
    let rows = table("## Where is it decided");
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        let mut file = None;
        for name in quoted(&row[1]) {
            if name.ends_with(".rs") {
                file = all.iter().find(|(path, _)| *path == format!("engine/src/{name}"));
                assert!(file.is_some(), "{}: {name} is not there", row[0]);
            } else if !name.ends_with('/') {
                let (path, text) = file.unwrap_or_else(|| panic!("{}: {name} of no file", row[0]));
                let function = name.rsplit("::").next().unwrap_or_default();
                assert!(text.contains(&format!("fn {function}")), "{path} has no {function}");
            }
        }
        assert!(file.is_some(), "{} names a file", row[0]);
    }
}

/// What is called otherwise here, as the glossary has it.
const CALLED_OTHERWISE: &[(&str, &str)] = &[
    ("subpiece", "block"),
    ("bitmap", "bit field"),
    ("infodict", "info dictionary, or metadata"),
    ("blacklist", "ban"),
    ("banlist", "ban"),
    ("endpoint", "address"),
    ("unheard", "awaits a turn"),
    ("wish", "request"),
    ("wishes", "requests"),
    ("throttled", "awaits the disk"),
];

/// Words of a text: `camelCase`, `snake_case` and prose alike, in small letters.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + text.len() / 8);
    let mut small = false;
    for c in text.chars() {
        if c.is_uppercase() && small {
            spaced.push(' ');
        }
        small = c.is_lowercase() || c.is_ascii_digit();
        spaced.push(if c.is_alphanumeric() { c } else { ' ' });
    }
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

#[test]
fn words_of_the_glossary_are_those_of_the_code() {
    let all = sources("engine/src");
    let text: Vec<String> = all.iter().map(|(_, text)| words(text).join(" ")).collect();
    let rows = table("## Glossary");
    assert!(rows.len() > 30, "{} rows", rows.len());
    let mut unused = Vec::new();
    for term in rows.iter().flat_map(|row| row[0].split(", ")) {
        // Of what is two words each occurs, in any order: `on_record`, `part file`.
        let term = words(term).join(" ");
        if !text.iter().any(|text| format!(" {text} ").contains(&format!(" {term} "))) {
            unused.push(term);
        }
    }
    assert!(unused.is_empty(), "in the glossary, not in the engine: {unused:?}");
    let mut faults = Vec::new();
    for (path, text) in &all {
        for (number, line) in text.lines().enumerate() {
            let found = words(line);
            let wrong = CALLED_OTHERWISE.iter().filter(|(word, _)| found.iter().any(|f| f == word));
            faults.extend(wrong.map(|(word, right)| {
                format!("{path}:{}: {word:?} is called {right:?} here", number + 1)
            }));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
