//! Name look-ups: by the system's resolver where everything is allowed, by bound sockets where not.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use eddyline::base::ids::LookupId;
use eddyline::{Event, LookupError};
use eddyline_disk::mailbox::Mailbox;

use crate::bound_names::BoundNames;
use crate::lines::{Shares, Workshop};
use crate::network::NetworkPolicy;

/// Look-ups at the same time. A name is looked up once for everybody who waits for it, and names
/// that have never been found leave some threads to those that have.
const SHARES: Shares = Shares { in_all: 64, unproven: 12, each: 1 };

/// What turns names into addresses, by the rules of a policy.
#[derive(Clone, Debug, Default)]
pub struct Names {
    policy: NetworkPolicy,
    /// The system's resolver cannot be bound.
    bound: Option<Arc<BoundNames>>,
}

impl Names {
    /// Looks up by the rules of `policy`.
    #[must_use]
    pub fn new(policy: NetworkPolicy) -> Self {
        let bound = policy.is_restricted().then(|| Arc::new(BoundNames::new(policy.clone())));
        Self { policy, bound }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    /// Addresses of `name` in the families that are allowed. Waits, up to tens of seconds.
    ///
    /// # Errors
    /// When there is none.
    pub fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let literal = name.trim_matches(['[', ']']).parse::<IpAddr>();
        let mut ips = match (literal, &self.bound) {
            (Ok(ip), _) => vec![ip],
            (Err(_), Some(bound)) => bound.look_up(name)?,
            (Err(_), None) => (name, 0).to_socket_addrs()?.map(|addr| addr.ip()).collect(),
        };
        ips.retain(|ip| self.policy.reaches(*ip));
        ips.dedup();
        if ips.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(ips) }
    }
}

/// The resolver.
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

    /// Looks a name up.
    pub fn resolve(&self, id: LookupId, name: String) {
        let (names, mailbox) = (self.names.clone(), self.mailbox.clone());
        let line = name.to_ascii_lowercase();
        let work = move |(id, name): (LookupId, String), rest: &dyn Fn() -> Vec<_>| {
            let result = names.look_up(&name).map_err(|_| LookupError::NotFound);
            let found = result.is_ok();
            let others = rest().into_iter().map(|(id, _)| id);
            mailbox.leave(
                [id].into_iter().chain(others).map(|id| Event::Resolved(id, result.clone())),
            );
            found
        };
        self.workshop.push(line, (id, name), &work);
    }
}
