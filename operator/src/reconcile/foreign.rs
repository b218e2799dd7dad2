//! Fields of the pods' template that somebody else set. What the operator sets itself is restored by the next apply;
//! these would stay, and every new pod would have them. Pure: the API server keeps who set which field.

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::Value;

use crate::names::{MANAGER, RESTARTED_AT};

/// Most fields that are named.
const MOST: usize = 8;

/// The fields, as `path (manager)`. `kubectl rollout restart` is no stranger.
#[must_use]
pub fn fields(set: &StatefulSet) -> Vec<String> {
    let entries = set.metadata.managed_fields.iter().flatten();
    let template = |fields: &Value| fields.pointer("/f:spec/f:template").cloned().unwrap_or_default();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for entry in entries.filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty()) {
        let Some(fields) = &entry.fields_v1 else { continue };
        let manager = entry.manager.as_deref().unwrap_or("somebody");
        let mut paths = Vec::new();
        leaves(&template(&fields.0), "", &mut paths);
        match manager == MANAGER && entry.operation.as_deref() == Some("Apply") {
            true => ours.extend(paths),
            false => theirs.extend(paths.into_iter().map(|path| (path, manager.to_owned()))),
        }
    }
    // An annotation of a running cluster's pods, which rolls them.
    theirs
        .retain(|(path, _)| !ours.contains(path) && !path.ends_with(&format!(".annotations.{RESTARTED_AT}")));
    theirs.sort();
    theirs.dedup();
    let mut named: Vec<String> =
        theirs.into_iter().map(|(path, manager)| format!("spec.template{path} ({manager})")).collect();
    named.truncate(MOST);
    named
}

/// The paths that end in `{}`: `f:name` is a field, `k:{…}` an entry of a list by its key, `v:…` a value of a set.
fn leaves(fields: &Value, path: &str, into: &mut Vec<String>) {
    let Some(map) = fields.as_object() else { return };
    for (key, below) in map {
        let Some((kind, name)) = key.split_once(':') else { continue };
        let path = match kind {
            "f" => format!("{path}.{name}"),
            _ => format!("{path}[{name}]"),
        };
        let has_more = below.as_object().is_some_and(|below| below.keys().any(|key| key != "."));
        if has_more { leaves(below, &path, into) } else { into.push(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_set_is_named_but_not_a_restart_nor_what_the_operator_sets_too() {
        let entry = |manager: &str, operation: &str, template: Value| {
            json!({
                "manager": manager, "operation": operation, "fieldsType": "FieldsV1",
                "fieldsV1": { "f:spec": { "f:template": template } },
            })
        };
        let set = json!({ "metadata": { "managedFields": [
            entry(MANAGER, "Apply", json!({ "f:spec": { "f:containers": { "k:{\"name\":\"agent\"}": {
                ".": {}, "f:image": {},
            } } } })),
            entry("kubectl-edit", "Update", json!({ "f:spec": {
                "f:hostNetwork": {}, "f:containers": { "k:{\"name\":\"agent\"}": { "f:image": {}, "f:tty": {} } },
            } })),
            entry("kubectl-rollout", "Update", json!({ "f:metadata": { "f:annotations": {
                ".": {}, "f:kubectl.kubernetes.io/restartedAt": {},
            } } })),
            { "manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
              "fieldsType": "FieldsV1", "fieldsV1": { "f:status": { "f:replicas": {} } } },
        ] } });
        let set: StatefulSet = serde_json::from_value(set).unwrap();
        assert_eq!(
            fields(&set),
            [
                "spec.template.spec.containers[{\"name\":\"agent\"}].tty (kubectl-edit)",
                "spec.template.spec.hostNetwork (kubectl-edit)",
            ]
        );
        assert!(fields(&StatefulSet::default()).is_empty());
    }
}
