//! Web seeds that nginx serves.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, Process, bytes, free_port, wait_until};

/// Writes a configuration by which nginx serves `root` at `address`, as one process that needs no rights.
fn configure(lab: &Lab, root: &Path, address: &str) -> PathBuf {
    let folder = lab.dir("nginx");
    let at = |name: &str| folder.join(name).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};\n", at(name)))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {};\nerror_log stderr;\nevents {{}}\nhttp {{\n\
         access_log off;\n{temporary}server {{ listen {address}; root {}; }}\n}}\n",
        at("pid"),
        root.display(),
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).unwrap();
    path
}

fn nginx(lab: &Lab) -> (Process, u16) {
    let port = free_port();
    let path = configure(lab, lab.source(), &format!("127.0.0.1:{port}"));
    let process = Process::start(Command::new("nginx").arg("-c").arg(path).args(["-e", "stderr"]));
    wait_until("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    (process, port)
}

/// A folder with names that need care in a URL, an empty file, and many small ones.
fn odd_folder() -> Lab {
    let fill = |folder: &Path| {
        let sub = folder.join("a b & c#1");
        std::fs::create_dir(&sub).unwrap();
        std::fs::write(sub.join("50% ü?.bin"), bytes(3_000_001)).unwrap();
        std::fs::write(folder.join("empty"), b"").unwrap();
        for number in 0..300 {
            std::fs::write(folder.join(format!("{number:03}")), bytes(1000 + number)).unwrap();
        }
    };
    Lab::with_folder(fill, &["--piece-length", "64KiB"])
}

#[test]
fn a_file_and_a_folder_are_fetched_from_nginx_with_no_peer_at_all() {
    for (lab, path) in [(Lab::with_file(20_000_003, &[]), "/payload.bin"), (odd_folder(), "/")] {
        let (_nginx, port) = nginx(&lab);
        let mut command = lab.download("fetched");
        command.args(["--json", "--mirror", &format!("http://127.0.0.1:{port}{path}")]);
        let mut download = Process::start(&mut command);
        assert_eq!(download.wait(), 0, "{:#?}", download.output());
        lab.assert_same("fetched");
        let output = download.output();
        let has = |text: &str| output.iter().any(|line| line.contains(text));
        assert!(has("\"transport\":\"http\"") && has("\"state\":\"connected\""), "{output:#?}");
    }
}
