//! The chained digest of a history: every step's actions, each in its canonical encoding, block
//! content left out.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::api::{Action, Wakeup};
use crate::base::digest::Digest;

/// Digest of all steps so far. Equal histories have equal chains, on any machine and in any build.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chain(Digest);

/// What is kept of one action: its kind in the high half, a few bits of its digest in the low half.
/// Enough to say at which action a run left its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActionMark(pub u8);

impl Chain {
    /// Takes in the outcome of one step.
    pub fn absorb(&mut self, actions: &[Action], wakeup: Wakeup) {
        self.absorb_with(actions, wakeup, |_| ());
    }

    /// Takes in the outcome of one step and hands out the mark of each action.
    pub fn absorb_with(
        &mut self,
        actions: &[Action],
        wakeup: Wakeup,
        mut mark: impl FnMut(ActionMark),
    ) {
        for action in actions {
            absorb(&mut self.0, action);
            mark(ActionMark(kind(action) << 4 | (self.0.value() & 15) as u8));
        }
        absorb(&mut self.0, &wakeup);
    }

    /// The digest so far.
    pub fn value(&self) -> u64 {
        self.0.value()
    }

    /// As much of it as a trace keeps of each step.
    pub fn short(&self) -> u32 {
        (self.0.value() ^ (self.0.value() >> 32)) as u32
    }
}

impl ActionMark {
    /// The kind of action, in words.
    pub fn kind(self) -> &'static str {
        KINDS.get(usize::from(self.0 >> 4)).copied().unwrap_or("?")
    }
}

const KINDS: [&str; 16] = [
    "Connect, OpenUtp or Fetch",
    "Adopt, a key or Release",
    "GrantRead or Deliver",
    "Send",
    "SendBlock",
    "Close",
    "Refuse",
    "SendDatagram or Transmit",
    "WriteBlock",
    "ReadBlock",
    "HashPiece",
    "other disk operation",
    "Resolve",
    "Http",
    "Notify",
    "SendStored",
];

fn kind(action: &Action) -> u8 {
    use crate::api::{DiskOp, StreamAction};
    match action {
        Action::Stream(
            _,
            StreamAction::Connect { .. } | StreamAction::OpenUtp { .. } | StreamAction::Fetch(_),
        ) => 0,
        Action::Stream(
            _,
            StreamAction::Adopt { .. }
            | StreamAction::Encipher(_)
            | StreamAction::Decipher(_)
            | StreamAction::Release(_),
        ) => 1,
        Action::Stream(_, StreamAction::GrantRead(_) | StreamAction::Deliver(_)) => 2,
        Action::Stream(_, StreamAction::Send(_)) => 3,
        Action::Stream(_, StreamAction::SendBlock(_)) => 4,
        Action::Stream(_, StreamAction::Close(_)) => 5,
        Action::Refuse { .. } => 6,
        Action::SendDatagram { .. } | Action::Transmit(..) => 7,
        Action::Disk(_, DiskOp::WriteBlock { .. }) => 8,
        Action::Disk(_, DiskOp::ReadBlock { .. }) => 9,
        Action::Disk(_, DiskOp::HashPiece { .. }) => 10,
        Action::Disk(..) => 11,
        Action::Resolve(..) => 12,
        Action::Http(..) => 13,
        Action::Notify(_) => 14,
        Action::Stream(_, StreamAction::SendStored(_)) => 15,
    }
}

fn absorb(digest: &mut Digest, value: &impl Serialize) {
    // The sink takes everything, and actions hold nothing that cannot be written.
    let written = postcard::serialize_with_flavor(value, Sink(digest));
    debug_assert!(written.is_ok());
}

struct Sink<'a>(&'a mut Digest);

impl Flavor for Sink<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.absorb(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.absorb(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
