//! How a run is set up, from the flags that transfers share.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eddyline::{Config, Encryption, RateLimits, Transport};
use eddyline_disk::resume_store::{ResumeStore, StoreError};
use eddyline_mio::blocklist::Lists;
use eddyline_mio::dns::Names;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::network::has_interface;
use eddyline_mio::proxy::{Environment, Proxies, Proxy, ProxyFor};
use eddyline_mio::recorder::RecordTo;
use eddyline_session::engine_config;

use super::args::{Served, TransferFlags, WayFlags};
use super::exit::{Failure, NETWORK, UNEXPECTED, USAGE};
use super::folders;
use super::lists;
use super::output::warn;
use super::output_file::record_to;
use super::spared::Spared;

/// How to set a session up.
#[derive(Debug)]
pub struct Setup {
    /// Which command this is, as others are told who find a torrent locked.
    pub command: &'static str,
    /// Where the data is.
    pub folder: PathBuf,
    /// Where resume data is.
    pub state: Option<PathBuf>,
    /// Whether anything is kept for the next run.
    pub keeps: bool,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// The engine's configuration.
    pub engine: Config,
    /// Limits on everything.
    pub limits: RateLimits,
    /// Record the run there.
    pub record: Option<RecordTo>,
    /// Make files executable where their torrent says so.
    pub keep_executable: bool,
    /// Lists of addresses that are blocked.
    pub lists: Option<Lists>,
}

impl Setup {
    /// Where the run is recorded, with what may not be written over.
    ///
    /// # Errors
    /// When something of the state is there.
    pub fn spared(&self) -> Result<Option<Spared<'_>>, Failure> {
        let record =
            self.record.as_ref().map(|record| Spared::look(&record.path, self.state.as_deref()));
        record.transpose()
    }

    /// As the flags say that `download` and `seed` share; `sources` are what the command reads.
    ///
    /// # Errors
    /// When what they name is not there, or cannot be written.
    pub fn from_flags(
        command: &'static str,
        flags: &TransferFlags,
        sources: &[String],
    ) -> Result<Self, Failure> {
        let (peers, network, limits) = (&flags.peers, &flags.network, &flags.limits);
        let mut engine = Config {
            trackers: !peers.no_trackers,
            announce: peers.announce,
            pex: !peers.no_pex,
            holepunch: !peers.no_holepunch,
            dht: !peers.no_dht,
            lsd: !peers.no_lsd,
            encryption: Encryption { policy: network.encryption, level: network.encryption_level },
            transports: network.transport,
            limit_utp: !flags.limits.no_limit_utp,
            tcp_limits: RateLimits { down: limits.max_down_tcp, up: limits.max_up_tcp },
            utp_limits: RateLimits { down: limits.max_down_utp, up: limits.max_up_utp },
            ..engine_config()
        };
        if !peers.dht_bootstrap.is_empty() {
            let nodes = peers.dht_bootstrap.iter().filter(|node| !node.is_empty());
            engine.dht_bootstrap = nodes.cloned().collect();
        }
        if let Some(peers) = flags.limits.max_peers {
            engine.max_connections_per_torrent = peers;
            engine.max_connections = engine.max_connections.max(peers);
        }
        let listen = listen_options(&network.way, network.port)?;
        look_at_proxy(&listen, &engine)?;
        let lists = lists::read(&network.way, &listen)?;
        Ok(Self {
            command,
            folder: ".".into(),
            state: state_dir(flags.state.state_dir.as_deref()),
            keeps: true,
            listen: Some(listen),
            engine,
            limits: RateLimits { down: flags.limits.max_down, up: flags.limits.max_up },
            // A download prints nothing on stdout without --json.
            record: record_to(&flags.state.record, sources, command != "download" || flags.json)?,
            keep_executable: false,
            lists,
        })
    }
}

/// Where state is kept: as the flag says, or where the system keeps such things.
pub fn state_dir(said: Option<&Path>) -> Option<PathBuf> {
    said.map(Path::to_owned).or_else(folders::state)
}

/// How names are looked up under the rules of `--bind` and `--proxy`.
pub fn names(way: &WayFlags) -> Result<Names, Failure> {
    Ok(Names::new(listen_options(way, None)?.policy()))
}

/// The proxies that the flags and the environment name.
fn proxies(way: &WayFlags) -> Result<Proxies, Failure> {
    let environment = Environment::read(|name| std::env::var(name).ok());
    let environment = environment.map_err(|(name, error)| {
        Failure::new(USAGE, format!("{name} in the environment: {error}"))
    })?;
    let given = way.proxy.as_ref().map(|given| given.0.as_str()).filter(|given| !given.is_empty());
    let chosen = given.map(str::parse::<Proxy>).transpose();
    let chosen = chosen.map_err(|error| Failure::new(USAGE, format!("--proxy: {error}")))?;
    let is_for =
        |what: Served| way.proxy_for.iter().any(|for_it| [what, Served::All].contains(for_it));
    let serves = ProxyFor { peers: is_for(Served::Peers), trackers: is_for(Served::Trackers) };
    Ok(Proxies { chosen: chosen.map(|proxy| (proxy, serves)), environment })
}

/// What a proxy without UDP keeps from being used, which was asked for.
fn look_at_proxy(listen: &ListenOptions, engine: &Config) -> Result<(), Failure> {
    let Some((proxy, serves)) = &listen.proxies.chosen else { return Ok(()) };
    if proxy.carries_datagrams() {
        return Ok(());
    }
    if serves.peers && !engine.transports.include(Transport::Tcp) {
        return Err(Failure::new(
            USAGE,
            "an HTTP proxy carries no UDP, and so no uTP: use --transport tcp",
        ));
    }
    let lost = match (serves.peers, serves.trackers) {
        (true, true) => "no DHT, no uTP and no UDP tracker is",
        (true, false) => "no DHT and no uTP is",
        (false, _) => "no UDP tracker is",
    };
    warn(&format!("{proxy} carries no UDP: {lost} used"));
    Ok(())
}

fn listen_options(way: &WayFlags, port: Option<u16>) -> Result<ListenOptions, Failure> {
    let bind = way.bind.as_deref();
    let address = bind.and_then(|bind| bind.parse::<IpAddr>().ok());
    let interface = bind.filter(|_| address.is_none()).map(str::to_owned);
    if let Some(name) = &interface
        && !has_interface(name)
    {
        let text = format!("there is no network interface or address '{name}'");
        return Err(Failure::new(NETWORK, text));
    }
    let proxies = proxies(way)?;
    let anonymous = way.anonymous;
    Ok(ListenOptions { port, address, interface, proxies, anonymous, ..ListenOptions::default() })
}

/// The state folder; `None`, with a word, where there is none or it cannot be made: a transfer does without.
pub fn open_store(path: Option<&Path>) -> Option<Arc<ResumeStore>> {
    let why = match path.map(ResumeStore::open) {
        Some(Ok(store)) => return Some(Arc::new(store)),
        Some(Err(error)) => store_failure(error).message,
        None => "there is no home folder, and no --state-dir".into(),
    };
    warn(&format!("{why}; this run is not kept for the next one"));
    None
}

/// Why the state folder cannot be used.
pub fn store_failure(error: StoreError) -> Failure {
    match &error {
        StoreError::Io(path, why) => {
            Failure::system(&format!("cannot use the state folder {}", path.display()), why)
        }
        _ => Failure::new(UNEXPECTED, error.to_string()),
    }
}
