//! What all targets have in common: an allocator that counts, and the bounds that a run is held
//! against.

use eddyline_sim::oracle::{Counting, bound_of};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Gives an input to the target of that name, and panics when it costs more than it may.
///
/// # Panics
/// When there is no such target, when it fails, and when it costs too much.
pub fn run(name: &str, data: &[u8]) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let machines = eddyline_utp_sim::fuzzing::TARGETS.iter();
    let engine = eddyline_sim::fuzzing::TARGETS.iter().chain(machines);
    let driver = eddyline_disk::fuzzing::TARGETS.iter().chain(eddyline_mio::fuzzing::TARGETS);
    let program = eddyline_session::fuzzing::TARGETS.iter().chain(eddyline_cli::fuzzing::TARGETS);
    let mut targets = engine.chain(driver).chain(program);
    let (_, target) = targets.find(|(known, _)| *known == name).expect("a target of that name");
    // What a target makes once is no input's cost.
    ONCE.call_once(|| target(b""));
    judge(name, data.len(), || target(data));
}

/// Runs something under the bound of a target: memory and work as the tests do, and time as well,
/// which they leave out because it depends on the machine.
///
/// # Panics
/// When what is run does, and when it costs too much.
pub fn judge(target: &str, length: usize, run: impl FnOnce()) {
    let spent = eddyline_sim::oracle::judge(target, length, run);
    if let Err(text) = bound_of(target).hold_time(length, &spent) {
        panic!("{text}");
    }
}
