//! What documents and files of CI say, held against what is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benches/README.md",
    "tests/README.md",
    "tests/campaign/README.md",
];

#[test]
fn what_documents_link_to_is_there() {
    let mut links = 0;
    for name in DOCUMENTS {
        let text = read(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            links += 1;
            let folder = root().join(name).parent().unwrap().to_owned();
            assert!(folder.join(path).exists(), "{name} links to {target}");
            let heading = |line: &&str| {
                let words = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && words.replace(' ', "-") == anchor
            };
            let is_here = anchor.is_empty() || text.lines().any(|line| heading(&line));
            assert!(is_here, "{name} links to {target}");
        }
    }
    assert!(links > 8, "{links} links");
}

/// Names of source files in backquotes, with folders in front or without, end the path of one that is there.
#[test]
fn the_source_files_that_documents_name_are_there() {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files"]).output();
    let Ok(listed) = listed.map(|output| String::from_utf8(output.stdout).unwrap()) else { return };
    let is_there = |name: &str| {
        listed.lines().any(|path| {
            path.strip_suffix(name).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
        })
    };
    let mut names = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let quoted = text.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs"));
        // `NAME` and stars stand for many, and what has spaces in it is a command.
        let names_one = |word: &&str| !word.contains("NAME") && !word.contains(['*', ' ', '\n']);
        for name in quoted.filter(names_one) {
            names += 1;
            assert!(is_there(name), "{document} names {name}");
        }
    }
    assert!(names > 100, "{names} names");
}

/// The top level is fixed, and what stands there has a line in a table of README or ARCHITECTURE, or is what every
/// project has.
#[test]
fn the_top_level_has_nothing_that_nobody_expects() {
    let known = [
        "engine",
        "driver-mio",
        "tests",
        "fuzz",
        "benches",
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "deny.toml",
        "rust-toolchain.toml",
        "rustfmt.toml",
        ".ci",
        ".github",
        ".editorconfig",
        ".gitattributes",
        ".gitignore",
    ];
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files"]).output();
    let Ok(listed) = listed.map(|output| String::from_utf8(output.stdout).unwrap()) else { return };
    let found: BTreeSet<&str> = listed.lines().filter_map(|path| path.split('/').next()).collect();
    let strange: Vec<_> = found.into_iter().filter(|name| !known.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn one_command_passes_all_tests_and_ci_calls_that_very_one() {
    assert!(read("README.md").contains("\n    .ci/test\n"));
    assert!(read(".ci/run").trim_end().ends_with("exec ./.ci/test"));
    assert!(read(".github/workflows/ci.yaml").contains("- run: .ci/run\n"));
}

/// What the workflows, README and CONTRIBUTING call by its path is a script that can be run.
#[test]
fn scripts_that_are_named_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeSet::new();
    for name in ["README.md", "CONTRIBUTING.md", ".github/workflows/ci.yaml", ".ci/run", ".ci/test"]
    {
        let text = read(name);
        for word in text.split(|c: char| c.is_whitespace() || "`();".contains(c)) {
            let word = word.trim_start_matches("./").trim_end_matches(['.', ',', ':']);
            if word.starts_with(".ci/") || word.starts_with("tests/campaign/parallel") {
                found.insert(word.to_owned());
            }
        }
    }
    found.retain(|name| !name.ends_with(".txt") && name != ".ci/");
    assert!(found.len() > 5, "{found:?}");
    for name in found {
        let mode = std::fs::metadata(root().join(&name)).map(|found| found.permissions().mode());
        assert!(mode.is_ok_and(|mode| mode & 0o111 != 0), "{name}");
    }
}

/// Numbers behind the words `BEP` and in the first column of the table in README.
fn numbers(text: &str) -> BTreeSet<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Sources name a BEP where they do what it says.
#[test]
fn every_bep_that_readme_lists_is_named_in_the_engine() {
    let readme = read("README.md");
    let table = readme.split("| BEP | what |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|row| row.split('|').nth(1));
    let listed: BTreeSet<u32> = rows.flat_map(numbers).collect();
    assert!(listed.len() > 25, "{listed:?}");
    let mut named = BTreeSet::new();
    for (_, text) in crate::tidy::sources("engine/src") {
        for behind in text.split("BEP ").skip(1) {
            let list = |c: char| c.is_ascii_digit() || ", BEPand".contains(c);
            named.extend(numbers(&behind.chars().take_while(|c| list(*c)).collect::<String>()));
        }
    }
    let missing: Vec<_> = listed.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `rust-version` is what README says, and no dependency asks for a newer compiler. What the standard library has
/// since is found by clippy (`incompatible_msrv`), and CI builds with that very compiler.
#[test]
fn the_declared_rust_version_is_enough_for_every_dependency() {
    let manifest = read("Cargo.toml");
    let declared = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(read("README.md").contains(&format!("Rust {declared} or newer")));
    assert!(read("CONTRIBUTING.md").contains(&format!("Rust {declared} or newer")));
    assert!(read(".github/workflows/ci.yaml").contains("cargo \"+$oldest\" check --workspace"));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let version = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap());
        (parts.next().unwrap(), parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    for package in metadata["packages"].as_array().unwrap() {
        let asked = package["rust_version"].as_str().unwrap_or("1.0");
        assert!(version(asked) <= version(declared), "{} asks for {asked}", package["name"]);
    }
}
