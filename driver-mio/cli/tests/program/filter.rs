//! `--ip-filter`: lists of addresses that nothing is sent to.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::home::{ALONE, Home};

/// A download from one peer, with a list.
fn download<'a>(torrent: &'a str, peer: &'a str, list: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["download", torrent, "--peer", peer, "--ip-filter", list, "--json", "-v"];
    let rest = ["--no-trackers", "-d", "out"];
    usual.into_iter().chain(rest).chain(ALONE).chain(more.iter().copied()).collect()
}

#[test]
fn a_peer_on_a_list_is_not_called_and_another_list_lets_it_be() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 200_000);
    let (_seed, addr) = home.seed(&[&torrent]);
    std::fs::write(home.at("list.p2p"), "this machine:127.0.0.0-127.255.255.255\n").unwrap();
    let more = ["--stop-timeout", "2s"];
    let output = home.run(&download(&torrent, &addr, "list.p2p", &more));
    assert_eq!(output.status.code(), Some(7));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("connected"));
    // Packed, in another format, and with a line that is not understood.
    let text =
        "1.2.3.4 - 1.2.3.9 , 000 , others\nnonsense\n127.0.0.1 - 127.0.0.2 , 200 , allowed\n";
    let mut gzip =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    std::fs::write(home.at("list.dat.gz"), gzip.wait_with_output().unwrap().stdout).unwrap();
    let output = home.run(&download(&torrent, &addr, "list.dat.gz", &[]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("1 of 2 lines of list.dat.gz are not understood, first line 2"),
        "{told}"
    );
}

#[test]
fn a_peer_that_comes_onto_a_list_while_it_is_connected_is_closed() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 2_000_000);
    let (_seed, addr) = home.seed(&[&torrent]);
    std::fs::write(home.at("list"), "# nobody yet\n").unwrap();
    let slow = ["--max-down", "20K"];
    let mut running = home.start(&download(&torrent, &addr, "list", &slow));
    running.line_with("\"state\":\"connected\"");
    std::fs::write(home.at("list"), "127.0.0.1\n").unwrap();
    running.line_with("\"reason\":\"blocked\"");
    std::fs::write(home.at("list"), "# nobody any more\n").unwrap();
    running.told_with("0 ranges of addresses are blocked now");
    let (code, ..) = running.stop();
    assert_eq!(code, 130);
}

#[test]
fn who_calls_from_a_listed_address_is_closed_without_a_word() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 200_000);
    std::fs::write(home.at("list"), "127.0.0.1/32\n").unwrap();
    let state = home.at("seeder");
    let rest = ["--dir", "source", "--no-trackers", "--ip-filter", "list", "--state-dir", &state];
    let seed: Vec<&str> = ["seed", &torrent].into_iter().chain(rest).chain(ALONE).collect();
    let mut seed = home.start(&seed);
    let ready = seed.line_with("READY ");
    let addr = format!("127.0.0.1:{}", ready.trim_start_matches("READY ").trim());
    let rest = ["--no-trackers", "-d", "out", "--stop-timeout", "2s", "--json", "-v"];
    let leech: Vec<&str> =
        ["download", &torrent, "--peer", &addr].into_iter().chain(rest).chain(ALONE).collect();
    let output = home.run(&leech);
    assert_eq!(output.status.code(), Some(7));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!told.contains("\"state\":\"connected\""), "{told}");
}

#[test]
fn a_list_that_cannot_be_used_ends_the_program_with_its_reason() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 1000);
    let refuse =
        |code, list: &str| home.refuse(code, &download(&torrent, "127.0.0.1:9", list, &[]));
    assert!(refuse(3, "nowhere").contains("--ip-filter: nowhere: there is no such file"));
    std::fs::write(home.at("page.html"), "<html>\n<body>\n").unwrap();
    assert!(refuse(2, "page.html").contains("no line of it is understood"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = refuse(6, &format!("http://{nobody}/level1.gz?key=secret"));
    assert!(told.contains("connection refused") && !told.contains("secret"), "{told}");
}

/// A web server that gives this to everybody; how often it was asked.
fn server(body: &'static str) -> (String, std::sync::mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/list", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut head);
            let _ = tell.send(());
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    (url, told)
}

#[test]
fn a_list_is_fetched_and_a_tracker_on_it_is_not_asked() {
    let home = Home::new();
    home.torrent("a.bin", 40_000);
    let (tracker, asked) = server("d8:intervali1800e5:peers0:e");
    home.succeed(&["create", "source/a.bin", "-o", "t.torrent", "--tracker", &tracker]);
    let (list, fetched) = server("127.0.0.0/8\n2001:db8::/32\n");
    let usual = ["doctor", "t.torrent", "--bind", "127.0.0.1", "--port", "0", "--timeout", "3s"];
    let more = ["--json", "--no-dht", "--ip-filter", &list];
    let output = home.run(&usual.into_iter().chain(more).collect::<Vec<_>>());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let find = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap();
    assert_eq!(find("filter")["values"]["ranges"], 2);
    let trackers = find("trackers").to_string();
    assert!(trackers.contains("blocked by the filter"), "{trackers}");
    assert_eq!((fetched.try_iter().count(), asked.try_iter().count()), (1, 0));
}

#[test]
fn a_signal_ends_the_program_while_a_list_is_fetched() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 1000);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        // It takes the request and says nothing.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let list = format!("http://{}/list", listener.local_addr().unwrap());
        let arguments =
            ["download", &torrent, "--no-dht", "--no-lsd", "--port", "0", "--ip-filter", &list];
        let mut child = home.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        let (_stream, _) = listener.accept().unwrap();
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}
