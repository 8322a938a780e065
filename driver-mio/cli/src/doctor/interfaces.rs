//! Which network interfaces there are, and which of them may be used.

use std::net::IpAddr;

use eddyline_mio::network::{Interface, NetworkPolicy, interfaces};

use super::super::exit::NETWORK;
use super::report::{Check, Part, Verdict};

/// Looks at the interfaces of this machine by the rules of `--bind`.
pub fn check(policy: &NetworkPolicy) -> Check {
    of(&interfaces(), policy)
}

fn of(all: &[Interface], policy: &NetworkPolicy) -> Check {
    let parts = all.iter().map(|one| part(one, policy)).collect();
    let leads_out = |one: &&Interface| one.up && !one.loopback && !one.addresses.is_empty();
    let out = all.iter().filter(leads_out).count() as u64;
    let bound = match (policy.address(), policy.interface()) {
        (Some(address), _) => Some(address.to_string()),
        (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    };
    let check = match bound {
        Some(bound) if policy.look().is_some_and(|now| now.is_open()) => {
            Check::new("interfaces", NETWORK, Verdict::Ok, format!("only {bound} is used (--bind)"))
        }
        Some(bound) => Check::new(
            "interfaces",
            NETWORK,
            Verdict::Bad,
            format!("--bind {bound} is not there, or has no address: nothing is sent"),
        )
        .advise("switch it on, or leave out --bind"),
        // Where the system does not tell, others do.
        None if out == 0 && !all.is_empty() => {
            Check::new("interfaces", NETWORK, Verdict::Bad, "no interface leads anywhere")
                .advise("connect this machine to a network")
        }
        None => Check::new("interfaces", NETWORK, Verdict::Ok, "every interface may be used"),
    };
    check.with(parts).value("leading_out", out)
}

fn part(one: &Interface, policy: &NetworkPolicy) -> Part {
    let shown: Vec<String> = one.addresses.iter().map(IpAddr::to_string).collect();
    let may = policy.interface().is_none_or(|name| name == one.name)
        && policy.address().is_none_or(|address| one.addresses.contains(&address));
    let how = match (one.up, one.addresses.is_empty(), may) {
        (false, ..) => "down".to_owned(),
        (true, true, _) => "has no address".to_owned(),
        (true, false, true) => shown.join(", "),
        (true, false, false) => format!("{}; not used (--bind)", shown.join(", ")),
    };
    Part::new(&one.name, Verdict::Ok, how)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of interfaces.

    use super::*;

    fn interface(name: &str, up: bool, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Interface { name: name.into(), number: 1, up, loopback: name == "lo", addresses }
    }

    #[test]
    fn a_machine_that_is_connected_to_nothing_is_told_so() {
        let alone = [interface("lo", true, &["127.0.0.1"]), interface("eth0", false, &[])];
        let check = of(&alone, &NetworkPolicy::default());
        assert_eq!((check.verdict, check.code), (Verdict::Bad, NETWORK));
        assert_eq!(check.parts[1].detail, "down");
        let connected = [interface("eth0", true, &["192.0.2.1", "2001:db8::1"])];
        let check = of(&connected, &NetworkPolicy::default());
        assert_eq!((check.verdict, check.values["leading_out"]), (Verdict::Ok, 1));
        assert_eq!(check.parts[0].detail, "192.0.2.1, 2001:db8::1");
    }

    #[test]
    fn what_bind_forbids_and_what_it_names_in_vain_is_told() {
        let all = [interface("lo", true, &["127.0.0.1"]), interface("eth0", true, &["192.0.2.1"])];
        let check = of(&all, &NetworkPolicy::new(None, Some("lo".into())));
        assert_eq!(check.verdict, Verdict::Ok);
        assert!(check.parts[1].detail.ends_with("not used (--bind)"));
        let check = of(&all, &NetworkPolicy::new("192.0.2.77".parse().ok(), None));
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.summary.contains("192.0.2.77"));
    }
}
