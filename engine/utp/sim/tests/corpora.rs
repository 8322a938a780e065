//! The committed inputs of the fuzzers hold.

use std::path::Path;

#[test]
fn the_committed_inputs_of_the_fuzzers_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus");
    for (name, target) in eddyline_utp_sim::fuzzing::TARGETS {
        let inputs: Vec<_> =
            root.join(name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() > 8, "{name}");
        for path in inputs {
            target(&std::fs::read(path).unwrap());
        }
    }
}
