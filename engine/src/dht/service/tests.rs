//! Unit tests of the service: two of them, with what they send carried from one to the other.

use super::*;
use crate::base::rng::Seed;

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([20, 0, 0, host], 6881))
}

fn torrent(number: u64) -> TorrentId {
    TorrentId::from_u64(number)
}

fn target(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn rng(name: &str) -> Rng {
    Seed([3; 32]).stream(name)
}

const PEERS: Goal = Goal::Peers { announce: Some(None), seed: false };

/// Two services that can reach each other over IPv4.
struct Pair {
    services: [DhtService; 2],
    millis: u64,
    /// What the first one said beside packets.
    said: Vec<ServiceOutput>,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { services: Default::default(), millis: 1_000_000, said: Vec::new() };
        for side in 0..2 {
            let stream = rng(["one", "other"][side]);
            pair.asks(side, |dht, now, out| dht.opened(NodeConfig::default(), stream, now, out));
        }
        pair
    }

    fn acquainted() -> Self {
        let mut pair = Self::new();
        pair.asks(0, |dht, now, out| dht.met(addr(1), now, out));
        pair
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.millis)
    }

    /// Asks one side, and carries packets until there are none.
    fn asks(
        &mut self,
        side: usize,
        asks: impl FnOnce(&mut DhtService, Instant, &mut Vec<ServiceOutput>),
    ) {
        let (now, mut out) = (self.now(), Vec::new());
        asks(&mut self.services[side], now, &mut out);
        let mut waiting: Vec<_> = out.into_iter().map(|output| (side, output)).collect();
        while !waiting.is_empty() {
            let (side, output) = waiting.remove(0);
            match output {
                ServiceOutput::Send { ipv6: false, to, data } if to == addr(1 - side as u8) => {
                    let mut out = Vec::new();
                    let from = addr(side as u8);
                    self.services[1 - side].datagram(from, &data, &|_| false, now, &mut out);
                    waiting.extend(out.into_iter().map(|output| (1 - side, output)));
                }
                output if side == 0 => self.said.push(output),
                _ => {}
            }
            self.services.iter().for_each(|service| service.check().unwrap());
        }
    }

    /// Lets time pass.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.millis += 100;
            self.asks(0, |dht, now, out| dht.poll(false, now, out));
        }
    }

    fn turns(&mut self) -> Vec<TorrentId> {
        let now = self.now();
        core::iter::from_fn(|| self.services[0].next_turn(now)).collect()
    }

    fn ends(&self) -> Vec<Asker> {
        let end = |output: &ServiceOutput| match output {
            ServiceOutput::Done(asker, _) => Some(*asker),
            _ => None,
        };
        self.said.iter().filter_map(end).collect()
    }
}

#[test]
fn a_torrent_has_its_turn_once_somebody_is_known_and_the_next_an_interval_later() {
    let mut pair = Pair::new();
    let now = pair.now();
    pair.services[0].wanted(torrent(1), now);
    assert!(pair.turns().is_empty() && !pair.services[0].is_about(torrent(1), now));
    pair.asks(0, |dht, now, out| dht.met(addr(1), now, out));
    assert!(pair.services[0].is_about(torrent(1), now));
    assert_eq!(pair.turns(), [torrent(1)]);
    let asker = Asker::Torrent(torrent(1));
    pair.asks(0, |dht, now, out| dht.asked(false, (target(1), PEERS), asker, now, out));
    assert_eq!(pair.ends(), [asker]);
    pair.services[0].looked_for(torrent(1), &mut rng("misc"), now);
    assert!(!pair.services[0].is_about(torrent(1), now));
    pair.wait(890);
    assert!(pair.turns().is_empty());
    pair.wait(80);
    assert_eq!(pair.turns(), [torrent(1)]);
}

#[test]
fn what_one_torrent_announced_is_found_for_the_next_and_a_lonely_one_is_looked_for_a_minute_later()
{
    let mut pair = Pair::acquainted();
    for number in 1..3 {
        let asker = Asker::Torrent(torrent(number));
        pair.asks(0, |dht, now, out| dht.asked(false, (target(1), PEERS), asker, now, out));
    }
    assert_eq!(pair.ends(), [1, 2].map(|number| Asker::Torrent(torrent(number))));
    let found = |output: &ServiceOutput| match output {
        ServiceOutput::Peers { torrent, peers, .. } => Some((*torrent, peers.clone())),
        _ => None,
    };
    let found: Vec<_> = pair.said.iter().filter_map(found).collect();
    assert_eq!(found, [(torrent(2), alloc::vec![addr(0)])]);
    let now = pair.now();
    pair.services[0].is_lonely(torrent(1), now);
    pair.wait(55);
    assert!(pair.turns().is_empty());
    pair.wait(10);
    assert_eq!(pair.turns(), [torrent(1)]);
}

#[test]
fn thousands_of_torrents_that_are_wanted_at_once_take_turns_at_a_pace() {
    let mut pair = Pair::acquainted();
    let now = pair.now();
    (0..1000).for_each(|number| pair.services[0].wanted(torrent(number), now));
    assert_eq!(pair.turns().len(), 5);
    assert!(pair.turns().is_empty());
    pair.wait(10);
    let mut taken = 0;
    for _ in 0..100 {
        pair.wait(1);
        taken += pair.turns().len();
    }
    assert!((190..=230).contains(&taken), "{taken} in 100 s");
}

#[test]
fn a_torrent_that_left_has_no_turn_and_hears_nothing_of_its_lookup() {
    let mut pair = Pair::acquainted();
    let (now, asker) = (pair.now(), Asker::Torrent(torrent(1)));
    pair.services[0].wanted(torrent(1), now);
    // The other side is silent.
    let mut out = Vec::new();
    pair.services[0].asked(false, (target(1), PEERS), asker, now, &mut out);
    assert!(out.iter().any(|output| matches!(output, ServiceOutput::Send { .. })));
    assert!(pair.services[0].is_about(torrent(1), now));
    pair.services[0].left(torrent(1));
    assert!(!pair.services[0].is_about(torrent(1), now));
    pair.wait(60);
    assert!(pair.ends().is_empty() && pair.turns().is_empty());
}

#[test]
fn a_question_of_the_user_is_answered_once_where_there_is_a_node() {
    let mut pair = Pair::acquainted();
    let asker = Asker::User(9, target(4));
    for ipv6 in [false, true] {
        let question = (target(4), Goal::Samples);
        pair.asks(0, |dht, now, out| dht.asked(ipv6, question, asker, now, out));
    }
    pair.wait(30);
    assert_eq!(pair.ends(), [asker]);
}

#[test]
fn who_knows_nobody_says_so_and_what_is_kept_leads_the_next_run_back() {
    let mut pair = Pair::new();
    assert!(pair.services[0].runs() && !DhtService::default().runs());
    pair.wait(5);
    assert!(pair.said.iter().any(|output| matches!(output, ServiceOutput::Lonely)));
    pair.asks(0, |dht, now, out| dht.met(addr(1), now, out));
    let state = pair.services[0].state().unwrap();
    assert_eq!(state.nodes.len(), 1);
    let mut next = Pair::new();
    next.services[0] = DhtService::default();
    assert_eq!(next.services[0].state(), None);
    next.asks(0, |dht, now, out| dht.restored(state.clone(), now, out));
    next.asks(0, |dht, now, out| dht.opened(NodeConfig::default(), rng("new"), now, out));
    let again = next.services[0].state().unwrap();
    assert_eq!(again.ids, state.ids);
    assert_eq!(again.nodes[0].addr, addr(1));
}
