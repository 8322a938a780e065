//! What a step takes from the heap once everything has grown to its size.

use eddyline_benches::Recording;

/// Takings of memory per thousand blocks. A piece of the recording has four.
fn per_thousand_blocks(peers: u16) -> u64 {
    let recording = Recording::new(40_000, peers, 2000);
    let mut count = 0;
    recording.replay(|step| count += allocation_counter::measure(&mut *step).count_total);
    count * 1000 / recording.blocks
}

#[test]
fn a_block_takes_no_memory_of_its_own() {
    // What is taken is one list for each begun piece, now and then a node of a tree, and what one
    // message needs that asks a peer for several blocks: eight each where there are 200 peers.
    for (peers, most) in [(1, 500), (10, 600), (200, 1200)] {
        let taken = per_thousand_blocks(peers);
        println!("{peers} peers: {taken}");
        assert!(taken < most, "{peers} peers: {taken} of a thousand");
    }
}
