//! The pods' identity: none that could do anything.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;
use crate::reconcile::validate::Validated;

/// The ServiceAccount, whose token is mounted nowhere.
#[must_use]
pub fn build(cluster: &Validated) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, cluster.names.cluster.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
