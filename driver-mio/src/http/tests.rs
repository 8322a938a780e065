//! Unit tests of replies.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::{HttpFailure, HttpGet};

use super::exchange::Client;
use super::places::Places;
use super::{Names, fetch};
use crate::network::NetworkPolicy;

/// Serves one reply and returns the URL.
fn serve(head: String, body: Vec<u8>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        // The client may hang up in the middle; that is one of the cases.
        let head = format!("HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body);
    });
    url
}

fn names() -> Names {
    Names::new(NetworkPolicy::default())
}

fn zipped(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn get(url: String) -> HttpGet {
    HttpGet { url, ipv6: None, only: None, max_body: 100_000, timeout: Duration::from_secs(20) }
}

#[test]
fn a_compressed_reply_is_understood_and_an_endless_one_is_not_kept() {
    let text = b"d8:intervali1800e5:peers0:e";
    let url = serve("Content-Encoding: gzip\r\n".into(), zipped(text));
    assert_eq!(fetch(&get(url), "test", &names()).unwrap().body, text);
    // A hundred kilobytes on the wire, a hundred megabytes behind it.
    let url = serve("Content-Encoding: gzip\r\n".into(), zipped(&vec![0; 100_000_000]));
    assert!(matches!(fetch(&get(url), "test", &names()), Err(HttpFailure::BadReply)));
    let url = serve(String::new(), vec![b'x'; 1_000_000]);
    assert!(matches!(fetch(&get(url), "test", &names()), Err(HttpFailure::BadReply)));
}

#[test]
fn one_address_has_eight_exchanges_under_however_many_names() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, gate) = crossbeam_channel::bounded::<()>(0);
    std::thread::spawn(move || {
        let eight: Vec<_> = (0..8).map(|_| listener.accept().unwrap().0).collect();
        let _ = gate.recv();
        for mut stream in eight {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde");
        }
    });
    let client = client();
    let (names, (done, results)) = (names(), crossbeam_channel::unbounded());
    for host in ["127.0.0.1", "localhost"].repeat(8) {
        let get = HttpGet { ipv6: Some(false), ..get(format!("http://{host}:{port}/announce")) };
        let (done, client, resolver) = (done.clone(), client.clone(), names.resolver().clone());
        let fetch = async move { done.send(client.fetch(&get, &resolver).await) };
        names.thread().handle().unwrap().spawn(fetch);
    }
    // Nobody is answered yet, so these were refused a place.
    for _ in 0..8 {
        assert!(matches!(results.recv().unwrap(), Err(HttpFailure::TimedOut)));
    }
    drop(go);
    for _ in 0..8 {
        assert_eq!(results.recv().unwrap().unwrap().body, b"de");
    }
}

#[test]
fn gzip_has_two_names_in_any_case_and_ends_where_it_ends() {
    let text = b"d8:intervali1800e5:peers0:e";
    let half = zipped(b"d8:interval").into_iter().chain(zipped(b"i1800e5:peers0:e")).collect();
    let with_tail = zipped(text).into_iter().chain(*b"\r\n").collect();
    for (name, body) in [
        ("x-gzip", zipped(text)),
        ("GZIP", zipped(text)),
        (" X-GZip ", zipped(text)),
        ("gzip", half),
        ("gzip", with_tail),
        ("gzip", text.to_vec()),
        ("identity", text.to_vec()),
    ] {
        let url = serve(format!("Content-Encoding: {name}\r\n"), body);
        let reply = fetch(&get(url), "test", &names()).unwrap();
        assert!(reply.body == text && reply.whole, "{name}");
    }
}

#[test]
fn what_came_of_a_reply_that_promised_more_is_kept() {
    let text = b"d8:intervali1800e5:peers0:e";
    for head in ["Content-Length: 1000\r\n", "Content-Encoding: x-gzip\r\nContent-Length: 1000\r\n"]
    {
        let body = if head.contains("gzip") { zipped(text) } else { text.to_vec() };
        let reply = fetch(&get(serve(head.into(), body)), "test", &names()).unwrap();
        assert_eq!((&reply.body[..], reply.whole), (&text[..], false), "{head}");
    }
    let chunks = b"1b\r\nd8:intervali1800e5:peers0:e\r\n".to_vec();
    let reply =
        fetch(&get(serve("Transfer-Encoding: chunked\r\n".into(), chunks)), "test", &names());
    assert_eq!(reply.unwrap().body, text);
    let nothing = fetch(&get(serve("Content-Length: 5\r\n".into(), Vec::new())), "test", &names());
    assert!(matches!(nothing, Err(HttpFailure::BadReply)));
}

/// A server on which every connection answers `of_each` requests with its number, and then hangs up.
fn serve_many(of_each: usize) -> (String, crossbeam_channel::Receiver<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let (told, came) = crossbeam_channel::unbounded();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let _ = told.send(());
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut stream = stream;
            for _ in 0..of_each {
                let line =
                    |line: &std::io::Result<String>| line.as_ref().is_ok_and(|l| !l.is_empty());
                if lines.by_ref().take_while(line).count() == 0 {
                    break;
                }
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            }
        }
    });
    (url, came)
}

/// What `client` gets from `url`, as text.
fn ask(client: &Arc<Client>, names: &Names, get: HttpGet) -> Result<String, HttpFailure> {
    let (client, resolver) = (client.clone(), names.resolver().clone());
    let (done, result) = crossbeam_channel::bounded(1);
    let fetch = async move { done.send(client.fetch(&get, &resolver).await) };
    names.thread().handle().unwrap().spawn(fetch);
    result.recv().unwrap().map(|reply| String::from_utf8(reply.body).unwrap())
}

fn client() -> Arc<Client> {
    Arc::new(Client {
        places: Places::new(8, Duration::ZERO),
        ..Client::new("test", Duration::ZERO)
    })
}

#[test]
fn a_connection_is_used_again_and_one_that_the_server_closed_is_made_again() {
    let (names, client) = (names(), client());
    let (url, came) = serve_many(3);
    let replies: Vec<String> =
        (0..7).map(|_| ask(&client, &names, get(url.clone())).unwrap()).collect();
    assert_eq!(replies, ["0", "0", "0", "1", "1", "1", "2"]);
    assert_eq!(came.try_iter().count(), 3);
}

#[test]
fn a_connection_that_is_kept_is_used_only_by_who_may_go_where_it_leads() {
    let (names, client) = (names(), client());
    let (url, came) = serve_many(9);
    assert_eq!(ask(&client, &names, get(url.clone())).unwrap(), "0");
    let public = HttpGet { only: Some(Scope::Public), ..get(url.clone()) };
    assert!(matches!(ask(&client, &names, public), Err(HttpFailure::Forbidden)));
    let six = HttpGet { ipv6: Some(true), ..get(url.clone()) };
    assert!(matches!(ask(&client, &names, six), Err(HttpFailure::Lookup)));
    assert_eq!(ask(&client, &names, get(url)).unwrap(), "0");
    assert_eq!(came.try_iter().count(), 1);
}

#[test]
fn deflate_with_and_without_its_frame_and_brotli_are_understood() {
    let text = b"d8:intervali1800e5:peers0:e";
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(text).unwrap();
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    bare.write_all(text).unwrap();
    // Not compressed, in a window of 64 KiB: 27 bytes, and that this is the end.
    let brotli = [&[0xa0, 0x01, 0x10][..], text, &[0x03]].concat();
    for (name, body) in [
        ("deflate", zlib.finish().unwrap()),
        ("Deflate", bare.finish().unwrap()),
        ("br", brotli),
        // Some say that they compress and do not.
        ("deflate", text.to_vec()),
        ("br", text.to_vec()),
        ("zstd", text.to_vec()),
    ] {
        let url = serve(format!("Content-Encoding: {name}\r\n"), body);
        assert_eq!(fetch(&get(url), "test", &names()).unwrap().body, text, "{name}");
    }
}

#[test]
fn a_server_that_falls_silent_in_the_middle_of_a_body_is_late_and_not_wrong() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/a.torrent", listener.local_addr().unwrap());
    let silent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nd8:announce";
        stream.write_all(head).unwrap();
        // It stays connected for as long as somebody waits.
        drop(std::io::copy(&mut stream, &mut std::io::sink()));
    });
    let get = HttpGet { timeout: Duration::from_secs(1), ..get(url) };
    assert!(matches!(fetch(&get, "test", &names()), Err(HttpFailure::TimedOut)));
    silent.join().unwrap();
}

/// How a fetch ends from a server that sends `head` and then `again` without end, and how much of it was taken.
fn fetch_from_a_flood(
    head: &'static str,
    again: &'static str,
) -> (Result<super::Reply, HttpFailure>, usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let flood = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        let block = again.repeat(4096);
        let mut sent = usize::from(stream.write_all(head.as_bytes()).is_ok());
        while stream.write_all(block.as_bytes()).is_ok() {
            sent += block.len();
        }
        sent
    });
    let get = HttpGet { timeout: Duration::from_secs(60), ..get(url) };
    let end = fetch(&get, "test", &names());
    (end, flood.join().unwrap())
}

#[test]
fn a_server_that_says_without_end_that_one_may_go_on_is_cut_off() {
    let (end, sent) = fetch_from_a_flood("", "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(matches!(end, Err(HttpFailure::BadReply)));
    // What the kernel had room for was sent as well.
    assert!(sent < 32 << 20, "{sent} bytes");
}

#[test]
fn a_body_with_more_around_its_parts_than_in_them_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for (begins, again) in [("", "0"), ("1", " "), ("1", "\t"), ("1;", "a"), ("0\r\n", "a: b\r\n")]
    {
        let head = format!("{head}{begins}");
        let (end, sent) = fetch_from_a_flood(head.leak(), again);
        assert!(matches!(end, Err(HttpFailure::BadReply)), "{again:?}: {end:?}");
        assert!(sent < 32 << 20, "{again:?}: {sent} bytes");
    }
}

#[test]
fn a_body_in_parts_of_one_byte_comes_whole() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        let parts = "1\r\nx\r\n".repeat(400_000);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{parts}0\r\n\r\n").as_bytes()).unwrap();
    });
    let get = HttpGet { max_body: 1 << 20, ..get(url) };
    let body = fetch(&get, "test", &names()).unwrap();
    server.join().unwrap();
    assert_eq!(body.body.len(), 400_000);
}
