//! What comes to listeners and datagram sockets is taken fairly, and all of it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use eddyline::{Command, Config, DhtRequest};
use eddyline_disk::Locations;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::{Driver, DriverConfig};

fn driver(folder: &std::path::Path) -> Driver {
    let config = DriverConfig {
        engine: Config {
            lsd: false,
            dht_bootstrap: Vec::new(),
            max_handshaking: 1000,
            ..Config::default()
        },
        locations: Locations::folder(folder),
        read_cache: 1 << 20,
        unhashed: 4 << 20,
        keep_executable: false,
        store: None,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(Ipv4Addr::LOCALHOST.into()),
            interface: None,
            ..Default::default()
        }),
        disk_threads: 2,
        record: None,
    };
    Driver::new(config).unwrap()
}

#[test]
fn datagrams_behind_the_first_hundred_wait_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut driver = driver(folder.path());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, driver.port().unwrap()));
    driver.turn(Duration::ZERO).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // Noise first, then a question; all of it lies there when the driver looks.
    for _ in 0..200 {
        socket.send_to(b"x", to).unwrap();
    }
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    socket.send_to(ping, to).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let mut answer = [0; 2000];
    loop {
        driver.turn(Duration::from_millis(20)).unwrap();
        if socket.recv_from(&mut answer).is_ok() {
            break;
        }
        assert!(Instant::now() < end, "the question was never answered");
    }
}

#[test]
fn a_flood_of_datagrams_and_of_connections_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut driver = driver(folder.path());
    driver.command(Command::Dht(Box::new(DhtRequest::Contact("127.0.0.1:9".into()))));
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, driver.port().unwrap()));
    driver.turn(Duration::ZERO).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peers: Vec<_> = (0..150).map(|_| TcpStream::connect(to).unwrap()).collect();
    let end = Instant::now() + Duration::from_secs(20);
    while (driver.engine().stats().waiting as usize) < peers.len() {
        for _ in 0..300 {
            let _ = socket.send_to(b"x", to);
        }
        driver.turn(Duration::from_millis(20)).unwrap();
        assert!(Instant::now() < end, "{} came in", driver.engine().stats().waiting);
    }
}
