//! Who is asked for the addresses of a name, over the sockets of a policy only.
//!
//! Whom the system is configured to ask is asked, and what is in the hosts file is taken from there. Answers are kept
//! as long as they say. Where the policy forbids anything, a name server of this machine would ask others on our
//! behalf, from any address: it is passed over, unless we ourselves are to use nothing but this machine. Where that
//! leaves nobody to ask, names of the hosts file are all that is found.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::Resolver as Asking;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::system_conf::read_system_conf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use url::Host;

use crate::network::NetworkPolicy;
use crate::platform;

/// Files that say how names are looked up.
const SETTINGS: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it is asked.
const ATTEMPTS: usize = 2;
/// How long a look-up may take in all.
const IN_ALL: Duration = Duration::from_secs(30);
/// How long addresses of one family wait for those of the other: servers that answer only for one are found.
const OTHER_FAMILY: Duration = Duration::from_millis(500);
/// Answers that are kept, and for how long at the most: addresses, and that there are none.
const KEPT: u64 = 4096;
const KEPT_FOR: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(60));

type Age = [Option<SystemTime>; SETTINGS.len()];

/// What finds the addresses of names.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    policy: NetworkPolicy,
    state: Mutex<Option<(Arc<Families>, Age)>>,
}

/// What asks for addresses of each family that is allowed.
struct Families {
    ipv4: Option<Asking<BoundSockets>>,
    ipv6: Option<Asking<BoundSockets>>,
    /// There is anybody to ask.
    servers: bool,
}

impl std::fmt::Debug for Families {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Families").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Asks by the sockets of `policy`; nothing happens yet.
    pub(crate) fn new(policy: NetworkPolicy) -> Self {
        Self { policy, state: Mutex::default() }
    }

    pub(crate) fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    /// Addresses of a host, of one family where it is given, that may be reached by the policy. The host may be written
    /// as people do: with letters of any script, or as an address in any notation.
    ///
    /// # Errors
    /// When there is none, or nobody to ask.
    pub(crate) async fn look_up(&self, host: &str, ipv6: Option<bool>) -> io::Result<Vec<IpAddr>> {
        let mut ips = match host_of(host)? {
            Host::Ipv4(ip) => vec![ip.into()],
            Host::Ipv6(ip) => vec![ip.into()],
            Host::Domain(name) => {
                let found = timeout(IN_ALL, self.ask(&name, ipv6)).await;
                found.map_err(|_| io::ErrorKind::TimedOut)??
            }
        };
        ips.retain(|ip| self.policy.reaches(*ip) && ipv6.is_none_or(|six| ip.is_ipv6() == six));
        let mut seen = std::collections::BTreeSet::new();
        ips.retain(|ip| seen.insert(*ip));
        if ips.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(ips) }
    }

    async fn ask(&self, name: &str, ipv6: Option<bool>) -> io::Result<Vec<IpAddr>> {
        let families = self.families()?;
        let of = |six: bool| {
            let asking = if six { families.ipv6.clone() } else { families.ipv4.clone() };
            let asking = asking.filter(|_| ipv6.is_none_or(|only| only == six));
            async move {
                let Some(asking) = asking else { return Vec::new() };
                let found = asking.lookup_ip(name).await;
                found.map(|found| found.iter().collect()).unwrap_or_default()
            }
        };
        let found = both(of(false), of(true)).await;
        // Only the system knows its other ways to find a name, as mDNS.
        let by_system = !name.trim_end_matches('.').contains('.') || name.ends_with(".local");
        if !found.is_empty() || self.policy.is_restricted() || families.servers && !by_system {
            return Ok(found);
        }
        let name = name.to_owned();
        let look =
            move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|addr| addr.ip()).collect());
        tokio::task::spawn_blocking(look).await.map_err(io::Error::other)?
    }

    /// What asks, made again when the settings have changed: a VPN that comes up changes them.
    fn families(&self) -> io::Result<Arc<Families>> {
        let age = SETTINGS.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((families, _)) = state.as_ref().filter(|state| state.1 == age) {
            return Ok(families.clone());
        }
        let families = Arc::new(build(&self.policy)?);
        *state = Some((families.clone(), age));
        Ok(families)
    }
}

/// A host as name servers know it, or an address.
pub(crate) fn host_of(text: &str) -> io::Result<Host<String>> {
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Ok(Host::Ipv4(ip)),
        Ok(IpAddr::V6(ip)) => Ok(Host::Ipv6(ip)),
        Err(_) => Host::parse(text).map_err(io::Error::other),
    }
}

/// What both find. Who has found something does not wait long for the other.
async fn both(
    one: impl Future<Output = Vec<IpAddr>>,
    other: impl Future<Output = Vec<IpAddr>>,
) -> Vec<IpAddr> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let patience = |found: &[IpAddr]| if found.is_empty() { IN_ALL } else { OTHER_FAMILY };
    let (mut found, more) = tokio::select! {
        found = &mut one => {
            let more = timeout(patience(&found), other).await;
            (found, more)
        }
        found = &mut other => {
            let more = timeout(patience(&found), one).await;
            (found, more)
        }
    };
    found.extend(more.into_iter().flatten());
    found
}

fn build(policy: &NetworkPolicy) -> io::Result<Families> {
    let (config, mut options) = settings(policy);
    options.use_hosts_file = ResolveHosts::Always;
    (options.timeout, options.attempts) = (PATIENCE, ATTEMPTS);
    options.cache_size = KEPT;
    (options.positive_max_ttl, options.negative_max_ttl) = (Some(KEPT_FOR.0), Some(KEPT_FOR.1));
    let servers = !config.name_servers().is_empty();
    let mut family = |ipv6: bool| {
        if !policy.allows(ipv6) {
            return Ok(None);
        }
        let sockets = BoundSockets(policy.clone(), TokioHandle::default());
        let mut builder = Asking::builder_with_config(config.clone(), sockets);
        options.ip_strategy =
            if ipv6 { LookupIpStrategy::Ipv6Only } else { LookupIpStrategy::Ipv4Only };
        *builder.options_mut() = options.clone();
        builder.build().map(Some).map_err(io::Error::other)
    };
    Ok(Families { ipv4: family(false)?, ipv6: family(true)?, servers })
}

/// What the system says, less the servers that must not be asked.
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
            || !policy.is_restricted()
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
        let patience = patience.unwrap_or(PATIENCE).min(PATIENCE);
        Box::pin(async move {
            Ok(AsyncIoTokioAsStd(timeout(patience, policy.connect_soon(server)).await??))
        })
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Soon<Self::Udp> {
        let policy = self.0.clone();
        Box::pin(async move { UdpSocket::from_std(policy.datagrams_to(server, local.port())?) })
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of look-ups.

    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_name_server_of_this_machine_is_asked_only_by_who_may_go_anywhere_or_stays_on_it() {
        let bound = |text: &str| NetworkPolicy::new(text.parse().ok(), None);
        let asks = |policy: &NetworkPolicy, server: &str| usable(policy, server.parse().unwrap());
        let outside = bound("192.0.2.7");
        assert!(asks(&outside, "192.0.2.53"));
        assert!(!asks(&outside, "127.0.0.53") && !asks(&outside, "2001:db8::53"));
        assert!(asks(&bound("127.0.0.5"), "127.0.0.53"));
        assert!(asks(&NetworkPolicy::new(None, Some("lo".into())), "::1"));
        assert!(asks(&NetworkPolicy::default(), "127.0.0.53"));
    }

    #[tokio::test]
    async fn the_hosts_file_is_read() {
        let names = Resolver::new(NetworkPolicy::new("127.0.0.5".parse().ok(), None));
        let found = names.look_up("localhost", None).await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
        assert!(names.look_up("localhost", Some(true)).await.is_err(), "of the other family");
    }

    #[tokio::test]
    async fn hosts_are_read_as_people_write_them() {
        let host = |text: &str| host_of(text).map(|host| host.to_string()).unwrap_or_default();
        assert_eq!(host("Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(host("трекер.рф"), "xn--e1aaowdh.xn--p1ai");
        assert_eq!(host("faß.example"), "xn--fa-hia.example");
        assert_eq!(host("T.Example."), "t.example.");
        for text in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001"] {
            assert_eq!(host(text), "127.0.0.1", "{text}");
        }
        assert_eq!((host("::1"), host("[::1]")), ("[::1]".into(), "[::1]".into()));
        for text in ["", "a b", "a/b", "1.2.3.4.5", "<name>", "a:80"] {
            assert!(host_of(text).is_err(), "{text}");
        }
        let names = Resolver::default();
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST)];
        assert_eq!(names.look_up("127.1", None).await.unwrap(), loopback);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_without_an_answer_delays_the_other_by_half_a_second() {
        let four = [IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))];
        let six: [IpAddr; 1] = ["2001:db8::1".parse().unwrap()];
        let began = tokio::time::Instant::now();
        let found = both(async { four.to_vec() }, std::future::pending()).await;
        assert_eq!((found, began.elapsed()), (four.to_vec(), OTHER_FAMILY));
        let began = tokio::time::Instant::now();
        let late = async {
            tokio::time::sleep(3 * OTHER_FAMILY).await;
            six.to_vec()
        };
        // Who has found nothing waits for the other.
        assert_eq!(both(async { Vec::new() }, late).await, six);
        assert_eq!(began.elapsed(), 3 * OTHER_FAMILY);
    }
}
