//! The `swarm` program: one large swarm, or any number of random scenarios.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::adversary::Search;
use crate::checks::Strain;
use crate::explore::SmallWorld;
use crate::faults::Coverage;
use crate::large::{LargeSwarm, Report};
use crate::scenario::{Outcome, Scenario, Verdict};

/// Exit codes: what kind of failure was found.
const PANIC: u8 = 10;
const INVARIANT: u8 = 11;
const LIVENESS: u8 = 12;
const CORRECTNESS: u8 = 13;
const NOT_SEEN: u8 = 14;

/// Runs real engines in a simulated world.
///
/// Without --scenarios, --hours or --scenario: one large swarm. Exit codes: 0 all is well, 10 an
/// engine panicked, 11 an invariant was broken, 12 something did not complete, 13 something is
/// complete and wrong, 14 a kind of fault was never seen in a long run.
#[derive(Parser, Debug)]
#[command(name = "swarm")]
struct Arguments {
    /// Where everything random comes from; also the first of several scenarios.
    #[arg(long, default_value = "1", value_parser = parse_seed)]
    seed: u64,
    /// Engines in the large swarm.
    #[arg(long, default_value_t = 1000)]
    engines: usize,
    /// Size of the torrent in MiB.
    #[arg(long, default_value_t = 64)]
    size: u64,
    /// Check the invariants of every engine after every step of the large swarm, too.
    #[arg(long)]
    check: bool,
    /// Run so many random scenarios.
    #[arg(long)]
    scenarios: Option<u64>,
    /// Run random scenarios for so many hours.
    #[arg(long)]
    hours: Option<u64>,
    /// Print how well swarms of fixed kinds do, as it is committed in tests/golden/swarms.txt.
    #[arg(long)]
    table: bool,

    /// Print what lookups in a DHT of 2,000 nodes cost, as it is committed in
    /// tests/golden/dht.txt.
    #[arg(long, conflicts_with = "scenarios")]
    dht: bool,
    /// Explore the largest of the small worlds: four pieces, two peers, some minutes.
    #[arg(long)]
    explore: bool,
    /// Search for what strangers can do that hurts most, and print the worst that was found. The
    /// committed table is `--adversaries` with the usual rounds and seed; a night takes 1,000 rounds.
    #[arg(long, conflicts_with = "scenarios")]
    adversaries: bool,
    /// Tries for each strategy of `--adversaries`.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// Run this one scenario.
    #[arg(long)]
    scenario: Option<u64>,
    /// Let every fault happen often.
    #[arg(long)]
    stormy: bool,
    /// Write the trace of a failing engine here.
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// A number, decimal or with `0x` in front.
fn parse_seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.dht {
        print!("{}", crate::dht_world::dht_table());
        return ExitCode::SUCCESS;
    }
    if arguments.table {
        print!("{}", crate::report::swarm_table());
        return ExitCode::SUCCESS;
    }
    if arguments.adversaries {
        return adversaries(&arguments);
    }
    if arguments.explore {
        return explore();
    }
    if let Some(seed) = arguments.scenario {
        return repeat(&arguments, seed);
    }
    match (arguments.scenarios, arguments.hours) {
        (None, None) => large(&arguments),
        (count, hours) => many(&arguments, count, hours),
    }
}

fn adversaries(arguments: &Arguments) -> ExitCode {
    let search = Search { rounds: arguments.rounds, seed: arguments.seed };
    let (table, broken) = search.table();
    print!("{table}");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(INVARIANT) }
}

fn explore() -> ExitCode {
    let world = SmallWorld { pieces: 4, blocks: 1, peers: 2, depth: 1, liar: true };
    let worlds = [
        world,
        SmallWorld { pieces: 2, blocks: 2, ..world },
        SmallWorld { pieces: 1, blocks: 2, peers: 3, depth: 2, ..world },
    ];
    for world in worlds {
        match world.explore() {
            Ok(explored) => println!("{world:?}: {explored:?}"),
            Err(rule) => {
                println!("{world:?}: {rule}");
                return ExitCode::from(INVARIANT);
            }
        }
    }
    ExitCode::SUCCESS
}

fn large(arguments: &Arguments) -> ExitCode {
    let Arguments { seed, engines, size, check, .. } = *arguments;
    let started = Instant::now();
    match (LargeSwarm { seed, engines, size: size << 20, check }).run() {
        Ok(Report { virtual_time, steps, bytes_per_peer, peers, copies, digest }) => {
            let wall = started.elapsed();
            println!("engines          {engines}");
            println!("virtual time     {:.3} s", virtual_time.as_secs_f64());
            println!("wall time        {:.1} s", wall.as_secs_f64());
            println!("steps            {steps}");
            println!("steps per second {:.0}", steps as f64 / wall.as_secs_f64());
            println!("peers            {peers} at the most at one time");
            println!("state per peer   {bytes_per_peer} bytes of a snapshot");
            println!("copies by seed   {copies:.2}");
            println!("digest {digest:016x}");
            ExitCode::SUCCESS
        }
        Err(verdict) => complain(&verdict, &format!("--seed {seed} --engines {engines}")),
    }
}

fn scenario(arguments: &Arguments, seed: u64) -> Scenario {
    if arguments.stormy { Scenario::stormy(seed) } else { Scenario::seeded(seed) }
}

fn many(arguments: &Arguments, count: Option<u64>, hours: Option<u64>) -> ExitCode {
    let started = Instant::now();
    let end = hours.map(|hours| started + Duration::from_secs(3600 * hours));
    let (mut coverage, mut strain) = (Coverage::default(), Strain::default());
    let (mut done, mut steps, mut virtual_time) = (0u64, 0u64, Duration::ZERO);
    while count.is_none_or(|count| done < count) && end.is_none_or(|end| Instant::now() < end) {
        let seed = arguments.seed.wrapping_add(done);
        match play(arguments, seed) {
            Ok(outcome) => {
                coverage.add(&outcome.coverage);
                strain.add(&outcome.strain);
                steps += outcome.steps;
                virtual_time += outcome.virtual_time;
            }
            Err(code) => return code,
        }
        done += 1;
        if done.is_multiple_of(1000) {
            println!("{done} scenarios");
        }
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    print!("{coverage}{strain}");
    println!("{done} scenarios from seed {}, no violation", arguments.seed);
    println!("{:.0} scenarios a minute, {steps} steps", done as f64 / minutes.max(1e-9));
    println!("{:.1} hours of virtual time", virtual_time.as_secs_f64() / 3600.0);
    let missing = coverage.missing();
    if done >= 1000 && !missing.is_empty() {
        println!("never seen: {missing:?}");
        return ExitCode::from(NOT_SEEN);
    }
    ExitCode::SUCCESS
}

fn repeat(arguments: &Arguments, seed: u64) -> ExitCode {
    println!("{:#?}", scenario(arguments, seed));
    match play(arguments, seed) {
        Ok(outcome) => {
            print!("{}", outcome.coverage);
            println!("{} steps, {:?} of virtual time", outcome.steps, outcome.virtual_time);
            println!("digest {:016x}", outcome.digest);
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Runs one scenario; a failure says how to see it again.
fn play(arguments: &Arguments, seed: u64) -> Result<Outcome, ExitCode> {
    let run = |record| scenario(arguments, seed).run(record);
    let again = format!("{}--scenario {seed}", if arguments.stormy { "--stormy " } else { "" });
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| run(false))) else {
        println!("an engine panicked; to see it again: {}", command(&again));
        return Err(ExitCode::from(PANIC));
    };
    if outcome.verdict == Verdict::Fine {
        return Ok(outcome);
    }
    if let Some(path) = &arguments.trace
        && let Some(trace) = run(true).trace
        && std::fs::write(path, trace).is_ok()
    {
        println!("the trace of the engine is in {}", path.display());
    }
    Err(complain(&outcome.verdict, &again))
}

fn command(arguments: &str) -> String {
    format!("cargo run --release -p eddyline-sim --bin swarm -- {arguments}")
}

fn complain(verdict: &Verdict, again: &str) -> ExitCode {
    let (code, text) = match verdict {
        Verdict::Fine => return ExitCode::SUCCESS,
        Verdict::Invariant(text) => (INVARIANT, text),
        Verdict::Liveness(text) => (LIVENESS, text),
        Verdict::Correctness(text) => (CORRECTNESS, text),
    };
    println!("{text}");
    println!("to see it again: {}", command(again));
    ExitCode::from(code)
}
