//! A search for what hurts most: genomes that did harm are changed a little and tried again.

use std::collections::BTreeMap;
use std::fmt::Write;

use eddyline::base::rng::{Rng, Seed};

use super::Strategy;
use super::arena::{Arena, Damage, Harm, Surroundings};

/// Bytes of a genome; what is drawn behind its end is zero.
const GENOME: usize = 64;
/// Genomes drawn at random before the first is changed.
const FRESH: u32 = 3;
/// The rounds and the seed of the committed table.
const COMMITTED: Search = Search { rounds: 4, seed: 1 };

/// A search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Genomes tried for each strategy.
    pub rounds: u32,
    /// Where they come from.
    pub seed: u64,
}

/// The worst that was found for one strategy.
#[derive(Clone, Debug)]
pub struct Found {
    /// The strategy.
    pub strategy: Strategy,
    /// The worst of each harm, and the genome that did it.
    pub worst: BTreeMap<Harm, (u64, Vec<u8>)>,
    /// Promises that were broken, each with the first genome that broke it.
    pub broken: BTreeMap<String, Vec<u8>>,
}

impl Search {
    /// Searches among the foes of one strategy.
    pub fn run(self, strategy: Strategy) -> Found {
        let arena = Arena { strategy };
        let mut without: BTreeMap<Surroundings, Damage> = BTreeMap::new();
        let mut rng = Seed::from_u64(self.seed).stream(strategy.name());
        let mut found = Found { strategy, worst: BTreeMap::new(), broken: BTreeMap::new() };
        for round in 0..self.rounds {
            let harm = Harm::ALL[round as usize % Harm::ALL.len()];
            let genome = match found.worst.get(&harm) {
                Some((_, parent)) if round >= FRESH => child(parent, &mut rng),
                _ => (0..GENOME).map(|_| rng.below(256) as u8).collect(),
            };
            let around = Surroundings::of(&genome);
            let alone = without.entry(around).or_insert_with(|| arena.alone(around));
            let fair = arena.fair(&genome, alone.clone());
            found.note(&arena.run(&genome), &fair, &genome);
        }
        found
    }

    /// The table of all strategies, and how many promises were broken.
    pub fn table(self) -> (String, usize) {
        let mut out = String::from(
            "Delay in hundredths of the time without foes; everything else for a thousand bytes of \
             theirs.\n\n",
        );
        let _ = write!(out, "{:22}", "strategy");
        for harm in Harm::ALL {
            let _ = write!(out, "{:>10}", harm.name());
        }
        out.push('\n');
        let mut broken = 0;
        for strategy in Strategy::ALL {
            let found = self.run(strategy);
            let _ = write!(out, "{:22}", strategy.name());
            for harm in Harm::ALL {
                let worst = found.worst.get(&harm).map_or(0, |(worst, _)| *worst);
                let _ = write!(out, "{worst:>10}");
            }
            out.push('\n');
            for (rule, genome) in &found.broken {
                let hex: String = genome.iter().map(|byte| format!("{byte:02x}")).collect();
                let _ = writeln!(out, "    broken: {rule}\n        by {hex}");
            }
            broken += found.broken.len();
        }
        (out, broken)
    }
}

/// The table as it is committed in `tests/golden/adversaries.txt`.
pub fn adversary_table() -> String {
    COMMITTED.table().0
}

/// What is worse in one table than in another: by more than a quarter, and by more than what chance
/// makes of a small number.
pub fn worsened(table: &str, committed: &str) -> Vec<String> {
    const SLACK: u64 = 60;
    let cells = |line: &str| -> Vec<u64> {
        let numbers = line.get(22..).unwrap_or_default().split_whitespace();
        numbers.filter_map(|number| number.parse().ok()).collect()
    };
    let mut worse = Vec::new();
    for strategy in Strategy::ALL {
        let row = |table: &str| {
            let row = table.lines().find(|line| line.starts_with(strategy.name()));
            row.map(cells).unwrap_or_default()
        };
        let (now, before) = (row(table), row(committed));
        for (at, harm) in Harm::ALL.iter().enumerate() {
            let known = before.get(at).copied().unwrap_or(0);
            let found = now.get(at).copied().unwrap_or(u64::MAX);
            if found > known + known / 4 + SLACK {
                worse.push(format!("{}: {} {found}, was {known}", strategy.name(), harm.name()));
            }
        }
    }
    let promises = table.lines().filter(|line| line.trim_start().starts_with("broken"));
    worse.extend(promises.map(str::to_owned));
    worse
}

impl Found {
    fn note(&mut self, damage: &Damage, without: &Damage, genome: &[u8]) {
        for harm in Harm::ALL {
            let value = damage.harm(harm, without);
            let known = self.worst.get(&harm).is_some_and(|(worst, _)| *worst >= value);
            if !known {
                self.worst.insert(harm, (value, genome.to_vec()));
            }
        }
        if let Some(rule) = damage.verdict(without) {
            // The same rule with other numbers is the same finding.
            let rule = match &damage.broken {
                Some(_) => rule,
                None => "the honest are delayed by more than is promised".to_owned(),
            };
            let name = rule.split(':').next().unwrap_or_default();
            if !self.broken.keys().any(|known| known.starts_with(name)) {
                self.broken.insert(rule, genome.to_vec());
            }
        }
    }
}

/// A few bytes are changed, and now and then a run of them.
fn child(parent: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut genome = parent.to_vec();
    for _ in 0..=rng.below(4) {
        let place = rng.index(genome.len());
        genome[place] = rng.below(256) as u8;
    }
    if rng.below(4) == 0 {
        let place = rng.index(genome.len());
        genome[place..].iter_mut().for_each(|byte| *byte = rng.below(256) as u8);
    }
    genome
}
