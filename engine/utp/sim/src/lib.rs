//! A model of networks, to see how µTP behaves in them: a bottleneck that several flows share, and the flows of it.
//!
//! Times are nanoseconds, everything is an integer, and all chance comes from one seed, so a run gives the same result
//! on any machine.

pub mod chance;
pub mod fairness;
pub mod fuzzing;
pub mod link;
pub mod load;
pub mod pair;
pub mod tcp;
pub mod world;
