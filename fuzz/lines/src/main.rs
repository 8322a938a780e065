//! Counts the lines of the engine that a run reached: `lines PROFILE BINARY SOURCES FLOORS`.
//!
//! PROFILE is what BINARY, built with `-C instrument-coverage`, left behind. A line counts when a
//! region of code begins on it or spans it, and is reached when the innermost of those was. FLOORS
//! names each part of SOURCES with the share, in tenths of a percent, below which it must not fall;
//! tests beside the code are not part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use llvm_profparser::{CoverageMapping, coverage::reporting::CoverageResult, parse};

/// How far above its floor a part may be before the floor should follow, in tenths of a percent. A
/// floor is set ten below what is reached, so that a few lines more do not break it.
const SLACK: u64 = 20;

/// Lines of code, and those of them that were reached.
#[derive(Clone, Copy, Default)]
struct Lines {
    all: u64,
    reached: u64,
}

impl Lines {
    fn add(&mut self, other: Lines) {
        self.all += other.all;
        self.reached += other.reached;
    }

    fn permille(self) -> u64 {
        (self.reached * 1_000).checked_div(self.all).unwrap_or(1_000)
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [profile, binary, sources, floors] = arguments.as_slice() else {
        bail!("usage: lines PROFILE BINARY SOURCES FLOORS");
    };
    let parts = measure(profile, binary, sources)?;
    let text = std::fs::read_to_string(floors).context("the file of floors")?;
    let mut failed = false;
    for line in text.lines() {
        let (name, floor) = line.split_once(' ').context("a floor is `PART PERMILLE`")?;
        let floor: u64 = floor.parse().with_context(|| format!("the floor of {name}"))?;
        let lines = parts.get(name).copied().with_context(|| format!("there is no part {name}"))?;
        let share = lines.permille();
        println!("{name}: {} of {} lines, {share} ‰ (floor {floor})", lines.reached, lines.all);
        if share < floor {
            eprintln!("{name}: the committed inputs reach less than they did");
            failed = true;
        } else if share > floor + SLACK {
            println!("{name}: the floor can be raised to {share}");
        }
    }
    let named: BTreeSet<&str> = text.lines().filter_map(|l| Some(l.split_once(' ')?.0)).collect();
    for name in parts.keys().filter(|name| !named.contains(name.as_str())) {
        eprintln!("{name} has no floor");
        failed = true;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// The lines of each file or folder right under `sources`, and of `engine`, the whole.
fn measure(profile: &Path, binary: &Path, sources: &Path) -> Result<BTreeMap<String, Lines>> {
    let sources = sources.canonicalize().context("the folder of sources")?;
    let profile = parse(profile).context("the profile")?;
    let binary = [binary.to_path_buf()];
    let mapping = CoverageMapping::new(&binary, &profile, false)?;
    let report =
        mapping.generate_subreport(|paths| paths.iter().any(|path| path.starts_with(&sources)))?;
    let mut parts = BTreeMap::<String, Lines>::new();
    for (path, result) in &report.files {
        let Ok(inside) = path.strip_prefix(&sources) else { continue };
        if inside.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let lines = count(result);
        let part = inside.iter().next().context("a file has a name")?;
        let part = Path::new(part).with_extension("").display().to_string();
        parts.entry(part).or_default().add(lines);
        parts.entry("engine-in-all".into()).or_default().add(lines);
    }
    Ok(parts)
}

/// The lines of one file.
fn count(result: &CoverageResult) -> Lines {
    // Regions come in the order of where they begin, so the last that spans a line is the innermost;
    // on the line where several begin, one that was reached is enough.
    let mut reached = BTreeMap::<usize, (usize, bool)>::new();
    for (place, hits) in &result.hits {
        for line in place.line_start..=place.line_end {
            let entry = reached.entry(line).or_default();
            let begins_here = entry.0 == line && place.line_start == line;
            *entry = (place.line_start, *hits > 0 || (begins_here && entry.1));
        }
    }
    let all = reached.len() as u64;
    Lines { all, reached: reached.values().filter(|(_, reached)| *reached).count() as u64 }
}
