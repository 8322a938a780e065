//! The trackers of a torrent, one by one.

use std::time::Duration;

use eddyline::{TrackerState, TrackerView};

use super::super::exit::NETWORK;
use super::super::passkeys::without_passkey;
use super::super::units::count;
use super::report::{Check, Part, Verdict};
use super::run::Run;

/// What is known when the run has ended; nothing where no torrent was given.
pub fn check(run: &Run, verbose: u8) -> Option<Check> {
    let views = run.trackers()?;
    let check = of(&views, |url| run.answered_after(url), verbose);
    Some(match check.verdict {
        Verdict::Bad if run.is_private() => {
            check.advise("nobody is found without a tracker: the torrent is private")
        }
        Verdict::Bad => check.advise("peers are found by the DHT alone, if at all"),
        _ => check,
    })
}

/// Whether it is known how it stands with a tracker.
pub fn is_settled(view: &TrackerView) -> bool {
    !matches!(view.state, TrackerState::Unasked | TrackerState::Waiting | TrackerState::Asked)
}

fn of(views: &[TrackerView], took: impl Fn(&str) -> Option<Duration>, verbose: u8) -> Check {
    let parts: Vec<Part> = views
        .iter()
        .map(|view| Part {
            seconds: took(&view.url).map(|took| took.as_secs_f64()),
            ..part(view, verbose)
        })
        .collect();
    let (all, good) = (views.len(), views.iter().filter(|view| works(view)).count());
    let new = |verdict| {
        let summary = format!("{good} of {} answered", count(all as u32, "tracker"));
        Check::new("trackers", NETWORK, verdict, summary)
    };
    let check = match good {
        _ if all == 0 => {
            Check::new("trackers", NETWORK, Verdict::Ok, "the torrent names no tracker")
        }
        0 => new(Verdict::Bad),
        good if good == all => new(Verdict::Ok),
        _ => new(Verdict::Warning),
    };
    check.with(parts).value("working", good as u64).value("trackers", all as u64)
}

fn works(view: &TrackerView) -> bool {
    view.state == TrackerState::Working
}

fn part(view: &TrackerView, verbose: u8) -> Part {
    let url = without_passkey(&view.url, verbose);
    let mut how = match (view.state, &view.message) {
        (TrackerState::Working, _) => format!("works, named {}", count(view.named, "peer")),
        (_, Some(message)) => message.clone(),
        (TrackerState::Unasked, None) => "was not asked".to_owned(),
        (TrackerState::Waiting, None) => "others are before us at its host".to_owned(),
        (TrackerState::Asked, None) => "has not answered yet".to_owned(),
        (TrackerState::HostFails, None) => "its host answers nobody".to_owned(),
        (TrackerState::Failing | TrackerState::Refusing, None) => "fails".to_owned(),
    };
    if let (Some(seeds), Some(leechers)) = (view.complete, view.incomplete) {
        how += &format!("; knows {} and {}", count(seeds, "seed"), count(leechers, "leecher"));
    }
    Part::new(url, if works(view) { Verdict::Ok } else { Verdict::Warning }, how)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of trackers.

    use super::*;

    fn view(url: &str, state: TrackerState, message: Option<&str>) -> TrackerView {
        TrackerView {
            url: url.into(),
            tier: 0,
            failures: 0,
            working: state == TrackerState::Working,
            state,
            next_announce: None,
            message: message.map(String::from),
            complete: Some(3),
            incomplete: Some(1),
            downloaded: None,
            named: 4,
        }
    }

    #[test]
    fn each_tracker_is_told_with_its_answer_and_no_passkey() {
        let views = [
            view(
                "http://t.example/0123456789abcdef0123456789abcdef/announce",
                TrackerState::Working,
                None,
            ),
            view("udp://dead.example:1/announce", TrackerState::Failing, Some("it did not answer")),
        ];
        let check = of(&views, |_| Some(Duration::from_millis(500)), 0);
        assert_eq!((check.verdict, check.values["working"]), (Verdict::Warning, 1));
        assert!(!check.parts[0].name.contains("0123456789"));
        assert_eq!(check.parts[0].detail, "works, named 4 peers; knows 3 seeds and 1 leecher");
        assert!(check.parts[1].detail.starts_with("it did not answer"));
        assert_eq!(of(&views[1..], |_| None, 0).verdict, Verdict::Bad);
        assert_eq!(of(&[], |_| None, 0).verdict, Verdict::Ok);
    }

    #[test]
    fn a_tracker_that_was_asked_and_is_silent_is_waited_for() {
        for state in [TrackerState::Unasked, TrackerState::Waiting, TrackerState::Asked] {
            assert!(!is_settled(&view("http://t.example/a", state, None)));
        }
        assert!(is_settled(&view("http://t.example/a", TrackerState::Failing, None)));
    }
}
