//! A RauthyCluster that does not fit the types, as when an older definition is installed, or whose objects the operator
//! may not read. Nothing of it is touched: what runs goes on to run. It is said in an event and in the one condition that
//! is about it; the rest of the status stays as it was last known.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Resource};
use serde_json::{Value, json};

use super::apply::explain;
use super::events::{Note, UNREADABLE};
use super::{Context, Error};
use crate::crd::RauthyCluster;
use crate::names::MANAGER;

/// What to say of an object that does not fit the types.
pub(super) fn misfit(invalid: &InvalidObject) -> String {
    format!(
        "the operator cannot read this RauthyCluster ({}) and does not touch it; what runs goes on to run. Put the field \
         right, or install the CustomResourceDefinition of the operator's own version",
        invalid.error
    )
}

/// What to say where the API server refuses to show the cluster's objects; none where trying again may help.
pub(super) fn forbidden(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    let lasting = (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429);
    lasting.then(|| {
        format!(
            "the cluster's objects cannot be read, so nothing of it is touched: {}; does the operator have the rights \
             that its chart gives it?",
            explain(error)
        )
    })
}

/// Says so, where it was not said before.
///
/// # Errors
/// The status cannot be written.
pub(super) async fn tell(about: &ObjectReference, text: String, context: &Context) -> Result<(), Error> {
    let note = Note { warning: true, reason: UNREADABLE, text: text.clone() };
    context.publisher.publish(about, vec![note]).await;

    let (namespace, name) =
        (about.namespace.clone().unwrap_or_default(), about.name.clone().unwrap_or_default());
    let kind = ApiResource::erase::<RauthyCluster>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &kind);
    let Some(object) = api.get_opt(&name).await.map_err(Error::Read)? else { return Ok(()) };
    let generation = json!(object.metadata.generation);
    let old = degraded(&object.data);
    let same = |key: &str, value: &Value| old.and_then(|old| old.get(key)) == Some(value);
    if same("message", &json!(text)) && same("observedGeneration", &generation) {
        return Ok(());
    }
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let since = old.filter(|_| same("status", &json!("True"))).map(|old| old["lastTransitionTime"].clone());
    let condition = json!({
        "type": "Degraded", "status": "True", "reason": UNREADABLE, "message": text,
        "observedGeneration": generation, "lastTransitionTime": since.unwrap_or_else(|| json!(now)),
    });
    let patch = json!({
        "apiVersion": RauthyCluster::api_version(&()),
        "kind": RauthyCluster::kind(&()),
        "status": { "conditions": [condition] },
    });
    // Under a name of its own: under the operator's, an apply that leaves a field out would remove it.
    let params = PatchParams::apply(&format!("{MANAGER}-unreadable")).force();
    match api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::Status(error)),
    }
}

fn degraded(object: &Value) -> Option<&Value> {
    object.get("status")?.get("conditions")?.as_array()?.iter().find(|one| one["type"] == "Degraded")
}
