//! Who is to be anonymous says nothing that names the client. What is sent is looked at as the engine says it, before
//! the driver enciphers it; what it enciphers itself, a handshake, the other end of a simulated connection knows.

use eddyline::{Action, Config, Engine, HttpAction, StreamAction};

/// What is known of that at one node; it is enough to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymity;

impl Anonymity {
    pub(super) fn see(action: &Action, engine: &Engine) -> Result<(), String> {
        let config = engine.config();
        if !config.anonymous {
            return Ok(());
        }
        match action {
            Action::SendDatagram { data, .. } if data.starts_with(b"BT-SEARCH") => {
                Err("who is anonymous does not ask the local network".into())
            }
            Action::SendDatagram { data, .. } => check(data, config),
            Action::Stream(_, StreamAction::Send(bytes)) => check(bytes, config),
            Action::Stream(_, StreamAction::Fetch(get)) => check(get.url.as_bytes(), config),
            Action::Http(_, HttpAction::Get(get)) => check(get.url.as_bytes(), config),
            _ => Ok(()),
        }
    }
}

/// Whether nothing in these bytes names the client, or tells an address that nobody asked for.
///
/// # Errors
/// What does.
pub fn check(bytes: &[u8], config: &Config) -> Result<(), String> {
    let name = config.client.split(' ').next().unwrap_or_default();
    let marks: [&[u8]; 7] = [
        name.as_bytes(),
        config.client.as_bytes(),
        &config.peer_id_prefix,
        // As the DHT has it.
        b"1:v4:ED",
        b"6:yourip",
        b"&ip=",
        b"&ipv4=",
    ];
    let found = marks
        .into_iter()
        .find(|mark| !mark.is_empty() && bytes.windows(mark.len()).any(|window| window == *mark));
    match found {
        Some(mark) => {
            Err(format!("who is anonymous is not named: {:?}", String::from_utf8_lossy(mark)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    //! What names the client is found in whatever is sent.

    use std::net::SocketAddr;

    use bytes::Bytes;
    use eddyline::HttpGet;
    use eddyline::base::ids::{ConnId, ExchangeId, UdpSocketId};
    use eddyline::base::rng::Seed;
    use eddyline::base::time::Instant;

    use super::*;

    #[test]
    fn naming_who_is_anonymous_is_noticed() {
        let datagram = |data: &'static [u8]| {
            let to = SocketAddr::from(([10, 0, 0, 1], 6881));
            Action::SendDatagram { socket: UdpSocketId(0), to, data: Bytes::from_static(data) }
        };
        let conn = ConnId::from_u64(1 << 32);
        let send = |data: &'static [u8]| {
            Action::Stream(conn, StreamAction::Send(Bytes::from_static(data)))
        };
        let get = |url: &str| {
            let get = HttpGet {
                url: url.into(),
                ipv6: None,
                only: None,
                max_body: 1,
                timeout: std::time::Duration::from_secs(1),
            };
            Action::Http(ExchangeId::from_u64(1 << 32), HttpAction::Get(get.into()))
        };
        let said = [
            datagram(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:v4:ED\x01\x001:y1:qe"),
            datagram(b"BT-SEARCH * HTTP/1.1\r\n"),
            send(b"\x13BitTorrent protocol........12345678901234567890-ED0100-abcdefghijkl"),
            send(b"d1:v14:Eddyline 0.1.0e"),
            send(b"d6:yourip4:\x0a\x00\x00\x01e"),
            get("http://t.example/announce?peer_id=-ED0100-abcdefghijkl"),
            get("http://t.example/announce?port=1&ip=10.0.0.1"),
        ];
        let engine = |anonymous| {
            let config = Config { anonymous, ..Config::default() };
            Engine::new(config, Seed::from_u64(1), Instant::ZERO)
        };
        for action in said {
            assert!(Anonymity::see(&action, &engine(true)).is_err(), "{action:?}");
            assert_eq!(Anonymity::see(&action, &engine(false)), Ok(()));
        }
        assert_eq!(Anonymity::see(&send(b"d1:pi6881ee"), &engine(true)), Ok(()));
    }
}
