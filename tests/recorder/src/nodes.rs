//! Where each node is, at the moment.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Name and target of each node, shared by all clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes(Arc<RwLock<BTreeMap<String, String>>>);

impl Nodes {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, String>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, name: &str, target: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), target.to_owned());
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn target(&self, name: &str) -> Option<String> {
        self.read().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }
}
