//! How fast a node asks, how long it waits, and how much it has in progress.

use core::time::Duration;

/// Time after which a query without an answer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Time after which a lookup goes on without an answer; it is still used if it comes.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// Queries sent in a second: home routers remember few connections.
pub(super) const QUERIES_A_SECOND: u64 = 100;
/// Queries sent at once after a pause.
pub(super) const QUERY_BURST: u64 = 200;
/// Lookups at the same time; others wait their turn.
pub(super) const MAX_LOOKUPS: usize = 16;
/// Lookups that wait.
pub(super) const MAX_WAITING: usize = 1000;
/// How often the table is looked after.
pub(super) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often old things are forgotten.
pub(super) const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// Time between attempts to get in touch with anybody at all, at first; doubled each time.
pub(super) const FIRST_BOOTSTRAP_WAIT: Duration = Duration::from_secs(10);
/// The same at the most.
pub(super) const LONGEST_BOOTSTRAP_WAIT: Duration = Duration::from_secs(300);
/// Nodes below which more are looked for.
pub(super) const FEW: usize = 8;
