//! What may be used of the network goes and comes back while the driver runs: sockets that would lead nowhere, or
//! elsewhere, are closed, and made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::{CloseKind, ConnectFailure, Event, StreamEvent};

use super::{Driver, FIRST_STREAM};
use crate::listen::ListenOptions;
use crate::standing::Standing;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// What is watched where not everything may be used.
#[derive(Debug)]
pub(super) struct Uplink {
    options: ListenOptions,
    seen: Arc<Standing>,
    /// The sockets that listen are there.
    open: bool,
    /// How often something else could be used than before.
    moves: u64,
    due: Instant,
}

impl Uplink {
    /// Watches what `options` allow, which stands so.
    pub(super) fn new(options: ListenOptions, seen: Arc<Standing>, open: bool) -> Self {
        Self { options, seen, open, moves: 0, due: Instant::now() + LOOK }
    }
}

impl Driver {
    /// Why nothing is sent and nobody can reach us, where that is so: what `--bind` names is gone, or has no address.
    #[must_use]
    pub fn cut_off(&self) -> Option<String> {
        let uplink = self.uplink.as_ref().filter(|uplink| !uplink.open)?;
        let ListenOptions { address, interface, .. } = &uplink.options;
        Some(match (interface, address) {
            (Some(name), _) if uplink.seen.device.is_some() => format!("{name} has no address"),
            (Some(name), _) => format!("the network interface {name} is gone"),
            (None, Some(address)) => format!("this machine does not have the address {address}"),
            (None, None) => "the port cannot be had".into(),
        })
    }

    /// How often what may be used came back, or had other addresses than before: others have to be told of those.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.uplink.as_ref().map_or(0, |uplink| uplink.moves)
    }

    /// How long until it is looked again.
    pub(super) fn until_look(&self) -> Duration {
        let due = self.uplink.as_ref().map(|uplink| uplink.due);
        due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()))
    }

    /// Looks, where it is time.
    pub(super) fn look_at_network(&mut self) {
        let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.due <= Instant::now())
        else {
            return;
        };
        uplink.due = Instant::now() + LOOK;
        let Some(now) = self.policy.look() else { return };
        let before = std::mem::replace(&mut uplink.seen, now.clone());
        let was_open = uplink.open;
        if *before == *now && was_open == now.is_open() {
            return;
        }
        if was_open && !now.keeps_sockets_of(&before) {
            uplink.open = false;
            self.close_ports();
        }
        self.drop_streams_from_elsewhere(&now, now.device == before.device);
        self.open_where_possible();
        if let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.open) {
            uplink.moves += 1;
        }
    }

    /// Listens, where anything may be used.
    fn open_where_possible(&mut self) {
        let Some(uplink) = self.uplink.as_mut().filter(|uplink| !uplink.open) else { return };
        if !uplink.seen.is_open() {
            return;
        }
        // Those who know the port find it again.
        let port = self.port.or(uplink.options.port);
        let options = ListenOptions { port, ..uplink.options.clone() };
        // What fails is tried again with the next look.
        let opened = self.open_ports(&options).is_ok();
        if let Some(uplink) = &mut self.uplink {
            uplink.open = opened;
        }
    }

    fn close_ports(&mut self) {
        let registry = self.poll.registry();
        for mut listener in self.listeners.drain(..) {
            let _ = registry.deregister(&mut listener);
        }
        for socket in &mut self.udp {
            if let Some(socket) = socket.take() {
                socket.deregister(registry);
            }
        }
        self.pending.retain(|token| *token >= FIRST_STREAM);
        self.relay_broken();
    }

    /// Connections from an address that is gone, or over an interface that is, lead nowhere: peers are not waited for.
    fn drop_streams_from_elsewhere(&mut self, now: &Standing, same_device: bool) {
        for slot in 0..self.streams.len() {
            let Some(Some(stream)) = self.streams.get(slot) else { continue };
            let from = stream.socket.local_addr().map(|addr| addr.ip().to_canonical());
            if same_device && from.is_ok_and(|ip| now.addresses.contains(&ip)) {
                continue;
            }
            if stream.connected {
                self.closed(slot, CloseKind::Reset);
            } else {
                let failed = StreamEvent::ConnectFailed(ConnectFailure::Unreachable);
                self.events.push(Event::Stream(stream.conn, failed));
                self.drop_stream(slot);
            }
        }
    }
}
