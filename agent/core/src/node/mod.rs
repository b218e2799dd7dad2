//! The protocol.

use std::sync::Arc;

use crate::api::{Input, Output, Settings, Status};
use crate::config::HostList;
use crate::replica::Replica;
use crate::types::{Incarnation, Time};

/// One node.
#[derive(Debug)]
pub struct Node {
    replica: Arc<Replica>,
}

impl Node {
    /// A node is born: a new incarnation of its slot.
    #[must_use]
    pub fn new(_settings: Settings, _hosts: HostList, _seed: [u64; 4], _now: Time) -> Self {
        unimplemented!()
    }
    /// What readers use.
    #[must_use]
    pub fn replica(&self) -> Arc<Replica> {
        self.replica.clone()
    }
    /// This incarnation; it changes when the data is wiped.
    #[must_use]
    pub fn me(&self) -> &Incarnation {
        unimplemented!()
    }
    /// Something happened at `now`.
    pub fn step(&mut self, _now: Time, _input: Input, _out: &mut Vec<Output>) {
        unimplemented!()
    }
    /// When to call [`Input::Tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Time {
        unimplemented!()
    }
    /// How this node sees its cluster.
    #[must_use]
    pub fn status(&self, _now: Time) -> Status {
        unimplemented!()
    }
}
