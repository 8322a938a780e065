//! What entropy makes of access lines, configurations and blows.

use std::time::Duration;

use eddyline::{Config, Encryption, EncryptionLevel, EncryptionPolicy, SeedChoking, Transports};

use super::Blow;
use crate::entropy::Entropy;
use crate::net::{Access, Partition};

pub(super) fn draw_access(entropy: &mut Entropy) -> Access {
    let rate = |entropy: &mut Entropy| {
        entropy.choose(&[None, None, Some(30_000), Some(200_000), Some(2_000_000)])
    };
    Access {
        up: rate(entropy),
        down: rate(entropy),
        latency: Duration::from_millis(entropy.choose(&[0u32, 0, 30, 150]).into()),
        queue: entropy.choose(&[None, Some(64 << 10)]),
    }
}

pub(super) fn draw_config(entropy: &mut Entropy) -> Config {
    let usual = Config::default();
    let mut config = Config {
        unchoke_slots: entropy.choose(&[None, Some(1), Some(2), Some(8)]),
        seed_choking: entropy.choose(&[
            SeedChoking::RoundRobin,
            SeedChoking::FastestUpload,
            SeedChoking::AntiLeech,
        ]),
        max_connections_per_torrent: entropy.choose(&[2, 4, 100]),
        max_half_open: entropy.choose(&[1, 30]),
        max_outstanding_requests: entropy.choose(&[2, 50, 1000]),
        max_queued_requests: entropy.choose(&[5, 2000]),
        disk_intake: entropy.choose(&[32 << 10, 1 << 20, 8 << 20]),
        hash_jobs: entropy.choose(&[1, 4]),
        send_backlog: entropy.choose(&[16 << 10, 256 << 10]),
        send_budget: entropy.choose(&[64 << 10, 16 << 20]),
        read_credit: entropy.choose(&[64 << 10, 32 << 20]),
        resume_interval: Duration::from_secs(entropy.choose(&[2, 60])),
        ..usual
    };
    // Those who save often also rest soon.
    config.rest_after = (config.resume_interval.as_secs() == 2).then_some(Duration::from_secs(3));
    config
}

/// How one node encrypts. Whoever required it would part from the others for good.
pub(super) fn draw_encryption(entropy: &mut Entropy) -> Encryption {
    let policy = entropy.choose(&[EncryptionPolicy::Disable, EncryptionPolicy::Prefer]);
    let level = entropy.choose(&[
        EncryptionLevel::Either,
        EncryptionLevel::Rc4,
        EncryptionLevel::Plaintext,
    ]);
    Encryption { policy, level }
}

/// What one node speaks. All have µTP, so that everybody can reach everybody.
pub(super) fn draw_transports(entropy: &mut Entropy) -> Transports {
    entropy.choose(&[Transports::Both, Transports::Both, Transports::Utp])
}

/// Who reads what, and when.
pub(super) fn draw_reads(entropy: &mut Entropy, seconds: u32, nodes: usize) -> Vec<(u32, Blow)> {
    let mut reads = Vec::new();
    for _ in 0..entropy.between(1, 12) {
        let (when, node) = (entropy.below(seconds), entropy.below(nodes as u32));
        let read = Blow::Read(node as usize, entropy.below(1000), entropy.below(30));
        reads.push((when, read));
    }
    reads
}

pub(super) fn draw_blow(entropy: &mut Entropy, nodes: usize) -> Blow {
    let any = |entropy: &mut Entropy| entropy.below(nodes as u32) as usize;
    let node = any(entropy);
    // The seed on which everything depends keeps its power.
    let other = 1 + entropy.below(nodes as u32 - 1) as usize;
    match entropy.below(20) {
        0 => {
            let group = (0..nodes).filter(|_| entropy.chance(1, 2)).collect();
            Blow::Divide(group, entropy.choose(&[Partition::Hold, Partition::Drop]))
        }
        1 => Blow::Heal,
        2 => Blow::Crash(other),
        3 => Blow::Jump(node, entropy.choose(&[1, 60, 4000])),
        4 => Blow::Drift(node, entropy.choose(&[-100_000, -50, 50, 100_000])),
        5 => Blow::Pause(node),
        6 => Blow::Resume(node),
        7 => Blow::Recheck(node),
        8 => {
            let rates = [None, Some(10_000), Some(100_000)];
            Blow::Limit(node, entropy.choose(&rates), entropy.choose(&rates))
        }
        9 => Blow::Skip(other),
        10 => Blow::Want(other),
        11 => Blow::Remove(other),
        12 => Blow::Announce(node),
        13 => Blow::Save(node),
        14 => Blow::Know(node, any(entropy)),
        15 => Blow::Delete(other),
        16 => Blow::Move(node, entropy.below(3)),
        17 => Blow::Rename(node),
        18 => Blow::Stop(other),
        _ => Blow::Trackers(entropy.chance(1, 2)),
    }
}
