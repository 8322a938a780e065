//! The tracker of the demo: just enough HTTP for a swarm on loopback.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use eddyline::bencode::Encoder;

/// Starts a tracker on a free port; returns its announce URL. It ends with the process.
pub fn start() -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/announce", listener.local_addr()?);
    std::thread::spawn(move || {
        let mut peers = BTreeSet::new();
        for stream in listener.incoming().flatten() {
            // One bad request must not end the demo.
            let _ = answer(&stream, &mut peers);
        }
    });
    Ok(url)
}

fn answer(stream: &TcpStream, peers: &mut BTreeSet<u16>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let value = |key: &str| {
        let start = request.find(&format!("{key}="))? + key.len() + 1;
        request[start..].split(['&', ' ']).next()
    };
    let port: Option<u16> = value("port").and_then(|port| port.parse().ok());
    let stopped = value("event") == Some("stopped");
    let mut compact = Vec::new();
    for other in peers.iter().filter(|other| Some(**other) != port) {
        if let SocketAddr::V4(v4) = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *other) {
            compact.extend(v4.ip().octets());
            compact.extend(v4.port().to_be_bytes());
        }
    }
    if let Some(port) = port {
        if stopped {
            peers.remove(&port)
        } else {
            peers.insert(port)
        };
    }
    let mut body = Encoder::default();
    body.dict().bytes(b"interval").int(60).bytes(b"peers").bytes(&compact).end();
    let body = body.finish();
    let mut out = stream;
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    out.write_all(&body)
}
