//! What somebody changes or deletes is restored, and what belongs to somebody else is left alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use serde_json::{Value, json};
use support::{Api, CA, HOSTS, Operator, PDB, STATEFULSET, TOKEN};

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/idm/networkpolicies/rauthy";

/// The pointers of all values that are neither objects nor lists.
fn leaves(value: &Value, at: &str, into: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, below)| leaves(below, &format!("{at}/{}", escaped(key)), into));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, below)| leaves(below, &format!("{at}/{n}"), into));
        }
        Value::Null => {}
        _ => into.push(at.to_owned()),
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) => json!(format!("{text}x")),
        other => panic!("{other}"),
    }
}

fn without_version(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = Value::Null;
    object
}

#[tokio::test]
async fn every_field_that_the_operator_sets_is_restored() {
    let api = Api::with(
        json!({ "rauthy": { "image": "app:1", "ports": [{ "name": "http", "containerPort": 80 }] } }),
    );
    let operator = Operator::start(&api);
    operator.settle().await;
    let whole = api.owned();
    let mut tried = 0;
    for (path, object) in &whole {
        let mut fields = Vec::new();
        leaves(object, "", &mut fields);
        // What makes it another object, or the object of somebody else.
        let identity = |field: &String| {
            ["/apiVersion", "/kind", "/type", "/metadata/name", "/metadata/uid", "/metadata/resourceVersion"]
                .contains(&field.as_str())
                || *field == "/metadata/ownerReferences/0/uid"
                // What Secrets hold has tests of its own, in secrets.rs.
                || path.contains("/secrets/") && field.starts_with("/data")
                // Which image runs: where the operator itself looks it up.
                || field.ends_with("rauthy.dev~1agent-image")
        };
        for field in fields.iter().filter(|field| !identity(field)) {
            let mut changed = object.clone();
            let place = changed.pointer_mut(field).unwrap();
            *place = other(place);
            api.put(path, changed);
            operator.settle().await;
            let now = api.get(path).unwrap();
            assert_eq!(without_version(now), without_version(object.clone()), "{path}{field}");
            tried += 1;
        }
    }
    assert!(tried > 150, "only {tried} fields");
}

#[tokio::test]
async fn every_object_that_is_deleted_comes_back() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let whole = api.owned();
    for path in whole.keys() {
        api.remove(path);
        operator.settle().await;
        assert_eq!(api.owned().keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "{path}");
    }
    assert_eq!(without_version(api.get(HOSTS).unwrap())["data"], whole[HOSTS]["data"]);
}

#[tokio::test]
async fn what_is_not_wanted_any_more_goes() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    assert!(api.get(PDB).is_some() && api.get(POLICY).is_some());
    api.edit(|spec| {
        spec["disruption"] = json!({ "enabled": false });
        spec["networkPolicy"] = json!({ "enabled": false });
    });
    operator.settle().await;
    assert_eq!((api.get(PDB), api.get(POLICY)), (None, None));
    assert!(
        api.events()
            .iter()
            .any(|(reason, note)| reason == "Removed" && note.contains("NetworkPolicy rauthy"))
    );
}

#[tokio::test]
async fn only_the_members_port_is_closed_and_only_to_strangers() {
    for (port, ranges) in
        [(8000, json!([[1, 7999], [8001, 65535]])), (1, json!([[2, 65535]])), (65535, json!([[1, 65534]]))]
    {
        let api = Api::with(json!({ "cache": { "port": port } }));
        Operator::start(&api).settle().await;
        let policy = api.get(POLICY).unwrap();
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]), "what leaves a pod is not restricted");
        let rules = policy["spec"]["ingress"].as_array().unwrap();
        assert_eq!((rules.len(), &rules[0]["ports"]), (2, &json!([{ "protocol": "TCP", "port": port }])));
        assert_eq!(rules[0]["from"].as_array().unwrap().len(), 2);
        assert!(rules[1]["from"].is_null(), "from everywhere");
        let open = rules[1]["ports"].as_array().unwrap().iter();
        let tcp: Vec<_> = open
            .filter(|port| port["protocol"] == "TCP")
            .map(|port| json!([port["port"], port["endPort"]]))
            .collect();
        assert_eq!(json!(tcp), ranges);
    }
}

#[tokio::test]
async fn a_field_of_the_template_that_somebody_else_set_is_named() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let mut set = api.get(STATEFULSET).unwrap();
    set["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    set["metadata"]["managedFields"] = json!([{
        "manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:hostNetwork": {} } } } },
    }]);
    api.put(STATEFULSET, set);
    operator.settle().await;
    let (status, reason, message) = api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ForeignFields"));
    assert!(message.contains("spec.template.spec.hostNetwork (kubectl-edit)"), "{message}");
    assert!(api.events().iter().any(|(reason, _)| reason == "ForeignFields"));

    // It is said before what may come of it: a member that does not run.
    let annotations = api.get(STATEFULSET).unwrap()["spec"]["template"]["metadata"]["annotations"].clone();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "rauthy-1", "namespace": "idm", "annotations": annotations },
        "status": { "containerStatuses": [{
            "name": "agent", "image": "x", "imageID": "x", "ready": false, "restartCount": 2,
            "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": { "exitCode": 1, "message": "address in use", "reason": "Error" } },
        }] },
    });
    api.put("/api/v1/namespaces/idm/pods/rauthy-1", pod);
    operator.settle().await;
    assert_eq!(api.condition("Degraded").1, "ForeignFields");
    assert!(api.events().iter().any(|(reason, _)| reason == "MemberFailed"), "which is an event of its own");
}

#[tokio::test]
async fn a_template_that_the_api_server_refuses_is_reported() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    api.refuse(Some(("/statefulsets", 422)));
    api.edit(|spec| spec["pod"] = json!({ "priorityClassName": "no such" }));
    operator.round().await.unwrap_err();
    let (status, reason, message) = api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ReconcileFailed"));
    assert!(message.contains("StatefulSet `rauthy` cannot be written"), "{message}");
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_and_is_no_fault_of_the_cluster() {
    for code in [409, 429, 500, 503] {
        let api = Api::with(json!({}));
        let operator = Operator::start(&api);
        api.refuse(Some(("/statefulsets", code)));
        let error = operator.round().await.unwrap_err();
        assert_eq!(api.condition("Degraded").0, "False", "{code}: {error}");
        api.refuse(None);
        operator.settle().await;
        assert!(api.get(STATEFULSET).is_some() && api.get(TOKEN).is_some() && api.get(CA).is_some());
    }
}
