//! Name look-ups whose packets leave by the sockets of a policy only.
//!
//! What the system is configured to ask is asked, over sockets that are bound. A name server of this
//! machine would ask others on our behalf, from any address: it is passed over, unless we ourselves
//! are to use nothing but this machine. Where that leaves nobody to ask, names of the hosts file are
//! all that is found.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::Resolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::system_conf::read_system_conf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::Runtime;

use crate::network::NetworkPolicy;
use crate::platform;

/// Files that say how names are looked up.
const SETTINGS: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it is asked.
const ATTEMPTS: usize = 2;

type Age = [Option<SystemTime>; SETTINGS.len()];
type BoundResolver = Resolver<BoundSockets>;

/// A resolver over bound sockets.
#[derive(Debug)]
pub struct BoundNames {
    policy: NetworkPolicy,
    state: Mutex<Option<State>>,
}

struct State {
    runtime: std::sync::Arc<Runtime>,
    resolver: BoundResolver,
    age: Age,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("age", &self.age).finish_non_exhaustive()
    }
}

impl BoundNames {
    /// Asks by the sockets of `policy`; nothing happens yet.
    #[must_use]
    pub fn new(policy: NetworkPolicy) -> Self {
        Self { policy, state: Mutex::new(None) }
    }

    /// All addresses of a name.
    ///
    /// # Errors
    /// When there is none, or nobody to ask.
    pub fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (runtime, resolver) = self.resolver()?;
        let found = runtime.block_on(resolver.lookup_ip(name)).map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }

    /// The resolver, made again when the settings have changed: a VPN that comes up changes them.
    fn resolver(&self) -> io::Result<(std::sync::Arc<Runtime>, BoundResolver)> {
        let age = SETTINGS.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = state.as_ref().filter(|state| state.age == age) {
            return Ok((state.runtime.clone(), state.resolver.clone()));
        }
        let runtime = match state.as_ref() {
            Some(state) => state.runtime.clone(),
            None => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(1).thread_name("names").enable_io().enable_time();
                std::sync::Arc::new(builder.build()?)
            }
        };
        let inside = runtime.enter();
        let resolver = build(&self.policy)?;
        drop(inside);
        *state = Some(State { runtime: runtime.clone(), resolver: resolver.clone(), age });
        Ok((runtime, resolver))
    }
}

fn build(policy: &NetworkPolicy) -> io::Result<BoundResolver> {
    let (config, mut options) = settings(policy);
    options.use_hosts_file = ResolveHosts::Always;
    (options.timeout, options.attempts) = (PATIENCE, ATTEMPTS);
    options.ip_strategy = match (policy.allows(false), policy.allows(true)) {
        (true, false) => LookupIpStrategy::Ipv4Only,
        (false, true) => LookupIpStrategy::Ipv6Only,
        _ => LookupIpStrategy::Ipv4AndIpv6,
    };
    let mut builder =
        Resolver::builder_with_config(config, BoundSockets(policy.clone(), TokioHandle::default()));
    *builder.options_mut() = options;
    builder.build().map_err(io::Error::other)
}

/// What the system says, less the servers that a bound socket cannot, or must not, ask.
fn settings(policy: &NetworkPolicy) -> (ResolverConfig, ResolverOpts) {
    let ours = |ip: IpAddr| usable(policy, ip);
    let asked =
        |config: &ResolverConfig| config.name_servers().iter().any(|server| ours(server.ip));
    let system = read_system_conf().ok().filter(|(config, _)| asked(config));
    let behind = || platform::behind_local_resolver().filter(|(config, _)| asked(config));
    let Some((config, options)) = system.or_else(behind) else {
        return (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default());
    };
    let servers = config.name_servers().iter().filter(|server| ours(server.ip)).cloned().collect();
    let search = config.search().to_vec();
    (ResolverConfig::from_parts(config.domain().cloned(), search, servers), options)
}

fn usable(policy: &NetworkPolicy, server: IpAddr) -> bool {
    let local = server.to_canonical().is_loopback();
    policy.reaches(server)
        && (!local
            || policy.address().is_some_and(|ip| ip.to_canonical().is_loopback())
            || policy.interface() == Some("lo"))
}

/// Sockets for name servers.
#[derive(Clone)]
struct BoundSockets(NetworkPolicy, TokioHandle);

type Soon<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for BoundSockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.1.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Soon<Self::Tcp> {
        let policy = self.0.clone();
        let patience = patience.unwrap_or(PATIENCE);
        Box::pin(async move {
            // The rare answer that does not fit into a datagram may hold up others for a moment.
            let stream = policy.connect_within(server, patience.min(PATIENCE))?;
            stream.set_nonblocking(true)?;
            Ok(AsyncIoTokioAsStd(TcpStream::from_std(stream)?))
        })
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Soon<Self::Udp> {
        let policy = self.0.clone();
        Box::pin(async move { UdpSocket::from_std(policy.datagrams_to(server, local.port())?) })
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of bound look-ups.

    use super::*;

    #[test]
    fn a_name_server_of_this_machine_is_asked_only_by_who_stays_on_it() {
        let bound = |text: &str| NetworkPolicy::new(text.parse().ok(), None);
        let asks = |policy: &NetworkPolicy, server: &str| usable(policy, server.parse().unwrap());
        let outside = bound("192.0.2.7");
        assert!(asks(&outside, "192.0.2.53"));
        assert!(!asks(&outside, "127.0.0.53") && !asks(&outside, "2001:db8::53"));
        assert!(asks(&bound("127.0.0.5"), "127.0.0.53"));
        assert!(asks(&NetworkPolicy::new(None, Some("lo".into())), "::1"));
    }

    #[test]
    fn the_hosts_file_is_read() {
        let names = BoundNames::new(NetworkPolicy::new("127.0.0.5".parse().ok(), None));
        let found = names.look_up("localhost").unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
