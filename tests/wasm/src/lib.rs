//! The golden scenarios for a host of WebAssembly, which shows that a machine with pointers of 32 bits and without an
//! operating system decides as every other does. `run.mjs` runs it under Node; `.ci/wasm` compares.

use std::sync::OnceLock;

/// What the program `digests` prints.
fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let digests = eddyline_sim::scenario_digests();
        digests.iter().map(|(name, digest)| format!("{name} {digest:016x}\n")).collect()
    })
}

/// How many bytes [`text_byte`] has. The first call runs the scenarios.
#[unsafe(no_mangle)]
pub extern "C" fn text_length() -> usize {
    text().len()
}

/// A byte of the text, 0 behind its end. One at a time: so nobody handles a pointer.
#[unsafe(no_mangle)]
pub extern "C" fn text_byte(index: usize) -> u8 {
    text().as_bytes().get(index).copied().unwrap_or(0)
}
