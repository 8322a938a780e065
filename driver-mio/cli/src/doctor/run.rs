//! The run that the checks of the network share: a driver that joins the DHT and asks trackers, keeps nothing, and
//! fetches nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eddyline::metainfo::Source;
use eddyline::{AnnouncePolicy, Notice, Priority, Reachability, TrackerView};
use eddyline_mio::dns::Names;
use eddyline_session::{AddOptions, Item};
use tempfile::TempDir;

use super::super::args::DoctorArgs;
use super::super::exit::{Failure, UNEXPECTED};
use super::super::session::Session;
use super::super::setup::Setup;
use super::super::signals::{Ended, Signals};
use super::dht::ENOUGH;
use super::trackers::is_settled;

/// How long one turn may wait for something to happen.
const TURN: Duration = Duration::from_millis(100);

/// A run, and when what was seen in it.
pub struct Run {
    session: Session,
    began: Instant,
    has_torrent: bool,
    first_node: Option<Duration>,
    /// When each tracker answered, or failed.
    answered: BTreeMap<String, Duration>,
    /// Where files of the torrent would be. None is made: nothing of it is wanted.
    _folder: TempDir,
}

impl Run {
    /// Starts it; why there is no port, where that is so.
    pub fn start(
        setup: Setup,
        args: &DoctorArgs,
        source: Option<Source>,
    ) -> Result<Result<Self, Failure>, Failure> {
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|error| Failure::system("cannot make a folder", &error))?;
        let mut engine = setup.engine;
        // Each tracker is to be heard, and nobody on the local network is to be called.
        engine.announce = AnnouncePolicy::All;
        engine.lsd = false;
        let setup = Setup { engine, keeps: false, folder: folder.path().to_owned(), ..setup };
        let session = match Session::start(setup) {
            Ok(session) => session,
            Err(failure) if failure.code == UNEXPECTED => return Err(failure),
            Err(failure) => return Ok(Err(failure)),
        };
        let mut run = Self {
            session,
            began: Instant::now(),
            has_torrent: source.is_some(),
            first_node: None,
            answered: BTreeMap::new(),
            _folder: folder,
        };
        if let Some(source) = source {
            let wanted = source.files().iter().map(|_| Priority::Skip).collect();
            let options = AddOptions { priorities: wanted, hold: true, ..AddOptions::default() };
            run.session.add(source, &args.transfer, options)?;
        }
        Ok(Ok(run))
    }

    /// Runs until everything has answered that can be waited for, at most for `patience`.
    pub fn wait(&mut self, signals: &Signals, patience: Duration) -> Result<Ended<()>, Failure> {
        while self.began.elapsed() < patience && !self.is_settled() {
            for notice in self.session.turn(TURN)? {
                self.heed(&notice);
            }
            if self.first_node.is_none() && self.nodes().is_some_and(|nodes| nodes != [0, 0]) {
                self.first_node = Some(self.began.elapsed());
            }
            if let Some(code) = signals.exit_code() {
                return Ok(Ended::BySignal(code));
            }
        }
        Ok(Ended::Done(()))
    }

    fn heed(&mut self, notice: &Notice) {
        if let Notice::TrackerReplied { url, .. } | Notice::TrackerFailed { url, .. } = notice {
            let took = self.began.elapsed();
            self.answered.entry(url.clone()).or_insert(took);
        }
    }

    fn is_settled(&self) -> bool {
        let added = |item: &Item| item.id.is_some() || item.trouble.is_some();
        if !self.session.items().iter().all(added) {
            return false;
        }
        let joined = self.nodes().is_none_or(|nodes| nodes.iter().sum::<usize>() >= ENOUGH);
        let heard = self.trackers().is_none_or(|views| views.iter().all(is_settled));
        let reached = self.session.driver.engine().reachability() != Reachability::Unknown;
        joined && heard && (reached || !self.has_torrent || self.is_without_peers())
    }

    /// Whether nobody was named who could connect.
    fn is_without_peers(&self) -> bool {
        self.trackers().is_none_or(|views| views.iter().all(|view| view.named == 0))
    }

    /// Stops tidily: trackers hear that we leave.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.session.stop().map(drop)
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How names are looked up.
    pub fn names(&self) -> &Names {
        self.session.names()
    }

    /// Whether a torrent was given.
    pub fn has_torrent(&self) -> bool {
        self.has_torrent
    }

    /// Whether it is known that peers of the torrent are named by its trackers alone.
    pub fn is_private(&self) -> bool {
        let mut known = self.session.items().iter().filter_map(|item| item.metainfo());
        known.any(|metainfo| metainfo.is_private())
    }

    /// By whom the DHT is joined; nobody where it is not used.
    pub fn bootstrap(&self) -> &[String] {
        let config = self.session.driver.engine().config();
        if config.dht { &config.dht_bootstrap } else { &[] }
    }

    /// How many nodes have answered, over IPv4 and IPv6; `None` where the DHT is not used.
    pub fn nodes(&self) -> Option<[usize; 2]> {
        let engine = self.session.driver.engine();
        let known = engine.config().dht.then(|| engine.dht_state())?;
        let nodes = known.map(|state| state.nodes).unwrap_or_default();
        Some([false, true].map(|six| nodes.iter().filter(|n| n.addr.is_ipv6() == six).count()))
    }

    /// When the first node was known.
    pub fn first_node(&self) -> Option<Duration> {
        self.first_node
    }

    /// The trackers of the torrent, and how it stands with them; `None` where there is none, or they are not used.
    pub fn trackers(&self) -> Option<Vec<TrackerView>> {
        let engine = self.session.driver.engine();
        let item = self.session.items().first().filter(|_| engine.config().trackers)?;
        Some(
            item.id.and_then(|id| engine.torrent(id)).map(|view| view.trackers).unwrap_or_default(),
        )
    }

    /// The addresses of its trackers.
    pub fn tracker_urls(&self) -> Vec<String> {
        let items = self.session.items().iter();
        items.flat_map(|item| item.source.trackers().into_owned()).flatten().collect()
    }

    /// When a tracker answered first, or failed.
    pub fn answered_after(&self, url: &str) -> Option<Duration> {
        self.answered.get(url).copied()
    }
}
