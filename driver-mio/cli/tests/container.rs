//! The container file: it says what README says, and what it puts into an image is enough. A container engine
//! is not needed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Libraries that the smallest image of Debian has.
const IN_DEBIAN_SLIM: [&str; 5] =
    ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The instructions of the file, each in one line, without its comments.
fn instructions() -> Vec<(String, String)> {
    let file = text("driver-mio/packaging/Containerfile").replace("\\\n", " ");
    let lines = file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ').unwrap();
        (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    lines.map(split).collect()
}

fn of(word: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter(|(other, _)| other == word).map(|(_, rest)| rest).collect()
}

#[test]
fn readme_and_the_container_file_give_the_same_commands() {
    let (file, readme) = (text("driver-mio/packaging/Containerfile"), text("README.md"));
    let commands = |text: &str| {
        let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']).to_owned());
        lines.filter(|line| line.starts_with("docker ")).collect::<Vec<_>>()
    };
    assert_eq!(commands(&file), commands(&readme));
    assert_eq!(commands(&file).len(), 2);
    assert!(commands(&file)[0].contains("-f driver-mio/packaging/Containerfile "));
    // The port that README names is the one that is told to whoever runs it.
    assert_eq!(of("EXPOSE"), ["6881/tcp 6881/udp"]);
    assert!(readme.contains("port 6881 for TCP and UDP"));
}

#[test]
fn what_is_copied_is_made_before_and_everything_that_builds_it_is_sent() {
    let build = of("RUN").remove(0);
    assert!(build.contains("cargo build --locked --release -p eddyline-cli --bin eddyline"));
    let work = of("WORKDIR");
    for copied in of("COPY").iter().filter_map(|copy| copy.strip_prefix("--from=build ")) {
        let from = copied.split(' ').next().unwrap();
        let made = from.strip_prefix(&format!("{}/", work[0])).unwrap_or(from);
        assert!(build.contains(made), "{from} is not made by: {build}");
    }
    let ignored = text("driver-mio/packaging/Containerfile.dockerignore");
    let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    for needed in ["Cargo.lock", "Cargo.toml", "engine", "driver-mio", "tests", "benches"] {
        assert!(repository().join(needed).exists() && !ignored.contains(&needed), "{needed}");
    }
    // Another compiler than the image's would be fetched.
    assert!(ignored.contains(&"rust-toolchain.toml") && ignored.contains(&"target"));
    let manual = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_eddyline");
    let made = Command::new(program).arg("man").arg(manual.path()).status().unwrap();
    assert!(made.success() && manual.path().join("eddyline-download.1").exists());
}

#[test]
fn the_image_has_what_the_program_needs() {
    let images = of("FROM");
    let release = |image: &str| image.contains("bookworm");
    assert!(images.len() == 2 && images.iter().all(|image| release(image)), "{images:?}");
    assert!(images[1].contains("debian:bookworm-slim"), "{images:?}");
    let listed = Command::new("ldd").arg(env!("CARGO_BIN_EXE_eddyline")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let needed: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(needed.len() > 2, "{listed}");
    for library in needed {
        let name = library.rsplit('/').next().unwrap();
        let loader = name.starts_with("ld-linux");
        assert!(loader || IN_DEBIAN_SLIM.contains(&name), "{library} is not in {}", images[1]);
    }
    // Trackers and `.torrent` files over HTTPS need certificates, and state a folder of its own.
    assert!(of("RUN").iter().any(|run| run.contains(" ca-certificates ")));
    assert_eq!(of("ENV"), ["EDDYLINE_STATE_DIR=/state"]);
    assert_eq!(of("VOLUME"), ["[\"/data\", \"/state\"]"]);
    assert_eq!(of("WORKDIR").last().unwrap(), "/data");
}
