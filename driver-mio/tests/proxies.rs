//! What goes through a proxy goes nowhere else, whatever the proxy does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline::base::addr::Scope;
use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{CreateOptions, Creator, InputFile, Magnet, Metainfo};
use eddyline::{AddTorrent, Config, HttpFailure, HttpGet};
use eddyline_disk::Locations;
use eddyline_mio::dns::Names;
use eddyline_mio::http::fetch;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::proxy::{Proxies, Proxy, ProxyFor};
use eddyline_mio::{Driver, DriverConfig};

const PATIENCE: Duration = Duration::from_secs(20);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde";

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn options(proxy: &str, serves: ProxyFor) -> ListenOptions {
    let proxy: Proxy = proxy.parse().unwrap();
    let proxies = Proxies { chosen: Some((proxy, serves)), ..Proxies::default() };
    let address = Some(Ipv4Addr::LOCALHOST.into());
    ListenOptions { port: Some(0), address, interface: None, proxies, ..ListenOptions::default() }
}

fn names(proxy: &str) -> Names {
    Names::new(options(proxy, ProxyFor::ALL).policy())
}

fn get(url: &str, only: Option<Scope>) -> HttpGet {
    HttpGet { url: url.into(), ipv6: Some(false), only, max_body: 1000, timeout: PATIENCE }
}

/// Reads the request of a SOCKS client without a login, up to the port, and returns its bytes.
fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut hello = [0; 3];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(hello, [5, 1, 0]);
    // In parts: who reads it has to wait for the rest.
    stream.write_all(&[5]).unwrap();
    stream.write_all(&[0]).unwrap();
    let mut request = vec![0; 5];
    stream.read_exact(&mut request).unwrap();
    let rest = match request[3] {
        1 => 5,
        3 => usize::from(request[4]) + 2,
        _ => 17,
    };
    let head = request.len();
    request.resize(head + rest, 0);
    stream.read_exact(&mut request[head..]).unwrap();
    request
}

/// What a proxy grants, with the address at which datagrams are taken.
fn granted(at: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(at) = at else { panic!("{at}") };
    [&[5, 0, 0, 1][..], &at.ip().octets(), &at.port().to_be_bytes()].concat()
}

/// A proxy of which every request is told, and which `answers` each.
fn socks(
    answers: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + Clone + 'static,
) -> (String, Receiver<Vec<u8>>) {
    let (listener, addr) = listener();
    let (tell, told): (Sender<Vec<u8>>, _) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (tell, answers, mut stream) = (tell.clone(), answers.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let request = heard(&mut stream);
                let _ = tell.send(request.clone());
                answers(&mut stream, &request);
            });
        }
    });
    (format!("socks5://{addr}"), told)
}

/// The head of a request over HTTP.
fn request_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers whatever is asked over HTTP.
fn serve(stream: &mut TcpStream) -> String {
    let head = request_head(stream);
    let _ = stream.write_all(OK);
    head
}

#[test]
fn the_name_of_a_tracker_is_looked_up_by_the_proxy_alone() {
    let (proxy, told) = socks(|stream, _| {
        stream.write_all(&granted("0.0.0.0:0".parse().unwrap())).unwrap();
        drop(serve(stream));
    });
    // Nobody else finds it.
    let reply = fetch(&get("http://tracker.invalid:81/a", None), "test", &names(&proxy)).unwrap();
    assert_eq!((reply.status, reply.scope, &reply.body[..]), (200, Scope::Public, &b"de"[..]));
    assert_eq!(
        told.recv().unwrap(),
        [&[5, 1, 0, 3, 15][..], b"tracker.invalid", &[0, 81]].concat()
    );
    // The proxy does not say which family it takes: it is asked once.
    let six = HttpGet { ipv6: Some(true), ..get("http://tracker.invalid:81/a", None) };
    assert!(matches!(fetch(&six, "test", &names(&proxy)), Err(HttpFailure::Lookup)));
    assert!(told.try_recv().is_err());
}

#[test]
fn a_proxy_of_http_is_told_the_whole_url_and_asked_to_connect_where_it_must_not_read() {
    let (listener, addr) = listener();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = tell.send(serve(&mut stream.unwrap()));
        }
    });
    let proxy = names(&format!("http://someone:secret@{addr}"));
    let reply = fetch(&get("http://tracker.invalid:81/a?b=%2f", None), "test", &proxy).unwrap();
    assert_eq!(reply.status, 200);
    let said = told.recv().unwrap();
    assert!(said.starts_with("GET http://tracker.invalid:81/a?b=%2f HTTP/1.1\r\n"), "{said}");
    assert!(said.contains("Proxy-Authorization: Basic c29tZW9uZTpzZWNyZXQ=\r\n"), "{said}");
    assert!(said.contains("Host: tracker.invalid:81\r\n"), "{said}");
    assert!(
        fetch(&get("https://tracker.invalid/a", None), "test", &proxy).is_err(),
        "no TLS there"
    );
    let said = told.recv().unwrap();
    assert!(said.starts_with("CONNECT tracker.invalid:443 HTTP/1.1\r\n"), "{said}");
}

#[test]
fn addresses_and_names_of_near_networks_are_held_against_an_exchange_behind_a_proxy_too() {
    let (proxy, told) = socks(|_, _| {});
    for host in ["127.0.0.1", "192.168.1.1", "[::1]", "localhost", "nas.local", "router"] {
        let get = HttpGet { ipv6: None, ..get(&format!("http://{host}/a"), Some(Scope::Public)) };
        let reply = fetch(&get, "test", &names(&proxy));
        assert!(matches!(reply, Err(HttpFailure::Forbidden)), "{host}: {reply:?}");
    }
    assert!(told.try_recv().is_err(), "nobody was asked");
}

#[test]
fn without_a_proxy_that_works_nothing_goes_directly() {
    let (server, addr) = listener();
    server.set_nonblocking(true).unwrap();
    let (closed, dead) = listener();
    drop(closed);
    let url = format!("http://{addr}/announce");
    assert!(fetch(&get(&url, None), "test", &names(&format!("socks5://{dead}"))).is_err());
    for answer in [&b"HTTP/1.1 400 Bad\r\n\r\n"[..], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0], &[5, 9], &[]]
    {
        let (proxy, _told) = socks(|stream, _| drop(stream.write_all(answer)));
        let names = names(&proxy);
        assert!(fetch(&get(&url, None), "test", &names).is_err(), "{answer:?}");
    }
    assert!(server.accept().is_err(), "somebody called");
}

fn driver(options: ListenOptions, dht: Vec<String>) -> (tempfile::TempDir, Driver) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Config { lsd: true, dht: true, dht_bootstrap: dht, ..Config::default() };
    let config = DriverConfig {
        engine,
        locations: Locations::folder(folder.path()),
        read_cache: 1 << 20,
        unhashed: 4 << 20,
        keep_executable: false,
        store: None,
        listen: Some(options),
        disk_threads: 2,
        record: None,
    };
    (folder, Driver::new(config).unwrap())
}

/// Turns until something holds.
fn until(driver: &mut Driver, what: &str, mut holds: impl FnMut(&mut Driver) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds(driver) {
        driver.turn(Duration::from_millis(20)).unwrap();
        assert!(Instant::now() < end, "never: {what}");
    }
}

/// Nodes of the DHT that are known.
fn known(driver: &Driver) -> usize {
    driver.engine().dht_state().map_or(0, |state| state.nodes.len())
}

/// Adds a torrent that knows one peer.
fn call(driver: &mut Driver, peer: SocketAddr) {
    let magnet = format!("magnet:?xt=urn:btih:{}", "07".repeat(20));
    let mut add = AddTorrent::new(Magnet::parse(&magnet).unwrap());
    add.peers = vec![peer];
    driver.command(add);
}

#[test]
fn a_peer_is_called_through_the_proxy_and_what_it_says_behind_the_grant_is_its_own() {
    let (shook, shaken) = channel();
    let (proxy, told) = socks(move |stream, request| {
        if request[1] != 1 {
            return;
        }
        // The first bytes of the peer come in one packet with the end of the grant.
        let grant = [granted("0.0.0.0:0".parse().unwrap()), vec![19]].concat();
        stream.write_all(&grant).unwrap();
        let mut hello = [0; 20];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello[..], b"\x13BitTorrent protocol");
        stream.write_all(b"BitTorrent protocol").unwrap();
        let _ = shook.send(());
        let _ = stream.read(&mut [0; 1000]);
    });
    let (_folder, mut driver) = driver(options(&proxy, ProxyFor::ALL), Vec::new());
    assert_eq!(driver.port(), None, "nobody can call us");
    assert!(!driver.engine().config().lsd);
    call(&mut driver, "203.0.113.9:6881".parse().unwrap());
    let mut requests = Vec::new();
    until(&mut driver, "the peer is called", |_| {
        requests.extend(told.try_iter());
        requests.iter().any(|request| request[1] == 1)
    });
    let called = requests.iter().find(|request| request[1] == 1).unwrap();
    assert_eq!(called[..], [5, 1, 0, 1, 203, 0, 113, 9, 0x1a, 0xe1]);
    until(&mut driver, "they shake hands", |_| shaken.try_recv().is_ok());
    // It hangs up when it is asked to pass datagrams on, which is no fault of it otherwise.
    until(&mut driver, "it is told", |driver| driver.relay_trouble().is_some());
    assert_eq!(driver.proxy_trouble(), None);
    assert!(driver.relay_trouble().is_some_and(|why| why.contains("carries no UDP")));
}

#[test]
fn a_proxy_that_is_none_is_told_of_and_the_peer_is_not_called_otherwise() {
    for answer in [&b"220 mail.example\r\n"[..], &[5, 0xff]] {
        let (fake, addr) = listener();
        std::thread::spawn(move || {
            for stream in fake.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 100]);
                let _ = stream.write_all(answer);
            }
        });
        let (peer, at) = listener();
        peer.set_nonblocking(true).unwrap();
        let proxy = format!("socks5://{addr}");
        let (_folder, mut driver) = driver(options(&proxy, ProxyFor::ALL), Vec::new());
        call(&mut driver, at);
        until(&mut driver, "it is told", |driver| driver.proxy_trouble().is_some());
        assert!(driver.proxy_trouble().unwrap().contains(&proxy));
        assert!(peer.accept().is_err(), "the peer was called");
    }
}

#[test]
fn datagrams_go_through_an_association_that_is_made_again_when_it_breaks() {
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    relay.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let at = relay.local_addr().unwrap();
    let (end, ends) = channel::<()>();
    let ends = Arc::new(Mutex::new(ends));
    let (proxy, told) = socks(move |stream, request| {
        if request[1] == 3 {
            stream.write_all(&granted(at)).unwrap();
            let _ = ends.lock().unwrap().recv();
        }
    });
    let nodes = vec!["node.invalid:6881".into()];
    let (_folder, mut driver) = driver(options(&proxy, ProxyFor::ALL), nodes);
    let (mut datagram, mut from) = ([0; 2000], None);
    until(&mut driver, "a node is asked", |_| {
        from = relay.recv_from(&mut datagram).ok();
        from.is_some()
    });
    let head = [&[0, 0, 0, 3, 12][..], b"node.invalid", &[0x1a, 0xe1]].concat();
    assert!(datagram.starts_with(&head) && datagram[head.len()..].starts_with(b"d1:ad2:id20:"));
    // Its answer comes from the address that the name has, which nobody has told us.
    let length = from.unwrap().0;
    let query = &datagram[head.len()..length];
    let t = query.windows(5).position(|part| part == b"1:t4:").unwrap() + 5;
    let answer = [
        &[0, 0, 0, 1, 203, 0, 113, 9, 0x1a, 0xe1][..],
        b"d1:rd2:id20:abcdefghij0123456789e1:t4:",
        &query[t..t + 4],
        b"1:y1:re",
    ];
    let to = from.unwrap().1;
    // The same from somebody else is not heard.
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger.send_to(&answer.concat(), to).unwrap();
    (0..20).for_each(|_| drop(driver.turn(Duration::from_millis(10)).unwrap()));
    assert_eq!(known(&driver), 0);
    relay.send_to(&answer.concat(), to).unwrap();
    until(&mut driver, "the node is known", |driver| known(driver) == 1);
    let associations = |told: &Receiver<Vec<u8>>| told.try_iter().filter(|it| it[1] == 3).count();
    assert_eq!(associations(&told), 1);
    end.send(()).unwrap();
    until(&mut driver, "there is another one", |_| associations(&told) == 1);
}

/// A torrent of a thousand bytes that names a web seed.
fn torrent(web_seed: &str) -> (Metainfo, Vec<u8>) {
    let bytes = vec![7; 1000];
    let (name, web_seeds) = ("file".into(), vec![web_seed.into()]);
    let options =
        CreateOptions { name, web_seeds, piece_length: 16_384, ..CreateOptions::default() };
    let file = InputFile { path: Vec::new(), length: 1000, executable: false };
    let mut creator = Creator::new(options, vec![file]).unwrap();
    creator.provide_piece(0, Sha1Hash::of(&bytes));
    (Metainfo::parse(&creator.finish().unwrap()).unwrap(), bytes)
}

#[test]
fn web_seeds_are_asked_through_the_proxy_and_their_names_are_looked_up_there() {
    let (metainfo, bytes) = torrent("http://mirror.invalid/file");
    let (proxy, told) = socks(move |stream, request| {
        if request[1] != 1 {
            return;
        }
        stream.write_all(&granted("0.0.0.0:0".parse().unwrap())).unwrap();
        let asked = request_head(stream);
        assert!(
            asked.contains("range: bytes=0-999") || asked.contains("Range: bytes=0-999"),
            "{asked}"
        );
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n";
        let head = format!("{head}Content-Range: bytes 0-999/1000\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
    });
    let (_folder, mut driver) = driver(options(&proxy, ProxyFor::ALL), Vec::new());
    driver.command(AddTorrent::new(metainfo));
    until(&mut driver, "all of it comes", |driver| {
        let id = driver.engine().torrents().next();
        id.and_then(|id| driver.engine().torrent(id)).is_some_and(|torrent| torrent.have.is_full())
    });
    let mut requests = told.try_iter().filter(|request| request[1] == 1);
    assert_eq!(
        requests.next().unwrap(),
        [&[5, 1, 0, 3, 14][..], b"mirror.invalid", &[0, 80]].concat()
    );
}

#[test]
fn no_web_seed_is_asked_directly_where_the_proxy_is_dead() {
    let (server, addr) = listener();
    server.set_nonblocking(true).unwrap();
    let (closed, dead) = listener();
    drop(closed);
    let url = format!("http://{addr}/file");
    let (metainfo, _) = torrent("http://mirror.invalid/file");
    let options = options(&format!("socks5://{dead}"), ProxyFor::ALL);
    let (_folder, mut driver) = driver(options, Vec::new());
    let mut add = AddTorrent::new(metainfo);
    add.mirrors = vec![url];
    driver.command(add);
    until(&mut driver, "both have failed", |driver| {
        let id = driver.engine().torrents().next();
        let seeds = id.map_or(Vec::new(), |id| driver.engine().web_seeds(id));
        !seeds.is_empty() && seeds.iter().all(|seed| seed.failures > 0)
    });
    assert!(server.accept().is_err(), "somebody called");
}
