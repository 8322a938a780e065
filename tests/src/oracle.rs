//! What hostile bytes may cost. [`Counting`] is an allocator that counts for each thread;
//! [`measure`] says what a run took; [`judge`] holds that against the [`BOUNDS`] of a target of the
//! fuzzers; [`SHAPES`] are inputs of any length, the worst known of their formats, and [`grow`] sees
//! to it that twice the length costs twice as much.

mod bounds;
mod counting;
mod measure;
mod shapes;

pub use bounds::{BOUNDS, Bound, bound_of};
pub use counting::Counting;
pub use measure::{Spent, grow, judge, measure};
pub use shapes::{SHAPES, Shape};
