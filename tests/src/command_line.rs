//! The `swarm` program: one large swarm, or any number of random scenarios.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, Subcommand};
use eddyline::Transports;

use crate::adversary::Search;
use crate::campaign::{
    Campaign, ENOUGH, Plan, Results, Shard, append_to_log, command, current_commit, fresh_seed,
    hush_panics, run_one, scenario,
};
use crate::explore::SmallWorld;
use crate::large::{LargeSwarm, Report};
use crate::scenario::Verdict;

/// Exit codes: what kind of failure was found. Those from 10 on are in `FindingKind`, too.
const INVARIANT: u8 = 11;
const LIVENESS: u8 = 12;
const CORRECTNESS: u8 = 13;
const NOT_SEEN: u8 = 14;
const NOT_WHOLE: u8 = 15;

/// Runs real engines in a simulated world.
///
/// Without --scenarios, --hours or --scenario: one large swarm. Exit codes: 0 all is well, 10 an
/// engine panicked, 11 an invariant was broken, 12 something did not complete, 13 something is
/// complete and wrong, 14 a kind of fault was never seen in a long run, 15 a part of a campaign is
/// missing or cannot be read. A campaign goes on behind a failure; its exit code is that of the
/// gravest one.
#[derive(Parser, Debug)]
#[command(name = "swarm", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Other>,
    /// Where everything random comes from, also the first of several scenarios: a number, or
    /// `random` for a fresh one, which is printed.
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
    /// The engines of the large swarm speak µTP rather than TCP.
    #[arg(long)]
    utp: bool,
    /// Run this many random scenarios, counted over all shards.
    #[arg(long)]
    scenarios: Option<u64>,
    /// Run random scenarios for this many hours.
    #[arg(long)]
    hours: Option<u64>,
    /// Run only one part of the scenarios: `I/N` is the I-th of N. `0/N` is the same as `N/N`.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Print the results as JSON, one object in one line, and everything else to standard error.
    #[arg(long)]
    json: bool,
    /// Append a line with the results to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The code that this was built from, for the results; usually asked of git.
    #[arg(long, value_name = "HASH")]
    commit: Option<String>,
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
    /// Print everything that was drawn for the one scenario.
    #[arg(long)]
    verbose: bool,
    /// Let every fault happen often.
    #[arg(long)]
    stormy: bool,
    /// Write the trace of the first failing engine here.
    #[arg(long)]
    trace: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Other {
    /// Adds up the JSON of several shards, also of several campaigns.
    ///
    /// Lines of the files that do not begin with a brace are passed over, so that whole logs of
    /// machines can be given. Exit codes are those of a campaign; 15 where a shard is missing.
    Merge {
        /// What shards printed with --json.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print the sums as JSON, an object for each campaign.
        #[arg(long)]
        json: bool,
        /// Append a line for each campaign to this file.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
}

/// A number, decimal or with `0x` in front, or `random`.
fn parse_seed(text: &str) -> Result<u64, String> {
    if text == "random" {
        return Ok(fresh_seed());
    }
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

/// The long options of the program, and those of its subcommands: what files that call it may name.
pub fn options() -> BTreeSet<String> {
    let whole = Arguments::command();
    let all = whole.get_subcommands().chain([&whole]);
    let longs = all.flat_map(|command| command.get_arguments().filter_map(|arg| arg.get_long()));
    longs.map(str::to_owned).collect()
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Other::Merge { files, json, log }) = &arguments.command {
        return merge(files, *json, log.as_deref());
    }
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
    hush_panics();
    if let Some(seed) = arguments.scenario {
        return repeat(&arguments, seed);
    }
    match (arguments.scenarios, arguments.hours) {
        (None, None) => large(&arguments),
        _ => many(&arguments),
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
    let Arguments { seed, engines, size, check, utp, .. } = *arguments;
    let transports = if utp { Transports::Utp } else { Transports::Tcp };
    let started = Instant::now();
    match (LargeSwarm { seed, engines, size: size << 20, check, transports }).run() {
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

fn plan(arguments: &Arguments, shard: Shard) -> Plan {
    Plan {
        commit: arguments.commit.clone().unwrap_or_else(current_commit),
        seed: arguments.seed,
        stormy: arguments.stormy,
        scenarios: arguments.scenarios,
        shards: shard.of,
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let shard = arguments.shard.unwrap_or(Shard::WHOLE);
    let time = arguments.hours.map(|hours| Duration::from_secs(3600 * hours));
    let campaign = Campaign { plan: plan(arguments, shard), shard, time };
    let say = |line: &str| if arguments.json { eprintln!("{line}") } else { println!("{line}") };
    say(&format!("seed {}, part {} of {}", arguments.seed, shard.index, shard.of));
    let results = campaign.run(&mut |line| say(line));
    if arguments.json {
        println!("{}", results.to_json());
    } else {
        print!("{results}");
    }
    if let Some(path) = &arguments.trace
        && let Some(seed) = results.findings.first().and_then(|found| found.scenarios.first())
    {
        write_trace(path, *seed, arguments.stormy);
    }
    close(&results, arguments.log.as_deref())
}

/// Writes the line of the log, and decides about the exit code.
fn close(results: &Results, log: Option<&Path>) -> ExitCode {
    if let Some(log) = log
        && let Err(error) = append_to_log(log, results)
    {
        eprintln!("{}: {error}", log.display());
        return ExitCode::FAILURE;
    }
    if let Some(kind) = results.worst() {
        return ExitCode::from(kind as u8);
    }
    // A part of a campaign need not see everything; the whole of a long one has to.
    let missing = results.missing_faults();
    if results.missing_shards().is_empty() && results.scenarios >= ENOUGH && !missing.is_empty() {
        eprintln!("never seen: {missing:?}");
        return ExitCode::from(NOT_SEEN);
    }
    ExitCode::SUCCESS
}

fn merge(files: &[PathBuf], json: bool, log: Option<&Path>) -> ExitCode {
    let campaigns = match read_all(files) {
        Ok(campaigns) => campaigns,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(NOT_WHOLE);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for results in campaigns {
        if json {
            println!("{}", results.to_json());
        } else {
            print!("{results}");
        }
        let ended = close(&results, log);
        let missing = results.missing_shards();
        if !missing.is_empty() {
            eprintln!("parts {missing:?} of {} are missing", results.plan.shards);
            code = ExitCode::from(NOT_WHOLE);
        } else if code == ExitCode::SUCCESS {
            code = ended;
        }
    }
    code
}

/// The results in some files, added up by campaign.
fn read_all(files: &[PathBuf]) -> Result<Vec<Results>, String> {
    let mut campaigns: Vec<Results> = Vec::new();
    for file in files {
        let fault = |what: String| format!("{}: {what}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
        let mut objects = text.lines().filter(|line| line.starts_with('{')).peekable();
        if objects.peek().is_none() {
            return Err(fault("no results are in it".into()));
        }
        for object in objects {
            let results = Results::parse(object).map_err(fault)?;
            match campaigns.iter_mut().find(|known| known.plan == results.plan) {
                Some(known) => known.absorb(results).map_err(fault)?,
                None => campaigns.push(results),
            }
        }
    }
    Ok(campaigns)
}

fn repeat(arguments: &Arguments, seed: u64) -> ExitCode {
    let scenario = scenario(seed, arguments.stormy);
    if arguments.verbose {
        println!("{scenario:#?}");
    }
    let mut results = Results::none(plan(arguments, Shard::WHOLE), 0);
    if let Some(finding) = run_one(seed, arguments.stormy, &mut results) {
        print!("{finding}");
        if let Some(path) = &arguments.trace {
            write_trace(path, seed, arguments.stormy);
        }
        return ExitCode::from(finding.kind as u8);
    }
    let outcome = scenario.run(false);
    scenario.summary().iter().for_each(|line| println!("{line}"));
    print!("{}", outcome.coverage);
    println!("{} steps, {:?} of virtual time", outcome.steps, outcome.virtual_time);
    println!("digest {:016x}", outcome.digest);
    ExitCode::SUCCESS
}

/// Runs a scenario again for the trace of the engine that is not as it should be.
fn write_trace(path: &Path, seed: u64, stormy: bool) {
    let run = || scenario(seed, stormy).run(true).trace;
    let trace = std::panic::catch_unwind(run).ok().flatten();
    match trace.map(|trace| std::fs::write(path, trace)) {
        Some(Ok(())) => eprintln!("the trace of the engine is in {}", path.display()),
        Some(Err(error)) => eprintln!("{}: {error}", path.display()),
        None => eprintln!("no trace is left of an engine that panics"),
    }
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
