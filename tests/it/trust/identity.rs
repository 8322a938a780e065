//! Who a peer is, and who we are.

use super::*;

#[test]
fn an_honest_peers_id_at_another_address_throws_nobody_out() {
    let content = content();
    let (mut world, node) = alone(40, &content);
    for (n, larger) in [0xff, 0x00].into_iter().enumerate() {
        // Ids above and below any of ours: whoever has to give way to whom.
        let shown = PeerId([larger; 20]);
        let friend = addr(&format!("20.0.{n}.1:7"));
        let script = Puppet::new(&content, b'h').called(shown).boxed();
        world.connect_script_from(node, friend, script);
        world.run(1);
        for stranger in 0..5 {
            let from = addr(&format!("30.0.{n}.{stranger}:7"));
            world.connect_script_from(
                node,
                from,
                Puppet::new(&content, b'x').called(shown).boxed(),
            );
            world.run(1);
        }
        assert!(connected(&world, node).contains(&friend));
    }
}

#[test]
fn who_shows_an_honest_peers_id_first_does_not_keep_it_out() {
    let content = content();
    let (mut world, node) = alone(41, &content);
    let stranger = Puppet::new(&content, b'x').called(id(1)).boxed();
    world.connect_script_from(node, addr("30.0.0.1:7"), stranger);
    world.run(5);
    let mut left = 8;
    let honest = Puppet::seed(&content, b'h', move |_, block| {
        left -= 1;
        (left >= 0).then_some(block)
    });
    world.connect_script_from(node, addr("20.0.0.1:7"), honest.called(id(1)).boxed());
    world.run(5);
    assert!(connected(&world, node).contains(&addr("20.0.0.1:7")));
    // Nor do those who show it later throw it out.
    let again = Puppet::new(&content, b'x').called(id(1)).boxed();
    world.connect_script_from(node, addr("30.0.0.2:7"), again);
    world.run(1);
    assert!(connected(&world, node).contains(&addr("20.0.0.1:7")));
}

#[test]
fn who_shows_the_only_seeds_id_and_gave_a_good_piece_does_not_keep_it_out() {
    let content = content();
    let (mut world, node) = alone(44, &content);
    // Four blocks are a piece.
    let mut left = 4;
    let stranger = Puppet::seed(&content, b'x', move |_, block| {
        left -= 1;
        (left >= 0).then_some(block)
    });
    world.connect_script_from(node, addr("30.0.0.1:7"), stranger.called(id(1)).boxed());
    world.run(5);
    let honest = Puppet::seed(&content, b'h', |_, block| Some(block));
    world.connect_script_from(node, addr("20.0.0.1:7"), honest.called(id(1)).boxed());
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn a_peer_that_calls_from_the_port_that_we_called_is_one_peer() {
    let content = content();
    let mut world = World::new(42);
    let node = world.add_node();
    let script = content.clone();
    let listens = world.add_script(move || idle(&script, 1));
    world.add(node, &content, PeerOptions { peers: vec![listens], ..Default::default() });
    world.run(2);
    assert_eq!(connected(&world, node), [listens]);
    world.connect_script_from(node, listens, idle(&content, 2));
    world.run(2);
    assert_eq!(connected(&world, node), [listens]);
}

#[test]
fn two_torrents_of_one_run_show_two_ids_and_two_keys() {
    let url = "http://tracker.example/announce";
    let contents: Vec<Content> =
        (0..2).map(|n| Content::tracked(&format!("own {n}"), 100_000, 16_384, &[url])).collect();
    let mut world = World::new(43);
    world.trackers.insert(url.into(), Default::default());
    let node = world.add_node();
    contents.iter().for_each(|content| world.seed(node, content));
    world.run(2);
    let shown: Vec<Handshake> = contents
        .iter()
        .map(|content| {
            let puppet = Puppet::new(content, b'k');
            let shown = puppet.shown();
            world.connect_script(node, puppet.boxed());
            world.run(1);
            let handshake = shown.borrow();
            handshake.expect("a handshake")
        })
        .collect();
    assert_ne!(shown[0].peer_id, shown[1].peer_id);
    world.run(3600);
    let announces = &world.trackers[url].announces;
    let of = |key: &str, value: &str| {
        let such = announces.iter().filter(|announce| announce.query[key] == value).count();
        assert!(such >= 2, "{key} {value} in {} announces", announces.len());
    };
    let mut seen: Vec<(String, String, String)> = announces
        .iter()
        .map(|a| ["info_hash", "peer_id", "key"].map(|key| a.query[key].clone()).into())
        .collect();
    seen.iter().for_each(|(hash, id, key)| {
        of("info_hash", hash);
        of("peer_id", id);
        of("key", key);
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2, "each torrent keeps its id and its key: {seen:?}");
    assert!(seen[0].1 != seen[1].1 && seen[0].2 != seen[1].2);
}
