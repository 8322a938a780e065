//! Whether peers can connect to us, as far as that can be told from here: somebody else has to try.

use eddyline::Reachability;

use super::super::exit::{Failure, NETWORK};
use super::report::{Check, Verdict};
use super::run::Run;

/// There is no port.
pub fn closed(failure: &Failure) -> Check {
    Check::new("port", failure.code, Verdict::Bad, failure.message.clone())
}

/// What is known when the run has ended.
pub fn check(run: &Run) -> Check {
    if run.names().policy().hides_peers() {
        let text =
            "peers are reached through a proxy: no port is opened, and none can connect to us";
        return Check::new("port", NETWORK, Verdict::Ok, text);
    }
    let engine = run.session().driver.engine();
    let seen = [false, true].map(|six| engine.external_address(six));
    let seen: Vec<String> = seen.iter().flatten().map(ToString::to_string).collect();
    let port = run.session().driver.port().unwrap_or(0);
    let check = of(engine.reachability(), port, run.has_torrent());
    let summary = match seen.is_empty() {
        true => check.summary.clone(),
        false => format!("{}; others see us at {}", check.summary, seen.join(" and ")),
    };
    Check { summary, ..check }.value("port", port.into())
}

fn of(state: Reachability, port: u16, has_torrent: bool) -> Check {
    let new = |verdict, how: &str| {
        Check::new("port", NETWORK, verdict, format!("listening on {port} for TCP and UDP; {how}"))
    };
    match state {
        Reachability::Open => new(Verdict::Ok, "peers have connected over TCP and over uTP"),
        Reachability::OverTcp => new(Verdict::Ok, "peers have connected over TCP"),
        Reachability::OverUtp => new(Verdict::Ok, "peers have connected over uTP"),
        Reachability::Closed => new(Verdict::Warning, "no peer can connect to us").advise(format!(
            "let TCP and UDP port {port} in at the router and at the firewall of this machine"
        )),
        Reachability::Unknown if has_torrent => new(
            Verdict::Ok,
            "no peer has tried to connect in this time, so it is not known whether one can",
        ),
        Reachability::Unknown => new(
            Verdict::Ok,
            "whether peers can connect shows only with a torrent that many of them have",
        ),
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of the port.

    use super::*;

    #[test]
    fn a_port_that_nobody_can_reach_is_a_warning_with_advice_and_what_is_not_known_is_none() {
        let closed = of(Reachability::Closed, 6881, true);
        assert!(closed.verdict == Verdict::Warning && closed.advice.unwrap().contains("6881"));
        for state in [Reachability::Open, Reachability::OverTcp, Reachability::Unknown] {
            assert_eq!(of(state, 6881, false).verdict, Verdict::Ok);
        }
    }
}
