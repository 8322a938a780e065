//! What a magnet stands for, fetched from its peers to be looked at: nothing is saved or downloaded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::metainfo::Metainfo;
use eddyline_session::AddOptions;
use eddyline_session::Source;

use super::args::{General, InfoArgs};
use super::exit::{Failure, UNEXPECTED, UNFINISHED};
use super::output::say;
use super::published::look_up;
use super::session::Session;
use super::setup::Setup;
use super::signals::{Ended, Signals};

/// How long one turn may wait for something to happen.
const TURN: Duration = Duration::from_millis(200);

/// Fetches the metadata of a magnet.
pub fn fetch(
    source: Source,
    args: &InfoArgs,
    general: General,
) -> Result<Ended<Arc<Metainfo>>, Failure> {
    let patience = args.stop_timeout;
    let signals = Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))?;
    // Nothing that is kept from run to run is needed, so that nobody else is in the way.
    let sources = std::slice::from_ref(&args.source);
    let setup = Setup::from_flags("info", &args.transfer, sources)?;
    let mut session = Session::start(Setup { keeps: false, ..setup })?;
    if !general.quiet {
        say("fetching the metadata from peers; Ctrl-C stops");
    }
    let source = match look_up(&mut session, source, &signals, patience)? {
        Ended::Done(source) => source,
        Ended::BySignal(code) => return Ok(Ended::BySignal(code)),
    };
    session.add(source, &args.transfer, AddOptions { hold: true, ..AddOptions::default() })?;
    let outcome = wait(&mut session, &signals, patience);
    session.stop()?;
    outcome
}

fn wait(
    session: &mut Session,
    signals: &Signals,
    patience: Option<Duration>,
) -> Result<Ended<Arc<Metainfo>>, Failure> {
    let began = Instant::now();
    loop {
        session.turn(TURN)?;
        if let Some(failure) = session.failure() {
            return Err(failure);
        }
        if let Some(metainfo) = session.items().iter().find_map(|item| item.metainfo()) {
            return Ok(Ended::Done(metainfo.clone()));
        }
        if let Some(code) = signals.exit_code() {
            return Ok(Ended::BySignal(code));
        }
        if patience.is_some_and(|patience| began.elapsed() >= patience) {
            let text = "no peer gave the metadata in the time that --stop-timeout allows";
            return Err(Failure::new(UNFINISHED, text));
        }
    }
}
