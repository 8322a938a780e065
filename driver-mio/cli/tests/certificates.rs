//! Whom HTTPS trusts, and what is said of a server that is not trusted, or fails otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// A server at this machine that gives `body` to everybody, with a certificate for `name`: its port, and
/// the certificate.
fn server(name: &str, body: Vec<u8>) -> (u16, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut tls = Stream::new(&mut connection, &mut stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_err() {
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = tls.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    (port, certificate.pem())
}

#[test]
fn a_server_is_trusted_as_the_system_says_and_the_reason_is_told_if_not() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], roots: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.args(arguments).current_dir(&home).env_clear().env("HOME", home.path());
        roots.map(|roots| command.env("SSL_CERT_FILE", home.path().join(roots)));
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::write(home.path().join("p"), "payload").unwrap();
    let (code, news) = run(&["create", "p"], None);
    assert_eq!(code, 0, "{news}");
    let torrent = std::fs::read(home.path().join("p.torrent")).unwrap();
    let (port, pem) = server("127.0.0.1", torrent.clone());
    std::fs::write(home.path().join("ours.pem"), pem).unwrap();
    let url = format!("https://127.0.0.1:{port}/p.torrent");
    let (code, news) = run(&["info", &url], None);
    assert!(code == 6 && news.contains("certificate is not trusted"), "{code} {news}");
    let (code, news) = run(&["info", &url], Some("ours.pem"));
    assert_eq!((code, news.as_str()), (0, ""));
    // One of somebody else does not count here.
    let (port, pem) = server("elsewhere.example", torrent);
    std::fs::write(home.path().join("elsewhere.pem"), pem).unwrap();
    let url = format!("https://127.0.0.1:{port}/p.torrent");
    let (code, news) = run(&["info", &url], Some("elsewhere.pem"));
    assert!(code == 6 && news.contains("for another name"), "{code} {news}");
}

/// What a download tells of a tracker that fails.
fn told_of(tracker: &str, home: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    let magnet = format!("magnet:?xt=urn:btih:{}", "cd".repeat(20));
    command.args(["download", &magnet, "--tracker", tracker, "--json", "--port", "0"]);
    command.args(["--no-dht", "--no-lsd"]).current_dir(home).env_clear().env("HOME", home);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events =
        lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let told = events.filter(|event| event["event"] == "tracker").find_map(|event| {
        assert!(event["info_hash"].is_string(), "{event}");
        event["error"].as_str().map(str::to_owned)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    told.unwrap()
}

#[test]
fn a_tracker_that_is_not_trusted_is_called_so() {
    let home = tempfile::tempdir().unwrap();
    let (port, _) = server("127.0.0.1", Vec::new());
    let told = told_of(&format!("https://127.0.0.1:{port}/announce"), home.path());
    assert!(told.contains("certificate is not trusted"), "{told}");
}

#[test]
fn of_a_tracker_that_listens_on_one_family_nothing_is_told_of_the_other() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let told = told_of(&format!("http://localhost:{port}/announce"), home.path());
    assert_eq!(told, "HTTP status 404");
    // The host is there, and nobody listens. A port that was free a moment ago may be another test's by now;
    // the first is given to nobody.
    let told = told_of("http://127.0.0.1:1/announce", home.path());
    assert_eq!(told, "connection refused");
}
