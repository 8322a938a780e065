//! Unit tests of budgets of hosts.

use alloc::vec::Vec;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_000_000 + millis)
}

fn torrent(number: u32) -> Asker {
    (TorrentId::from_u64(number.into()), TrackerRef(0))
}

/// Torrents that ask one host whenever they may.
struct Crowd {
    hosts: Hosts,
    /// When each asks next; `None` while it stands in line, or is asking.
    next: Vec<Option<Instant>>,
    running: Vec<(Asker, Instant)>,
    /// Who was let through, and when.
    asked: Vec<(Asker, Instant)>,
    /// How often the host was looked at.
    looks: u32,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let next = alloc::vec![Some(at(0)); count];
        let (running, asked) = (Vec::new(), Vec::new());
        Self { hosts: Hosts::default(), next, running, asked, looks: 0 }
    }

    fn turned(&mut self, turned: Vec<Turned>, now: Instant) {
        for turned in turned {
            match turned {
                Turned::Go(asker) => self.goes(asker, now),
                Turned::PutOff(asker, until) => self.next[asker.0.as_u64() as usize] = Some(until),
            }
        }
    }

    fn goes(&mut self, asker: Asker, now: Instant) {
        self.running.push((asker, now));
        self.asked.push((asker, now));
    }

    /// The host takes `takes` milliseconds, and answers as a tracker does or not.
    fn run(&mut self, from: u64, to: u64, takes: u64, spoke: bool) {
        for now in (from..to).step_by(100).map(at) {
            let is_over = |began: Instant| now.millis_since(began) >= takes;
            let over: Vec<_> = self.running.extract_if(.., |(_, began)| is_over(*began)).collect();
            for (asker, began) in over {
                self.hosts.ended("host", began, spoke, now);
                self.next[asker.0.as_u64() as usize] = Some(now + Duration::from_secs(1800));
                let mut turned = Vec::new();
                self.hosts.advance("host", &|_, _| true, now, &mut turned);
                self.turned(turned, now);
            }
            for (_, turned) in self.hosts.poll(&|_, _| true, now) {
                self.turned(turned, now);
            }
            for number in 0..self.next.len() {
                if self.next[number].is_none_or(|next| next > now) {
                    continue;
                }
                self.looks += 1;
                let asker = torrent(number as u32);
                self.next[number] = None;
                match self.hosts.begin("host", asker, now) {
                    Admission::Go => self.goes(asker, now),
                    Admission::InLine => {}
                    Admission::Shunned(until) => self.next[number] = Some(until),
                }
            }
            let host = String::from("host");
            let running = self.running.iter().map(|_| &host);
            self.hosts.check(running).unwrap();
        }
    }
}

#[test]
fn a_host_that_is_no_tracker_is_left_alone_whoever_names_it() {
    let mut crowd = Crowd::new(1000);
    crowd.run(0, 3_600_000, 100, false);
    let count = crowd.asked.len();
    assert!((10..30).contains(&count), "{count} announces in an hour");
}

#[test]
fn a_dead_host_costs_one_time_out_and_then_one_torrent_asks_whether_it_is_back() {
    let mut crowd = Crowd::new(10_000);
    crowd.run(0, 600_000, 30_000, false);
    // Those that were let through before anybody knew.
    let soon = crowd.asked.iter().filter(|(_, when)| *when < at(30_000)).count();
    assert_eq!(soon, IN_FLIGHT_UNPROVEN as usize);
    let later = &crowd.asked[soon..];
    assert!((2..=5).contains(&later.len()), "{} probes in ten minutes", later.len());
    // Each of the others looks a few times, when somebody asks anyway.
    assert!(crowd.looks < 10 * 10_000, "{} looks", crowd.looks);
    // It is back: everybody is served soon, one after the other.
    let before = crowd.asked.len();
    crowd.run(600_000, 2_400_000, 200, true);
    let served: BTreeSet<_> = crowd.asked[before..].iter().map(|(asker, _)| *asker).collect();
    assert!(served.len() > 9_900, "{}", served.len());
}

#[test]
fn a_tracker_is_asked_for_thousands_of_torrents_in_the_order_in_which_they_came() {
    let mut crowd = Crowd::new(10_000);
    crowd.run(0, 1_200_000, 100, true);
    let askers: Vec<_> = crowd.asked.iter().map(|(asker, _)| *asker).collect();
    let expected: Vec<_> = (0..10_000).map(torrent).collect();
    assert_eq!(askers[..10_000], expected);
    assert_eq!(crowd.looks, 10_000, "nobody asks again and again for its turn");
}

#[test]
fn whoever_does_not_wait_any_more_holds_nobody_up() {
    let mut hosts = Hosts::default();
    for number in 0..4 {
        assert_eq!(hosts.begin("host", torrent(number), at(0)), Admission::Go);
    }
    for number in 4..1000 {
        assert_eq!(hosts.begin("host", torrent(number), at(0)), Admission::InLine);
        // Standing in line twice is standing in it once.
        assert_eq!(hosts.begin("host", torrent(number), at(1)), Admission::InLine);
    }
    hosts.ended("host", at(0), true, at(10));
    let mut turned = Vec::new();
    let waits = |torrent: TorrentId, _| torrent.as_u64() >= 998;
    hosts.advance("host", &waits, at(10), &mut turned);
    assert_eq!(turned, [Turned::Go(torrent(998)), Turned::Go(torrent(999))]);
    assert_eq!(hosts.next_deadline(), None);
}

#[test]
fn thousands_of_names_have_one_budget_until_they_answer() {
    let mut hosts = Hosts::default();
    let begin = |hosts: &mut Hosts, n: u32, second: u64| {
        let now = at(second * 1000);
        let key = hosts.key(alloc::format!("h{n}"), now);
        hosts.begin(&key, torrent(n + second as u32 * 100_000), now) == Admission::Go
    };
    assert_eq!((0..10_000).filter(|n| begin(&mut hosts, *n, 0)).count(), 60);
    assert!(hosts.hosts.len() <= MAX_HOSTS + 1);
    // One that answers depends on nobody else.
    hosts.ended("h1", at(0), true, at(100));
    assert!((0..8).all(|_| begin(&mut hosts, 1, 1)));
    // The others go in turn, four a second.
    let gone = hosts.poll(&|_, _| true, at(10_000));
    let gone = gone.iter().flat_map(|(_, turned)| turned).count();
    assert!((39..=41).contains(&gone), "{gone}");
}

#[test]
fn failures_at_the_same_time_count_once_and_an_answer_ends_the_shunning() {
    let mut hosts = Hosts::default();
    let begin = |hosts: &mut Hosts, millis| hosts.begin("a", torrent(1), at(millis));
    for _ in 0..4 {
        assert_eq!(begin(&mut hosts, 0), Admission::Go);
    }
    (0..4).for_each(|_| hosts.ended("a", at(0), false, at(1000)));
    assert_eq!(begin(&mut hosts, 2000), Admission::Shunned(at(18_000)));
    // The next one looks a little later, so that thousands do not look at once.
    assert_eq!(begin(&mut hosts, 2000), Admission::Shunned(at(18_005)));
    assert_eq!(hosts.is_back("a", at(2000)), Err(at(18_000)));
    assert!(!hosts.another("a", at(2000)));
    assert_eq!(hosts.is_back("a", at(18_000)), Ok(false));
    assert_eq!(begin(&mut hosts, 18_000), Admission::Go);
    assert!(matches!(begin(&mut hosts, 18_001), Admission::Shunned(_)), "one asks");
    hosts.ended("a", at(18_000), true, at(19_000));
    assert_eq!(hosts.is_back("a", at(19_000)), Ok(true));
    assert_eq!(begin(&mut hosts, 19_000), Admission::Go);
    hosts.ended("a", at(19_000), false, at(20_000));
    hosts.pardon("a");
    assert_eq!(begin(&mut hosts, 21_000), Admission::Go);
}
