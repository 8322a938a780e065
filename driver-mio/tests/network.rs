//! What goes out goes out by the rules of the policy, and whoever is silent delays nobody else.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use eddyline::base::ids::{ExchangeId, LookupId};
use eddyline::{Event, HttpEvent, HttpFailure, HttpGet};
use eddyline_disk::mailbox::Mailbox;
use eddyline_mio::dns::{Dns, Names};
use eddyline_mio::http::{Http, fetch};
use eddyline_mio::network::NetworkPolicy;
use mio::{Poll, Token, Waker};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

/// A web server that answers everything with an empty list of peers, and who called it.
fn server(at: IpAddr) -> (SocketAddr, Receiver<IpAddr>) {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let (called, callers) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let body = "d8:intervali1800e5:peers0:e";
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{body}");
            let _ = called.send(from.ip());
        }
    });
    (addr, callers)
}

fn get(url: String) -> HttpGet {
    HttpGet { url, ipv6: None, only: None, max_body: 100_000, timeout: Duration::from_secs(30) }
}

fn bound() -> Names {
    Names::new(NetworkPolicy::new(Some(OURS), None))
}

#[test]
fn http_leaves_from_the_chosen_address_and_never_by_the_other_family() {
    let (addr, callers) = server(Ipv4Addr::LOCALHOST.into());
    for host in [addr.to_string(), format!("localhost:{}", addr.port())] {
        let reply = fetch(&get(format!("http://{host}/announce")), "test", &bound()).unwrap();
        assert_eq!((reply.status, callers.recv().unwrap()), (200, OURS));
    }
    // There may be no IPv6 on this machine; then nothing can leave by it anyway.
    if let Ok(six) = TcpListener::bind(("::1", 0)) {
        six.set_nonblocking(true).unwrap();
        let url = format!("http://{}/announce", six.local_addr().unwrap());
        assert!(fetch(&get(url), "test", &bound()).is_err());
        assert!(six.accept().is_err(), "nobody called");
    }
}

#[test]
fn names_are_asked_for_from_the_chosen_address() {
    // Nothing is said of the servers that this machine has; but a socket for any of them is bound.
    let listener = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let socket = bound().policy().datagrams_to(server, 0).unwrap();
    socket.send_to(b"?", server).unwrap();
    assert_eq!(listener.recv_from(&mut [0; 9]).unwrap().1.ip(), OURS);
    assert_eq!(bound().look_up("localhost").unwrap(), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
}

/// A mailbox, and the poll that keeps its waker alive.
fn mailbox() -> (Poll, Mailbox) {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    (poll, Mailbox::new(move || waker.wake().unwrap()))
}

/// Waits until `count` of the events that came are `wanted`.
fn wait(mailbox: &Mailbox, count: usize, wanted: impl Fn(&Event) -> bool) {
    let began = Instant::now();
    let mut events = Vec::new();
    while events.iter().filter(|event| wanted(event)).count() < count {
        mailbox.collect(&mut events);
        std::thread::sleep(Duration::from_millis(5));
        assert!(began.elapsed() < Duration::from_secs(25), "{} events", events.len());
    }
}

#[test]
fn however_many_trackers_are_silent_the_others_are_asked() {
    let (_poll, mailbox) = mailbox();
    let http = Http::start(&mailbox, "test", Names::default());
    let finished = |event: &Event| matches!(event, Event::Http(_, HttpEvent::Finished));
    let good = |host: u8| server(Ipv4Addr::new(127, 0, 9, host).into()).0;
    let known: Vec<SocketAddr> = (1..4).map(good).collect();
    let mut next = 0;
    let mut ask = |url: String| {
        next += 1;
        http.get(ExchangeId::from_u64(next), get(url));
    };
    known.iter().for_each(|addr| ask(format!("http://{addr}/announce")));
    wait(&mailbox, known.len(), finished);
    // Two hundred that accept and say nothing, some of them asked again and again.
    let silent = |n: u32| TcpListener::bind((Ipv4Addr::from(0x7f00_0a00 + n), 0)).unwrap();
    let silent: Vec<TcpListener> = (1..200).map(silent).collect();
    for (n, listener) in silent.iter().enumerate() {
        let again = if n < 12 { 20 } else { 1 };
        (0..again).for_each(|_| ask(format!("http://{}/a", listener.local_addr().unwrap())));
    }
    let fresh: Vec<SocketAddr> = (4..7).map(good).collect();
    let working = || known.iter().chain(&fresh);
    working().for_each(|addr| ask(format!("http://{addr}/announce")));
    // The silent ones are given up after 30 s, and hold up nobody from 3 s on; `wait` waits for neither.
    let began = Instant::now();
    wait(&mailbox, working().count(), finished);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // None of them has a thread.
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 60, "{threads} threads");
}

#[test]
fn a_name_in_letters_of_any_script_is_looked_up_as_name_servers_know_it() {
    let failed = fetch(&get("http://трекер.invalid/announce".into()), "test", &bound());
    assert!(matches!(failed, Err(HttpFailure::Lookup)), "a name, that nobody has: {failed:?}");
    // Addresses too have other letters (Unicode TR46).
    let (addr, callers) = server(Ipv4Addr::LOCALHOST.into());
    let url = format!("http://１２７．０．０．１:{}/announce", addr.port());
    assert_eq!(
        (fetch(&get(url), "test", &bound()).unwrap().status, callers.recv().unwrap()),
        (200, OURS)
    );
}

#[test]
fn a_name_is_looked_up_once_for_all_who_wait() {
    let (_poll, mailbox) = mailbox();
    let dns = Dns::start(&mailbox, Names::default());
    for id in 0..500 {
        dns.resolve(LookupId::from_u64(id), "localhost".into());
    }
    wait(&mailbox, 500, |event| matches!(event, Event::Resolved(_, Ok(ips)) if !ips.is_empty()));
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn sockets_are_made_in_one_place() {
    const MAKING: [&str; 9] = [
        "Socket::new(",
        "TcpStream::connect",
        "UdpSocket::bind",
        "TcpListener::bind",
        "TcpSocket::",
        "to_socket_addrs",
        "lookup_host",
        "Endpoint::",
        "UnixStream",
    ];
    // The policy itself; the system's resolver where everything is allowed; a demo on loopback.
    const MAY: [&str; 3] = ["src/network.rs", "src/resolver.rs", "cli/src/demo_tracker.rs"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for part in ["src", "cli/src", "disk/src", "session/src"] {
        sources(&root.join(part), &mut files);
    }
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        if name.ends_with("tests.rs") || MAY.contains(&name.as_str()) {
            continue;
        }
        for making in MAKING {
            assert!(!text.contains(making), "{name} makes a socket by itself: {making}");
        }
    }
}
