//! The table of how µTP shares a link: alone, with TCP, with its own kind. All figures are thousandths of what the
//! bottleneck carries, on the wire; waits are microseconds.

use std::fmt::Write as _;

use crate::link::{SECOND, Weather};
use crate::tcp::Kind;
use crate::world::World;

/// The smallest buffer, in packets: below that, nothing is a queue.
const LEAST_BUFFER: u64 = 16 * 1_500;

/// A bottleneck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Round trip of the empty path, in milliseconds.
    pub trip: u64,
    /// Megabits a second.
    pub rate: u64,
    /// The buffer in tenths of what the path holds.
    pub buffer: u64,
}

impl Cell {
    /// All bottlenecks of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        let buffers = |trip, rate| [1, 10, 40].map(|buffer| Self { trip, rate, buffer });
        let rates =
            move |trip| [1, 10, 100, 1_000].into_iter().flat_map(move |rate| buffers(trip, rate));
        [1, 10, 100, 300].into_iter().flat_map(rates)
    }

    fn bytes(self) -> u64 {
        self.rate * 125_000
    }

    fn world(self) -> World {
        let rate = self.bytes();
        let holds = rate * self.trip / 1_000;
        let buffer = (holds * self.buffer / 10).max(LEAST_BUFFER);
        let delay = self.trip * 500_000;
        World::new(Weather { rate, delay, buffer, ..Weather::default() }, 1)
    }

    /// Runs from one second to another, and says what each flow got of the link.
    fn shares(self, world: &mut World, flows: &[usize], from: u64, to: u64) -> Vec<u64> {
        world.run_until(from * SECOND);
        let before: Vec<u64> = flows.iter().map(|flow| world.delivered(*flow)).collect();
        world.mean_wait();
        world.run_until(to * SECOND);
        let whole = self.bytes() * (to - from);
        let after = flows.iter().zip(before);
        after.map(|(flow, before)| (world.delivered(*flow) - before) * 1_000 / whole).collect()
    }

    /// One download alone, in the second half minute of its life: its share, how long the queue is, and how long it is
    /// meant to be.
    pub fn alone(self) -> (u64, u64, u64) {
        let mut world = self.world();
        let flow = world.utp(0, 0);
        let share = self.shares(&mut world, &[flow], 20, 50)[0];
        (share, world.mean_wait(), world.statistics(flow).target_delay)
    }

    /// What µTP has beside TCP in the minute that begins half a minute after both are there: when it was there first,
    /// and when it came later.
    pub fn beside(self, kind: Kind) -> [u64; 2] {
        [(0, 10), (10, 0)].map(|(utp, tcp)| {
            let mut world = self.world();
            let flows = [world.utp(utp * SECOND, 0), world.tcp(kind, tcp * SECOND)];
            self.shares(&mut world, &flows, 40, 100)[0]
        })
    }

    /// What the first has of what two downloads have that begin a second apart, or half a minute apart.
    pub fn two(self, apart: u64) -> u64 {
        let mut world = self.world();
        let flows = [world.utp(0, 0), world.utp(apart * SECOND, 50)];
        let shares = self.shares(&mut world, &flows, apart + 90, apart + 150);
        shares[0] * 1_000 / shares.iter().sum::<u64>().max(1)
    }

    /// Whether everything is measured: where a second has a hundred thousand packets, only what one does alone.
    pub const fn is_whole(self) -> bool {
        self.rate < 1_000
    }

    /// The row of the table.
    pub fn row(self) -> String {
        let (share, wait, target) = self.alone();
        let Self { trip, rate, buffer } = self;
        let mut row =
            format!("{trip:>4} {rate:>5} {buffer:>3} | {share:>5} {wait:>7} {target:>7} |");
        if self.is_whole() {
            for kind in [Kind::Reno, Kind::Cubic] {
                let [first, later] = self.beside(kind);
                let _ = write!(row, " {first:>5} {later:>5} |");
            }
            let _ = write!(row, " {:>5} {:>5}", self.two(1), self.two(30));
        }
        row.trim_end().to_owned()
    }
}

/// What the columns are.
pub const HEAD: &str = "\
# How a download over uTP shares a bottleneck, in thousandths of what it carries. Columns: round trip of the empty
# path (ms), rate (Mbit/s), buffer (tenths of what the path holds, and 16 packets at the least); alone: its share, mean
# wait at the bottleneck (us), target of the delay (us); beside Reno: its share when it was there first, when it came
# later; beside CUBIC: the same; two of its kind: what the first has of both, when the second comes a second later,
# half a minute later. Made by `cargo run --release -p eddyline-utp-sim --bin fairness`.
";
