//! What the simulator and tests look at; nothing here changes anything, and no other code needs it.

use std::sync::Arc;

use crate::config::Configuration;
use crate::log::Log;
use crate::node::{Life, Node};
use crate::types::{Generation, Index, Term};

/// The inside of a node that is bound to a generation.
#[derive(Debug)]
pub struct Inside<'a> {
    /// Its generation.
    pub generation: Generation,
    /// Its term.
    pub term: Term,
    /// Its commit index.
    pub commit: Index,
    /// Its log.
    pub log: &'a Log,
    /// It leads.
    pub leads: bool,
    /// It is installing a snapshot: its store is not whole.
    pub installing: bool,
    /// Every configuration that counts: that in force at the commit index, and all later ones.
    pub configurations: Vec<Arc<Configuration>>,
    /// Where each of them stands in the log.
    pub configured_at: Vec<Index>,
}

impl Node {
    /// The inside of a node; `None` while it is free.
    #[must_use]
    pub fn inside(&self) -> Option<Inside<'_>> {
        let Life::Bound(bound) = &self.life else { return None };
        Some(Inside {
            generation: bound.generation,
            term: bound.term,
            commit: bound.commit,
            log: &bound.log,
            leads: bound.leader_ref().is_some(),
            installing: bound.install.is_some(),
            configurations: bound.configurations.iter().map(|(_, c)| c.clone()).collect(),
            configured_at: bound.configurations.iter().map(|(index, _)| *index).collect(),
        })
    }
}
