//! Each checker is shown to fire: a healthy history with one thing changed.

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, SocketToken, TorrentId};
use eddyline::base::payload::Payload;
use eddyline::filter::FilterBuilder;
use eddyline::trace::{Replayer, Trace};
use eddyline::wire::{BlockRequest, Message};
use eddyline::{
    Action, Command, Config, ConnectFailure, DiskOp, DiskOutcome, Encryption, EncryptionPolicy,
    Engine, Event, HttpAction, Notice, ResumeData, StoredBlock, StreamAction, StreamEvent,
};

use super::{Checks, budgets};
use crate::content::Content;
use crate::puppet::{Puppet, encode};
use crate::tracker::Tracker;
use crate::world::World;

const URL: &str = "http://tracker.example/announce";

fn content() -> Content {
    Content::tracked("checked", 500_000, 32_768, &[URL])
}

/// A download from a seed, a plain peer that wants to be served, and one that connects to us; or, all connections being
/// encrypted, from a seed that we call, with one more that calls us.
fn history(encrypted: bool) -> Trace {
    let content = content();
    let mut world = World::new(21);
    let policy = if encrypted { EncryptionPolicy::Require } else { EncryptionPolicy::Disable };
    let encryption = Encryption { policy, ..Encryption::default() };
    let config = Config { encryption, ..Config::default() };
    let (seed, leech) = (world.add_node_with(config.clone()), world.add_node_with(config.clone()));
    world.node_mut(leech).record();
    world.trackers.insert(URL.into(), Tracker { interval: 60, ..Tracker::default() });
    world.node_mut(seed).access.up = Some(100_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(1);
    let torrent = world.torrent(leech);
    world.command(leech, eddyline::TorrentCommand::SaveResume.of(torrent));
    if encrypted {
        let other = world.add_node_with(config);
        world.leech(other, &content, &[leech]);
    } else {
        let plain = Puppet::new(&content, b'p').plain().opening(vec![Message::Interested]);
        world.connect_script(leech, plain.boxed());
    }
    world.run(70);
    assert!(world.is_complete(leech));
    Trace::parse(world.node_mut(leech).trace()).unwrap()
}

/// Changes a step: its number, its events, its actions.
type Change<'a> = &'a mut dyn FnMut(u64, &mut Vec<Event>, &mut Vec<Action>);

/// Runs the checkers over the history, each step changed by `change` on the way.
fn check(encrypted: bool, change: Change<'_>) -> Result<(), String> {
    let mut replayer = Replayer::new(history(encrypted)).unwrap();
    let mut checks = Checks::default();
    while replayer.forward().unwrap().is_some() {
        let last = replayer.last().unwrap();
        let (mut events, mut actions) = (last.events.clone(), last.actions.clone());
        change(replayer.position(), &mut events, &mut actions);
        checks.before_step(last.now, &events);
        checks.after_step(last.now, replayer.engine(), &actions)?;
    }
    Ok(())
}

/// Changes the history once, at the first step in which `change` finds what it looks for, and
/// asserts that the rule fires.
pub(super) fn assert_fires(
    rule: &str,
    change: impl FnMut(&mut Vec<Event>, &mut Vec<Action>) -> bool,
) {
    assert_fires_in(false, rule, change);
}

fn assert_fires_in(
    encrypted: bool,
    rule: &str,
    mut change: impl FnMut(&mut Vec<Event>, &mut Vec<Action>) -> bool,
) {
    let mut done = false;
    let outcome = check(encrypted, &mut |_, events, actions| {
        done = done || change(events, actions);
    });
    assert!(done, "{rule}: nothing was changed");
    let fired = outcome.expect_err(rule);
    assert!(fired.starts_with(rule), "{rule} was broken, and this fired: {fired}");
}

/// The number of times the peer of this connection was sent something, for finding one that talks.
pub(super) fn sender(
    actions: &[Action],
    wanted: impl Fn(&Bytes) -> bool,
) -> Option<(usize, ConnId)> {
    actions.iter().enumerate().find_map(|(at, action)| match action {
        Action::Stream(conn, StreamAction::Send(bytes)) if wanted(bytes) => Some((at, *conn)),
        _ => None,
    })
}

fn says(bytes: &Bytes, id: u8) -> bool {
    !bytes.starts_with(b"\x13") && bytes.get(4) == Some(&id)
}

/// Says `message` right behind a send in which the first message has this id.
fn say_after(id: u8, message: Message) -> impl FnMut(&mut Vec<Event>, &mut Vec<Action>) -> bool {
    move |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, id)) else { return false };
        let send = StreamAction::Send(encode(std::slice::from_ref(&message)));
        actions.insert(at + 1, Action::Stream(conn, send));
        true
    }
}

const BLOCK: BlockRequest = BlockRequest { piece: 15, begin: 0, length: 8480 };

fn header(piece: u32) -> Bytes {
    let payload = Payload::One(Bytes::new());
    let mut out = BytesMut::new();
    Message::Piece { piece, begin: 0, payload }.encode(&mut out);
    out[3] = 9 + 16;
    out.freeze()
}

fn torrent() -> TorrentId {
    TorrentId::from_u64(1 << 32)
}

fn op() -> DiskOpId {
    DiskOpId::from_u64(77 << 32 | 7)
}

#[test]
fn a_healthy_history_passes() {
    assert_eq!(check(false, &mut |_, _, _| ()), Ok(()));
    assert_eq!(check(true, &mut |_, _, _| ()), Ok(()));
}

#[test]
fn every_checker_fires_when_its_rule_is_broken() {
    ids_and_links();
    conversations();
    requests();
    the_model();
    politeness();
    filters();
}

#[test]
fn what_is_said_behind_encryption_is_held_against_the_same_rules() {
    let fires = |rule, change: &mut dyn FnMut(&mut Vec<Event>, &mut Vec<Action>) -> bool| {
        assert_fires_in(true, rule, change);
    };
    fires("messages are sent whole", &mut |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let half = StreamAction::Send(Bytes::from_static(&[0, 0, 0, 13, 6]));
        actions[at] = Action::Stream(conn, half);
        true
    });
    fires("only what is verified is told", &mut say_after(6, Message::Have(15)));
    fires("only who is interested is unchoked", &mut say_after(6, Message::Unchoke));
    fires("only what is verified is served", &mut |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        actions.insert(at + 1, Action::Stream(conn, StreamAction::Send(header(15))));
        true
    });
    fires("content follows its header at once", &mut |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let block = StreamAction::SendBlock(Bytes::from_static(&[0; 16]));
        actions.insert(at + 1, Action::Stream(conn, block));
        true
    });
    // What a peer said is heard: who has said nothing but its handshake is asked for nothing.
    fires("nothing is asked of who chokes us", &mut |_, actions| {
        let fast = |bytes: &Bytes| says(bytes, 20) || says(bytes, 5) || says(bytes, 15);
        let Some((at, conn)) = sender(actions, fast) else { return false };
        let request = encode(&[Message::Request(BLOCK)]);
        actions.insert(at + 1, Action::Stream(conn, StreamAction::Send(request)));
        true
    });
}

fn ids_and_links() {
    assert_fires("ids begin once and end once", |_, actions| {
        let twice = actions.iter().find(|a| {
            matches!(
                a,
                Action::Stream(_, StreamAction::Connect { .. } | StreamAction::Adopt { .. })
            )
        });
        let twice = twice.cloned();
        actions.extend(twice.clone());
        twice.is_some()
    });
    assert_fires("content follows its header at once", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let block = StreamAction::SendBlock(Bytes::from_static(&[0; 16]));
        actions.insert(at + 1, Action::Stream(conn, block));
        true
    });
    assert_fires("content follows its header at once", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let torrent = TorrentId::from_u64(0);
        let block = StoredBlock { torrent, piece: 0, begin: 0, length: 16 };
        actions.insert(at + 1, Action::Stream(conn, StreamAction::SendStored(block)));
        true
    });
    assert_fires("no more is taken than was sent", |events, actions| {
        let sent = events.iter_mut().find_map(|event| match event {
            Event::Stream(conn, StreamEvent::Sent(count)) => Some((*conn, count)),
            _ => None,
        });
        let Some((conn, count)) = sent else { return false };
        *count += 100_000;
        actions.push(Action::Stream(conn, StreamAction::GrantRead(1)));
        true
    });
    assert_fires("no more is received than was granted", |events, actions| {
        let received = events.iter_mut().find_map(|event| match event {
            Event::Stream(conn, StreamEvent::Received(bytes)) => Some((*conn, bytes)),
            _ => None,
        });
        let Some((conn, bytes)) = received else { return false };
        *bytes = [&bytes[..], &[0; 1_000_000]].concat().into();
        actions.push(Action::Stream(conn, StreamAction::GrantRead(1)));
        true
    });
}

fn conversations() {
    assert_fires("a handshake comes whole", |_, actions| {
        let handshake = sender(actions, |bytes| bytes.starts_with(b"\x13"));
        let Some((at, conn)) = handshake else { return false };
        let half = StreamAction::Send(Bytes::from_static(b"\x13BitTorrent"));
        actions[at] = Action::Stream(conn, half);
        true
    });
    assert_fires("messages are sent whole", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let half = StreamAction::Send(Bytes::from_static(&[0, 0, 0, 13, 6]));
        actions[at] = Action::Stream(conn, half);
        true
    });
    assert_fires("only what is verified is told", say_after(6, Message::Have(15)));
    assert_fires("only what is verified is allowed", say_after(6, Message::AllowedFast(15)));
    assert_fires("only who is interested is unchoked", say_after(6, Message::Unchoke));
    assert_fires("only what is verified is served", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        actions.insert(at + 1, Action::Stream(conn, StreamAction::Send(header(15))));
        true
    });
    let mut verified = None;
    assert_fires("who is choked is not served", move |_, actions| {
        for action in actions.iter() {
            if let Action::Notify(Notice::PieceVerified(_, piece)) = action {
                verified = Some(*piece);
            }
        }
        let (Some(piece), Some((at, conn))) = (verified, sender(actions, |b| says(b, 6))) else {
            return false;
        };
        actions.insert(at + 1, Action::Stream(conn, StreamAction::Send(header(piece))));
        true
    });
}

fn requests() {
    assert_fires("nothing is asked of who chokes us", |_, actions| {
        // Interest is shown before the first unchoke comes; not every piece is allowed before that.
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 2)) else { return false };
        let request = |piece| Message::Request(BlockRequest { piece, begin: 0, length: 5 });
        let all: Vec<_> = (0..16).map(request).collect();
        actions.insert(at + 1, Action::Stream(conn, StreamAction::Send(encode(&all))));
        true
    });
    assert_fires("peers are asked for what they have", |events, _| {
        let mut found = false;
        for event in events.iter_mut() {
            if let Event::Stream(_, StreamEvent::Received(bytes)) = event
                && let Some(at) = bytes.windows(5).position(|w| w == [0, 0, 0, 1, 14])
            {
                // What is heard as have-none, the engine has heard as have-all.
                let mut changed = BytesMut::from(&bytes[..]);
                changed[at + 4] = 15;
                *bytes = changed.freeze();
                found = true;
            }
        }
        found
    });
    assert_fires("a block is asked for once at a time", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| says(bytes, 6)) else { return false };
        let Action::Stream(_, StreamAction::Send(bytes)) = &actions[at] else { return false };
        let again = StreamAction::Send(bytes.slice(..17));
        actions.insert(at + 1, Action::Stream(conn, again));
        true
    });
    let mut plain = None;
    assert_fires("fast messages are for fast peers", move |events, actions| {
        for event in events.iter() {
            if let Event::Stream(conn, StreamEvent::Received(bytes)) = event
                && bytes.starts_with(b"\x13")
                && bytes.get(27) == Some(&0)
            {
                plain = Some(*conn);
            }
        }
        let Some(conn) = plain else { return false };
        let said = sender(actions, |bytes| !bytes.starts_with(b"\x13"));
        let Some((at, _)) = said.filter(|(_, other)| *other == conn) else { return false };
        let reject = StreamAction::Send(encode(&[Message::Reject(BLOCK)]));
        actions.insert(at + 1, Action::Stream(conn, reject));
        true
    });
}

fn the_model() {
    let verified = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Notify(Notice::PieceVerified(_, piece)) => Some(*piece),
            _ => None,
        })
    };
    assert_fires("nothing is told as verified that was not hashed", |_, actions| {
        let begun = sender(actions, |bytes| says(bytes, 6)).is_some();
        actions.push(Action::Notify(Notice::PieceVerified(torrent(), 15)));
        begun || {
            actions.pop();
            false
        }
    });
    assert_fires("no verified piece is written again", move |_, actions| {
        let Some(piece) = verified(actions) else { return false };
        let payload = Payload::One(Bytes::from_static(&[0; 16]));
        let write = DiskOp::WriteBlock { torrent: torrent(), piece, begin: 0, payload };
        actions.push(Action::Disk(op(), write));
        true
    });
    assert_fires("a piece is hashed when its writes have ended", |_, actions| {
        let write = actions.iter().find_map(|action| match action {
            Action::Disk(_, DiskOp::WriteBlock { piece, .. }) => Some(*piece),
            _ => None,
        });
        let Some(piece) = write else { return false };
        actions.push(Action::Disk(op(), DiskOp::HashPiece { torrent: torrent(), piece }));
        true
    });
    assert_fires("resume data claims what is verified", |_, actions| {
        for action in actions.iter_mut() {
            if let Action::Disk(_, DiskOp::StoreResume { data, .. }) = action {
                let mut resume = ResumeData::decode(data).unwrap();
                if resume.have.is_full() {
                    return false;
                }
                resume.have = eddyline::base::bits::Bits::full(resume.have.len());
                *data = resume.encode().into();
                return true;
            }
        }
        false
    });
    // The first hashes come while a save is on its way, which would tell on it too.
    let mut hashes = 0;
    assert_fires("the engine has what the model has", |events, actions| {
        // The model hears of a wrong hash; the notice that would tell on it is left out.
        let hash = events.iter_mut().find_map(|event| match event {
            Event::Disk(_, DiskOutcome::PieceHashed(hash)) => Some(hash),
            _ => None,
        });
        let Some(hash) = hash else { return false };
        hashes += 1;
        if hashes < 5 {
            return false;
        }
        hash.0[0] ^= 1;
        actions.retain(|action| {
            !matches!(action, Action::Notify(Notice::PieceVerified(..)))
                && sender(std::slice::from_ref(action), |bytes| says(bytes, 4)).is_none()
        });
        true
    });
}

/// Whoever is called in a step was blocked before it.
fn filters() {
    let mut everybody = FilterBuilder::default();
    everybody.block([0, 0, 0, 0].into(), [255, 255, 255, 255].into());
    let set = Event::from(Command::SetFilter(everybody.build().into()));
    let mut before = true;
    assert_fires("nothing is sent to an address that is blocked", |events, actions| {
        if std::mem::take(&mut before) {
            events.push(set.clone());
            return false;
        }
        actions
            .iter()
            .any(|action| matches!(action, Action::Stream(_, StreamAction::Connect { .. })))
    });
    assert_fires("nobody stays who is blocked", |events, actions| {
        let found = sender(actions, |bytes| says(bytes, 6)).is_some();
        events.extend(found.then(|| set.clone()));
        found
    });
}

fn politeness() {
    assert_fires("addresses are not dialled again at once", |_, actions| {
        let connect = actions.iter().find_map(|action| match action {
            Action::Stream(_, StreamAction::Connect { remote }) => Some(*remote),
            _ => None,
        });
        let Some(remote) = connect else { return false };
        let ids = [ConnId::from_u64(91 << 32 | 90), ConnId::from_u64(91 << 32 | 91)];
        for id in ids {
            actions.push(Action::Stream(id, StreamAction::Connect { remote }));
            actions.push(Action::Stream(id, StreamAction::Close(eddyline::CloseMode::Now)));
        }
        true
    });
    assert_fires("trackers are not asked again at once", |_, actions| {
        let regular = actions.iter().find_map(|action| match action {
            Action::Http(_, HttpAction::Get(get)) if get.url.contains("left=0") => {
                Some(get.clone())
            }
            _ => None,
        });
        let Some(mut get) = regular else { return false };
        get.url = get.url.replace("event=completed&", "").replace("&event=completed", "");
        let id = ExchangeId::from_u64(99 << 32 | 9);
        actions.push(Action::Http(id, HttpAction::Get(get)));
        true
    });
}

#[test]
fn budgets_that_are_overdrawn_are_noticed() {
    let content = content();
    let mut world = World::new(22);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(2_000_000);
    world.disk_delay = std::time::Duration::from_millis(500);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        world.run_until(1, |_| false);
        for node in [seed, leech] {
            let engine = &world.node(node).engine;
            budgets(engine).unwrap();
            for tight in tight_configurations(engine) {
                let rule = budgets(&with_configuration(engine, &tight)).err();
                seen.extend(rule.map(|rule| rule.split(" within").next().unwrap().to_owned()));
            }
        }
        world.quantum = std::time::Duration::from_millis(7);
        if seen.len() >= 2 {
            break;
        }
    }
    assert!(seen.contains("connections stay"), "{seen:?}");
    assert!(seen.contains("read credit stays"), "{seen:?}");
}

fn tight_configurations(engine: &Engine) -> [Config; 2] {
    let usual = engine.config();
    [
        Config { max_connections: 0, max_handshaking: 0, ..usual.clone() },
        Config {
            read_credit: 0,
            read_window: 0,
            max_connections: 0,
            max_handshaking: 0,
            ..usual.clone()
        },
    ]
}

/// The same engine as one with another configuration would see it.
fn with_configuration(engine: &Engine, config: &Config) -> Engine {
    let mut state = ciborium::Value::serialized(engine).unwrap();
    let mut place = &mut state;
    for key in ["ctx", "config"] {
        let ciborium::Value::Map(entries) = place else { panic!("no map") };
        let wanted = ciborium::Value::Text(key.into());
        place = &mut entries.iter_mut().find(|(k, _)| *k == wanted).unwrap().1;
    }
    *place = ciborium::Value::serialized(config).unwrap();
    state.deserialized().unwrap()
}

#[test]
fn a_link_that_makes_bytes_is_noticed() {
    let content = content();
    let mut world = World::new(23);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(2);
    world.check_links().unwrap();
    world.wires[0].ways[0].delivered += 1_000_000;
    assert!(world.check_links().unwrap_err().starts_with("bytes are conserved on every link"));
}

#[test]
fn events_that_nobody_asked_for_are_not_taken_for_faults_of_the_engine() {
    let mut once = false;
    let outcome = check(false, &mut |_, events, _| {
        if !std::mem::replace(&mut once, true) {
            let conn = ConnId::from_u64(5 << 32 | 60);
            let failed = StreamEvent::ConnectFailed(ConnectFailure::Refused);
            events.push(Event::Stream(conn, failed));
            let remote = "10.3.0.1:1".parse().unwrap();
            events.push(Event::Incoming { socket: SocketToken(1_000_000), remote });
        }
    });
    assert_eq!(outcome, Ok(()));
}

/// A step of a fresh engine that is told `event` and is said to do `action`.
fn privacy(event: Event, action: Action, config: Config) -> Result<(), String> {
    let now = eddyline::base::time::Instant::from_millis(1000);
    let seed = eddyline::base::rng::Seed::from_u64(1);
    let mut engine = Engine::new(config, seed, now);
    let mut checks = Checks::default();
    checks.before_step(now, std::slice::from_ref(&event));
    let _ = engine.step(now, [event], &mut Vec::new());
    checks.after_step(now, &engine, &[action])
}

#[test]
fn naming_a_private_torrent_in_public_is_noticed() {
    let content = content();
    let secret = content.private();
    let one = |private: bool| if private { &secret } else { &content };
    let add = |private: bool| {
        let metainfo = one(private).metainfo.clone();
        Event::from(eddyline::AddTorrent::new(metainfo))
    };
    let send = |data: Vec<u8>| Action::SendDatagram {
        socket: eddyline::base::ids::UdpSocketId(0),
        to: "1.2.3.4:5".parse().unwrap(),
        data: data.into(),
    };
    let dht = |private: bool| send([b"d1:x20:".as_slice(), &one(private).hash().0, b"e"].concat());
    let local =
        |private: bool| send(format!("BT-SEARCH {}", one(private).hash().to_hex()).into_bytes());
    let tracker = |private: bool| send([b"announce".as_slice(), &one(private).hash().0].concat());
    assert_eq!(privacy(add(false), dht(false), Config::default()), Ok(()));
    assert_eq!(privacy(add(true), tracker(true), Config::default()), Ok(()));
    let told = privacy(add(true), dht(true), Config::default()).unwrap_err();
    assert_eq!(told, "a private torrent is not named in the DHT");
    let told = privacy(add(true), local(true), Config::default()).unwrap_err();
    assert_eq!(told, "a private torrent is not named in local discovery");
    let out = Config { dht: false, ..Config::default() };
    let told = privacy(add(false), dht(false), out).unwrap_err();
    assert_eq!(told, "who stays out of the DHT sends it nothing");
}

#[test]
fn telling_of_the_peers_of_a_private_torrent_is_noticed() {
    use eddyline::wire::{ExtendedHandshake, Handshake, PeerId, Reserved};
    let content = content();
    let secret = content.private();
    let (conn, now) = (ConnId::from_u64(1 << 32), eddyline::base::time::Instant::from_millis(1));
    let seed = eddyline::base::rng::Seed::from_u64(1);
    let engine = Engine::new(Config::default(), seed, now);
    let offer = ExtendedHandshake { m: [("ut_pex".to_owned(), 5)].into(), ..Default::default() };
    let offer = encode(&[Message::Extended { id: 0, payload: offer.encode().into() }]);
    let told = |private: bool| {
        let content = if private { &secret } else { &content };
        let (info_hash, peer_id) = (content.hash(), PeerId([7; 20]));
        let shake = Handshake { reserved: Reserved::OURS, info_hash, peer_id }.encode();
        let heard = Bytes::from([shake.as_slice(), &offer].concat());
        let mut privacy = super::Privacy::default();
        let add = eddyline::AddTorrent::new(content.metainfo.clone());
        privacy.hear(&add.into());
        let remote = "1.2.3.4:5".parse().unwrap();
        privacy.see(&Action::Stream(conn, StreamAction::Connect { remote }), &engine)?;
        privacy.hear(&Event::Stream(conn, StreamEvent::Received(heard)));
        let pex = encode(&[Message::Extended { id: 5, payload: Bytes::from_static(b"de") }]);
        let said = Bytes::from([shake.as_slice(), &pex].concat());
        privacy.see(&Action::Stream(conn, StreamAction::Send(said)), &engine)
    };
    assert_eq!(told(false), Ok(()));
    assert_eq!(told(true).unwrap_err(), "nobody is told of the peers of a private torrent");
}
