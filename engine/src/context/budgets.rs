//! Bytes that are held for connections, each kind within a budget of its own. Whoever holds some keeps count
//! of it, and the audit recounts: what was taken is held by somebody.

use serde::{Deserialize, Serialize};

use crate::api::{ASSEMBLY_SHARE, Config, READ_FLOOR};
use crate::base::budget::Budget;

/// The budgets that connections share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Budgets {
    /// Bytes granted and not received.
    pub credit: Budget,
    /// Bytes of blocks being read for upload, or given to sockets and not taken.
    pub sending: Budget,
    /// Bytes of messages that are not complete, or wait for their turn or for the metadata.
    pub assembling: Budget,
}

impl Budgets {
    /// Budgets of the sizes that are configured.
    pub fn new(config: &Config) -> Self {
        Self {
            credit: Budget::new(config.read_credit.into(), READ_FLOOR.into()),
            sending: Budget::new(config.send_budget.into(), config.send_share()),
            assembling: Budget::new(config.assembly_budget.into(), ASSEMBLY_SHARE.into()),
        }
    }
}
