//! `doctor` on this machine: a tracker, a node of the DHT, and things that do not answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};

use serde_json::Value;

use crate::home::Home;

/// A tracker that says who it is asked for, and the requests that it got.
fn tracker() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let (told, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = told.send(lines.next().unwrap_or_else(|| Ok(String::new())).unwrap());
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let body = "d8:completei5e10:incompletei2e8:intervali1800e5:peers0:e";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
            let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
        }
    });
    (url, requests)
}

fn doctor<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["doctor", "--bind", "127.0.0.1", "--port", "0", "--timeout", "3s", "--json"];
    usual.iter().chain(more).copied().collect()
}

fn report(home: &Home, code: i32, arguments: &[&str]) -> Value {
    let output = home.run(arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{told} {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let report = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(&report);
    report
}

fn assert_valid(report: &Value) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/doctor.json");
    let schema = compiler.compile(path, &mut schemas).unwrap();
    schemas.validate(report, schema).unwrap_or_else(|error| panic!("{error:#}"));
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn doctor_tells_tracker_by_tracker_and_fetches_nothing() {
    let home = Home::new();
    home.torrent("a.bin", 40_000);
    let (url, requests) = tracker();
    // It takes datagrams and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("udp://{}/announce", silent.local_addr().unwrap());
    let with =
        ["create", "source/a.bin", "-o", "t.torrent", "--tracker", &url, "--tracker", &silent_url];
    home.succeed(&with);
    let count = || std::fs::read_dir(home.path()).unwrap().count();
    let before = count();
    let report = report(&home, 6, &doctor(&["t.torrent", "--no-dht"]));
    assert_eq!(count(), before, "nothing was made here");
    let trackers = check(&report, "trackers");
    assert_eq!(trackers["verdict"], "warning", "{trackers}");
    assert_eq!(trackers["values"]["working"], 1);
    let parts = trackers["parts"].as_array().unwrap();
    assert!(parts[0]["detail"].as_str().unwrap().contains("knows 5 seeds and 2 leechers"));
    assert!(parts[0]["seconds"].is_number() && parts[1]["verdict"] == "warning", "{parts:?}");
    let private =
        ["create", "source/a.bin", "-o", "p.torrent", "--private", "--tracker", &silent_url];
    home.succeed(&private);
    let output = home.run(&doctor(&["p.torrent", "--no-dht", "--timeout", "1s"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the torrent is private"));
    // The tracker was told that we come and that we leave.
    let events: Vec<String> = requests.try_iter().collect();
    assert!(events.first().unwrap().contains("event=started"), "{events:?}");
    assert!(events.last().unwrap().contains("event=stopped"), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("completed")), "{events:?}");
    assert!(!report["checks"].to_string().contains("\"dht\""), "it was not to be asked");
    // On this machine alone nothing leads to the internet.
    assert_eq!(check(&report, "families")["verdict"], "bad");
    assert_ne!(check(&report, "disk")["verdict"], "bad");
}

#[test]
fn doctor_joins_the_dht_and_says_whether_somebody_answers() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let seed = ["seed", &torrent, "--dir", "source", "--bind", "127.0.0.1", "--port", "0"];
    let alone = ["--no-lsd", "--no-trackers", "--dht-bootstrap", ""];
    let mut node = home.start(&seed.iter().chain(&alone).copied().collect::<Vec<_>>());
    let ready = node.line_with("READY ");
    let contact = format!("127.0.0.1:{}", ready.trim_start_matches("READY ").trim());
    let report_of = |contact: &str| {
        let output = home.run(&doctor(&["--dht-bootstrap", contact]));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(&report);
        report
    };
    let joined = report_of(&contact);
    assert_eq!(check(&joined, "dht")["values"]["nodes"], 1, "{joined}");
    // Nobody takes what is sent there.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lonely = report_of(&nobody.local_addr().unwrap().to_string());
    assert_eq!(check(&lonely, "dht")["verdict"], "bad", "{lonely}");
    assert_eq!(lonely["ok"], false);
    assert!(check(&lonely, "port")["values"]["port"].as_u64().unwrap() > 0);
}

#[test]
fn doctor_says_what_is_in_the_way_with_the_code_of_that() {
    let home = Home::new();
    // Somebody has the port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let usual = ["doctor", "--bind", "127.0.0.1", "--timeout", "1s", "--port", &port];
    let output = home.run(&usual);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(6), "{shown}");
    assert!(shown.contains("bad") && shown.contains("another program has the port"), "{shown}");
    // A folder that is not there.
    home.refuse(3, &["doctor", "no.torrent"]);
    home.refuse(27, &["doctor", "magnet:?dn=x"]);
    let report: Value = {
        let output = home.run(&doctor(&["--no-dht", "--dir", "gone"]));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(check(&report, "disk")["verdict"], "bad");
}

#[test]
fn doctor_says_that_a_proxy_does_not_serve_and_that_no_port_is_open_behind_it() {
    let home = Home::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = format!("socks5://user:secret@{closed}");
    let node = ["--dht-bootstrap", "192.0.2.1:6881", "--proxy", &proxy];
    let output = home.run(&doctor(&node));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(&report);
    assert_eq!(check(&report, "proxy")["verdict"], "bad", "{report}");
    assert!(!report.to_string().contains("secret"), "{report}");
    assert!(check(&report, "port")["summary"].as_str().unwrap().contains("through a proxy"));
}
