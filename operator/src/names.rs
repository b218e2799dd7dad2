//! The names of everything that belongs to a cluster: objects, labels, hosts.

use std::collections::BTreeMap;

/// Field manager of every server-side apply, and the name under which events appear.
pub const MANAGER: &str = "rauthy-operator";
/// Most members that a cluster can have; certificates name this many slots from the beginning.
pub const SLOTS: i32 = 9;
/// Port of the agent's probes and metrics.
pub const HTTP_PORT: i32 = 8081;
/// Name of the agent's container.
pub const AGENT: &str = "agent";
/// Name of the application's container.
pub const APP: &str = "rauthy";
/// Annotation with the hash of the object as the operator wants it.
pub const APPLIED_HASH: &str = "rauthy.dev/applied-hash";
/// Annotation with the hash of what needs a restart of a pod when it changes.
pub const TEMPLATE_HASH: &str = "rauthy.dev/template-hash";
/// Annotation of a template, set by `kubectl rollout restart`.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Annotation of a RauthyCluster: each new value replaces all pods. It is copied into the template.
pub const RESTART: &str = "rauthy.dev/restart";
/// Annotation of a RauthyCluster: each new value takes the operator's image of the agent. Copied to the StatefulSet when
/// it was followed, and into the template when the image changed by it.
pub const UPGRADE: &str = "rauthy.dev/upgrade";
/// Annotation of pods, and of all that the operator makes, with the uid of their cluster: an earlier cluster of the same
/// name has another one.
pub const CLUSTER_UID: &str = "rauthy.dev/cluster-uid";
/// Annotation of the host list with the hash of the list as the operator wrote it.
pub const LIST_HASH: &str = "rauthy.dev/list-hash";
/// Annotation of the host list with how far a change of the size has come.
pub const SIZE_CHANGE: &str = "rauthy.dev/size-change";
/// Annotation of pods with the host list that they were last told to look for.
pub const TOUCHED: &str = "rauthy.dev/host-list";
/// Annotation of the StatefulSet with the agent's image that is in use.
pub const IMAGE_IN_USE: &str = "rauthy.dev/agent-image";
/// Annotation of pods whose application has the cache inside: the certificate that they started with.
pub const CERTIFICATE: &str = "rauthy.dev/certificate";
/// Annotation of a RauthyCluster whose cache may be emptied by a change of the size.
pub const ALLOW_CACHE_LOSS: &str = "rauthy.dev/allow-cache-loss";
/// Annotation of Secrets with what was renewed last by request.
pub const RENEWED: &str = "rauthy.dev/renewed";
/// Annotation of Secrets with the time of the last step of a rotation, in seconds since 1970.
pub const STEPPED: &str = "rauthy.dev/stepped";
/// Annotation of the certificate's Secret: cert-manager was asked for one.
pub const CERT_MANAGER: &str = "rauthy.dev/cert-manager";
/// Annotation of a RauthyCluster by which its user asks to renew something now.
pub const RENEW: &str = "rauthy.dev/renew";
/// Annotation of pods with the certificates and tokens that they were last told to look for.
pub const TOUCHED_CREDENTIALS: &str = "rauthy.dev/credentials";
/// Key of the token in its Secret.
pub const TOKEN_KEY: &str = "token";

/// Names derived from the cluster's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Namespace of the cluster.
    pub namespace: String,
    /// Name of the cluster; also of the StatefulSet, the headless Service, the PodDisruptionBudget and the
    /// ServiceAccount.
    pub cluster: String,
}

impl Names {
    /// Names of the cluster `namespace/name`.
    #[must_use]
    pub fn new(namespace: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), cluster: cluster.into() }
    }

    /// The Service for clients.
    #[must_use]
    pub fn client_service(&self) -> String {
        format!("{}-client", self.cluster)
    }

    /// The ConfigMap of the host list.
    #[must_use]
    pub fn hosts(&self) -> String {
        format!("{}-hosts", self.cluster)
    }

    /// The Secret of the token.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}-cache-auth", self.cluster)
    }

    /// The Secret of the CA and its key; mounted nowhere.
    #[must_use]
    pub fn ca(&self) -> String {
        format!("{}-ca", self.cluster)
    }

    /// The Secret of the members' certificate.
    #[must_use]
    pub fn tls(&self) -> String {
        format!("{}-tls", self.cluster)
    }

    /// What cert-manager is asked for.
    #[must_use]
    pub fn certificate(&self) -> String {
        format!("{}-tls", self.cluster)
    }

    /// The Secret in which cert-manager puts it; mounted nowhere.
    #[must_use]
    pub fn issued(&self) -> String {
        format!("{}-issued", self.cluster)
    }

    /// The pod of a slot.
    #[must_use]
    pub fn pod(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.cluster)
    }

    /// Host of a slot, as it stands in HA_HOSTS.
    #[must_use]
    pub fn host(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}.{}", self.cluster, self.cluster)
    }

    /// `host:port` of a slot: its name in the protocol.
    #[must_use]
    pub fn slot(&self, ordinal: i32, port: i32) -> String {
        format!("{}:{port}", self.host(ordinal))
    }

    /// Name of the cluster in the handshake.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        format!("{}/{}", self.namespace, self.cluster)
    }

    /// Every name under which a member may be dialled, for all slots that there can ever be: webpki refuses
    /// `*.rauthy`, and so scaling touches no certificate.
    #[must_use]
    pub fn certificate_hosts(&self) -> Vec<String> {
        (0..SLOTS)
            .flat_map(|ordinal| {
                let host = self.host(ordinal);
                let long = format!("{host}.{}", self.namespace);
                [host, long.clone(), format!("{long}.svc"), format!("{long}.svc.cluster.local")]
            })
            .collect()
    }

    /// Labels that select the pods; they can never change, for a StatefulSet's selector cannot.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".to_owned(), "rauthy".to_owned()),
            ("app.kubernetes.io/instance".to_owned(), self.cluster.clone()),
            (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
        ])
    }

    /// The selector as `kubectl -l` takes it.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let pairs: Vec<String> =
            self.selector().iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }
}

/// The label on everything that the operator made: what it watches.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", MANAGER);

/// The pod that a slot belongs to: the first label of its host.
#[must_use]
pub fn pod_of_slot(slot: &str) -> &str {
    slot.split(['.', ':']).next().unwrap_or(slot)
}

/// The ordinal at the end of a pod's name.
#[must_use]
pub fn ordinal(pod: &str) -> Option<i32> {
    pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_cluster() {
        let names = Names::new("idm", "rauthy");
        assert_eq!(names.slot(2, 8000), "rauthy-2.rauthy:8000");
        assert_eq!(names.cluster_id(), "idm/rauthy");
        assert_eq!(pod_of_slot("rauthy-2.rauthy:8000"), "rauthy-2");
        assert_eq!(ordinal("my-rauthy-8"), Some(8));
        assert_eq!(ordinal("rauthy-x"), None);
    }

    #[test]
    fn a_certificate_names_every_slot_in_every_form() {
        let hosts = Names::new("idm", "rauthy").certificate_hosts();
        assert_eq!(hosts.len(), 36);
        for host in ["rauthy-0.rauthy", "rauthy-8.rauthy.idm", "rauthy-4.rauthy.idm.svc"] {
            assert!(hosts.iter().any(|known| known == host), "{host}");
        }
        assert!(hosts.contains(&"rauthy-8.rauthy.idm.svc.cluster.local".to_owned()));
    }
}
