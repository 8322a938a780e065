//! A session as the program has it: with flags, with words for what went wrong, with codes to end with. The books
//! themselves are kept by `eddyline-session`.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use eddyline::Notice;
use eddyline::base::ids::TorrentId;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_mio::DriverError;
use eddyline_mio::blocklist::Watch;
use eddyline_session::{AddError, AddOptions, Item, PeerNameError, Source, Trouble, Warning};

use super::args::TransferFlags;
use super::exit::{Failure, NETWORK, UNEXPECTED, UNFINISHED, USAGE, WOULD_OVERWRITE, io_text};
use super::found::told_of;
use super::lists::{self, watch};
use super::output::warn;
use super::setup::{Setup, open_store, store_failure};

/// The torrents of this run.
pub struct Session(eddyline_session::Session, Option<Watch>);

impl Deref for Session {
    type Target = eddyline_session::Session;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Session {
    /// Starts a driver.
    pub fn start(setup: Setup) -> Result<Self, Failure> {
        let store = if setup.keeps { open_store(setup.state.as_deref()) } else { None };
        let lists = setup.lists;
        let setup = eddyline_session::Setup {
            command: setup.command,
            folder: setup.folder,
            store,
            listen: setup.listen,
            engine: setup.engine,
            limits: setup.limits,
            record: setup.record,
            keep_executable: setup.keep_executable,
        };
        let session = eddyline_session::Session::start(setup);
        let session = session.map_err(|error| match &error {
            DriverError::Listen(why) => Failure::listen(why),
            DriverError::Record(path, error) => {
                Failure::system(&format!("cannot record into {}", path.display()), error)
            }
            DriverError::System(why) => Failure::system("cannot start", why),
            _ => Failure::new(UNEXPECTED, error.to_string()),
        })?;
        let watch = lists.map(|lists| watch(lists, &session)).transpose()?;
        Ok(Self(session, watch))
    }

    /// Adds a torrent with the flags that `download` and `seed` share.
    pub fn add(
        &mut self,
        source: Source,
        flags: &TransferFlags,
        mut options: AddOptions,
    ) -> Result<(), Failure> {
        options.trackers.extend(flags.peers.tracker.iter().cloned());
        options.mirrors.extend(flags.peers.mirror.iter().cloned());
        for peer in &flags.peers.peer {
            let found = eddyline_session::resolve(peer, self.names());
            options.peers.extend(found.map_err(|error| unreachable(peer, error))?);
        }
        options.fresh = flags.state.no_resume;
        self.restore(source, options)
    }

    /// Adds a torrent as it is, with its resume data, and nobody's flags.
    pub fn restore(&mut self, source: Source, options: AddOptions) -> Result<(), Failure> {
        let added = self.0.add(source, options);
        self.warn();
        added.map(drop).map_err(|error| match error {
            AddError::Store(name, error) => {
                let failure = store_failure(error);
                Failure::new(failure.code, format!("{name}: {}", failure.message))
            }
            other => Failure::new(UNEXPECTED, other.to_string()),
        })
    }

    /// Tells what went wrong and stopped nothing.
    fn warn(&mut self) {
        self.1.iter().for_each(lists::tell);
        for warning in self.0.take_warnings() {
            match warning {
                Warning::DamagedResume(name, error) => {
                    warn(&format!("{name}: {error}; the data is checked again"));
                }
                Warning::ResumeNotKept(why) => {
                    warn(&format!("{why}; how far transfers are is not kept until that is mended"));
                }
                Warning::CutOff(why) => {
                    warn(&format!("{why}: nothing is sent until it can be used again"));
                }
                Warning::NoLongerCutOff => warn("what --bind names can be used again"),
                Warning::ProxyFails(why) => {
                    warn(&format!("{why}; what is to go through it is not sent"));
                }
                Warning::ProxyWorks => warn("the proxy can be used again"),
                Warning::DhtNotKept(error) => {
                    let state = self.store().map(ResumeStore::state).unwrap_or(Path::new(""));
                    let why = io_text(&error);
                    warn(&format!("{}: {why}; nodes of the DHT are not kept", state.display()));
                }
                _ => {}
            }
        }
    }

    /// One turn. Book-keeping is done; the notices are for showing.
    pub fn turn(&mut self, patience: Duration) -> Result<Vec<Notice>, Failure> {
        let turn = self.0.turn(patience);
        let notices = turn.map_err(|error| Failure::system("cannot wait", &error))?;
        tell(&self.0, &notices);
        self.warn();
        Ok(notices)
    }

    /// Stops tidily. Returns what the engine had to tell meanwhile.
    pub fn stop(&mut self) -> Result<Vec<Notice>, Failure> {
        let stopped = self.0.stop(tell);
        self.warn();
        stopped.map_err(|error| match error {
            DriverError::System(why) => Failure::system("cannot wait", &why),
            DriverError::Record(path, why) => {
                let what =
                    format!("the trace is incomplete: cannot record into {}", path.display());
                Failure::system(&what, &why)
            }
            DriverError::Listen(why) => Failure::listen(&why),
            other => Failure::new(UNEXPECTED, other.to_string()),
        })
    }

    /// A torrent cannot go on, for a reason that the engine knows nothing of.
    pub fn fail(&mut self, id: TorrentId, failure: Failure) {
        self.0.fail(id, failure.code, failure.message);
    }

    /// Why a torrent stands still, and what helps.
    pub fn failure_of(&self, item: &Item) -> Option<Failure> {
        Some(self.failure_by(item, item.trouble.as_ref()?))
    }

    /// What is wrong with a torrent, and what helps.
    pub fn failure_by(&self, item: &Item, trouble: &Trouble) -> Failure {
        let name = item.name();
        match trouble {
            Trouble::Disk(error, told) => Failure::of_disk(&name, told.clone(), *error),
            Trouble::Taken(text) => Failure::new(WOULD_OVERWRITE, text.clone()),
            Trouble::Link(path) => {
                let text = format!(
                    "{} is a symbolic link, and nothing is written through one; move it away, or choose \
                     the folder in which the files are",
                    path.display()
                );
                Failure::new(WOULD_OVERWRITE, text)
            }
            Trouble::Torrent(error, path) => {
                let in_session = self.command().starts_with("session");
                Failure::of_torrent(&name, *error, path, in_session)
            }
            Trouble::Given(code, text) => Failure::new(*code, text.clone()),
            other => Failure::new(UNEXPECTED, format!("{name}: {other}")),
        }
    }

    /// The first failure of a torrent.
    pub fn failure(&self) -> Option<Failure> {
        self.items().iter().find_map(|item| self.failure_of(item))
    }

    /// What became of several torrents of which some have failed; `None` if none has. Where all have
    /// failed in one way it is that, else what could be done is done and the rest is not.
    pub fn failures(&self) -> Option<Failure> {
        let failure = self.failure()?;
        let mut codes = self.items().iter().map(|item| self.failure_of(item).map(|f| f.code));
        if codes.all(|code| code == Some(failure.code)) {
            return Some(failure);
        }
        Some(self.one_failed(failure))
    }

    /// The failure of one torrent, as the outcome of all.
    pub fn one_failed(&self, failure: Failure) -> Failure {
        match self.items().len() {
            ..2 => failure,
            all => {
                let failed = self.items().iter().filter(|item| item.trouble.is_some()).count();
                let text =
                    format!("{} of {all} torrents failed: {}", failed.max(1), failure.message);
                Failure::new(UNFINISHED, text)
            }
        }
    }
}

/// Tells what notices say of files.
fn tell(session: &eddyline_session::Session, notices: &[Notice]) {
    for notice in notices {
        let (Notice::Checked(id, _) | Notice::Trimmed(id, _) | Notice::MetadataReady(id)) = notice
        else {
            continue;
        };
        if let Some(text) = session.item(*id).and_then(|item| told_of(session, item, notice)) {
            warn(&text);
        }
    }
}

/// A peer that was named and has no address.
fn unreachable(text: &str, error: PeerNameError) -> Failure {
    match error {
        PeerNameError::Malformed => Failure::new(USAGE, format!("'{text}' is not HOST:PORT")),
        _ => Failure::new(NETWORK, format!("cannot reach the peer {text}: {error}")),
    }
}
