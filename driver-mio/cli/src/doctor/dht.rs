//! Whether the DHT can be joined: UDP leaves, comes back, and somebody is there.

use std::time::Duration;

use eddyline_mio::network::NetworkPolicy;

use super::super::exit::NETWORK;
use super::super::units::count;
use super::report::{Check, Part, Verdict};
use super::run::Run;

/// With this number of nodes it is well joined.
pub const ENOUGH: usize = 8;

/// What is known when the run has ended; nothing where the DHT is not used.
pub fn check(run: &Run, policy: &NetworkPolicy) -> Option<Check> {
    let families = run.nodes()?;
    let used = [false, true].map(|six| policy.allows(six));
    Some(of(families, used, run.first_node(), !run.bootstrap().is_empty()))
}

fn of(nodes: [usize; 2], used: [bool; 2], first: Option<Duration>, asks: bool) -> Check {
    let all: usize = nodes.iter().sum();
    let named = [("IPv4", 0), ("IPv6", 1)].into_iter().filter(|(_, family)| used[*family]);
    let part = |(name, family): (&str, usize)| {
        Part::new(name, Verdict::Ok, count(nodes[family] as u32, "node"))
    };
    let parts: Vec<Part> = named.map(part).collect();
    let took = first
        .map_or(String::new(), |took| format!(", the first one after {:.1} s", took.as_secs_f64()));
    let found = format!("{} answered{took}", count(all as u32, "node"));
    let check = match all {
        0 if asks => Check::new("dht", NETWORK, Verdict::Bad, "no node answered").advise(
            "UDP may be blocked, or the nodes by which it is joined are away; see --dht-bootstrap",
        ),
        0 => Check::new("dht", NETWORK, Verdict::Warning, "there is no node to join it by"),
        1..ENOUGH => Check::new("dht", NETWORK, Verdict::Warning, format!("only {found}"))
            .advise("wait longer with --timeout"),
        _ => Check::new("dht", NETWORK, Verdict::Ok, found),
    };
    check.with(parts).value("nodes", all as u64)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of the DHT.

    use super::*;

    #[test]
    fn a_dht_of_nobody_is_bad_and_one_of_few_is_a_warning() {
        let took = Some(Duration::from_millis(400));
        let none = of([0, 0], [true, true], None, true);
        assert_eq!((none.verdict, none.code), (Verdict::Bad, NETWORK));
        assert_eq!(of([0, 0], [true, true], None, false).verdict, Verdict::Warning);
        assert_eq!(of([3, 0], [true, false], took, true).verdict, Verdict::Warning);
        let good = of([8, 5], [true, true], took, true);
        assert_eq!((good.verdict, good.values["nodes"]), (Verdict::Ok, 13));
        assert_eq!(good.summary, "13 nodes answered, the first one after 0.4 s");
        assert_eq!(of([3, 0], [true, false], took, true).parts.len(), 1);
    }
}
