//! Web seeds of random scenarios: each has the content or says so, and each has its ways. None of them is mended when
//! everything else is, so that no download may depend on one.

use eddyline::base::addr::Scope;

use crate::content::Content;
use crate::entropy::Entropy;
use crate::web_server::{Manners, WebServer};
use crate::world::World;

/// A web seed that a scenario has.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    manners: Manners,
    rate: u64,
    scope: Scope,
    /// It sends pieces (BEP 17).
    of_pieces: bool,
}

fn url_of(number: usize) -> String {
    format!("http://web{number}.example/")
}

/// Ways of a server, where `count` have been drawn.
fn manners(entropy: &mut Entropy, count: u32) -> Manners {
    match entropy.below(14) {
        0 => Manners::NoRanges,
        1 => Manners::Lying,
        2 => Manners::CutShort(entropy.choose(&[0, 1, 16_384, 50_000])),
        3 => Manners::Endless,
        4 => Manners::Silent,
        5 => Manners::Stuck,
        6 => Manners::WrongRange,
        7 => Manners::Lacks(entropy.below(3) as usize),
        8 => Manners::Busy(entropy.between(1, 5), entropy.choose(&[0, 1, 30, u32::MAX])),
        9 => {
            let to = url_of(entropy.below(count) as usize);
            Manners::Moved(to.trim_end_matches('/').to_owned())
        }
        10 => Manners::Status(entropy.choose(&[100, 204, 302, 401, 404, 410, 416, 429, 500])),
        _ => Manners::Honest,
    }
}

/// One to four servers.
pub(super) fn draw(entropy: &mut Entropy) -> Vec<Drawn> {
    let count = entropy.between(1, 4);
    let drawn = (0..count).map(|_| Drawn {
        manners: manners(entropy, count),
        rate: entropy.choose(&[1_000, 50_000, 1_000_000, 20_000_000]),
        scope: entropy.choose(&[Scope::Public, Scope::Public, Scope::Public, Scope::Local]),
        of_pieces: entropy.below(4) == 3,
    });
    drawn.collect()
}

/// The content, named by these servers too.
pub(super) fn named(content: Content, servers: &[Drawn]) -> Content {
    if servers.is_empty() {
        return content;
    }
    let urls = |of_pieces: bool| {
        let named =
            servers.iter().enumerate().filter(move |(_, drawn)| drawn.of_pieces == of_pieces);
        named.map(|(number, _)| url_of(number)).collect::<Vec<_>>()
    };
    content.naming_web_seeds(&urls(false)).naming_http_seeds(&urls(true))
}

/// Puts the servers into a world.
pub(super) fn settle(servers: &[Drawn], content: &Content, world: &mut World) {
    for (number, Drawn { manners, rate, scope, of_pieces }) in servers.iter().enumerate() {
        let mut server = WebServer::new(content).with(manners.clone()).at_rate(*rate);
        (server.scope, server.of_pieces) = (*scope, *of_pieces);
        world.web.servers.insert(url_of(number), server);
    }
}

/// In a few words, for the report of a failure.
pub(super) fn describe(servers: &[Drawn]) -> String {
    let words = servers.iter().map(|Drawn { manners, rate, scope, of_pieces }| {
        let near = if *scope == Scope::Public { "" } else { " in a local network" };
        let kind = if *of_pieces { " of pieces" } else { "" };
        format!("{manners:?}{kind} at {rate} B/s{near}")
    });
    words.collect::<Vec<_>>().join(", ")
}
