//! Unit tests of the tracker codecs. Replies that real trackers sent run in `eddyline-sim`.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::*;

pub(super) fn params(event: AnnounceEvent) -> AnnounceParams {
    AnnounceParams {
        info_hash: Sha1Hash([0xfe; 20]),
        peer_id: PeerId(*b"-ED0100-abcdefghijkl"),
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event,
        key: 0xdead_beef,
        num_want: 50,
        port: 6881,
    }
}

#[test]
fn passkeys_and_queries_stay_byte_exact() {
    let url = announce_url(
        "http://t/a%2Fb/announce?passkey=x%20y#f",
        &params(AnnounceEvent::Started),
        Some(b"i d"),
    );
    assert!(url.starts_with("http://t/a%2Fb/announce?passkey=x%20y&info_hash=%FE%FE"), "{url}");
    assert!(url.contains("&key=DEADBEEF&event=started&trackerid=i%20d"), "{url}");
    let plain = announce_url("http://t/announce", &params(AnnounceEvent::None), None);
    assert!(plain.starts_with("http://t/announce?info_hash="), "{plain}");
    assert!(!plain.contains("event"), "{plain}");
}

#[test]
fn scrape_urls_follow_the_convention_or_do_not_exist() {
    let hash = [Sha1Hash([0; 20])];
    let scrape = |url| scrape_url(url, &hash);
    let expected = "http://e.com/x/scrape.php?x=2%2F4&info_hash=";
    assert!(scrape("http://e.com/x/announce.php?x=2%2F4").unwrap().starts_with(expected));
    assert_eq!(scrape("http://e.com/a"), None);
    assert_eq!(scrape("http://e.com/announce/x"), None);
    assert_eq!(scrape("http://e.com/x?announce"), None);
}

#[test]
fn retry_in_is_minutes_or_never() {
    let reply = parse_announce(b"d14:failure reason1:x8:retry ini5ee").unwrap();
    assert_eq!(reply.retry_in, Some(Some(5)));
    let reply = parse_announce(b"d14:failure reason1:x8:retry in5:nevere").unwrap();
    assert_eq!(reply.retry_in, Some(None));
}

#[test]
fn udp_requests_survive_a_round_trip() {
    for event in [AnnounceEvent::None, AnnounceEvent::Completed, AnnounceEvent::Stopped] {
        let request = UdpRequest::Announce {
            connection: 7,
            transaction: 9,
            params: params(event),
            ip: Ipv4Addr::UNSPECIFIED,
            options: url_data_option("/announce?k=1"),
        };
        assert_eq!(UdpRequest::decode(&request.encode()), Some(request));
    }
}

quickcheck::quickcheck! {
    fn arbitrary_replies_never_panic(bytes: Vec<u8>) -> bool {
        let _ = parse_announce(&bytes);
        let _ = parse_scrape(&bytes);
        let _ = UdpResponse::decode(&bytes, false);
        let _ = UdpResponse::decode(&bytes, true);
        let _ = UdpRequest::decode(&bytes);
        true
    }
}
