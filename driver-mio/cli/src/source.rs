//! What a SOURCE is: a file, stdin, a magnet URI, an info-hash, or the address of a `.torrent`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::metainfo::{Magnet, Metainfo};
use eddyline::{HttpFailure, HttpGet};
use eddyline_mio::dns::Names;
use eddyline_mio::http::fetch;
use eddyline_session::Source;

use super::exit::{Failure, NETWORK, NOT_BENCODE, NOT_FOUND, USAGE};
use super::units::size;

/// Longest `.torrent` fetched by HTTP.
const MAX_TORRENT: u32 = 64 << 20;
/// How long fetching one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest `.torrent` read from a file or from stdin.
pub use eddyline_session::MAX_TORRENT as MAX_FILE;

/// What the text of a source stands for.
#[derive(Debug)]
pub(crate) enum Named<'a> {
    /// Standard input.
    Stdin,
    /// A torrent by its identity.
    Magnet(Arc<Magnet>),
    /// The address of a `.torrent`.
    Url(&'a str),
    /// A file.
    Path(&'a Path),
}

/// Reads and parses a source; one that lies elsewhere is fetched by the rules of `names`.
pub fn load(text: &str, names: &Names) -> Result<Source, Failure> {
    match name_of(text)? {
        Named::Stdin => {
            let stdin = read_all(std::io::stdin().lock());
            parse("stdin", &stdin.map_err(|error| Failure::io(Path::new("stdin"), &error))?)
        }
        Named::Magnet(magnet) => Ok(Source::Magnet(magnet)),
        Named::Url(url) => download(url, names),
        Named::Path(path) => {
            let bytes = File::open(path).and_then(read_all);
            parse(text, &bytes.map_err(|error| Failure::io(path, &error))?)
        }
    }
}

/// Reads a file of the user's, at most one byte more than is allowed: enough to see that it is too long.
fn read_all(file: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says what a source is, without reading it.
pub(crate) fn name_of(text: &str) -> Result<Named<'_>, Failure> {
    if text == "-" {
        return Ok(Named::Stdin);
    }
    if text.is_empty() {
        let text =
            "the name of a source is empty; give a file, a magnet link, an info-hash or a URL";
        return Err(Failure::new(USAGE, text));
    }
    let path = Path::new(text);
    // What is copied brings white space along; a file may have some in its name.
    let copied = text.trim();
    if Magnet::is_magnet(copied) {
        return magnet_of(copied);
    }
    if starts_with(copied, "http://") || starts_with(copied, "https://") {
        return Ok(Named::Url(copied));
    }
    if let Some((scheme, _)) = copied.split_once("://")
        && !path.exists()
    {
        let text = format!("{scheme}:// is nothing that can be fetched; http:// and https:// are");
        return Err(Failure::new(USAGE, text));
    }
    if !path.exists() && !copied.contains(['/', '.']) && copied.len() >= 32 {
        return magnet_of(copied);
    }
    Ok(Named::Path(path))
}

/// A magnet URI or an info-hash.
fn magnet_of(text: &str) -> Result<Named<'static>, Failure> {
    match text.parse::<Source>().map_err(Failure::magnet)? {
        Source::Magnet(magnet) => Ok(Named::Magnet(magnet)),
        Source::Torrent(_) => Err(Failure::new(USAGE, format!("'{text}' is no magnet"))),
    }
}

/// Reads a source that must be a torrent.
pub fn load_torrent(text: &str, names: &Names) -> Result<Arc<Metainfo>, Failure> {
    match load(text, names)? {
        Source::Torrent(metainfo) => Ok(metainfo),
        Source::Magnet(_) => {
            Err(Failure::new(USAGE, "a magnet does not say what is in it; give the .torrent file"))
        }
    }
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
}

fn parse(name: &str, bytes: &[u8]) -> Result<Source, Failure> {
    if bytes.len() as u64 > MAX_FILE {
        let text = format!("{name} is not a valid torrent: it has more than {}", size(MAX_FILE));
        return Err(Failure::new(NOT_BENCODE, text));
    }
    let metainfo = Metainfo::parse(bytes).map_err(|error| Failure::torrent(name, &error))?;
    Ok(Source::Torrent(metainfo.into()))
}

/// Fetches what is at an address: a `.torrent`, or a redirect to one or to a magnet.
fn download(url: &str, names: &Names) -> Result<Source, Failure> {
    // A server on the internet must not lead us into a private network.
    let mut only = None;
    let mut url = url.to_owned();
    let agent = concat!("Eddyline/", env!("CARGO_PKG_VERSION"));
    for _ in 0..6 {
        let get = HttpGet {
            url: url.clone(),
            ipv6: None,
            only,
            max_body: MAX_TORRENT,
            timeout: PATIENCE,
        };
        let reply = fetch(&get, agent, names).map_err(|error| http_failure(&url, error))?;
        only = only.or((reply.scope == Scope::Public).then_some(Scope::Public));
        match (reply.status, reply.location) {
            (200, _) => {
                return parse(&url, &reply.body).map_err(|failure| {
                    let text =
                        format!("{url}: the connection was closed before everything had come");
                    if reply.whole { failure } else { Failure::new(NETWORK, text) }
                });
            }
            (300..400, Some(location)) if Magnet::is_magnet(&location) => {
                let magnet = Magnet::parse(&location).map_err(Failure::magnet)?;
                return Ok(Source::Magnet(magnet.into()));
            }
            (300..400, Some(location)) => url = location,
            (404 | 410, _) => {
                return Err(Failure::new(NOT_FOUND, format!("{url}: not found")));
            }
            (status, _) => {
                let text = format!("{url}: the server answered with HTTP status {status}");
                return Err(Failure::new(NETWORK, text));
            }
        }
    }
    Err(Failure::new(NETWORK, format!("{url}: too many redirects")))
}

fn http_failure(url: &str, error: HttpFailure) -> Failure {
    Failure::new(NETWORK, format!("{url}: {error}"))
}
