//! Whether the CustomResourceDefinition that is installed has the fields that this operator knows. An older one makes
//! the API server drop what it does not know, and nobody would notice.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, CustomResourceExt};
use serde_json::Value;

use super::RauthyCluster;

/// Paths of the fields that the installed definition lacks.
///
/// # Errors
/// The API server's; 404: none is installed.
pub async fn missing_fields(client: Client) -> Result<Vec<String>, kube::Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let served = api.get(RauthyCluster::crd_name()).await?;
    Ok(missing(&served, &RauthyCluster::crd()))
}

fn missing(served: &CustomResourceDefinition, known: &CustomResourceDefinition) -> Vec<String> {
    let schema = |crd: &CustomResourceDefinition| {
        let version = crd.spec.versions.iter().find(|version| version.name == "v1alpha1" && version.served);
        version.and_then(|version| serde_json::to_value(&version.schema.as_ref()?.open_api_v3_schema).ok())
    };
    let mut paths = Vec::new();
    match (schema(served), schema(known)) {
        (Some(served), Some(known)) => compare(&served, &known, "", &mut paths),
        (None, _) => paths.push("v1alpha1".to_owned()),
        (_, None) => {}
    }
    paths
}

fn compare(served: &Value, known: &Value, path: &str, missing: &mut Vec<String>) {
    for (name, known) in known["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match served["properties"].get(name) {
            Some(served) => compare(served, known, &path, missing),
            None => missing.push(path),
        }
    }
    if known["items"].is_object() {
        compare(&served["items"], &known["items"], &format!("{path}[]"), missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_definition_lacks_is_named() {
        let known = RauthyCluster::crd();
        assert!(missing(&known, &known).is_empty());
        let mut old = serde_json::to_value(&known).unwrap();
        let schema = &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        schema["spec"]["properties"]["cache"]["properties"].as_object_mut().unwrap().remove("maxMemory");
        schema["status"]["properties"]["members"]["items"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("lastExit");
        let old = serde_json::from_value(old).unwrap();
        assert_eq!(missing(&old, &known), ["spec.cache.maxMemory", "status.members[].lastExit"]);
        let mut none = known.clone();
        none.spec.versions[0].served = false;
        assert_eq!(missing(&none, &known), ["v1alpha1"]);
    }
}
