//! `demo`: a tracker, a seeder and a downloader over real sockets and files on this machine.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline::base::hash::{Sha1Hash, Sha256Hash};
use eddyline::base::rng::Seed;
use eddyline::metainfo::{
    CreateNeed, CreateOptions, Creator, InputFile, Metainfo, default_piece_length,
};
use eddyline::{AddTorrent, Config, Notice, RateLimits};
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;
use eddyline_session::engine_config;
use sha2::{Digest, Sha256};

use super::args::{DemoArgs, General};
use super::demo_tracker;
use super::exit::{BAD_DATA, DISK, Failure, UNEXPECTED, UNFINISHED, io_text};
use super::output::line;
use super::output_file::record_to;
use super::progress::Reporter;
use super::session::Session;
use super::setup::Setup;
use super::signals::Signals;
use super::units::size;

const NAME: &str = "eddyline-demo.bin";
/// A demo that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(300);

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(UNEXPECTED, format!("{what}: {}", io_text(&error)))
}

/// Runs the demo.
pub fn demo(args: &DemoArgs, general: General) -> Result<ExitCode, Failure> {
    let length = args.size.max(1);
    let record = record_to(&args.record, &[], false)?;
    let signals = Signals::listen().map_err(failed("cannot listen for signals"))?;
    // Removed with everything in it when this function ends, however it ends.
    let place = std::env::temp_dir();
    let no_room = |error: std::io::Error| {
        // The system's word alone; which place that is we know.
        let error = error.raw_os_error().map_or(error, std::io::Error::from_raw_os_error);
        let failure = Failure { code: DISK, ..Failure::io(&place, &error) };
        Failure::new(failure.code, format!("cannot make a folder to work in: {}", failure.message))
    };
    let work = tempfile::tempdir().map_err(no_room)?;
    let (source, target) = (work.path().join("seeder"), work.path().join("downloader"));
    for folder in [&source, &target] {
        std::fs::create_dir(folder).map_err(no_room)?;
    }
    let say = |text: &str| {
        if !general.quiet {
            line(text);
        }
    };
    let expected = make_payload(&source.join(NAME), length, &signals)?;
    say(&format!("payload     {} of random bytes, SHA-256 {}", size(length), expected.to_hex()));
    let tracker = demo_tracker::start().map_err(failed("cannot start a tracker"))?;
    say(&format!("tracker     {tracker}"));
    let metainfo = Arc::new(make_torrent(&source.join(NAME), length, &tracker, &signals)?);
    let hash = metainfo.info_hashes().wire();
    say(&format!(
        "torrent     {} pieces, info-hash {}",
        metainfo.geometry().pieces(),
        hash.to_hex()
    ));

    let stop = Arc::new(AtomicBool::new(false));
    let mut seeder = session(&source, &metainfo, None)?;
    announce(&mut seeder)?;
    say(&format!("seeder      port {}", seeder.driver.port().unwrap_or(0)));
    let flag = stop.clone();
    let seeding = std::thread::spawn(move || -> Result<(), Failure> {
        while !flag.load(Ordering::Relaxed) {
            seeder.turn(Duration::from_millis(50))?;
        }
        seeder.stop().map(drop)
    });
    let mut downloader = session(&target, &metainfo, record)?;
    say(&format!("downloader  port {}", downloader.driver.port().unwrap_or(0)));
    let outcome = fetch(&mut downloader, general, &signals);
    let seconds = downloader.started.elapsed().as_secs_f64();
    downloader.stop()?;
    stop.store(true, Ordering::Relaxed);
    let seeded = seeding.join().map_err(|_| Failure::new(UNEXPECTED, "the seeder broke down"))?;
    if let Some(code) = outcome? {
        return Ok(ExitCode::from(code));
    }
    seeded?;
    let found = hash_file(&target.join(NAME), &signals)?;
    if found != expected {
        let text = format!("the downloaded file differs: SHA-256 {}", found.to_hex());
        return Err(Failure::new(BAD_DATA, text));
    }
    let rate = (length as f64 / seconds.max(0.001)) as u64;
    line(&format!("downloaded  {} in {seconds:.2} s ({}/s)", size(length), size(rate)));
    line(&format!("verified    SHA-256 {}", found.to_hex()));
    Ok(ExitCode::SUCCESS)
}

/// Ends what takes long when a signal says so.
fn heed(signals: &Signals) -> Result<(), Failure> {
    signals.exit_code().map_or(Ok(()), |code| Err(Failure::new(code, "stopped")))
}

/// Random bytes that cost little: a short random run repeated, each time with its number in it.
fn make_payload(path: &Path, length: u64, signals: &Signals) -> Result<Sha256Hash, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(UNEXPECTED, format!("no randomness: {error}")))?;
    let mut run = vec![0; 1 << 20];
    Seed(seed).stream("demo").fill(&mut run);
    let mut file = File::create(path).map_err(failed("cannot write the payload"))?;
    let mut sha = Sha256::new();
    let mut left = length;
    let mut number = 0u64;
    while left > 0 {
        heed(signals)?;
        run[..8].copy_from_slice(&number.to_le_bytes());
        number += 1;
        let part = &run[..usize::try_from(left).unwrap_or(usize::MAX).min(run.len())];
        file.write_all(part).map_err(failed("cannot write the payload"))?;
        sha.update(part);
        left -= part.len() as u64;
    }
    Ok(Sha256Hash(sha.finalize().into()))
}

fn hash_file(path: &Path, signals: &Signals) -> Result<Sha256Hash, Failure> {
    let mut file = File::open(path).map_err(failed("cannot read the result"))?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        heed(signals)?;
        match file.read(&mut buffer).map_err(failed("cannot read the result"))? {
            0 => return Ok(Sha256Hash(sha.finalize().into())),
            count => sha.update(&buffer[..count]),
        }
    }
}

fn make_torrent(
    path: &Path,
    length: u64,
    tracker: &str,
    signals: &Signals,
) -> Result<Metainfo, Failure> {
    let unexpected = |text: String| Failure::new(UNEXPECTED, text);
    let options = CreateOptions {
        name: NAME.into(),
        piece_length: default_piece_length(length),
        trackers: vec![vec![tracker.into()]],
        ..CreateOptions::default()
    };
    let file = InputFile { path: vec![], length, executable: false };
    let mut creator =
        Creator::new(options, vec![file]).map_err(|error| unexpected(error.to_string()))?;
    let mut source = File::open(path).map_err(failed("cannot read the payload"))?;
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            heed(signals)?;
            let mut piece = vec![0; creator.geometry().piece_size(index) as usize];
            source.read_exact(&mut piece).map_err(failed("cannot read the payload"))?;
            creator.provide_piece(index, Sha1Hash(sha1::Sha1::digest(&piece).into()));
        }
    }
    let torrent = creator.finish().map_err(|error| unexpected(error.to_string()))?;
    Metainfo::parse(&torrent).map_err(|error| unexpected(error.to_string()))
}

fn session(
    folder: &Path,
    metainfo: &Arc<Metainfo>,
    record: Option<RecordTo>,
) -> Result<Session, Failure> {
    let setup = Setup {
        command: "demo",
        folder: folder.to_owned(),
        state: None,
        keeps: false,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            interface: None,
            ..ListenOptions::default()
        }),
        // Nothing leaves this machine.
        engine: Config { dht: false, lsd: false, ..engine_config() },
        limits: RateLimits::default(),
        record,
        keep_executable: false,
        lists: None,
    };
    let mut session = Session::start(setup)?;
    session.push(AddTorrent::new(metainfo.clone()));
    Ok(session)
}

/// Lets the seeder check its data and tell the tracker of itself.
fn announce(seeder: &mut Session) -> Result<(), Failure> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let notices = seeder.turn(Duration::from_millis(50))?;
        if let Some(failure) = seeder.failure() {
            return Err(failure);
        }
        if notices.iter().any(|notice| matches!(notice, Notice::TrackerReplied { .. })) {
            return Ok(());
        }
    }
    Err(Failure::new(UNFINISHED, "the seeder did not reach the tracker"))
}

/// Runs the downloader to the end. `Ok(Some)` is the code of a signal.
fn fetch(
    session: &mut Session,
    general: General,
    signals: &Signals,
) -> Result<Option<u8>, Failure> {
    let mut reporter = Reporter::serving(general, false);
    let started = Instant::now();
    loop {
        let notices = session.turn(Duration::from_millis(100))?;
        reporter.show(session, &notices);
        if let Some(failure) = session.failure() {
            return Err(failure);
        }
        if session.all_done() {
            reporter.stopping();
            return Ok(None);
        }
        if let Some(code) = signals.exit_code() {
            reporter.stopping();
            return Ok(Some(code));
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(UNFINISHED, "the demo did not finish within five minutes"));
        }
    }
}
