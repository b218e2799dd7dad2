//! Step 4: makes the cluster what step 3 says, by server-side apply under one field manager. An object that is
//! already as it shall be is not written.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::build::Desired;
use super::dereference::Observed;
use crate::names::{APPLIED_HASH, MANAGER};

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{kind} `{name}` cannot be written: {}", explain(error))]
pub struct ApplyError {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// What the API server said.
    pub error: kube::Error,
}

impl ApplyError {
    /// Whether trying again will hardly help, such as a forbidden or invalid object.
    #[must_use]
    pub fn lasting(&self) -> bool {
        matches!(&self.error, kube::Error::Api(status) if (400..500).contains(&status.code)
            && !matches!(status.code, 409 | 429))
    }
}

/// What was written, each as `Kind name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// New objects.
    pub created: Vec<String>,
    /// Objects that were not as they should be.
    pub changed: Vec<String>,
    /// Objects that should not be.
    pub removed: Vec<String>,
}

/// What the API server said, without the repetitions of the library's own words.
#[must_use]
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({}, {})", status.message, status.reason, status.code),
        other => other.to_string(),
    }
}

struct Writer<'c> {
    client: &'c Client,
    namespace: &'c str,
    applied: Applied,
}

/// Writes what differs. The StatefulSet comes last: its pods need everything else.
///
/// # Errors
/// The first object that the API server refuses. What was written before stays; the next round goes on from there.
pub async fn apply(
    client: &Client,
    namespace: &str,
    desired: Desired,
    observed: &Observed,
) -> Result<Applied, ApplyError> {
    // Without `..`: an object that nobody writes does not compile.
    let Desired { service_account, hosts, headless, client: for_clients, token, ca, tls, pdb, statefulset } =
        desired;
    let mut writer = Writer { client, namespace, applied: Applied::default() };
    if let Some(token) = token {
        writer.create(token).await?;
    }
    if let Some(ca) = ca {
        writer.create(ca).await?;
    }
    if let Some(tls) = tls {
        writer.ensure(tls, observed.tls.as_ref()).await?;
    }
    writer.ensure(service_account, observed.service_account.as_ref()).await?;
    writer.ensure(hosts, observed.hosts.as_ref()).await?;
    writer.ensure(headless, observed.headless.as_ref()).await?;
    writer.ensure(for_clients, observed.client.as_ref()).await?;
    match pdb {
        Some(pdb) => writer.ensure(pdb, observed.pdb.as_ref()).await?,
        None => writer.remove(observed.pdb.as_ref()).await?,
    }
    writer.ensure(statefulset, observed.statefulset.as_ref()).await?;
    Ok(writer.applied)
}

impl Writer<'_> {
    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Creates and never overwrites: two operators at once cannot both make a token, the second gets a conflict
    /// and reads the first one's in its next round.
    async fn create(&mut self, secret: Secret) -> Result<(), ApplyError> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.api().create(&params, &secret).await.map_err(|error| failed(&secret, error))?;
        self.applied.created.push(title(&secret));
        Ok(())
    }

    /// Applies an object unless it already is as it shall be: the hash shows whether the operator wants something
    /// else than before (also something less), the comparison whether somebody else changed it.
    async fn ensure<K>(&mut self, mut desired: K, observed: Option<&K>) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug,
    {
        // A hash of a Secret's content would say something about the content.
        if K::kind(&()) != "Secret" {
            let hash = hash(&desired);
            desired.annotations_mut().insert(APPLIED_HASH.to_owned(), hash);
        }
        if observed.is_some_and(|observed| contains(&json(observed), &json(&desired))) {
            return Ok(());
        }
        let name = desired.name_any();
        let params = PatchParams::apply(MANAGER).force();
        let written = self.api::<K>().patch(&name, &params, &Patch::Apply(&desired)).await;
        let written = written.map_err(|error| failed(&desired, error))?;
        match observed {
            None => self.applied.created.push(title(&desired)),
            Some(observed) if observed.resource_version() != written.resource_version() => {
                self.applied.changed.push(title(&desired));
            }
            // The API server spells something differently, such as a quantity.
            Some(_) => {}
        }
        Ok(())
    }

    async fn remove<K>(&mut self, observed: Option<&K>) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let Some(object) = observed else { return Ok(()) };
        // Only the object that was looked at, not a new one of the same name.
        let preconditions = Preconditions { uid: object.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api::<K>().delete(&object.name_any(), &params).await {
            Ok(_) => self.applied.removed.push(title(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(failed(object, error)),
        }
        Ok(())
    }
}

fn title<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

fn failed<K: Resource<DynamicType = ()>>(object: &K, error: kube::Error) -> ApplyError {
    ApplyError { kind: K::kind(&()).into_owned(), name: object.name_any(), error }
}

fn json<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn hash<K: Serialize>(object: &K) -> String {
    let digest = Sha256::digest(json(object).to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `observed` has everything that `desired` asks for; it may have more, such as defaults.
fn contains(observed: &Value, desired: &Value) -> bool {
    match (observed, desired) {
        (Value::Object(observed), Value::Object(desired)) => desired.iter().all(|(key, value)| {
            observed.get(key).map_or_else(|| is_empty(value), |observed| contains(observed, value))
        }),
        (Value::Array(observed), Value::Array(desired)) => {
            observed.len() == desired.len() && observed.iter().zip(desired).all(|(o, d)| contains(o, d))
        }
        (observed, desired) => observed == desired,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_no_difference_and_drift_is() {
        let desired = json!({"a": 1, "list": [{"x": 1}], "none": null, "empty": {}});
        assert!(contains(&json!({"a": 1, "b": 2, "list": [{"x": 1, "default": true}]}), &desired));
        assert!(!contains(&json!({"a": 2, "list": [{"x": 1}]}), &desired));
        assert!(!contains(&json!({"a": 1, "list": []}), &desired));
        assert!(!contains(&json!({"a": 1, "list": [{"x": 1}, {"x": 2}]}), &desired));
        assert!(!contains(&json!({"a": 1}), &desired));
    }
}
