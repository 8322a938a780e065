//! Runs every target of the fuzzers over its committed inputs: `corpora FOLDER`. For counting what
//! they reach; the tests run them too.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::args_os().nth(1).expect("usage: corpora FOLDER"));
    let mut inputs = 0;
    for (name, target) in eddyline_sim::fuzzing::TARGETS {
        let folder = root.join(name);
        for entry in folder.read_dir().unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.expect("the folder can be read").path();
            target(&std::fs::read(&path).expect("an input can be read"));
            inputs += 1;
        }
    }
    println!("{inputs} inputs");
}
