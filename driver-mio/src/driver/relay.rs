//! Datagrams through a proxy (`UDP ASSOCIATE` of SOCKS 5): one association for DHT, µTP and UDP trackers. It stands
//! while its TCP connection does, and is made again where that breaks. Meanwhile nothing is sent.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::addr::{normalise, scope};
use eddyline::base::ids::UdpSocketId;
use eddyline::{Command, Event};
use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Token};

use super::collect::finished_connecting;
use super::tunnel::{Progress, proceed};
use super::{Driver, RELAY, RELAY_CONTROL, UDP};
use crate::datagrams::{Arrival, Datagrams};
use crate::proxy::handshake::{Handshake, Refusal, Target, Wish};
use crate::proxy::{Gate, Traffic, datagram};

/// How long a proxy may take for an association.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it is left alone after it has broken one or refused, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Datagrams that wait for the first association.
const MOST_HELD: usize = 256;

/// An association, or the wish for one.
#[derive(Debug)]
pub(super) struct Relay {
    gate: Arc<Gate>,
    state: State,
    rest: Duration,
    /// The first is being made: what is sent meanwhile waits for it.
    hopes: bool,
    held: Vec<Held>,
    /// Why the proxy does not carry datagrams, where it is there otherwise.
    trouble: Option<&'static str>,
}

/// A datagram that waits: to whom, whether routers must not split it, and its content.
type Held = (Target, bool, Vec<u8>);

#[derive(Debug)]
enum State {
    /// Nothing until then.
    Rests(Instant),
    Asks(Control, Box<Handshake>, Instant),
    /// Datagrams go there.
    Stands(Control, SocketAddr),
}

#[derive(Debug)]
struct Control {
    socket: TcpStream,
    /// Of the proxy.
    remote: SocketAddr,
    readable: bool,
    writable: bool,
}

/// How a datagram leaves.
#[derive(Debug)]
pub(super) enum Way {
    Direct,
    /// Through the proxy, to whom it means.
    Through(Target),
    Nowhere,
}

impl Relay {
    /// For what goes through `gate`, where that carries datagrams.
    pub(super) fn new(gate: &Arc<Gate>) -> Option<Self> {
        let state = State::Rests(Instant::now());
        let gate = gate.proxy.carries_datagrams().then(|| gate.clone());
        gate.map(|gate| Self {
            gate,
            state,
            rest: REST.0,
            hopes: true,
            held: Vec::new(),
            trouble: None,
        })
    }

    fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Rests(due) | State::Asks(_, _, due) => Some(*due),
            State::Stands(..) => None,
        }
    }

    /// Whether datagrams are taken.
    fn is_open(&self) -> bool {
        self.hopes || self.stands_at().is_some()
    }

    fn stands_at(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Stands(_, to) => Some(*to),
            _ => None,
        }
    }
}

impl Driver {
    /// How long until something is to be done for the association.
    pub(super) fn until_relay(&self) -> Duration {
        let due = self.tunnels.relay.as_ref().and_then(Relay::due);
        due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()))
    }

    /// What is wrong with the proxy through which something goes, as it was seen last.
    #[must_use]
    pub fn proxy_trouble(&self) -> Option<String> {
        self.policy.proxy_trouble().and_then(|why| self.of_proxy(&why))
    }

    /// Why datagrams do not go through a proxy that does not carry any.
    #[must_use]
    pub fn relay_trouble(&self) -> Option<String> {
        self.tunnels.relay.as_ref()?.trouble.and_then(|why| self.of_proxy(why))
    }

    fn of_proxy(&self, why: &str) -> Option<String> {
        Some(format!("the proxy {}: {why}", self.policy.any_gate()?.proxy))
    }

    /// Does what is due.
    pub(super) fn look_after_relay(&mut self) {
        let Some(relay) = &self.tunnels.relay else { return };
        if relay.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let gate = relay.gate.clone();
        if matches!(relay.state, State::Asks(..)) {
            gate.seen(Some("it does not answer".into()));
            return self.relay_broken();
        }
        let Some(remote) = self.proxy_address(&gate) else { return self.relay_broken() };
        let Ok(mut socket) = self.policy.connect_to_proxy(remote) else {
            return self.relay_broken();
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut socket, Token(RELAY_CONTROL), interest).is_err() {
            return self.relay_broken();
        }
        let control = Control { socket, remote, readable: false, writable: false };
        let handshake = Box::new(Handshake::new(&gate.proxy, &Wish::Associate));
        if let Some(relay) = &mut self.tunnels.relay {
            relay.state = State::Asks(control, handshake, Instant::now() + PATIENCE);
        }
    }

    /// The poll tells of its TCP connection.
    pub(super) fn relay_is_ready(&mut self, reads: bool, writes: bool) {
        let Some(relay) = &mut self.tunnels.relay else { return };
        if let State::Asks(control, ..) | State::Stands(control, _) = &mut relay.state {
            control.readable |= reads;
            control.writable |= writes;
        }
        match &mut relay.state {
            State::Rests(_) => {}
            State::Asks(control, handshake, _) => match finished_connecting(&control.socket) {
                None => {}
                Some(Err(_)) => {
                    relay.gate.fails(&std::io::ErrorKind::ConnectionRefused.into());
                    self.relay_broken();
                }
                Some(Ok(())) => {
                    let Control { socket, readable, writable, .. } = control;
                    match proceed(handshake, socket, readable, writable) {
                        Progress::Waits => {}
                        Progress::Done => self.relay_opens(),
                        Progress::Refused(why)
                            if why.is_of_proxy() && why != Refusal::NoDatagrams =>
                        {
                            relay.gate.refuses(why);
                            self.relay_broken();
                        }
                        // Some hang up instead.
                        Progress::Refused(_) | Progress::Broken => {
                            relay.trouble =
                                Some("it carries no UDP: no DHT, no uTP, no UDP tracker");
                            self.relay_broken();
                        }
                    }
                }
            },
            State::Stands(control, _) => {
                // Nothing is said here any more; the end of it is the end of the association.
                let mut bytes = [0; 256];
                let over = (0..16).find_map(|_| match control.socket.read(&mut bytes) {
                    Ok(0) => Some(true),
                    Ok(_) => None,
                    Err(error) => Some(error.kind() != std::io::ErrorKind::WouldBlock),
                });
                // Who says that much has not understood.
                if over.unwrap_or(true) {
                    self.relay_broken();
                }
            }
        }
    }

    /// The proxy passes datagrams on from now on.
    fn relay_opens(&mut self) {
        let Some(relay) = &mut self.tunnels.relay else { return };
        let State::Asks(control, handshake, _) = &relay.state else { return };
        let Some(to) = handshake.bound().and_then(|bound| place_of(bound, control.remote)) else {
            relay.trouble = Some("it names no port for UDP");
            return self.relay_broken();
        };
        let socket = self.policy.datagrams_to(to, 0).map(UdpSocket::from_std);
        let Ok(mut socket) = socket.and_then(Datagrams::new) else { return self.relay_broken() };
        if socket.register(self.poll.registry(), Token(UDP + RELAY)).is_err() {
            return self.relay_broken();
        }
        self.udp[RELAY] = Some(socket);
        relay.gate.seen(None);
        (relay.rest, relay.hopes, relay.trouble) = (REST.0, false, None);
        let held = std::mem::take(&mut relay.held);
        let rests = State::Rests(Instant::now());
        if let State::Asks(control, ..) = std::mem::replace(&mut relay.state, rests) {
            relay.state = State::Stands(control, to);
        }
        for (target, whole, data) in held {
            self.send_through(&target, whole, data.len(), |out| {
                out.extend_from_slice(&data);
                true
            });
        }
        self.tell_of_ports();
    }

    /// There is no association, for a while.
    pub(super) fn relay_broken(&mut self) {
        let Some(relay) = &mut self.tunnels.relay else { return };
        let was_open = std::mem::replace(&mut relay.hopes, false) || relay.stands_at().is_some();
        relay.held = Vec::new();
        let rests = State::Rests(Instant::now() + relay.rest);
        relay.rest = (relay.rest * 2).min(REST.1);
        if let State::Asks(mut control, ..) | State::Stands(mut control, _) =
            std::mem::replace(&mut relay.state, rests)
        {
            let _ = self.poll.registry().deregister(&mut control.socket);
        }
        if let Some(socket) = self.udp[RELAY].take() {
            socket.deregister(self.poll.registry());
        }
        if was_open {
            self.tell_of_ports();
        }
    }

    /// Tells the engine what there is.
    pub(super) fn tell_of_ports(&mut self) {
        let relayed =
            self.tunnels.relay.as_ref().is_some_and(Relay::is_open) && self.policy.hides_peers();
        let id = |index: usize| {
            (relayed || self.udp[index].is_some()).then_some(UdpSocketId(index as u32))
        };
        let (udp4, udp6) = (id(0), id(1));
        self.command(Command::ListenOn { port: self.port, udp4, udp6 });
    }

    /// How a datagram for `to` leaves; `packet` is its beginning where that is not µTP.
    pub(super) fn way(&self, to: SocketAddr, packet: Option<&[u8]>) -> Way {
        let [peers, trackers] = [Traffic::Peers, Traffic::Trackers].map(|it| self.policy.gate(it));
        let Some(either) = peers.or(trackers) else { return Way::Direct };
        let through = match (peers, trackers, packet) {
            (Some(_), Some(_), _) => true,
            (peers, _, None) => peers.is_some(),
            (peers, trackers, Some(packet)) => {
                let for_dht = packet.first() == Some(&b'd');
                match self.engine.asks_tracker_at(to) {
                    true if !for_dht => trackers.is_some(),
                    false if for_dht => peers.is_some(),
                    // It may be either.
                    _ => true,
                }
            }
        };
        if !through {
            return Way::Direct;
        }
        let relay = self.tunnels.relay.as_ref().filter(|relay| relay.is_open());
        let target = relay.and_then(|_| either.names.meaning(to));
        target.map_or(Way::Nowhere, Way::Through)
    }

    /// Sends a datagram through the proxy.
    pub(super) fn send_through(
        &mut self,
        target: &Target,
        whole: bool,
        length: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let Some(relay) = &mut self.tunnels.relay else { return };
        let (Some(to), Some(socket)) = (relay.stands_at(), &mut self.udp[RELAY]) else {
            let mut data = Vec::new();
            if relay.hopes && relay.held.len() < MOST_HELD && fill(&mut data) {
                relay.held.push((target.clone(), whole, data));
            }
            return;
        };
        let mut head = Vec::with_capacity(32);
        datagram::wrap(&mut head, target);
        socket.send(to, whole, head.len() + length, |out| {
            out.extend_from_slice(&head);
            fill(out)
        });
    }

    /// What came from the proxy, as if it had come from whoever sent it there.
    pub(super) fn relayed(&self, arrival: Arrival) -> Option<Event> {
        let relay = self.tunnels.relay.as_ref()?;
        if relay.stands_at().map(normalise) != Some(normalise(arrival.from)) {
            return None;
        }
        let (from, at) = datagram::unwrap(&arrival.data)?;
        let from = normalise(relay.gate.names.address(&from)?);
        let data = arrival.data.slice(at..);
        if !self.policy.hides_peers() && !is_of_tracker(&data) {
            return None;
        }
        let (socket, waited) =
            (UdpSocketId(from.is_ipv6().into()), arrival.waited.as_micros() as u32);
        Some(Event::Datagram { socket, from, data, waited })
    }
}

/// Whether a datagram may be an answer of a UDP tracker (BEP 15). No packet of µTP and the DHT begins so.
pub(super) fn is_of_tracker(data: &[u8]) -> bool {
    data.starts_with(&[0, 0, 0])
}

/// Where datagrams go by what a proxy at `proxy` has answered. It knows nothing of networks nearer to us than itself.
pub(super) fn place_of(bound: &Target, proxy: SocketAddr) -> Option<SocketAddr> {
    let (ip, port) = match bound {
        Target::Address(addr) => (addr.ip().to_canonical(), addr.port()),
        Target::Name(_, port) => (proxy.ip(), *port),
    };
    let near = ip.is_unspecified() || !scope(proxy.ip()).may_name(scope(ip));
    let ip = if near || ip.is_ipv6() != proxy.is_ipv6() { proxy.ip() } else { ip };
    (port != 0).then(|| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    //! Unit tests of what a proxy may say of where datagrams go.

    use super::*;

    #[test]
    fn a_proxy_leads_datagrams_to_itself_or_farther_and_never_into_a_nearer_network() {
        for (proxy, bound, place) in [
            ("203.0.113.1:1080", "203.0.113.2:9", Some("203.0.113.2:9")),
            ("203.0.113.1:1080", "0.0.0.0:9", Some("203.0.113.1:9")),
            ("203.0.113.1:1080", "192.168.1.1:9", Some("203.0.113.1:9")),
            ("203.0.113.1:1080", "127.0.0.1:53", Some("203.0.113.1:53")),
            ("203.0.113.1:1080", "[2001:db8::1]:9", Some("203.0.113.1:9")),
            ("192.168.1.1:1080", "192.168.1.2:9", Some("192.168.1.2:9")),
            ("127.0.0.1:1080", "127.0.0.2:9", Some("127.0.0.2:9")),
            ("203.0.113.1:1080", "203.0.113.2:0", None),
        ] {
            let bound = Target::Address(bound.parse().unwrap());
            let place = place.map(|place| place.parse().unwrap());
            assert_eq!(place_of(&bound, proxy.parse().unwrap()), place, "{bound:?}");
        }
        let name = Target::Name("p.example".into(), 9);
        assert_eq!(place_of(&name, "[::1]:1080".parse().unwrap()), "[::1]:9".parse().ok());
    }

    #[test]
    fn only_answers_of_trackers_are_taken_where_only_trackers_are_asked() {
        assert!(is_of_tracker(&[0, 0, 0, 3, 1, 2, 3, 4]));
        for other in [&b"d1:rd2:id"[..], &[0x41, 0, 0, 0], &[0x21, 0, 0], &[0, 0], &[]] {
            assert!(!is_of_tracker(other), "{other:?}");
        }
    }
}
