//! Runs every target of the fuzzers over its committed inputs: `corpora FOLDER`. For counting what
//! they reach; the tests run them too. `corpora --shapes FOLDER` writes the worst shapes of each
//! target, of a length that fuzzers seldom come to, into a folder of its name.

use std::path::{Path, PathBuf};

/// Bytes of a shape.
const LENGTH: usize = 1 << 20;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: corpora [--shapes] FOLDER";
    let first = arguments.next().expect(usage);
    if first == "--shapes" {
        write_shapes(&PathBuf::from(arguments.next().expect(usage)));
    } else {
        run_all(&PathBuf::from(first));
    }
}

fn run_all(root: &Path) {
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

fn write_shapes(root: &Path) {
    for shape in eddyline_sim::oracle::SHAPES {
        let folder = root.join(shape.target);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let name = shape.name.replace([' ', '/'], "-");
        std::fs::write(folder.join(name), (shape.make)(LENGTH)).expect("a shape can be written");
    }
}
