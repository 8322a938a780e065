//! Whether names are found: those of the nodes by which the DHT is joined, and of trackers.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use url::{Host, Url};

use super::super::exit::NETWORK;
use super::report::{Check, Part, Verdict};
use super::run::Run;

/// Names that are looked up at most.
const MOST: usize = 50;

/// Names that are being looked up.
pub struct Asked {
    names: Vec<String>,
    answers: Receiver<(usize, io::Result<Vec<IpAddr>>, Duration)>,
    until: Instant,
}

impl Asked {
    /// Has all names of a run looked up, each by itself.
    pub fn ask(run: &Run, patience: Duration) -> Self {
        let contacts = run.bootstrap().iter().filter_map(|contact| contact.rsplit_once(':'));
        let contacts = contacts.map(|(host, _)| host.to_owned());
        let names: BTreeSet<String> =
            contacts.chain(run.tracker_urls().iter().filter_map(|url| host_of(url))).collect();
        let names: Vec<String> =
            names.into_iter().filter(|host| is_name(host)).take(MOST).collect();
        let (done, answers) = channel();
        for (number, name) in names.iter().enumerate() {
            let (done, name, resolver) = (done.clone(), name.clone(), run.names().clone());
            // It ends with the look-up, or with the program.
            std::thread::spawn(move || {
                let began = Instant::now();
                let found = resolver.look_up(&name);
                let _ = done.send((number, found, began.elapsed()));
            });
        }
        Self { names, answers, until: Instant::now() + patience }
    }

    /// What came of it; nothing where there was no name.
    pub fn check(self) -> Option<Check> {
        let mut found: Vec<_> = self.names.iter().map(|_| None).collect();
        while found.iter().any(Option::is_none) {
            let left = self.until.saturating_duration_since(Instant::now());
            let Ok((number, answer, took)) = self.answers.recv_timeout(left) else { break };
            found[number] = Some((answer, took));
        }
        of(self.names.into_iter().zip(found).collect())
    }
}

/// The host of a tracker.
fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// Whether somebody has to be asked for its address.
fn is_name(host: &str) -> bool {
    matches!(Host::parse(host), Ok(Host::Domain(_)))
}

type Answer = Option<(io::Result<Vec<IpAddr>>, Duration)>;

fn of(found: Vec<(String, Answer)>) -> Option<Check> {
    let all = found.len();
    let parts: Vec<Part> = found.into_iter().map(|(name, answer)| part(name, answer)).collect();
    let good = parts.iter().filter(|part| part.verdict == Verdict::Ok).count();
    let check = match good {
        _ if all == 0 => return None,
        // It may be the name that is no good.
        0 if all == 1 => {
            Check::new("names", NETWORK, Verdict::Warning, "the only name is not found")
        }
        0 => Check::new("names", NETWORK, Verdict::Bad, "no name is found")
            .advise("look at the name servers of this machine (/etc/resolv.conf)"),
        good if good == all => {
            Check::new("names", NETWORK, Verdict::Ok, format!("{good} of {all} names are found"))
        }
        good => Check::new(
            "names",
            NETWORK,
            Verdict::Warning,
            format!("{good} of {all} names are found"),
        ),
    };
    Some(check.with(parts).value("found", good as u64).value("asked", all as u64))
}

fn part(name: String, answer: Answer) -> Part {
    match answer {
        None => Part::new(name, Verdict::Warning, "nobody has answered"),
        Some((Ok(ips), took)) => {
            let shown: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
            let seconds = Some(took.as_secs_f64());
            Part { seconds, ..Part::new(name, Verdict::Ok, shown.join(", ")) }
        }
        Some((Err(_), took)) => {
            let seconds = Some(took.as_secs_f64());
            Part { seconds, ..Part::new(name, Verdict::Warning, "is not found") }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of names.

    use super::*;

    #[test]
    fn names_are_bad_only_where_none_is_found() {
        let found = || Some((Ok(vec![IpAddr::from([192, 0, 2, 1])]), Duration::from_millis(300)));
        let lost = || Some((Err(io::ErrorKind::NotFound.into()), Duration::from_secs(1)));
        assert_eq!(of(Vec::new()), None);
        let verdict = |answers: [Answer; 2]| {
            of(answers.into_iter().map(|answer| ("a.example".to_owned(), answer)).collect())
                .map(|check| check.verdict)
        };
        assert_eq!(verdict([found(), found()]), Some(Verdict::Ok));
        assert_eq!(verdict([found(), lost()]), Some(Verdict::Warning));
        assert_eq!(verdict([None, lost()]), Some(Verdict::Bad));
        let one = of(vec![("gone.example".to_owned(), lost())]).unwrap();
        assert_eq!((one.verdict, one.advice), (Verdict::Warning, None));
    }

    #[test]
    fn addresses_are_no_names() {
        assert!(is_name("t.example") && !is_name("192.0.2.1") && !is_name("[2001:db8::1]"));
        assert_eq!(host_of("udp://t.example:6969/announce").as_deref(), Some("t.example"));
        assert_eq!(host_of("nonsense"), None);
    }
}
