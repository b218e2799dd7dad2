//! What the operator makes beside the pods unless it is switched off.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a drain may take away.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionSpec {
    /// Whether a PodDisruptionBudget lets drains take one member at a time, and none while another is not ready. A single
    /// member has none.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

impl Default for DisruptionSpec {
    fn default() -> Self {
        Self { enabled: enabled() }
    }
}

/// Who may reach the members' port.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether a NetworkPolicy lets only the members and the operator's namespace reach the cache's port. Other ports, and
    /// what leaves the pods, are not restricted. Without effect where the network enforces no policies.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: enabled() }
    }
}

fn enabled() -> bool {
    true
}
