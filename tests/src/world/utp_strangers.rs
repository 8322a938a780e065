//! Strangers who speak µTP: a machine at each of their addresses, and a script on each of its connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use eddyline::OutgoingStream;
use eddyline::base::time::Instant;
use eddyline_utp::{Config, ConnectionId, Datagram, Multiplexer, Output, Time};

use super::{Happening, World};
use crate::node::NodeId;
use crate::scripted::{Script, ScriptAction};

/// What a script that reads has room for.
const ROOM: u64 = 256 << 10;

/// A script on one connection, and what it sends.
struct Line {
    script: Box<dyn Script>,
    outgoing: OutgoingStream,
}

/// Who speaks µTP at one address.
pub(crate) struct UtpStranger {
    machine: Multiplexer,
    lines: BTreeMap<ConnectionId, Line>,
    /// Makes who answers a call.
    make: Option<Box<dyn Fn() -> Box<dyn Script>>>,
    /// When the machine has a turn.
    turn: Option<Instant>,
}

fn time(now: Instant) -> Time {
    Time::from_micros(now.as_nanos() / 1000)
}

impl UtpStranger {
    fn new(addr: SocketAddr) -> Self {
        let machine = Multiplexer::new(Config::default(), [addr.port().into(), 5]);
        Self { machine, lines: BTreeMap::new(), make: None, turn: None }
    }

    fn perform(&mut self, id: ConnectionId, actions: Vec<ScriptAction>) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        for action in actions {
            match action {
                ScriptAction::Send(bytes) => {
                    self.machine.offer(id, bytes.len() as u64);
                    line.outgoing.append(bytes);
                }
                ScriptAction::Close => self.machine.close(id, None),
            }
        }
    }

    fn begin(&mut self, id: ConnectionId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.script.reads() {
            self.machine.grant(id, ROOM);
        }
        let actions = line.script.connected();
        self.perform(id, actions);
    }

    fn datagram(&self, datagram: &Datagram) -> Option<Bytes> {
        let line = datagram.connection.and_then(|id| self.lines.get(&id));
        let payload = match line {
            Some(line) => {
                line.outgoing.range(datagram.payload.clone())?.collect::<Vec<_>>().concat()
            }
            None => Vec::new(),
        };
        Some([&datagram.header[..], &payload].concat().into())
    }

    /// What the machine has to say, and what it comes to. Returns what is sent, and to whom.
    fn advance(&mut self, now: Instant) -> Vec<(SocketAddr, Bytes)> {
        let (mut sent, mut outputs) = (Vec::new(), Vec::new());
        while self.machine.has_news()
            || self.machine.next_deadline().is_some_and(|at| at <= time(now))
        {
            self.machine.advance(time(now), &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::Send(datagram) => {
                        sent.extend(self.datagram(&datagram).map(|data| (datagram.to, data)));
                    }
                    Output::Accepted { connection, .. } => match &self.make {
                        Some(make) => {
                            let line = Line { script: make(), outgoing: OutgoingStream::default() };
                            self.lines.insert(connection, line);
                            self.begin(connection);
                        }
                        None => self.machine.abort(connection),
                    },
                    Output::Connected { connection } => self.begin(connection),
                    Output::Received { connection, slices } => {
                        for slice in slices {
                            let Some(line) = self.lines.get_mut(&connection) else { break };
                            let actions = line.script.received(&slice);
                            if line.script.reads() {
                                self.machine.grant(connection, slice.len() as u64);
                            }
                            self.perform(connection, actions);
                        }
                    }
                    Output::Ended { connection } => self.machine.close(connection, None),
                    Output::Released { connection, up_to } => {
                        if let Some(line) = self.lines.get_mut(&connection) {
                            line.outgoing.release(up_to);
                        }
                    }
                    Output::Closed { connection, .. } => drop(self.lines.remove(&connection)),
                }
            }
        }
        sent
    }
}

impl World {
    /// Adds a scripted peer that others can connect to over µTP at an address of choice.
    pub fn add_utp_script_at(
        &mut self,
        addr: SocketAddr,
        make: impl Fn() -> Box<dyn Script> + 'static,
    ) {
        self.utp_stranger(addr).make = Some(Box::new(make));
    }

    /// Lets a scripted peer connect to a node over µTP from the address `remote`.
    pub fn connect_utp_script_from(
        &mut self,
        node: NodeId,
        remote: SocketAddr,
        script: Box<dyn Script>,
    ) {
        let (now, to) = (time(self.now), self.nodes[node].addr);
        let stranger = self.utp_stranger(remote);
        if let Ok(id) = stranger.machine.connect(now, to) {
            let line = Line { script, outgoing: OutgoingStream::default() };
            stranger.lines.insert(id, line);
        }
        self.serve_utp_stranger(remote);
    }

    fn utp_stranger(&mut self, addr: SocketAddr) -> &mut UtpStranger {
        self.utp_strangers.entry(addr).or_insert_with(|| UtpStranger::new(addr))
    }

    /// A datagram for a stranger, if it is one of µTP and somebody there speaks it. Otherwise it is given back.
    pub(super) fn utp_stranger_hears(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        data: Bytes,
    ) -> Option<Bytes> {
        let now = time(self.now);
        let stranger = self.utp_strangers.get_mut(&to);
        let Some(stranger) = stranger.filter(|_| eddyline_utp::is_utp(&data)) else {
            return Some(data);
        };
        stranger.machine.datagram(now, now, from, &data);
        self.serve_utp_stranger(to);
        None
    }

    /// Its turn: something happened, or it is time.
    pub(super) fn serve_utp_stranger(&mut self, addr: SocketAddr) {
        let now = self.now;
        let Some(stranger) = self.utp_strangers.get_mut(&addr) else { return };
        let sent = stranger.advance(now);
        let due =
            stranger.machine.next_deadline().map(|at| Instant::from_nanos(at.as_micros() * 1000));
        let due = due.map(|at| at.max(now + Duration::from_micros(1)));
        // An earlier turn that was planned comes all the same, and finds nothing to do.
        let plan = due.filter(|at| stranger.turn.is_none_or(|turn| turn <= now || *at < turn));
        if let Some(at) = plan {
            stranger.turn = Some(at);
            self.at(at, Happening::UtpTurn(addr));
        }
        for (to, data) in sent {
            if data.len() <= self.mtu {
                self.launch(addr, to, data, Duration::ZERO);
            }
        }
    }

    /// Lets every script on a connection over µTP say something of its own accord.
    pub(super) fn prompt_utp_strangers(&mut self) {
        let addrs: Vec<SocketAddr> = self.utp_strangers.keys().copied().collect();
        for addr in addrs {
            let Some(stranger) = self.utp_strangers.get_mut(&addr) else { continue };
            let ids: Vec<ConnectionId> = stranger.lines.keys().copied().collect();
            for id in ids {
                let actions = stranger.lines.get_mut(&id).map(|line| line.script.tick());
                stranger.perform(id, actions.unwrap_or_default());
            }
            self.serve_utp_stranger(addr);
        }
    }
}
