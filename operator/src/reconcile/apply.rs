//! Step 4: makes the cluster what step 3 says, by server-side apply under one field manager. An object that is
//! already as it shall be is not written.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt, api::DynamicObject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::build::Desired;
use super::credentials::{Decision, cert_manager, steps};
use super::dereference::Observed;
use super::validate;
use crate::failpoint;
use crate::names::{APPLIED_HASH, MANAGER, Names};

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

impl Applied {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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

/// Writes what differs. The StatefulSet comes after everything that its pods need, and waits for it.
///
/// # Errors
/// The first object that the API server refuses. What was written before stays; the next round goes on from there.
pub async fn apply(
    client: &Client,
    names: &Names,
    uid: &str,
    desired: Desired,
    observed: &Observed,
) -> Result<Applied, ApplyError> {
    let namespace = names.namespace.as_str();
    // Without `..`: an object that nobody writes does not compile.
    let Desired {
        service_account,
        hosts,
        headless,
        client: for_clients,
        credentials,
        pdb,
        network_policy,
        monitor,
        statefulset,
    } = desired;
    let Decision { token, ca, tls, certificate, withdrawn, progress } = credentials;
    let mut writer = Writer { client, namespace, applied: Applied::default() };
    let took = |step: &str| progress.steps.iter().any(|(taken, _)| *taken == step);
    if let Some(token) = token {
        writer.secret(token, observed.token.as_ref()).await?;
    }
    match () {
        () if observed.token.is_none() => failpoint::pass("token-made").await,
        () if took(steps::TOKEN_ADDED) => failpoint::pass("token-added").await,
        () if took(steps::TOKEN_DROPPED) => failpoint::pass("token-dropped").await,
        () => {}
    }
    let keeps_ca = ca.is_some();
    if let Some(ca) = ca {
        writer.secret(ca, observed.ca.as_ref()).await?;
    }
    match () {
        () if keeps_ca && observed.ca.is_none() => failpoint::pass("ca-made").await,
        () if took(steps::AUTHORITY_RENEWED) => failpoint::pass("ca-renewed").await,
        () => {}
    }
    if withdrawn {
        writer.withdraw(names, uid).await?;
    }
    if let Some(tls) = tls {
        writer.secret(tls, observed.tls.as_ref()).await?;
        match () {
            () if observed.tls.is_none() => failpoint::pass("certificate-made").await,
            () if took(steps::AUTHORITY_ADDED) => failpoint::pass("ca-added").await,
            () if took(steps::CERTIFICATE_REPLACED) => failpoint::pass("certificate-replaced").await,
            () if took(steps::AUTHORITY_DROPPED) => failpoint::pass("ca-dropped").await,
            () => {}
        }
    }
    if !keeps_ca {
        writer.remove(observed.ca.as_ref()).await?;
    }
    if let Some(certificate) = certificate {
        writer.certificate(certificate, observed.certificate.as_ref()).await?;
    }
    if !progress.complete && observed.statefulset.is_none() {
        return Ok(writer.applied);
    }
    writer.ensure(service_account, observed.service_account.as_ref()).await?;
    writer.ensure_unchanged(hosts, observed.hosts.as_ref()).await?;
    if !writer.applied.is_empty() {
        failpoint::pass("hosts-written").await;
    }
    writer.ensure(headless, observed.headless.as_ref()).await?;
    writer.ensure(for_clients, observed.client.as_ref()).await?;
    match network_policy {
        Some(policy) => writer.ensure(policy, observed.network_policy.as_ref()).await?,
        None => writer.remove(observed.network_policy.as_ref()).await?,
    }
    match pdb {
        Some(pdb) => writer.ensure(pdb, observed.pdb.as_ref()).await?,
        None => writer.remove(observed.pdb.as_ref()).await?,
    }
    match monitor {
        Some(monitor) => writer.ensure(monitor, observed.monitor.as_ref()).await?,
        None => writer.remove(observed.monitor.as_ref()).await?,
    }
    // What a round has decided by an older state than this must not lower or raise anything.
    writer.ensure_unchanged(statefulset, observed.statefulset.as_ref()).await?;
    Ok(writer.applied)
}

impl Writer<'_> {
    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Creates and never overwrites: two operators at once cannot both make a token or a certificate, the second gets a
    /// conflict and reads the first one's in its next round. What is there is written by compare-and-swap.
    async fn secret(&mut self, secret: Secret, observed: Option<&Secret>) -> Result<(), ApplyError> {
        if observed.is_some() {
            return self.ensure_unchanged(secret, observed).await;
        }
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.api().create(&params, &secret).await.map_err(|error| failed(&secret, error))?;
        self.applied.created.push(title(&secret));
        Ok(())
    }

    /// Applies an object unless it already is as it shall be: the hash shows whether the operator wants something
    /// else than before (also something less), the comparison whether somebody else changed it.
    async fn ensure<K>(&mut self, desired: K, observed: Option<&K>) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug,
    {
        self.write(desired, observed, None).await
    }

    /// The same, but refused with a conflict if the object is another one than was looked at (compare-and-swap): two
    /// operators that act at once, the old one late, must not both decide about a size.
    async fn ensure_unchanged<K>(&mut self, desired: K, observed: Option<&K>) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug,
    {
        self.write(desired, observed, observed.and_then(ResourceExt::resource_version)).await
    }

    async fn write<K>(
        &mut self,
        mut desired: K,
        observed: Option<&K>,
        version: Option<String>,
    ) -> Result<(), ApplyError>
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
        desired.meta_mut().resource_version = version;
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

    /// Asks cert-manager.
    async fn certificate(
        &mut self,
        desired: DynamicObject,
        observed: Option<&DynamicObject>,
    ) -> Result<(), ApplyError> {
        if observed.is_some_and(|observed| contains(&json(observed), &json(&desired))) {
            return Ok(());
        }
        let name = desired.name_any();
        let failed = |error| {
            ApplyError {
            kind: "Certificate".to_owned(),
            name: name.clone(),
            error: match error {
                // Of a namespaced path it says that nobody serves the kind: an apply creates what is missing.
                kube::Error::Api(status) if status.code == 404 => kube::Error::Api(
                    Status::failure(
                        "cert-manager is not installed: there is no CustomResourceDefinition certificates.cert-manager.io",
                        "NotFound",
                    )
                    .with_code(404)
                    .boxed(),
                ),
                error => error,
            },
        }
        };
        let resource = cert_manager::resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&desired)).await.map_err(failed)?;
        let made = if observed.is_none() { &mut self.applied.created } else { &mut self.applied.changed };
        made.push(format!("Certificate {name}"));
        Ok(())
    }

    /// Asks cert-manager no more, and removes what it made: it leaves Secrets where they are.
    async fn withdraw(&mut self, names: &Names, uid: &str) -> Result<(), ApplyError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.namespace, &cert_manager::resource());
        let name = names.certificate();
        let failed = |error| ApplyError { kind: "Certificate".to_owned(), name: name.clone(), error };
        // None where cert-manager itself is gone.
        let asked = api.get_opt(&name).await.map_err(failed)?;
        if let Some(ours) = asked.filter(|asked| validate::is_of(asked, uid)) {
            match api.delete(&name, &this(&ours)).await {
                Ok(_) => self.applied.removed.push(format!("Certificate {name}")),
                // Removed already, and another one may have its name.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let issued: Option<Secret> = self
            .api()
            .get_opt(&names.issued())
            .await
            .map_err(|error| ApplyError { kind: "Secret".to_owned(), name: names.issued(), error })?;
        self.remove(issued.as_ref().filter(|secret| validate::is_made_for_us(secret))).await
    }

    async fn remove<K>(&mut self, observed: Option<&K>) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let Some(object) = observed else { return Ok(()) };
        match self.api::<K>().delete(&object.name_any(), &this(object)).await {
            Ok(_) => self.applied.removed.push(title(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(failed(object, error)),
        }
        Ok(())
    }
}

/// Only the object that was looked at, not a new one of the same name.
fn this<K: Resource>(object: &K) -> DeleteParams {
    let preconditions = Preconditions { uid: object.uid(), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
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
