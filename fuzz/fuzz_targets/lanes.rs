//! Sixteen messages hashed side by side, in any parts, have the digests that each has alone.
#![no_main]

use eddyline_disk::lanes::{LANES, LaneHash, Lanes, Width};
use libfuzzer_sys::fuzz_target;

/// Content, the length of each message, and where they are cut.
type Input = (Vec<u8>, u16, Vec<u8>);

fn agree<H: LaneHash>((content, length, cuts): &Input) {
    let length = usize::from(*length) % 4096;
    let byte = |at: usize| content.get(at % content.len().max(1)).copied().unwrap_or(0);
    let message = |lane: usize| (0..length).map(|at| byte(at * (lane + 1) + lane)).collect();
    let messages: [Vec<u8>; LANES] = std::array::from_fn(message);
    let hashed = |width: Width| {
        let (mut lanes, mut at) = (Lanes::<H>::of(width), 0);
        for cut in cuts {
            let next = (at + usize::from(*cut) * 64).min(length / 64 * 64);
            lanes.update(&messages.each_ref().map(|message| &message[at..next]));
            at = next;
        }
        lanes.finish(&messages.each_ref().map(|message| &message[at..]))
    };
    let alone = hashed(Width::One);
    assert!(Width::available().into_iter().all(|width| hashed(width) == alone));
}

fuzz_target!(|input: Input| {
    eddyline_fuzz::judge("lanes", input.0.len() + input.2.len(), || {
        agree::<sha1::Sha1>(&input);
        agree::<sha2::Sha256>(&input);
    });
});
