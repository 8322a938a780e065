//! Counts instructions under valgrind and holds them against `benches/instructions.txt`. Unlike
//! times, they do not depend on the mood of the machine.
//!
//! Without arguments: the table. `check`: fails where a count is a tenth above the committed one.
//! `run NAME COUNT`: what valgrind is given.

use std::process::{Command, ExitCode};

use eddyline_benches::workloads::{ALL, Workload};

/// What may be lost without anybody noticing.
const TOLERANCE: f64 = 1.10;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => {
            ALL.iter().for_each(|workload| println!("{}", row(workload, measure(workload))));
            ExitCode::SUCCESS
        }
        ["check"] => check(),
        ["run", name, count] => {
            let workload = ALL.iter().find(|workload| workload.name == *name);
            match (workload, count.parse()) {
                (Some(workload), Ok(count)) => println!("{}", (workload.run)(count)),
                _ => return usage(),
            }
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: instructions [check | run NAME COUNT]");
    ExitCode::from(2)
}

fn row(workload: &Workload, count: u64) -> String {
    format!("{:<32} {count:>8}", workload.name)
}

/// Instructions of one repetition: the difference between few and many, so that what is done once
/// falls out.
fn measure(workload: &Workload) -> u64 {
    let (few, few_times) = instructions(workload.name, workload.count);
    let (many, many_times) = instructions(workload.name, 3 * workload.count);
    many.saturating_sub(few) / (many_times - few_times).max(1)
}

/// Instructions of a run, and how often it did what it does.
fn instructions(name: &str, count: u64) -> (u64, u64) {
    let this = std::env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(this)
        .args(["run", name, &count.to_string()])
        .output()
        .expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}");
    let line = text.lines().find(|line| line.contains("I") && line.contains("refs:"));
    let number = line.and_then(|line| line.rsplit("refs:").next()).expect("a count");
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let times = String::from_utf8_lossy(&output.stdout).trim().parse();
    (digits.parse().expect("a number"), times.expect("a number"))
}

fn check() -> ExitCode {
    let baseline = std::fs::read_to_string(BASELINE).expect("a baseline");
    let mut worse = 0;
    for workload in ALL {
        let committed = baseline.lines().find_map(|line| {
            let (name, count) = line.rsplit_once(' ')?;
            (name.trim() == workload.name).then(|| count.parse::<u64>().ok())?
        });
        let count = measure(workload);
        let verdict = match committed {
            None => "is not in the baseline",
            Some(before) if count as f64 > before as f64 * TOLERANCE => "is more than it was",
            Some(before) if (count as f64) * TOLERANCE < before as f64 => "less: commit it",
            Some(_) => "",
        };
        println!("{} {verdict}", row(workload, count));
        worse += u32::from(verdict.starts_with("is"));
    }
    if worse > 0 {
        eprintln!("{worse} counts got worse; if that is meant, commit the new table");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
