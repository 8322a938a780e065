//! Unit tests of sockets for datagrams, on loopback.

use std::net::Ipv4Addr;

use super::*;

/// Two sockets, and the address of the second.
fn pair() -> (Datagrams, Datagrams, SocketAddr) {
    let socket = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        (Datagrams::new(socket).unwrap(), address)
    };
    let ((near, _), (far, to)) = (socket(), socket());
    (near, far, to)
}

/// Everything that lies at a socket.
fn all_of(socket: &mut Datagrams, buffers: &mut Buffers) -> Vec<Bytes> {
    let mut out = Vec::new();
    while socket.receive(buffers, |arrival| out.push(arrival.data)).is_ok() {}
    out
}

fn content(index: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (index * 7 + at) as u8).collect()
}

fn append(datagram: &mut Vec<u8>, bytes: &[u8]) -> bool {
    datagram.extend_from_slice(bytes);
    true
}

fn send(socket: &mut Datagrams, to: SocketAddr, bytes: &[u8]) {
    socket.send(to, bytes.len() <= 1_472, bytes.len(), |it| append(it, bytes));
}

#[test]
fn datagrams_of_any_length_arrive_as_they_were_sent_and_in_order() {
    let (mut near, mut far, to) = pair();
    let lengths = [0, 1, 5, 5, 5, 4, 5, 0, 0, 1_200, 1_472, 1_472, 65_507, 1_472, 30, 30, 31];
    let sent: Vec<_> = lengths.into_iter().enumerate().map(|(i, n)| content(i, n)).collect();
    sent.iter().for_each(|bytes| send(&mut near, to, bytes));
    near.flush();
    assert_eq!(all_of(&mut far, &mut Buffers::for_messages()), sent);
    let stats = (near.stats(), far.stats());
    assert_eq!((stats.0.sent, stats.0.refused), (sent.len() as u64, 0));
    assert_eq!(stats.1.received, sent.len() as u64);
}

#[test]
fn a_train_to_one_address_takes_few_calls() {
    let (mut near, mut far, to) = pair();
    let sent: Vec<_> = (0..200).map(|i| content(i, if i == 199 { 700 } else { 1_200 })).collect();
    sent.iter().for_each(|bytes| send(&mut near, to, bytes));
    near.flush();
    assert_eq!(all_of(&mut far, &mut Buffers::for_messages()), sent);
    let (train, calls) = (near.train as u64, near.stats().send_calls);
    assert!(calls <= 200 / train.min(50), "{calls} calls for trains of {train}");
    let calls = far.stats().receive_calls;
    assert!(calls <= 200 / far.state.gro_segments().min(20) as u64 + 1, "{calls} calls");
}

#[test]
fn what_cannot_be_had_leaves_a_train_as_it_was() {
    let (mut near, mut far, to) = pair();
    near.send(to, true, 9, |_| false);
    for i in 0..4 {
        send(&mut near, to, &content(i, 9));
        near.send(to, true, 9, |datagram| {
            datagram.extend_from_slice(b"begun");
            false
        });
    }
    near.flush();
    let expected: Vec<_> = (0..4).map(|i| content(i, 9)).collect();
    assert_eq!(all_of(&mut far, &mut Buffers::for_messages()), expected);
    assert_eq!(near.stats().sent, 4);
}

#[test]
fn a_train_ends_at_another_address() {
    let (mut near, mut far, to) = pair();
    let (_, mut other, elsewhere) = pair();
    for i in 0..10 {
        send(&mut near, if i % 3 == 0 { elsewhere } else { to }, &content(i, 100));
    }
    near.flush();
    let mut buffers = Buffers::for_messages();
    let of = |indices: [usize; 6]| indices.map(|i| content(i, 100)).to_vec();
    assert_eq!(all_of(&mut far, &mut buffers), of([1, 2, 4, 5, 7, 8]));
    assert_eq!(all_of(&mut other, &mut buffers), of([0, 3, 6, 9, 0, 0])[..4]);
}

#[test]
fn an_address_that_the_system_refuses_costs_others_no_trains() {
    let (mut near, mut far, to) = pair();
    let train = near.train;
    // From loopback nothing leads out.
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 6881));
    for _ in 0..3 {
        send(&mut near, nowhere, &content(1, 100));
        send(&mut near, nowhere, &content(2, 100));
        send(&mut near, to, &content(3, 100));
        near.flush();
    }
    assert_eq!((near.stats().sent, near.stats().refused), (3, 6));
    assert_eq!(near.state.max_gso_segments(), train);
    assert_eq!(all_of(&mut far, &mut Buffers::for_messages()), vec![content(3, 100); 3]);
}

#[test]
#[cfg(target_os = "linux")]
fn what_comes_when_the_buffer_is_full_is_counted() {
    let (mut near, mut far, to) = pair();
    let stats = far.stats();
    assert!(stats.receive_buffer > 0 && stats.send_buffer > 0);
    assert_eq!(stats.dropped, Some(0));
    let count = 2 * stats.receive_buffer as u64 / 1_200 + 100;
    for i in 0..count {
        send(&mut near, to, &content(i as usize, 1_200));
    }
    near.flush();
    let came = all_of(&mut far, &mut Buffers::for_messages()).len() as u64;
    assert!(came < count && far.stats().dropped > Some(0));
}

#[test]
fn the_time_in_the_buffer_is_known_and_bounded() {
    let (mut near, mut far, to) = pair();
    send(&mut near, to, b"now");
    near.flush();
    let mut waited = None;
    while waited.is_none() {
        let _ = far.receive(&mut Buffers::for_messages(), |it| waited = Some(it.waited));
    }
    assert!(waited.unwrap() <= LONGEST_WAIT);
}

#[test]
fn who_keeps_a_little_of_each_train_pins_a_bounded_number_of_buffers() {
    let (mut near, mut far, to) = pair();
    let (mut buffers, mut kept) = (Buffers::for_messages(), Vec::new());
    for _ in 0..700 {
        (0..40).for_each(|i| send(&mut near, to, &content(i, 1_200)));
        near.flush();
        kept.extend(all_of(&mut far, &mut buffers).into_iter().last());
    }
    assert_eq!(kept.len(), 700);
    assert!(kept.iter().all(|bytes| *bytes == content(39, 1_200)));
    assert!(buffers.lent() <= crate::buffers::MAX_MESSAGES_LENT, "{}", buffers.lent());
    drop(kept);
    assert_eq!(buffers.lent(), 0);
}

#[test]
fn what_waits_for_room_is_bounded_and_keeps_its_order() {
    let (_, _, to) = pair();
    let mut outgoing = Outgoing::new(false);
    let mut lost = 0;
    for i in 0..3_000 {
        outgoing.push(to, true, 1_000, |it| append(it, &content(i, 1_000)));
        let train = outgoing.take().unwrap();
        lost += outgoing.hold(train);
    }
    assert_eq!(lost, 3_000 - (1 << 20) / 1_000);
    let first = outgoing.next_unsent().unwrap();
    outgoing.hold_first(first);
    let mut index = 0;
    while let Some(train) = outgoing.next_unsent() {
        assert_eq!(train.as_transmit(None).contents, content(index, 1_000));
        index += 1;
    }
    assert_eq!(index as u64 + lost, 3_000);
    outgoing.push(to, true, 5, |it| append(it, b"again"));
    let train = outgoing.take().unwrap();
    assert_eq!(outgoing.hold(train), 0, "there is room again");
}

#[test]
fn who_reached_us_at_one_of_several_addresses_is_answered_from_there() {
    let bound = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let port = bound.local_addr().unwrap().port();
    let mut ours = Datagrams::new(bound).unwrap();
    for host in [1, 2, 3] {
        let theirs = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let asked = SocketAddr::from(([127, 0, 0, host], port));
        theirs.send_to(b"ask", asked).unwrap();
        assert_eq!(all_of(&mut ours, &mut Buffers::for_messages()), [&b"ask"[..]]);
        send(&mut ours, theirs.local_addr().unwrap(), b"answer");
        ours.flush();
        let (length, from) = theirs.recv_from(&mut [0; 10]).unwrap();
        assert_eq!((length, from), (6, asked));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn routers_may_split_what_is_sent_again_also_where_none_of_them_said_that_it_is_too_long() {
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, ip_mtu_discover};

    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    platform::let_routers_split(&socket, false, true);
    assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::DONT);
    platform::let_routers_split(&socket, false, false);
    assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::PROBE);
}
