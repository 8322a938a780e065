//! What stands in the place of the types of the DHT where the engine is built without it (feature `dht`). There is no
//! value of them, so no such command can be given, and no such notice comes. The kinds of commands and notices, and
//! with them the format of traces, are the same with and without the DHT.

use serde::{Deserialize, Serialize};

/// A question to the DHT, which there is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DhtRequest {}

/// What an earlier run left of the DHT, of which this one has no use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DhtState {}

/// A point in the DHT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeId {}

/// What came of a lookup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {}
