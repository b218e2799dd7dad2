//! Who this agent is towards its peers.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rauthy_core::Slot;
use rauthy_proto::handshake::VERSIONS;
use rauthy_proto::mesh::Identity;

use crate::config::Tokens;

/// What every handshake needs to know of this side.
#[derive(Debug)]
pub struct Me {
    /// Name of the cluster.
    pub cluster: String,
    /// This slot.
    pub slot: Slot,
    /// 16 random bytes, fixed for the life of this process.
    pub boot: Bytes,
    /// Versions of the format that are spoken.
    versions: RangeInclusive<u32>,
    /// Every slot that may join, this one included.
    slots: RwLock<Arc<BTreeSet<Slot>>>,
    tokens: RwLock<Arc<Tokens>>,
}

impl Me {
    /// This process.
    #[must_use]
    pub fn new(cluster: String, slot: Slot, boot: [u8; 16], slots: Vec<Slot>, tokens: Tokens) -> Self {
        let boot = Bytes::copy_from_slice(&boot);
        let slots = RwLock::new(Arc::new(slots.into_iter().collect()));
        Self { cluster, slot, boot, versions: VERSIONS, slots, tokens: RwLock::new(Arc::new(tokens)) }
    }

    /// The same, as an older or newer build that speaks these versions of the format.
    #[must_use]
    pub fn speaking(self, versions: RangeInclusive<u32>) -> Self {
        Self { versions, ..self }
    }

    /// Versions of the format that are spoken.
    #[must_use]
    pub fn versions(&self) -> &RangeInclusive<u32> {
        &self.versions
    }

    /// As it stands in a handshake.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { slot: self.slot.to_string(), boot: self.boot.clone() }
    }

    /// Every slot that may join now.
    #[must_use]
    pub fn slots(&self) -> Arc<BTreeSet<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn knows(&self, slot: &str) -> bool {
        self.slots().iter().any(|known| known.as_str() == slot)
    }

    pub(super) fn set_slots(&self, slots: BTreeSet<Slot>) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(slots);
    }

    /// The tokens that are valid now.
    #[must_use]
    pub fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other tokens are valid from now on; streams that stand are not touched. False: they are the same.
    pub fn set_tokens(&self, tokens: Tokens) -> bool {
        let mut present = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let changed = !present.same(&tokens);
        *present = Arc::new(tokens);
        changed
    }
}
