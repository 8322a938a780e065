//! Name look-ups: for the loop, whose answers are events, and for whoever waits.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use eddyline::base::ids::LookupId;
use eddyline::{Event, LookupError};
use eddyline_disk::mailbox::Mailbox;

use crate::lines::{Shares, Workshop};
use crate::network::NetworkPolicy;
use crate::proxy::Traffic;
use crate::resolver::Resolver;
use crate::service_thread::ServiceThread;

/// Look-ups at the same time. A name is looked up once for everybody who waits for it, and names
/// that have never been found leave some room to those that have.
const SHARES: Shares = Shares { in_all: 128, unproven: 48, each: 1 };

/// What turns names into addresses, by the rules of a policy. Clones share what they have found.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    resolver: Arc<Resolver>,
    thread: ServiceThread,
}

impl Names {
    /// Looks up by the rules of `policy`. Nothing happens yet.
    #[must_use]
    pub fn new(policy: NetworkPolicy) -> Self {
        let resolver = Arc::new(Resolver::new(policy));
        Self(Arc::new(Shared { resolver, thread: ServiceThread::default() }))
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &NetworkPolicy {
        self.0.resolver.policy()
    }

    pub(crate) fn resolver(&self) -> &Arc<Resolver> {
        &self.0.resolver
    }

    pub(crate) fn thread(&self) -> &ServiceThread {
        &self.0.thread
    }

    /// Addresses of the peer `name` in the families that are allowed. Waits, up to tens of seconds. Where peers are
    /// reached through a proxy, it looks the name up, and an address is returned that stands for it.
    ///
    /// # Errors
    /// When there is none.
    pub fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(gate) = self.policy().gate(Traffic::Peers) {
            // The proxy looks it up when it is called.
            return gate.names.of(name).map(|ip| vec![ip]).ok_or(io::ErrorKind::NotFound.into());
        }
        let (resolver, name) = (self.0.resolver.clone(), name.to_owned());
        let (done, result) = crossbeam_channel::bounded(1);
        self.0.thread.handle()?.spawn(async move {
            let _ = done.send(resolver.look_up(&name, None).await);
        });
        result.recv().unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()))
    }
}

/// The resolver of a loop.
#[derive(Debug)]
pub struct Dns {
    workshop: Workshop<(LookupId, String)>,
    names: Names,
    mailbox: Mailbox,
}

impl Dns {
    /// A resolver that leaves its results in `mailbox`.
    #[must_use]
    pub fn start(mailbox: &Mailbox, names: Names) -> Self {
        Self { workshop: Workshop::new(SHARES), names, mailbox: mailbox.clone() }
    }

    /// What looks up.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Looks a name up.
    pub fn resolve(&self, id: LookupId, name: String) {
        let Ok(thread) = self.names.thread().handle() else {
            return self.mailbox.leave([Event::Resolved(id, Err(LookupError::NotFound))]);
        };
        let (resolver, mailbox) = (self.names.resolver().clone(), self.mailbox.clone());
        let line = name.to_ascii_lowercase();
        let work = move |(id, name): (LookupId, String), rest: crate::lines::Rest<_>| {
            let (resolver, mailbox) = (resolver.clone(), mailbox.clone());
            async move {
                let result = resolver.look_up(&name, None).await;
                let result = result.map_err(|_| LookupError::NotFound);
                let found = result.is_ok();
                let ids = [id].into_iter().chain(rest.take().into_iter().map(|(id, _)| id));
                mailbox.leave(ids.map(|id| Event::Resolved(id, result.clone())));
                found
            }
        };
        self.workshop.push(&thread, line, (id, name), work);
    }
}
