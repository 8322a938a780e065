//! Whose fault an error is.

use serde::{Deserialize, Serialize};

/// Whose fault an error is. Every public error says it with its method `fault`, so that an embedder knows whether to
/// tell the user, to try again, to hold it against a peer, or to look for a bug of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Fault {
    /// Whoever sent or made the bytes: a peer, a server, the author of a file. The same bytes fail everywhere.
    Remote,
    /// This machine, or the network that it is in: its disk, its permissions, its routes. It may go better later.
    Machine,
    /// The program or its user: what is asked for does not exist, is there already, or cannot be asked for.
    Caller,
    /// Nobody: two sides that both keep to the rules and do not suit each other, or things that come and go.
    Nobody,
}
