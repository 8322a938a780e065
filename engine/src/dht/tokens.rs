//! Tokens: proof that whoever stores something got an answer at its address shortly before (BEP 5).

use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::hash::Sha1Hash;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// How long tokens are made with one secret; they are accepted for as long again (BEP 5: five minutes).
pub const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// Makes tokens and knows its own again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tokens {
    secret: [u8; 16],
    previous: [u8; 16],
    changed_at: Instant,
}

impl Tokens {
    /// New secrets.
    pub fn new(rng: &mut Rng, now: Instant) -> Self {
        let (mut secret, mut previous) = ([0; 16], [0; 16]);
        rng.fill(&mut secret);
        rng.fill(&mut previous);
        Self { secret, previous, changed_at: now }
    }

    /// Changes the secret when its time is over.
    pub fn rotate(&mut self, rng: &mut Rng, now: Instant) {
        let age = now.since(self.changed_at);
        if age < TOKEN_LIFE {
            return;
        }
        self.previous = self.secret;
        rng.fill(&mut self.secret);
        if age >= 2 * TOKEN_LIFE {
            // Nobody holds a token of the one before any more.
            self.previous = self.secret;
        }
        self.changed_at = now;
    }

    /// The token for a node at `ip` that asks for `target`.
    pub fn token(&self, ip: IpAddr, target: &[u8; 20]) -> [u8; 8] {
        token(&self.secret, ip, target)
    }

    /// Whether `token` was given to that address for that target not long ago.
    pub fn is_valid(&self, given: &[u8], ip: IpAddr, target: &[u8; 20]) -> bool {
        given == token(&self.secret, ip, target) || given == token(&self.previous, ip, target)
    }
}

fn token(secret: &[u8; 16], ip: IpAddr, target: &[u8; 20]) -> [u8; 8] {
    let mut input = [0; 16 + 16 + 20];
    input[..16].copy_from_slice(secret);
    match ip.to_canonical() {
        IpAddr::V4(ip) => input[16..32].copy_from_slice(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => input[16..32].copy_from_slice(&ip.octets()),
    }
    input[32..].copy_from_slice(target);
    let hash = Sha1Hash::of(&input).0;
    core::array::from_fn(|n| hash[n])
}
