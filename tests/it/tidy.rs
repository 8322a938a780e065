//! What no compiler checks: layers, banned words, sizes, and a doc comment at the head of each
//! module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

/// Longer files, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words that must not stand in the engine outside comments, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("HashMap", "iteration order differs between runs"),
    ("HashSet", "iteration order differs between runs"),
    ("f32", "floating point differs between machines"),
    ("f64", "floating point differs between machines"),
    ("std::time", "time enters only through `now`"),
    ("std::net", "no sockets; addresses are in core::net"),
    ("std::fs", "no files"),
    ("std::thread", "no threads"),
    ("std::env", "no environment"),
    ("println!", "no output"),
    ("{:p}", "addresses differ between runs"),
    ("static mut", "no globals"),
    ("thread_rng", "no ambient randomness"),
    ("todo!", "nothing is left to do later"),
    ("unimplemented!", "nothing is left to do later"),
    ("unsafe", "forbidden"),
];

/// Which modules each top-level module of the engine may use: only ones that stand above it in this table,
/// so that layers point one way.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("filter", &["base"]),
    ("bencode", &["base"]),
    ("metainfo", &["base", "bencode"]),
    ("wire", &["base", "bencode"]),
    ("dht", &["base", "bencode"]),
    ("local_discovery", &["base"]),
    ("api", &["base", "dht", "filter", "metainfo", "wire"]),
    ("resume", &["api", "base", "bencode", "metainfo"]),
    ("lookups", &["base"]),
    ("tracker", &["api", "base", "bencode", "filter", "wire"]),
    ("bandwidth", &["base"]),
    ("mixed_mode", &["base"]),
    ("picker", &["base", "metainfo"]),
    ("peer_exchange", &["base", "wire"]),
    ("holepunch", &["base"]),
    ("metadata_fetch", &["base", "metainfo", "picker", "wire"]),
    ("webseed", &["api", "base", "metainfo", "picker", "tracker"]),
    ("peer", &["api", "base", "metainfo", "peer_exchange", "picker", "wire"]),
    ("choker", &["api", "base"]),
    ("candidates", &["api", "base", "picker"]),
    ("standby", &["base"]),
    ("standing", &["base", "filter"]),
    (
        "context",
        &[
            "api",
            "bandwidth",
            "base",
            "holepunch",
            "mixed_mode",
            "picker",
            "standing",
            "tracker",
            "webseed",
            "wire",
        ],
    ),
    (
        "torrent",
        &[
            "api",
            "bandwidth",
            "base",
            "candidates",
            "context",
            "metadata_fetch",
            "metainfo",
            "peer",
            "peer_exchange",
            "picker",
            "resume",
            "standby",
            "standing",
            "tracker",
            "webseed",
            "wire",
        ],
    ),
    (
        "engine",
        &[
            "api",
            "bandwidth",
            "base",
            "candidates",
            "choker",
            "context",
            "dht",
            "filter",
            "local_discovery",
            "lookups",
            "metainfo",
            "mixed_mode",
            "peer",
            "standby",
            "standing",
            "torrent",
            "tracker",
            "wire",
        ],
    ),
    (
        "trace",
        &[
            "api", "base", "bencode", "dht", "engine", "filter", "metainfo", "peer", "resume",
            "wire",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Name and text of every source file below a folder of the project.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut stack = vec![root().join(folder)];
    while let Some(path) = stack.pop() {
        for entry in std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !is_made_by_tools(&path) {
                    stack.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// Whether a folder holds what was built or found, not what somebody wrote.
fn is_made_by_tools(folder: &Path) -> bool {
    ["target", "corpus", "artifacts"].iter().any(|name| folder.ends_with(name))
}

fn all_sources() -> Vec<(String, String)> {
    ["engine", "driver-mio", "tests", "fuzz", "benches"].into_iter().flat_map(sources).collect()
}

/// Every crate is read, those that are not members of the workspace too.
#[test]
fn the_rules_of_this_file_hold_for_every_folder_that_has_sources() {
    let all = all_sources();
    for known in [
        "engine/src/lib.rs",
        "driver-mio/tests/contract.rs",
        "tests/it/tidy.rs",
        "tests/memory/main.rs",
        "fuzz/fuzz_targets/scenario.rs",
        "fuzz/lines/src/main.rs",
        "benches/src/lib.rs",
        "benches/benches/engine.rs",
    ] {
        assert!(all.iter().any(|(name, _)| name == known), "{known} is not read");
    }
    assert!(all.iter().all(|(name, _)| !name.contains("/target/")));
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs")
}

#[test]
fn every_module_opens_with_a_doc_comment() {
    for (name, text) in all_sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//!"), "{name} begins with {first:?}");
    }
}

#[test]
fn files_and_functions_stay_small() {
    let mut faults = Vec::new();
    for (name, text) in all_sources() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES && !LONG_FILES.iter().any(|(known, _)| *known == name) {
            faults.push(format!("{name} has {lines} lines"));
        }
        faults.extend(long_functions(&name, &text));
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > 120 {
                faults.push(format!("{name}:{} is too long a line", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Lines that a whole client may take which is an example of how the crates are used.
const MAX_EXAMPLE_LINES: usize = 150;

#[test]
fn examples_are_short() {
    let all = sources("driver-mio/examples");
    let lines: Vec<_> = all.iter().map(|(name, text)| (name, text.lines().count())).collect();
    assert!(lines.iter().all(|(_, count)| *count <= MAX_EXAMPLE_LINES), "{lines:?}");
    // A client on the front page of the library for it.
    let page = std::fs::read_to_string(root().join("driver-mio/session/src/lib.rs")).unwrap();
    let example = page.split("```").nth(1).unwrap();
    assert!(example.contains("fn main()") && example.lines().count() <= 21, "{example}");
}

/// What no engineer says to another: a number or a time has a name.
const NOT_PLAIN: &[&str] = &["so many", "so much", "so long", "anew"];

#[test]
fn comments_are_in_plain_words() {
    let mut faults = Vec::new();
    for (name, text) in all_sources() {
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").unwrap_or_default();
            let words = format!(" {} ", comment.replace(|c: char| !c.is_alphanumeric(), " "));
            let found = NOT_PLAIN.iter().filter(|not| words.contains(&format!(" {not} ")));
            faults.extend(found.map(|not| format!("{name}:{} says {not:?}", number + 1)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Functions by indentation, which the formatter keeps honest.
fn long_functions(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_before =
            |word: &&str| word.starts_with("pub") || ["const", "async", "unsafe"].contains(word);
        // `pub(in path)` is two words.
        let mut words = line.split_whitespace().filter(|word| !word.ends_with(')'));
        let is_function = words.find(|word| !is_before(word)) == Some("fn");
        if open.is_none() && is_function && !line.trim_end().ends_with(';') {
            open = Some((number, indent, line.trim().to_owned()));
        }
        if let Some((start, at, head)) = &open
            && indent == *at
            && line.trim() == "}"
        {
            let length = number - start + 1;
            if length > MAX_FUNCTION_LINES {
                faults.push(format!("{name}:{}: {length} lines: {head}", start + 1));
            }
            open = None;
        }
    }
    faults
}

#[test]
fn the_engine_contains_nothing_that_differs_between_runs() {
    let pure = ["engine/src", "engine/mse/src"].into_iter().flat_map(sources);
    for (name, text) in pure.filter(|(name, _)| !is_test(name)) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (word, reason) in BANNED {
                let allowed = *word == "unsafe" && code.contains("forbid(unsafe_code)");
                assert!(!code.contains(word) || allowed, "{name}:{}: {word}: {reason}", number + 1);
            }
        }
    }
}

/// What writes to a stream, or asks for one. Each of these forgets errors, or panics at them, or waits for
/// a reader that stands still.
const WRITES_TO_STREAMS: &[&str] = &[
    "print!(",
    "println!(",
    "dbg!(",
    "io::stdout",
    "io::stderr",
    "io::{stdout",
    "io::{stderr",
    "stdio::",
    "Term::",
    "indicatif",
    ".print()",
    "/dev/tty",
    "/dev/stderr",
];

#[test]
fn one_module_writes_to_streams_and_one_prints_text() {
    let driver = sources("driver-mio").into_iter().filter(|(name, _)| name.contains("/src/"));
    for (name, text) in driver {
        // The second asks for the size of the terminal, and for its modes; the third gives a trace its file, and errors
        // of that are the trace's.
        let own = ["cli/src/streams.rs", "cli/src/terminal.rs", "disk/src/private.rs"];
        if own.iter().any(|own| name.ends_with(own)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in WRITES_TO_STREAMS {
                assert!(!code.contains(word), "{name}:{}: {word}", number + 1);
            }
            // What strangers call things has to pass through `output` on its way there.
            let raw = ["write_data", "write_news", "write_above", "write_picture"];
            let prints = raw.iter().find(|word| code.contains(**word));
            assert!(
                prints.is_none() || name.ends_with("cli/src/output.rs"),
                "{name}:{}",
                number + 1
            );
        }
    }
}

#[test]
fn one_part_of_the_program_takes_the_command_line_apart() {
    let (mut definitions, mut faults) = (0, Vec::new());
    for (name, text) in sources("driver-mio/cli/src") {
        if ["/src/args", "/src/config_file.rs"].iter().any(|part| name.contains(part)) {
            definitions += 1;
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // What the parser has to say is printed like everything else.
            let code = if name.ends_with("/output.rs") {
                code.replace("clap::Error", "")
            } else {
                code.into()
            };
            if code.contains("clap") || code.contains("ArgMatches") {
                faults.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(definitions > 5, "{definitions} files say what the command line is");
    assert!(faults.is_empty(), "commands are given their own types:\n{}", faults.join("\n"));
}

/// Modules that a table allows to use what does not stand above them.
fn upward(layers: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, (module, allowed)) in layers.iter().enumerate() {
        let above: Vec<_> = layers[..place].iter().map(|(name, _)| name).collect();
        let wrong = allowed.iter().filter(|used| !above.contains(used));
        faults.extend(wrong.map(|used| format!("{module} may use {used}")));
    }
    faults
}

#[test]
fn the_table_of_layers_has_no_cycle() {
    assert_eq!(upward(LAYERS), Vec::<String>::new());
    let circle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["a"])];
    assert_eq!(upward(circle), ["a may use b"]);
}

#[test]
fn layers_point_one_way() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, text) in sources("engine/src") {
        let inner = name.strip_prefix("engine/src/").unwrap();
        let module = inner.split(['/', '.']).next().unwrap();
        if module == "lib" || is_test(&name) {
            continue;
        }
        let allowed = layers.get(module).unwrap_or_else(|| panic!("{module} has no layer"));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned)) {
            let used: String =
                used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !used.is_empty() && used != module && !allowed.contains(&used.as_str()) {
                faults.push(format!("{name} uses {used}"));
            }
        }
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The crates of this project that each crate between the engine and the program may use, and nothing else of
/// ours: like layers, only ones that stand above it.
const CRATES: &[(&str, &[&str])] = &[
    ("engine/mse", &[]),
    ("engine/utp", &[]),
    ("engine", &["engine/mse", "engine/utp"]),
    ("driver-mio/disk", &["engine"]),
    ("driver-mio", &["driver-mio/disk", "engine", "engine/mse"]),
    ("driver-mio/session", &["driver-mio", "driver-mio/disk", "engine"]),
    ("driver-mio/cli", &["driver-mio", "driver-mio/disk", "driver-mio/session", "engine"]),
];

/// What only the program brings: whoever embeds a library has a user interface and a configuration of its own.
const OF_THE_PROGRAM: &[&str] =
    &["clap", "clap_complete", "clap_mangen", "console", "rustyline", "signal-hook", "toml"];

/// Names of the dependencies in a manifest, without those of tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let behind = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let table = behind.split("\n[").next().unwrap_or_default();
    let lines = table.lines().filter(|line| !line.starts_with('#') && line.contains('='));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    lines.map(name).collect()
}

#[test]
fn crates_depend_one_way_and_only_the_program_brings_a_terminal() {
    assert_eq!(upward(CRATES), Vec::<String>::new());
    let read =
        |folder: &str| std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let package = |folder: &str| {
        let text = read(folder);
        text.split("name = \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let ours: BTreeMap<String, &str> =
        CRATES.iter().map(|(folder, _)| (package(folder), *folder)).collect();
    assert_eq!(ours.len(), CRATES.len());
    for (folder, allowed) in CRATES {
        let used = dependencies(&read(folder));
        assert!(!used.is_empty(), "{folder}");
        for name in &used {
            let own = ours.get(name);
            assert!(own.is_none_or(|own| allowed.contains(own)), "{folder} depends on {name}");
            let program = *folder == "driver-mio/cli" || !OF_THE_PROGRAM.contains(&name.as_str());
            assert!(program, "{folder} depends on {name}");
        }
        let has_loop = used.iter().any(|name| name == "mio");
        assert_eq!(has_loop, *folder == "driver-mio", "{folder} has an event loop");
    }
}

#[test]
fn names_say_what_a_thing_is_for() {
    for (name, _) in all_sources() {
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy().into_owned();
        for vague in ["utils", "util", "common", "manager", "helper", "helpers", "misc"] {
            assert_ne!(stem, vague, "{name}");
        }
    }
}

/// Files of the project that begin as scripts of a shell do.
fn shell_scripts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut stack: Vec<PathBuf> = [".ci", "benches", "driver-mio", "engine", "fuzz", "tests"]
        .iter()
        .map(|f| root().join(f))
        .collect();
    while let Some(path) = stack.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !is_made_by_tools(&path) {
                    stack.push(path);
                }
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let first = text.lines().next().unwrap_or_default();
            if first.starts_with("#!") && first.ends_with("sh") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, text));
            }
        }
    }
    found
}

/// Whatever writes to a reader that has gone dies of it, now and then; with `pipefail` the whole pipe then fails,
/// now and then.
#[test]
fn no_script_with_pipefail_reads_only_the_beginning_of_a_pipe() {
    let mut scripts = 0;
    let mut faults = Vec::new();
    for (name, text) in shell_scripts() {
        if !text.contains("pipefail") {
            continue;
        }
        scripts += 1;
        for (number, line) in text.lines().enumerate() {
            let piped = line.split('|').skip(1).map(str::trim_start);
            let early = piped.filter(|command| {
                let mut words = command.split_whitespace();
                match words.next() {
                    Some("head") => true,
                    Some("grep") => {
                        let flags = words.next().unwrap_or_default();
                        let quits = |flag: char| flag == 'q' || flag == 'm';
                        flags.starts_with('-') && flags.chars().any(quits)
                            || command.contains("/dev/null")
                    }
                    _ => false,
                }
            });
            faults.extend(early.map(|command| format!("{name}:{}: {command}", number + 1)));
        }
    }
    assert!(scripts > 8, "{scripts} scripts were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
