//! Addresses that stand for names which a proxy looks up: who speaks of addresses only can be given them, and none of
//! them ever leaves this machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::base::addr::{PLACEHOLDERS, is_placeholder};
use url::Host;

use super::LONGEST;
use super::handshake::Target;
use crate::resolver::host_of;

/// Names that stand for something; for more of them there is no way.
const MOST: usize = 1 << 14;

/// Which name each address stands for.
#[derive(Debug, Default)]
pub(crate) struct Placeholders(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
}

impl Placeholders {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands for a host; an address stands for itself.
    pub(crate) fn of(&self, host: &str) -> Option<IpAddr> {
        let name = match host_of(host).ok()? {
            Host::Ipv4(ip) => return Some(ip.into()),
            Host::Ipv6(ip) => return Some(ip.into()),
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
        };
        let mut table = self.lock();
        let at = match table.by_name.get(&name) {
            Some(at) => *at,
            None if name.is_empty() || name.len() > LONGEST || table.names.len() >= MOST => {
                return None;
            }
            None => {
                let at = table.names.len();
                table.names.push(name.clone());
                table.by_name.insert(name, at);
                at
            }
        };
        Some(Ipv4Addr::from(u32::from(PLACEHOLDERS) + at as u32 + 1).into())
    }

    /// Whom an address means; `None` where it stands for nothing.
    pub(crate) fn meaning(&self, addr: SocketAddr) -> Option<Target> {
        if !is_placeholder(addr.ip()) {
            return Some(Target::Address(addr));
        }
        let IpAddr::V4(ip) = addr.ip().to_canonical() else { return None };
        let at = (u32::from(ip) - u32::from(PLACEHOLDERS)).checked_sub(1)?;
        let name = self.lock().names.get(at as usize).cloned()?;
        Some(Target::Name(name, addr.port()))
    }

    /// The address that whoever a proxy names has here.
    pub(crate) fn address(&self, target: &Target) -> Option<SocketAddr> {
        match target {
            Target::Address(addr) => (!is_placeholder(addr.ip())).then_some(*addr),
            Target::Name(name, port) => {
                let table = self.lock();
                let at = *table.by_name.get(name)?;
                let ip = Ipv4Addr::from(u32::from(PLACEHOLDERS) + at as u32 + 1);
                Some(SocketAddr::new(ip.into(), *port))
            }
        }
    }
}
