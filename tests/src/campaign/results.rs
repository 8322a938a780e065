//! What came of a campaign or of a part of one: as JSON, added up, and as a line of a log.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, FindingKind};
use crate::faults::TABLE;

/// Scenarios below which it is no wonder that some kind of fault was never seen: the rarest, of moves and
/// renames, come about once in a thousand, and from fresh seeds a run must not fail by bad luck.
pub const ENOUGH: u64 = 10_000;
/// First line of a log.
pub const LOG_HEAD: &str = "date\tcommit\tseed\tkind\tshard\tscenarios\tfindings\tsteps\
\tvirtual_hours\twall_seconds\tcpu_seconds\n";

/// What is the same for all parts of one campaign.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The code that was run, as version control names it.
    pub commit: String,
    /// The first scenario.
    pub seed: u64,
    /// Whether every fault happens often.
    pub stormy: bool,
    /// Scenarios of all parts together; `None` where time decides.
    pub scenarios: Option<u64>,
    /// Parts that it was cut into.
    pub shards: u64,
}

/// Figures of a part, or of several.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Results {
    /// What was to be done.
    pub plan: Plan,
    /// The parts that are in here, counted from 0.
    pub shards: Vec<u64>,
    /// Day on which the last of them ended, in UTC.
    pub date: String,
    /// Scenarios that were run.
    pub scenarios: u64,
    /// Steps of all engines.
    pub steps: u64,
    /// Virtual time.
    pub virtual_seconds: f64,
    /// Real time, summed over parts.
    pub wall_seconds: f64,
    /// Time on processors, where the system tells.
    pub cpu_seconds: f64,
    /// How often each fault of each kind of action happened, as `Action.Fault`.
    pub faults: BTreeMap<String, u64>,
    /// How near anybody came to each bound on what strangers cost, in thousandths of it.
    pub strain: BTreeMap<String, u64>,
    /// Failures by fingerprint.
    pub findings: Vec<Finding>,
}

impl Results {
    /// Nothing yet.
    pub fn none(plan: Plan, shard: u64) -> Self {
        Self {
            plan,
            shards: vec![shard],
            date: String::new(),
            scenarios: 0,
            steps: 0,
            virtual_seconds: 0.0,
            wall_seconds: 0.0,
            cpu_seconds: 0.0,
            faults: BTreeMap::new(),
            strain: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// One object, in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data can always be written")
    }

    /// Notes a failure.
    pub fn found(&mut self, finding: Finding) {
        let same = |known: &&mut Finding| {
            known.fingerprint == finding.fingerprint && known.kind == finding.kind
        };
        match self.findings.iter_mut().find(same) {
            Some(known) => known.absorb(&finding),
            None => self.findings.push(finding),
        }
    }

    /// Takes in another part of the same campaign.
    ///
    /// # Errors
    /// It is of another campaign, or it is here already.
    pub fn absorb(&mut self, other: Self) -> Result<(), String> {
        if self.plan != other.plan {
            return Err(format!("of another campaign: {:?}, {:?}", self.plan, other.plan));
        }
        if let Some(twice) = other.shards.iter().find(|shard| self.shards.contains(shard)) {
            return Err(format!("part {twice} of {} is there twice", self.plan.shards));
        }
        self.shards.extend(other.shards);
        self.shards.sort_unstable();
        self.date = self.date.clone().max(other.date);
        self.scenarios += other.scenarios;
        self.steps += other.steps;
        self.virtual_seconds += other.virtual_seconds;
        self.wall_seconds += other.wall_seconds;
        self.cpu_seconds += other.cpu_seconds;
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (rule, strain) in other.strain {
            let most = self.strain.entry(rule).or_default();
            *most = (*most).max(strain);
        }
        other.findings.into_iter().for_each(|finding| self.found(finding));
        Ok(())
    }

    /// Parts of the campaign that are not in here.
    pub fn missing_shards(&self) -> Vec<u64> {
        (0..self.plan.shards).filter(|shard| !self.shards.contains(shard)).collect()
    }

    /// Faults of the table that never happened.
    pub fn missing_faults(&self) -> Vec<String> {
        let names = TABLE.iter().flat_map(|(action, faults)| {
            faults.iter().map(move |fault| format!("{action}.{fault:?}"))
        });
        names.filter(|name| self.faults.get(name).copied().unwrap_or(0) == 0).collect()
    }

    /// The gravest kind of what was found.
    pub fn worst(&self) -> Option<FindingKind> {
        self.findings.iter().map(|finding| finding.kind).min()
    }

    /// A line for a log of campaigns, ended.
    pub fn log_line(&self) -> String {
        let Plan { commit, seed, stormy, shards, .. } = &self.plan;
        let kind = if *stormy { "stormy" } else { "plain" };
        let shard = match self.shards.as_slice() {
            [one] if *shards > 1 => format!("{one}/{shards}"),
            several => format!("{} of {shards}", several.len()),
        };
        let findings: Vec<String> = self
            .findings
            .iter()
            .map(|f| {
                let kind = format!("{:?}", f.kind).to_lowercase();
                let first = f.scenarios.first().copied().unwrap_or(0);
                format!("{kind}:{}*{} ({first})", f.fingerprint, f.count)
            })
            .collect();
        let findings = if findings.is_empty() { "none".into() } else { findings.join(" ") };
        format!(
            "{}\t{commit}\t{seed}\t{kind}\t{shard}\t{}\t{findings}\t{}\t{:.1}\t{:.0}\t{:.0}\n",
            self.date,
            self.scenarios,
            self.steps,
            self.virtual_seconds / 3600.0,
            self.wall_seconds,
            self.cpu_seconds,
        )
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (action, faults) in TABLE {
            write!(f, "{action:14}")?;
            for fault in *faults {
                let count = self.faults.get(&format!("{action}.{fault:?}")).copied().unwrap_or(0);
                write!(f, " {fault:?} {count}")?;
            }
            writeln!(f)?;
        }
        for (rule, strain) in &self.strain {
            writeln!(f, "{rule:56} at most {strain} thousandths of its bound")?;
        }
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        let failed: u64 = self.findings.iter().map(|finding| finding.count).sum();
        let found = match (failed, self.findings.len()) {
            (0, _) => "no violation".to_owned(),
            (failed, ways) => format!("{failed} failed in {ways} ways"),
        };
        let kind = if self.plan.stormy { "stormy " } else { "" };
        writeln!(f, "{} {kind}scenarios from seed {}, {found}", self.scenarios, self.plan.seed)?;
        writeln!(
            f,
            "{:.0} scenarios a minute of one core, {} steps, {:.1} hours of virtual time",
            self.scenarios as f64 * 60.0 / self.wall_seconds.max(1e-9),
            self.steps,
            self.virtual_seconds / 3600.0
        )
    }
}
