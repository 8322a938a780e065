//! What a step asks of the world.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::{Action, Notice, StreamAction};
use crate::base::ids::ConnId;

/// The actions of a step, in order. Empty between steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Actions {
    /// All of them.
    #[serde(skip)]
    pub actions: Vec<Action>,
}

impl Actions {
    /// Asks for something about a connection.
    pub fn stream(&mut self, conn: ConnId, action: StreamAction) {
        self.actions.push(Action::Stream(conn, action));
    }

    /// Tells the embedder something.
    pub fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }

    /// A connection has ended: what this step asked of it is of no use any more.
    pub fn withdraw(&mut self, conn: ConnId) {
        let about = |action: &Action| matches!(action, Action::Stream(c, _) if *c == conn);
        self.actions.retain(|action| !about(action));
    }
}
