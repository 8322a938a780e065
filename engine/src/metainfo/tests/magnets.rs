//! Unit tests of what magnets say beside the torrent.

use super::*;

#[test]
fn hosts_of_peers_in_magnets_are_names_and_survive_being_written() {
    let start = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdddcccd";
    let parse = |peer: &str| Magnet::parse(&alloc::format!("{start}&x.pe={peer}")).unwrap();
    assert_eq!(parse("%0A%0A10.0.553.0.1:45536").named_peers, Vec::<String>::new());
    assert_eq!(parse("20.0.%01%000.1:45536").named_peers, Vec::<String>::new());
    for broken in ["<name>:100", "foo", "a%20b:100", "-a:1", "a..b:1", "a/b:1", "a:0", "a:65536"] {
        let with_node = parse(&alloc::format!("{broken}&dht={broken}"));
        assert_eq!((with_node.named_peers, with_node.nodes), Default::default(), "{broken}");
    }
    let named = parse("%0Apeer.example:6881");
    assert_eq!(named.named_peers, ["peer.example:6881"]);
    assert_eq!(Magnet::parse(&named.to_string()), Ok(named));
}

#[test]
fn a_magnet_may_name_a_publisher_in_place_of_a_torrent() {
    let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
    let magnet = Magnet::parse(&alloc::format!("magnet:?xs=urn:btpk:{key}&s=6e")).unwrap();
    let publisher = magnet.publisher.clone().unwrap();
    assert_eq!((publisher.key[0], publisher.salt.as_slice()), (0x85, b"n".as_slice()));
    assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
    for broken in ["magnet:?xs=urn:btpk:12", "magnet:?xs=urn:sha1:abc", "magnet:?s=00"] {
        assert_eq!(Magnet::parse(broken), Err(MagnetError::NoInfoHash));
    }
}
