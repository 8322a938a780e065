//! Whether the proxy serves, where one was given.

use eddyline_mio::network::NetworkPolicy;

use super::super::exit::NETWORK;
use super::report::{Check, Verdict};

/// What is known when the run has ended, by what went through it; nothing where there is no proxy.
pub fn check(policy: &NetworkPolicy) -> Option<Check> {
    policy.has_proxy().then(|| of(policy.proxy_trouble(), policy.hides_peers()))
}

fn of(trouble: Option<String>, hides_peers: bool) -> Check {
    let new = |verdict, summary: &str| Check::new("proxy", NETWORK, verdict, summary);
    match trouble {
        Some(trouble) => new(Verdict::Bad, &trouble)
            .advise("what is to go through the proxy is not sent until it serves"),
        None if hides_peers => {
            new(Verdict::Ok, "no fault was seen; peers that are reached through it cannot reach us")
        }
        None => new(Verdict::Ok, "no fault was seen; peers are reached without it"),
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of the proxy.

    use super::*;

    #[test]
    fn a_proxy_that_does_not_serve_is_bad_with_its_reason() {
        let bad = of(Some("proxy socks5://127.0.0.1:1080: connection refused".to_owned()), true);
        assert!(bad.verdict == Verdict::Bad && bad.summary.contains("refused"));
        assert!(bad.advice.is_some_and(|advice| advice.contains("not sent")));
        assert_eq!(of(None, true).verdict, Verdict::Ok);
        assert_ne!(of(None, true).summary, of(None, false).summary);
        assert_eq!(check(&NetworkPolicy::default()), None);
    }
}
