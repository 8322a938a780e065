//! Campaigns: any number of random scenarios, cut into parts for any number of machines.
//!
//! A campaign goes on behind a failure, so that one that is known does not hide the next; failures
//! that are alike are counted under one fingerprint.

mod finding;
mod results;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

pub use finding::{Finding, FindingKind};
pub use results::{ENOUGH, LOG_HEAD, Plan, Results};

use crate::journal::Journal;
use crate::scenario::{Outcome, Scenario, Verdict};

/// Where the last panic was: what is caught says only what was said.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);
/// Whether a scenario runs, whose panic is a finding.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// A part of a campaign: every scenario whose number leaves the same rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Which one.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `I/N`. The last part may be called `0` or `N`: some systems count from zero, some from one.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not I/N with I from 0 or 1 up to N");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let index: u64 = index.parse().map_err(|_| wrong())?;
        let of: u64 = of.parse().map_err(|_| wrong())?;
        if of == 0 || index > of {
            return Err(wrong());
        }
        Ok(Self { index: index % of, of })
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What is the same for all parts.
    pub plan: Plan,
    /// Which part.
    pub shard: Shard,
    /// When to end, where it is not a number of scenarios that decides.
    pub time: Option<Duration>,
}

impl Campaign {
    /// Runs this part. `progress` hears of each finding with a new fingerprint, and of each
    /// thousand scenarios.
    pub fn run(&self, progress: &mut dyn FnMut(&str)) -> Results {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let Plan { seed, scenarios, stormy, .. } = self.plan;
        let mut results = Results::none(self.plan.clone(), self.shard.index);
        let mut number = self.shard.index;
        while scenarios.is_none_or(|count| number < count)
            && self.time.is_none_or(|time| started.elapsed() < time)
        {
            let ways = results.findings.len();
            if let Some(finding) = run_one(seed.wrapping_add(number), stormy, &mut results) {
                let text = finding.to_string();
                results.found(finding);
                if results.findings.len() > ways {
                    progress(text.trim_end());
                }
            }
            number += self.shard.of;
            if results.scenarios.is_multiple_of(1000) {
                progress(&format!("{} scenarios", results.scenarios));
            }
        }
        results.date = today();
        results.wall_seconds = started.elapsed().as_secs_f64();
        results.cpu_seconds = cpu_seconds() - cpu;
        results
    }
}

/// The scenario of a number.
pub fn scenario(seed: u64, stormy: bool) -> Scenario {
    if stormy { Scenario::stormy(seed) } else { Scenario::seeded(seed) }
}

/// Runs one scenario and adds its figures. Returns what is wrong with it.
pub fn run_one(seed: u64, stormy: bool, results: &mut Results) -> Option<Finding> {
    results.scenarios += 1;
    let outcome = guarded(|| scenario(seed, stormy).run(false));
    let Ok(outcome) = outcome else { return Some(tell(seed, stormy)) };
    results.steps += outcome.steps;
    results.virtual_seconds += outcome.virtual_time.as_secs_f64();
    for (action, fault, count) in outcome.coverage.all() {
        *results.faults.entry(format!("{action}.{fault:?}")).or_default() += count;
    }
    for (rule, strain) in outcome.strain.all() {
        let most = results.strain.entry(rule.to_owned()).or_default();
        *most = (*most).max(strain);
    }
    (outcome.verdict != Verdict::Fine).then(|| tell(seed, stormy))
}

/// Runs a scenario that fails once more and looks at what happens in it.
fn tell(seed: u64, stormy: bool) -> Finding {
    let scenario = scenario(seed, stormy);
    let journal = Journal::default();
    let outcome = guarded(|| scenario.watched(&journal));
    let (kind, message) = match &outcome {
        Ok(Outcome { verdict, .. }) => match verdict {
            Verdict::Invariant(text) => (FindingKind::Invariant, text.clone()),
            Verdict::Liveness(text) => (FindingKind::Liveness, text.clone()),
            Verdict::Correctness(text) => (FindingKind::Correctness, text.clone()),
            Verdict::Fine => {
                (FindingKind::Correctness, "it fails, and when it is run again it does not".into())
            }
        },
        Err(panic) => (FindingKind::Panic, panic_message(panic.as_ref())),
    };
    let (place, node) = match &outcome {
        Ok(Outcome { suspect: Some(suspect), .. }) => (suspect.to_string(), Some(suspect.addr)),
        _ => {
            let node = journal.last_node();
            (node.map_or("before any step".into(), |node| format!("node at {node}")), node)
        }
    };
    let mut always = scenario.blows();
    if let Ok(outcome) = &outcome {
        always.extend(outcome.coverage.all().map(|(on, fault, _)| format!("{on}.{fault:?}")));
    }
    let option = if stormy { "--stormy " } else { "" };
    Finding {
        kind,
        fingerprint: finding::fingerprint(kind, &message),
        story: node.map_or(vec![], |node| journal.about(node, &message, finding::STORY)),
        message,
        place,
        swarm: scenario.summary(),
        command: command(&format!("{option}--scenario {seed}")),
        count: 1,
        scenarios: vec![seed],
        always,
    }
}

/// The command that runs this program from the sources.
pub fn command(arguments: &str) -> String {
    format!("cargo run --release -p eddyline-sim --bin swarm -- {arguments}")
}

fn guarded(run: impl FnOnce() -> Outcome) -> std::thread::Result<Outcome> {
    RUNNING.store(true, Ordering::Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    RUNNING.store(false, Ordering::Relaxed);
    outcome
}

/// From now on panics of scenarios are told in findings only, not in the middle of other output.
/// For a program that does nothing else: the hook is one for all threads.
pub fn hush_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !RUNNING.load(Ordering::Relaxed) {
            return usual(info);
        }
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
        *PANICKED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = place;
    }));
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    let place = PANICKED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    format!("{text} at {}", place.unwrap_or_default())
}

/// A seed that nobody has chosen.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Keys of hash maps are the one random thing in the standard library. Twelve digits are enough,
    // and can be read out.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    random % 1_000_000_000_000
}

/// Seconds that this process has spent on processors; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in brackets and may hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    ticks as f64 / 100.0
}

/// The date in UTC, as `2026-01-31`.
fn today() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day, given the days since the first of January 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// The code that is run, as version control names it here.
pub fn current_commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into())
}

/// Appends the line of some results to a log, which begins with a head.
///
/// # Errors
/// What the system says.
pub fn append_to_log(path: &Path, results: &Results) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let mut text = results.log_line();
    if file.metadata()?.len() == 0 {
        text.insert_str(0, LOG_HEAD);
    }
    // One write, so that parts that end together do not mix their lines.
    file.write_all(text.as_bytes())
}
