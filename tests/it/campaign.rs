//! Campaigns, and the files that hand them to other programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use eddyline_sim::campaign::{Campaign, FindingKind, Plan, Shard, run_one};
use eddyline_sim::command_line::options;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in a file of calls of the program: words that look like long options, as far as the
/// end of the line. Commands go on behind a backslash, and in YAML where the next line begins
/// with an option.
fn named_options(text: &str) -> BTreeSet<String> {
    let joined = text.replace("\\\n", " ").replace("\n          --", " --");
    let joined = joined.replace("\n              --", " --");
    let mut found = BTreeSet::new();
    for line in joined.lines() {
        let calls = ["swarm --", "swarm merge", "swarm\" --", "swarm\" merge"];
        let Some(start) = calls.iter().filter_map(|call| line.find(call)).min() else { continue };
        let words = line[start..].split_whitespace();
        let options = words.filter_map(|word| word.trim_matches('"').strip_prefix("--"));
        found.extend(options.map(|word| {
            let end = word.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            word[..end.unwrap_or(word.len())].to_owned()
        }));
    }
    found.retain(|word| !word.is_empty());
    found
}

/// Files that begin a campaign.
const CAMPAIGNS: &[&str] = &[
    "tests/campaign/parallel",
    "tests/campaign/kubernetes.yaml",
    "tests/campaign/slurm.sh",
    ".github/workflows/campaign.yaml",
];

#[test]
fn files_for_other_programs_name_options_that_exist() {
    let known = options();
    assert!(known.contains("shard") && known.contains("log"));
    let more = ["tests/campaign/README.md", ".ci/test", "README.md"];
    for path in CAMPAIGNS.iter().chain(&more).map(|name| root().join(name)) {
        let named = named_options(&read(&path));
        assert!(!named.is_empty(), "{} calls the program", path.display());
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{} names {unknown:?}", path.display());
    }
    assert!(named_options("swarm --shard 1/2 \\\n  --jsn > x").contains("jsn"));
}

/// Every part of a campaign has to have the same seed, and a number.
#[test]
fn every_file_gives_parts_one_seed_and_a_number() {
    for name in CAMPAIGNS {
        let named = named_options(&read(&root().join(name)));
        for option in ["scenarios", "seed", "shard", "json"] {
            assert!(named.contains(option), "{name} does not give --{option}");
        }
    }
}

/// Scenarios of a campaign have the numbers behind its seed, so campaigns whose seeds are neighbours would run the
/// same ones again.
#[test]
fn jobs_of_slurm_that_follow_each_other_run_other_scenarios() {
    let folder = tempfile::tempdir().unwrap();
    // In place of Slurm: what would be run goes where its results would.
    std::fs::write(folder.path().join("srun"), "#!/bin/sh\necho \"$@\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("srun"), mode).unwrap();
    let seed = |job: u32, task: u32| {
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut script = std::process::Command::new("bash");
        script.arg(root().canonicalize().unwrap().join("tests/campaign/slurm.sh"));
        script.current_dir(folder.path()).env("PATH", path).env_remove("SEED");
        script.env("SLURM_ARRAY_JOB_ID", job.to_string());
        script.env("SLURM_ARRAY_TASK_ID", task.to_string()).env("SLURM_ARRAY_TASK_COUNT", "64");
        assert!(script.status().unwrap().success());
        let called = read(&folder.path().join(format!("campaign-{job}/{task}.json")));
        let words: Vec<&str> = called.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "--seed").unwrap();
        let digits = words[at + 1].strip_prefix("0x").expect("a seed in hexadecimal");
        u64::from_str_radix(digits, 16).unwrap()
    };
    assert_eq!(seed(1001, 0), seed(1001, 63), "all parts have the same one");
    assert!(seed(1001, 0).abs_diff(seed(1002, 0)) > 10_000_000);
}

/// The list of fuzz targets is `fuzz/coverage.txt`; whoever builds, runs or measures goes by it.
#[test]
fn every_fuzz_target_is_listed_built_and_has_inputs() {
    let fuzz = root().join("fuzz");
    let listed: BTreeSet<String> = read(&fuzz.join("coverage.txt"))
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    let built: BTreeSet<String> = std::fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(listed, built);
    for name in &listed {
        let inputs = std::fs::read_dir(fuzz.join("corpus").join(name));
        assert!(inputs.is_ok_and(|mut inputs| inputs.next().is_some()), "{name} has no inputs");
    }
    let script = read(&root().join("tests/campaign/oss-fuzz/build.sh"));
    assert!(script.contains(".ci/fuzz-build") && root().join(".ci/fuzz-build").is_file());
}

/// The log says of each campaign what was run and what was found.
#[test]
fn every_line_of_the_log_has_all_columns() {
    let text = read(&root().join("tests/campaign/log.tsv"));
    let mut lines = text.lines();
    let columns = eddyline_sim::campaign::LOG_HEAD.trim_end().split('\t');
    let columns: Vec<_> = columns.collect();
    assert_eq!(lines.next().unwrap().split('\t').collect::<Vec<_>>(), columns);
    for line in lines {
        assert_eq!(line.split('\t').count(), columns.len(), "{line}");
    }
}

/// What a run of the whole program prints of a failure can be read at a glance.
#[test]
fn a_campaign_counts_what_it_ran_and_goes_on_behind_a_finding() {
    let plan = Plan { commit: "here".into(), seed: 0, stormy: true, scenarios: Some(9), shards: 3 };
    let mut told = Vec::new();
    let shard = Shard { index: 2, of: 3 };
    let campaign = Campaign { plan, shard, time: None };
    let results = campaign.run(&mut |line| told.push(line.to_owned()));
    assert_eq!((results.scenarios, results.shards.as_slice()), (3, [2].as_slice()));
    assert!(results.findings.is_empty(), "{:?}", results.findings);
    let mut again = results.clone();
    assert!(run_one(5, true, &mut again).is_none());
    assert_eq!(again.scenarios, 4);
    // Numbers of kinds are exit codes.
    assert_eq!(FindingKind::Correctness as u8, 13);
}
