//! Deliberate damage, to show that each invariant fires.

/// What [`crate::Multiplexer::corrupt`] breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corruption {
    /// Bytes in flight are counted wrong.
    InFlight,
    /// A packet is listed as lost that there is not.
    Lost,
    /// A position of the stream is left out.
    Cut,
    /// A packet has a number, and neither left nor is held back.
    HeldBack,
    /// More numbers are in use than can be told apart.
    Numbers,
    /// The order in which packets left is lost.
    Order,
    /// Bytes out of order are counted wrong.
    HeldBytes,
    /// A packet is held that was delivered already.
    HeldPlace,
    /// More is held than there is room for.
    Credit,
    /// The stream ends before its last packet.
    Ended,
    /// The window is zero.
    Window,
    /// The target is below what clocks can tell.
    Target,
    /// The path MTU is larger than what is known to be too large.
    PathMtu,
    /// Something is under way, and no timer is set.
    Timer,
    /// A connection is found under no id.
    Route,
    /// More is sent than the other side has room for.
    PeerWindow,
}

impl Corruption {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::InFlight,
        Self::Lost,
        Self::Cut,
        Self::HeldBack,
        Self::Numbers,
        Self::Order,
        Self::HeldBytes,
        Self::HeldPlace,
        Self::Credit,
        Self::Ended,
        Self::Window,
        Self::Target,
        Self::PathMtu,
        Self::Timer,
        Self::Route,
        Self::PeerWindow,
    ];
}
