//! A hostile tracker over HTTP.

use std::net::{IpAddr, SocketAddr};

use eddyline::base::addr::{Scope, push_compact};
use eddyline::bencode::Encoder;

use super::FOUL_TRACKER;
use crate::entropy::Entropy;
use crate::tracker::Tracker;
use crate::world::World;

/// What it answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Peers, and when it wants to be asked again.
    Peers { count: u32, nobody: bool, interval: i64, min_interval: Option<i64> },
    /// A refusal, with the minutes to the next try.
    Refusal(i64),
    /// Not bencode, or too much of it.
    Garbage(u32),
}

/// How a hostile tracker behaves.
#[derive(Clone, Debug)]
pub(super) struct ServerPlan {
    answers: Vec<Answer>,
    /// Where it redirects to.
    redirect: Option<&'static str>,
}

impl ServerPlan {
    pub(super) fn draw(entropy: &mut Entropy) -> Self {
        let interval = |entropy: &mut Entropy| entropy.choose(&[0, -1, 1, 60, i64::MAX]);
        let answers = (0..entropy.between(1, 4)).map(|_| match entropy.below(4) {
            0 | 1 => Answer::Peers {
                count: entropy.choose(&[0, 50, 200, 2000]),
                nobody: entropy.chance(3, 4),
                interval: interval(entropy),
                min_interval: entropy.chance(1, 2).then(|| interval(entropy)),
            },
            2 => Answer::Refusal(interval(entropy)),
            _ => Answer::Garbage(entropy.choose(&[0, 10, 100_000])),
        });
        let answers = answers.collect();
        let places = [FOUL_TRACKER, "http://victim.example/page", "http://10.0.0.1/announce"];
        let redirect = entropy.chance(1, 4).then(|| entropy.choose(&places));
        Self { answers, redirect }
    }

    /// Puts the tracker into a world.
    pub(super) fn settle_in(&self, world: &mut World, addrs: &[IpAddr]) {
        let replies = self.answers.iter().map(|answer| answer.encode(addrs)).collect();
        let redirect = self.redirect.map(|url| (url.to_owned(), Scope::Local));
        let tracker = Tracker { replies, redirect, forgetful: true, ..Tracker::default() };
        world.trackers.insert(FOUL_TRACKER.into(), tracker);
    }
}

impl Answer {
    fn encode(self, addrs: &[IpAddr]) -> Vec<u8> {
        let mut out = Encoder::default();
        match self {
            Self::Peers { count, nobody, interval, min_interval } => {
                let mut peers = Vec::new();
                for n in 0..count {
                    let [_, a, b, c] = n.wrapping_mul(7919).to_be_bytes();
                    let own = addrs[n as usize % addrs.len()];
                    let ip = if nobody { IpAddr::from([79, a, b, c]) } else { own };
                    push_compact(&mut peers, SocketAddr::new(ip, 6881));
                }
                out.dict().bytes(b"interval").int(interval);
                if let Some(least) = min_interval {
                    out.bytes(b"min interval").int(least);
                }
                out.bytes(b"peers").bytes(&peers).end();
            }
            Self::Refusal(minutes) => {
                out.dict().bytes(b"failure reason").bytes(b"go away");
                out.bytes(b"retry in").int(minutes).end();
            }
            Self::Garbage(length) => return vec![b'd'; length as usize],
        }
        out.finish()
    }
}
