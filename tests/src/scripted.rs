//! Peers that are not engines: they do what a script says, well or badly behaved.

use bytes::Bytes;

/// What a script does in response.
#[derive(Clone, Debug)]
pub enum ScriptAction {
    /// Sends bytes.
    Send(Bytes),
    /// Closes the connection.
    Close,
}

/// The behaviour of a scripted peer on one connection.
pub trait Script {
    /// The connection stands.
    fn connected(&mut self) -> Vec<ScriptAction>;

    /// Bytes came.
    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction>;

    /// A second has passed, where the world is told to prompt scripts.
    fn tick(&mut self) -> Vec<ScriptAction> {
        Vec::new()
    }

    /// Whether it reads what it is sent.
    fn reads(&self) -> bool {
        true
    }

    /// Bytes per second of its line; `None` for no limit.
    fn rate(&self) -> Option<u64> {
        None
    }
}
