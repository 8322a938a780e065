//! By which way everything leaves: flags of every command that touches the network.

use std::convert::Infallible;
use std::fmt;

use clap::{Args, ValueHint};

use super::transfer::NETWORK;
use super::values::one_of;

/// From where, and through what.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = NETWORK)]
pub struct WayFlags {
    /// Use only this address or network interface.
    #[arg(
        long,
        value_name = "ADDR|IFACE",
        long_help = "Use only this address or network interface, and only its address family: for peers, \
                     trackers, the DHT, name look-ups and .torrent files that are fetched. Name servers on \
                     this machine are not asked then. While it is gone, or has no address, nothing is sent; \
                     transfers go on when it is back, also with another address."
    )]
    pub bind: Option<String>,
    /// Go through this proxy: socks5:// or http://.
    #[arg(
        long,
        value_name = "URL",
        value_parser = hidden,
        hide_default_value = true,
        long_help = "Go through this proxy: socks5://[USER:PASSWORD@]HOST[:PORT], or http:// of the same form, \
                     which is asked to CONNECT and carries no UDP. It looks names up. What cannot go through it \
                     is not sent: without UDP there is no DHT, no uTP and no UDP tracker. Peers that are reached \
                     through a proxy cannot reach us: --port is not opened, and the local network is not asked. \
                     Others on this machine can read a command line: a password is better kept in the \
                     configuration file. An empty value means none. http_proxy, https_proxy, all_proxy and \
                     no_proxy of the environment are for HTTP that --proxy is not for."
    )]
    pub proxy: Option<Hidden>,
    /// What goes through --proxy: peers, trackers or all.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = one_of([
            ("peers", Served::Peers),
            ("trackers", Served::Trackers),
            ("all", Served::All),
        ]),
        default_value = "all",
        long_help = "What goes through --proxy, with commas between. peers: peers and the DHT. trackers: \
                     trackers and .torrent files that are fetched. all: both."
    )]
    pub proxy_for: Vec<Served>,
    /// Tell nobody which client this is.
    #[arg(
        long,
        long_help = "Tell nobody which client this is: peers hear no name, no version and not their own address, \
                     and a peer id that is random for each torrent; trackers and other web servers get no \
                     User-Agent, the DHT no version and another node id in each run, and the local network \
                     is not asked. The port is told, for nobody could connect otherwise. It does not hide the \
                     address of this machine, for which there is --proxy, nor what can be told from how a client \
                     behaves."
    )]
    pub anonymous: bool,
    /// Send nothing to addresses on this list; a file or URL.
    #[arg(
        long,
        value_name = "FILE|URL",
        value_hint = ValueHint::AnyPath,
        long_help = "Send nothing to addresses on this list, and hear nobody there: peers, whoever names them, nodes \
                     of the DHT, trackers, web seeds. Lists are P2P text (name:first-last), DAT (first - last , \
                     level , name), or first-last, ADDRESS/BITS or ADDRESS on each line, also packed with gzip. A \
                     file is read again when it changes, and peers that are on it then are closed. A URL is fetched \
                     at the start. Lines that are not understood are counted and passed over. Can be given more \
                     than once. .torrent files, a proxy and name servers are reached whatever lists say. Of a name \
                     that a proxy looks up it is not known where it leads."
    )]
    pub ip_filter: Vec<String>,
}

/// What a proxy is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// Peers and the DHT.
    Peers,
    /// Trackers and whatever else is fetched.
    Trackers,
    /// Both.
    All,
}

/// A text with a password in it: it is not printed, also where it is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

fn hidden(text: &str) -> Result<Hidden, Infallible> {
    Ok(Hidden(text.to_owned()))
}
