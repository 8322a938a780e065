//! Unit tests of proxies: what is said to them, and what they may answer.

use std::net::SocketAddr;

use eddyline::base::addr::is_placeholder;

use super::datagram::{unwrap, wrap};
use super::handshake::{Handshake, Refusal, Target, Wish};
use super::placeholders::Placeholders;
use super::*;

fn proxy(text: &str) -> Proxy {
    text.parse().unwrap()
}

fn peer() -> Target {
    Target::Address("203.0.113.9:6881".parse().unwrap())
}

/// A conversation in which the proxy says all of `says`, `each` bytes at a time; and what was said to it.
fn talk(mut talk: Handshake, says: &[u8], each: usize) -> (Result<bool, Refusal>, Vec<u8>, usize) {
    let (mut heard, mut at) = (Vec::new(), 0);
    loop {
        if talk.is_done() {
            return (Ok(true), heard, at);
        }
        if !talk.outgoing().is_empty() {
            let count = talk.outgoing().len().min(each);
            heard.extend_from_slice(&talk.outgoing()[..count]);
            talk.sent(count);
            continue;
        }
        let wants = talk.wants();
        assert!(wants > 0 && wants <= 262, "{wants}");
        let count = wants.min(each).min(says.len() - at);
        if count == 0 {
            return (Ok(false), heard, at);
        }
        if let Err(refusal) = talk.received(&says[at..at + count]) {
            return (Err(refusal), heard, at);
        }
        at += count;
    }
}

const GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn socks_is_spoken_byte_by_byte_and_nothing_behind_it_is_read() {
    let says = [&[5, 0], GRANTED, b"\x13BitTorrent"].concat();
    for each in [1, 2, 3, 1000] {
        let shake = Handshake::new(&proxy("socks5://127.0.0.1:1080"), &Wish::Connect(peer()));
        let (end, heard, read) = talk(shake, &says, each);
        assert_eq!((end, read), (Ok(true), 12), "{each}");
        assert_eq!(heard, [5, 1, 0, 5, 1, 0, 1, 203, 0, 113, 9, 0x1a, 0xe1]);
    }
}

#[test]
fn user_and_password_go_to_a_proxy_that_asks_for_them_and_nobody_else() {
    let with = proxy("socks5h://us%40er:pass%3aword@p.example");
    let name = Wish::Connect(Target::Name("t.example".into(), 80));
    let says = [&[5, 2, 1, 0, 5, 0, 0, 4][..], &[0; 18]].concat();
    let (end, heard, _) = talk(Handshake::new(&with, &name), &says, 1);
    assert_eq!(end, Ok(true));
    let login = [&[1, 6][..], b"us@er", &[9], b"pass:word"].concat();
    let login = [&[1, 5][..], &login[2..]].concat();
    let request = [&[5, 1, 0, 3, 9][..], b"t.example", &[0, 80]].concat();
    assert_eq!(heard, [&[5, 2, 0, 2][..], &login, &request].concat());
    // One that wants none is told none.
    let (end, heard, _) = talk(Handshake::new(&with, &name), &[&[5, 0], GRANTED].concat(), 9);
    assert!(end == Ok(true) && !heard.windows(4).any(|part| part == b"pass"));
    let refused = |proxy: &Proxy, says: &[u8]| talk(Handshake::new(proxy, &name), says, 9).0;
    assert_eq!(refused(&with, &[5, 2, 1, 1]), Err(Refusal::WrongLogin));
    assert_eq!(refused(&with, &[5, 0xff]), Err(Refusal::WrongLogin));
    assert_eq!(refused(&proxy("socks5://h"), &[5, 0xff]), Err(Refusal::WantsLogin));
    // A method that was not offered.
    assert_eq!(refused(&proxy("socks5://h"), &[5, 2]), Err(Refusal::Strange));
    assert_eq!(refused(&with, &[5, 1]), Err(Refusal::Strange));
}

#[test]
fn what_a_proxy_refuses_is_told_apart_from_a_proxy_that_is_none() {
    for (code, refusal, of_proxy) in [
        (1, Refusal::Unreachable, false),
        (2, Refusal::Forbidden, false),
        (3, Refusal::Unreachable, false),
        (4, Refusal::Unreachable, false),
        (5, Refusal::Refused, false),
        (6, Refusal::TimedOut, false),
        (7, Refusal::Strange, true),
        (8, Refusal::Unreachable, false),
        (9, Refusal::Strange, true),
    ] {
        let shake = Handshake::new(&proxy("socks5://h"), &Wish::Connect(peer()));
        let says = [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(talk(shake, &says, 1).0, Err(refusal), "{code}");
        assert_eq!(refusal.is_of_proxy(), of_proxy);
    }
    let shake = || Handshake::new(&proxy("socks5://h"), &Wish::Associate);
    assert_eq!(talk(shake(), &[5, 0, 5, 7, 0, 1, 0], 9).0, Err(Refusal::NoDatagrams));
    for says in [&b"HTTP/1.1 400"[..], &[4, 0], &[5, 0, 4, 0, 0, 1, 0], &[5, 0, 5, 0, 1, 1, 0]] {
        assert_eq!(talk(shake(), says, 9).0, Err(Refusal::Strange), "{says:?}");
    }
    // An address of a kind that there is not, and one that never ends.
    assert_eq!(talk(shake(), &[5, 0, 5, 0, 0, 9, 0, 0], 9).0, Err(Refusal::Strange));
    assert_eq!(talk(shake(), &[5, 0, 5, 0, 0, 3, 255, 0, 0], 9).0, Ok(false));
}

#[test]
fn an_association_says_where_datagrams_go() {
    for (address, place) in [
        (&[1, 192, 0, 2, 7, 0x12, 0x34][..], Target::Address("192.0.2.7:4660".parse().unwrap())),
        (&[3, 3, b'A', b'.', b'b', 0, 9][..], Target::Name("a.b".into(), 9)),
    ] {
        let mut shake = Handshake::new(&proxy("socks5://h"), &Wish::Associate);
        shake.sent(99);
        shake.received(&[5, 0]).unwrap();
        assert_eq!(shake.outgoing(), [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
        shake.sent(99);
        for byte in [&[5, 0, 0][..], address].concat() {
            shake.received(&[byte]).unwrap();
        }
        assert!(shake.is_done() && shake.wants() == 0);
        assert_eq!(shake.bound(), Some(&place));
    }
}

#[test]
fn http_connect_reads_its_head_to_the_last_byte_and_no_further() {
    let with = proxy("http://user:pass@[2001:db8::1]:3128");
    let shake = || Handshake::new(&with, &Wish::Connect(Target::Name("t.example".into(), 443)));
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 201 \r\nVia: x\r\nA:\r \r\n\r\n"] {
        for each in [1, 3, 1000] {
            let says = [head.as_bytes(), b"\r\n\r\n\x13BitTorrent"].concat();
            let (end, heard, read) = talk(shake(), &says, each);
            assert_eq!((end, read), (Ok(true), head.len()));
            let request = "CONNECT t.example:443 HTTP/1.1\r\nHost: t.example:443\r\n\
                           Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n";
            assert_eq!(String::from_utf8(heard).unwrap(), request);
        }
    }
    for (head, refusal) in [
        ("HTTP/1.1 407 No\r\n\r\n", Refusal::WantsLogin),
        ("HTTP/1.1 403 No\r\n\r\n", Refusal::Status(403)),
        ("HTTP/1.1 504 No\r\n\r\n", Refusal::TimedOut),
        ("HTTP/2 200 OK\r\n\r\n", Refusal::Strange),
        ("HTTP/1.1 2000 OK\r\n\r\n", Refusal::Strange),
        ("SSH-2.0-x\r\n\r\n", Refusal::Strange),
    ] {
        assert_eq!(talk(shake(), head.as_bytes(), 1000).0, Err(refusal), "{head}");
    }
    // A head without an end is not read for ever.
    let (end, _, read) = talk(shake(), &[b'a'; 100_000], 1000);
    assert!(end == Err(Refusal::Strange) && read < 9000);
}

#[test]
fn whatever_a_proxy_says_ends_or_is_waited_for_and_little_of_it_is_read() {
    let mut state = 42_u64;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let proxies = ["socks5://h", "socks5://user:pass@h", "http://h"].map(proxy);
    let words: [&[u8]; 8] = [
        &[5, 0],
        &[5, 2, 1, 0],
        &[5, 0, 0, 1],
        &[5, 0, 0, 3, 9],
        &[5, 0, 0, 4],
        b"HTTP/1.1 200",
        b"\r\n",
        b"\r\n\r\n",
    ];
    let (mut done, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut says = Vec::new();
        for _ in 0..draw(8) {
            match draw(3) {
                0 => says.push(draw(256) as u8),
                _ => says.extend_from_slice(words[draw(8) as usize]),
            }
        }
        says.extend([0; 24].iter().take(draw(25) as usize));
        let wish = if draw(2) == 0 { Wish::Associate } else { Wish::Connect(peer()) };
        let shake = Handshake::new(&proxies[draw(3) as usize], &wish);
        let (end, _, read) = talk(shake, &says, 1 + draw(5) as usize);
        assert!(read <= says.len());
        done += u32::from(end == Ok(true));
        refused += u32::from(end.is_err());
    }
    assert!(done > 100 && refused > 1000, "{done} {refused}");
}

#[test]
fn passwords_are_never_printed() {
    let text = "socks5://someone:secret@h.example:9";
    let (given, proxies) =
        (proxy(text), Proxies { chosen: Some((proxy(text), ProxyFor::ALL)), ..Proxies::default() });
    let gate = Gate::new(proxy(text), ProxyFor::ALL);
    let printed = format!("{given} {given:?} {proxies:?} {gate:?}");
    assert!(printed.contains("socks5://h.example:9"));
    assert!(!printed.contains("secret") && !printed.contains("someone"), "{printed}");
    for wrong in
        ["socks5://someone:secret@", "ftp://someone:secret@h", "secret", "https://a:secret@h"]
    {
        let error = wrong.parse::<Proxy>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn addresses_of_proxies_are_read() {
    for (text, protocol, host, port) in [
        ("socks5://127.0.0.1:1080", Protocol::Socks5, "127.0.0.1", 1080),
        ("socks5h://P.example", Protocol::Socks5, "p.example", 1080),
        ("socks5://[::1]:9/", Protocol::Socks5, "[::1]", 9),
        ("http://p.example:3128", Protocol::Http, "p.example", 3128),
        ("http://p.example", Protocol::Http, "p.example", 80),
    ] {
        let read = proxy(text);
        assert_eq!((read.protocol(), read.port()), (protocol, port), "{text}");
        assert_eq!(read.host().to_string(), host);
    }
    for text in ["", "p.example:1080", "socks5:///x", "socks5://h:0", "socks5://h/x", "http://h/?x"]
    {
        assert!(text.parse::<Proxy>().is_err(), "{text}");
    }
    let long = format!("socks5://{}:x@h", "u".repeat(256));
    assert_eq!(long.parse::<Proxy>(), Err(ProxyError::TooLong));
    assert_eq!("socks4://h".parse::<Proxy>(), Err(ProxyError::Unsupported));
}

#[test]
fn a_placeholder_means_its_name_and_nothing_else() {
    let names = Placeholders::default();
    let first = names.of("Tracker.Example.").unwrap();
    assert!(is_placeholder(first) && names.of("tracker.example") == Some(first));
    assert_ne!(names.of("other.example"), Some(first));
    let at = SocketAddr::new(first, 80);
    let meant = Target::Name("tracker.example".into(), 80);
    assert_eq!((names.meaning(at), names.address(&meant)), (Some(meant), Some(at)));
    // Addresses are themselves, but for those that stand for something else.
    assert_eq!(names.of("203.0.113.9"), "203.0.113.9".parse().ok());
    let (real, free) = ("203.0.113.9:80".parse().unwrap(), "198.19.1.1:80".parse().unwrap());
    assert_eq!(names.meaning(real), Some(Target::Address(real)));
    assert_eq!(names.meaning(free), None);
    assert_eq!(names.meaning("198.18.0.0:80".parse().unwrap()), None);
    // A proxy cannot make somebody be who he is not.
    assert_eq!(names.address(&Target::Address(at)), None);
    assert_eq!(names.address(&Target::Name("third.example".into(), 80)), None);
    for text in ["", ".", "a b", "a\r\nb", &"x".repeat(300)] {
        assert_eq!(names.of(text), None, "{text}");
    }
    let found = (0..20_000).filter(|n| names.of(&format!("n{n}.example")).is_some());
    assert_eq!(found.count(), (1 << 14) - 2);
    assert!(names.of("one-more.example").is_none() && names.of("tracker.example") == Some(first));
}

#[test]
fn datagrams_are_wrapped_and_what_is_no_whole_one_is_dropped() {
    for target in [
        peer(),
        Target::Address("[2001:db8::7]:9".parse().unwrap()),
        Target::Name("t.example".into(), 6969),
    ] {
        let mut packet = Vec::new();
        wrap(&mut packet, &target);
        let head = packet.len();
        packet.extend_from_slice(b"content");
        assert_eq!(unwrap(&packet), Some((target, head)));
        assert!((0..head).all(|length| unwrap(&packet[..length]).is_none()));
        // A part of one, and what is reserved.
        for at in 0..3 {
            let mut other = packet.clone();
            other[at] = 1;
            assert!(unwrap(&other).is_none());
        }
    }
}

#[test]
fn the_environment_names_proxies_for_http_and_what_it_cannot_name_is_an_error() {
    let read = |variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name);
        Environment::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    };
    let set = read(&[
        ("all_proxy", "socks5://a.example"),
        ("ALL_PROXY", "socks5://never.example"),
        ("http_proxy", "h.example:3128"),
        ("no_proxy", "in.example, 192.0.2.0/24,::1"),
    ]);
    let set = set.unwrap();
    let through = |tls, host: &str| set.proxy_for(tls, host).map(|proxy| proxy.host().to_string());
    assert_eq!(through(false, "t.example").as_deref(), Some("h.example"));
    assert_eq!(through(true, "t.example").as_deref(), Some("a.example"));
    for host in ["in.example", "a.in.example", "192.0.2.7", "[::1]"] {
        assert_eq!(through(false, host), None, "{host}");
    }
    assert_eq!(through(false, "notin.example").as_deref(), Some("h.example"));
    assert!(read(&[]).unwrap().proxy_for(false, "t.example").is_none());
    assert!(read(&[("http_proxy", "")]).unwrap().proxy_for(false, "t.example").is_none());
    let (name, _) = read(&[("HTTPS_PROXY", "https://p.example")]).unwrap_err();
    assert_eq!(name, "HTTPS_PROXY");
    // What a web server gives its scripts is not believed.
    let script = read(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil.example")]);
    assert!(script.unwrap().proxy_for(false, "t.example").is_none());
}
