//! The same stream gives the same messages however it is split. The first byte decides the split.
#![no_main]

use bytes::Bytes;
use eddyline::wire::FrameAssembler;

fn assemble(stream: &[u8], step: usize) -> (Vec<String>, bool) {
    let mut assembler = FrameAssembler::default();
    let mut messages = Vec::new();
    for chunk in stream.chunks(step.max(1)) {
        assembler.push(Bytes::copy_from_slice(chunk));
        loop {
            match assembler.next_message() {
                Ok(Some(message)) => messages.push(format!("{message:?}")),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    (messages, true)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((step, stream)) = data.split_first() else { return };
    assert_eq!(assemble(stream, usize::from(*step)), assemble(stream, stream.len()));
});
