//! Prints the digest of each named scenario, so that runs in other processes and builds can be
//! compared with this one.

fn main() {
    for (name, digest) in eddyline_sim::scenario_digests() {
        println!("{name} {digest:016x}");
    }
}
