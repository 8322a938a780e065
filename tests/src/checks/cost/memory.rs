//! What an engine holds, against what it was given: state grows with what arrived, and not faster.

use eddyline::Engine;

/// Bytes that any engine may hold, and more for each torrent.
const ONCE: (u64, u64) = (256 << 10, 32 << 10);
/// Bytes for each piece and each connection.
const EACH: (u64, u64) = (80, 16 << 10);
/// Bytes for each byte that strangers sent: what waits for the rest of it, and what is kept of it.
const PER_BYTE: u64 = 4;

/// Holds the size of an engine's state against the `given` bytes of all strangers. The size is that
/// of a snapshot: the same number on every machine.
///
/// # Errors
/// The rule that is broken.
pub(crate) fn check_memory(engine: &Engine, given: u64) -> Result<(), String> {
    let (held, stats) = (engine.snapshot().len() as u64, engine.stats());
    let sizes = engine.torrents().filter_map(|id| engine.metainfo(id));
    let torrents: u64 = sizes
        .map(|known| {
            let pieces = u64::from(known.geometry().pieces());
            let files = known.layout().files().len() as u64 * 200;
            // A set of pieces for each connection.
            let sets = u64::from(stats.connections) * pieces / 8;
            ONCE.1 + pieces * EACH.0 + sets + files + 2 * known.info().len() as u64
        })
        .sum();
    let strangers = u64::from(stats.connections) * EACH.1 + given * PER_BYTE;
    let allowed = ONCE.0 + torrents + strangers + u64::from(stats.standby) * 500;
    if held > allowed {
        return Err(format!("no more is held than was given: {held} of {allowed} bytes"));
    }
    Ok(())
}
