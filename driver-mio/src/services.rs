//! Files, names and HTTP, for embedders whose event loop and sockets are their own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use eddyline::{Action, AddTorrent, Event, HttpAction, ResumeData, Seed};
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::resume_store::{ResumeStore, StoreError};
use eddyline_disk::{DiskPool, Locations, PoolOptions};

use crate::dns::{Dns, Names};
use crate::http::Http;

/// A seed for an engine, from the system.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn random_seed() -> io::Result<Seed> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Seed(seed))
}

/// What an engine needs besides sockets and a clock, on threads of its own. Results, and whatever else is left in the
/// mailbox, are events for the next step; the mailbox wakes the loop.
#[derive(Debug)]
pub struct Services {
    mailbox: Mailbox,
    disk: DiskPool,
    dns: Dns,
    http: Http,
    locations: Locations,
    store: Arc<ResumeStore>,
}

impl Services {
    /// Files below `folder`, which nothing leaves; what is kept for the next run in `state`; HTTP as `user_agent`.
    ///
    /// # Errors
    /// When the state folder cannot be made or written.
    pub fn start(
        folder: &Path,
        state: &Path,
        user_agent: &str,
        mailbox: Mailbox,
    ) -> Result<Self, StoreError> {
        let locations = Locations::folder(folder);
        let store = Arc::new(ResumeStore::open(state)?);
        let pool = PoolOptions {
            locations: locations.clone(),
            store: Some(store.clone()),
            ..PoolOptions::default()
        };
        Ok(Self {
            disk: DiskPool::start(pool, mailbox.clone()),
            dns: Dns::start(&mailbox, Names::default()),
            http: Http::start(&mailbox, user_agent, Names::default()),
            mailbox,
            locations,
            store,
        })
    }

    /// Completes a torrent that is to be added: with what an earlier run left of it, and with what names its folder
    /// can hold. Resume data that is damaged is as good as none: the files are checked.
    pub fn recall(&self, add: &mut AddTorrent) {
        let stored = self.store.load(add.source.info_hashes().wire());
        let resume = stored.and_then(|bytes| ResumeData::decode(&bytes).ok());
        add.resume = resume.map(Box::new);
        add.naming = self.locations.naming(add.location);
    }

    /// Takes what has happened, at the beginning of a turn of the loop.
    pub fn collect(&self, into: &mut Vec<Event>) {
        self.disk.turn_begins();
        let from = into.len();
        self.mailbox.collect(into);
        self.http.sift(into, from);
    }

    /// Performs an action on files, names or HTTP, requests to web seeds among them. Any other, on a socket or for the
    /// embedder, is given back.
    pub fn perform(&self, action: Action) -> Option<Action> {
        match action {
            Action::Disk(id, op) => self.disk.submit(vec![(id, op)]),
            Action::Resolve(id, name) => self.dns.resolve(id, name),
            Action::Http(id, HttpAction::Get(get)) => self.http.get(id, *get),
            Action::Stream(id, action) => {
                return self.http.stream(id, action).map(|action| Action::Stream(id, action));
            }
            other => return Some(other),
        }
        None
    }
}
