//! Whole rounds against an API server in memory: what is written, in which order, and what happens when something
//! goes wrong in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use std::time::Duration;

use kube::runtime::controller::Action;
use rauthy_operator::reconcile::events::{Note, Publisher};
use serde_json::{Value, json};
use support::{Api, CA, HOSTS, Operator, PDB, PODS, STATEFULSET, TLS, TOKEN};

fn token(api: &Api) -> Value {
    api.get(TOKEN).expect("the token's Secret")["data"]["token"].clone()
}

#[tokio::test]
async fn everything_is_created_and_the_statefulset_last() {
    let api = Api::with(json!({}));
    Operator::start(&api).round().await.unwrap();
    let writes = api.writes();
    let secrets = "/api/v1/namespaces/idm/secrets";
    assert_eq!(
        writes,
        [
            format!("POST {secrets}"),
            format!("POST {secrets}"),
            format!("POST {secrets}"),
            "PATCH /api/v1/namespaces/idm/serviceaccounts/rauthy".to_owned(),
            format!("PATCH {HOSTS}"),
            "PATCH /api/v1/namespaces/idm/services/rauthy".to_owned(),
            "PATCH /api/v1/namespaces/idm/services/rauthy-client".to_owned(),
            "PATCH /apis/networking.k8s.io/v1/namespaces/idm/networkpolicies/rauthy".to_owned(),
            format!("PATCH {PDB}"),
            format!("PATCH {STATEFULSET}"),
            "PATCH /apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/rauthy/status".to_owned(),
        ]
    );
    for (path, object) in api.owned() {
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&json!("uid-1"), &json!(true)), "{path}");
    }
    assert_eq!(api.condition("Available").0, "False");
    assert!(
        api.events().iter().any(|(reason, note)| reason == "Created" && note.contains("StatefulSet rauthy"))
    );
}

#[tokio::test]
async fn an_idle_cluster_causes_no_writes() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let events = api.events();
    for _ in 0..5 {
        operator.round().await.unwrap();
    }
    // Neither does an operator that has just started and knows nothing.
    Operator::start(&api).round().await.unwrap();
    assert_eq!(api.writes(), Vec::<String>::new());
    assert_eq!(api.events(), events);
}

#[tokio::test]
async fn an_operator_killed_anywhere_in_a_creation_finishes_it() {
    let whole = Api::with(json!({}));
    Operator::start(&whole).settle().await;
    let paths = |api: &Api| api.owned().keys().cloned().collect::<Vec<_>>();
    for writes in 0..10 {
        let api = Api::with(json!({}));
        api.fail_after(Some(writes), 500);
        Operator::start(&api).round().await.expect_err("the API server fails");
        let (before, after) = (api.get(TOKEN), api.get(CA));
        api.fail_after(None, 0);
        Operator::start(&api).settle().await;
        assert_eq!(paths(&api), paths(&whole), "killed after {writes} writes");
        if before.is_some() {
            assert_eq!(api.get(TOKEN), before, "the token is kept, killed after {writes} writes");
        }
        if after.is_some() {
            assert_eq!(api.get(CA), after, "the CA is kept, killed after {writes} writes");
        }
        let trusted = api.get(TLS).unwrap()["data"]["ca.crt"].clone();
        assert_eq!(trusted, api.get(CA).unwrap()["data"]["tls.crt"], "one CA, killed after {writes} writes");
    }
}

#[tokio::test]
async fn the_token_is_never_made_again() {
    let api = Api::with(json!({}));
    Operator::start(&api).settle().await;
    let first = token(&api);
    assert_eq!(first.as_str().unwrap().len(), 64, "48 characters in base64");
    for _ in 0..3 {
        Operator::start(&api).settle().await;
    }
    assert_eq!(token(&api), first);

    // Not even when it was emptied: that is reported.
    let mut emptied = api.get(TOKEN).unwrap();
    emptied["data"] = json!({});
    api.put(TOKEN, emptied.clone());
    let error = Operator::start(&api).round().await.unwrap_err().to_string();
    assert!(error.contains("rauthy-cache-auth") && error.contains("put the token back"), "{error}");
    assert_eq!(api.get(TOKEN).unwrap()["data"], json!({}));
    assert_eq!(api.condition("Degraded").1, "InvalidSpec");
}

#[tokio::test]
async fn two_operators_at_once_make_one_token() {
    let api = Api::with(json!({}));
    // The other one's Secret appears between this one's reading and writing: the create is refused.
    api.refuse(Some(("/secrets", 409)));
    let error = Operator::start(&api).round().await.unwrap_err().to_string();
    assert!(error.contains("Secret `rauthy-cache-auth` cannot be written"), "{error}");
    assert_eq!(api.condition("Degraded").0, "False", "a conflict passes by itself");
    assert!(api.owned().is_empty(), "nothing is made before the token is known");
}

#[tokio::test]
async fn a_foreign_object_is_not_touched() {
    for (path, kind, version) in [(TOKEN, "Secret", "v1"), (STATEFULSET, "StatefulSet", "apps/v1")] {
        let api = Api::with(json!({}));
        let name = path.rsplit('/').next().unwrap();
        let mut foreign = json!({
            "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": "idm", "uid": "uid-x" },
        });
        if kind == "StatefulSet" {
            foreign["spec"] = json!({ "selector": {}, "template": {}, "serviceName": "x" });
        }
        api.put(path, foreign.clone());
        let before = api.get(path);
        let error = Operator::start(&api).round().await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("{kind} `{name}`")) && error.contains("belongs to nobody"),
            "{error}"
        );
        assert_eq!(api.get(path), before);
        assert_eq!(api.owned().len(), 1, "nothing else is made beside it");
        assert!(api.events().iter().any(|(reason, _)| reason == "InvalidSpec"));
    }
}

#[tokio::test]
async fn drift_is_repaired_and_reported() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let whole = api.owned();
    let mut changed = api.get(STATEFULSET).unwrap();
    changed["spec"]["replicas"] = json!(1);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
    api.put(STATEFULSET, changed);
    api.remove(HOSTS);
    api.remove(PDB);
    operator.settle().await;
    let now = api.owned();
    assert_eq!(now.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    assert_eq!(now[STATEFULSET]["spec"], whole[STATEFULSET]["spec"], "neither the size nor the image stays");
    assert_eq!(now[HOSTS]["data"], whole[HOSTS]["data"]);
    assert!(api.events().contains(&("Updated".to_owned(), "StatefulSet rauthy".to_owned())));
}

#[tokio::test]
async fn a_changed_mind_counts_while_nothing_runs() {
    let api = Api::with(json!({}));
    // Everything is there but the StatefulSet.
    api.refuse(Some(("/statefulsets", 500)));
    Operator::start(&api).round().await.expect_err("the StatefulSet is refused");
    api.refuse(None);
    api.edit(|spec| spec["replicas"] = json!(5));
    Operator::start(&api).settle().await;
    assert_eq!(api.get(STATEFULSET).unwrap()["spec"]["replicas"], 5);
    assert_eq!(api.get(HOSTS).unwrap()["data"]["HA_HOSTS"].as_str().unwrap().split(',').count(), 5);
    assert_eq!(api.condition("ScalingBlocked").0, "False");
}

#[tokio::test]
async fn a_size_that_nobody_can_be_asked_about_changes_nothing_and_says_so() {
    for size in [1, 2, 5, 9] {
        let api = Api::with(json!({}));
        let operator = Operator::start(&api);
        operator.settle().await;
        let before = api.owned();
        api.edit(|spec| spec["replicas"] = json!(size));
        operator.settle().await;
        assert_eq!(api.owned(), before, "size {size}");
        let (status, reason, message) = api.condition("ScalingBlocked");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "NoLeader"));
        assert!(message.contains(&format!("{size} members are wanted")), "{message}");
        assert_eq!(api.cluster().status.unwrap().ready, format!("0/{size}"));
        api.edit(|spec| spec["replicas"] = json!(3));
        operator.settle().await;
        assert_eq!(api.condition("ScalingBlocked").0, "False");
    }
}

#[tokio::test]
async fn a_new_operator_restarts_nothing() {
    let api = Api::with(json!({}));
    Operator::with_image(&api, "agent:1").settle().await;
    let before = api.get(STATEFULSET);
    Operator::with_image(&api, "agent:2").settle().await;
    assert_eq!(api.get(STATEFULSET), before);
}

#[tokio::test]
async fn paused_means_no_object_but_still_a_status() {
    let api = Api::with(json!({ "paused": true }));
    let operator = Operator::start(&api);
    operator.settle().await;
    assert!(api.owned().is_empty());
    assert_eq!(api.condition("Paused").0, "True");

    api.edit(|spec| spec["paused"] = json!(false));
    operator.settle().await;
    let before = api.owned();
    api.edit(|spec| {
        spec["paused"] = json!(true);
        spec["agent"] = json!({ "logLevel": "debug" });
    });
    operator.settle().await;
    assert_eq!(api.owned(), before);
    assert_eq!(api.cluster().status.unwrap().observed_generation, Some(3));
}

#[tokio::test]
async fn a_refused_object_is_reported_and_tried_again() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    api.refuse(Some(("/statefulsets", 403)));
    let error = operator.round().await.unwrap_err().to_string();
    assert!(error.contains("StatefulSet `rauthy` cannot be written: the server says Forbidden"), "{error}");
    let (status, reason, message) = api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ReconcileFailed"));
    assert!(message.contains("StatefulSet `rauthy`"), "{message}");
    assert!(api.events().iter().any(|(reason, _)| reason == "ReconcileFailed"));
    api.refuse(None);
    operator.settle().await;
    assert_eq!(api.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_failure_is_not_hidden_by_a_second_one() {
    let api = Api::with(json!({}));
    // Neither the objects nor the status can be written.
    api.fail_after(Some(9), 500);
    let error = Operator::start(&api).round().await.unwrap_err().to_string();
    assert!(error.contains("StatefulSet `rauthy`"), "{error}");
}

#[tokio::test]
async fn a_token_of_the_users_own_is_used_and_must_be_there() {
    let api = Api::with(json!({ "auth": { "tokenSecretName": "mine" } }));
    let operator = Operator::start(&api);
    let error = operator.round().await.unwrap_err().to_string();
    assert!(error.contains("`mine`") && error.contains("create it with the key `token`"), "{error}");
    let secret = |token: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mine", "namespace": "idm" },
            "data": { "token": token },
        })
    };
    api.put("/api/v1/namespaces/idm/secrets/mine", secret("c2hvcnQ="));
    let error = operator.round().await.unwrap_err().to_string();
    assert!(error.contains("at least 16 characters") && !error.contains("short"), "{error}");
    api.put("/api/v1/namespaces/idm/secrets/mine", secret("MDEyMzQ1Njc4OWFiY2RlZg=="));
    operator.settle().await;
    assert_eq!(token(&api), "MDEyMzQ1Njc4OWFiY2RlZg==", "a copy, which can hold two while they change");
}

#[tokio::test]
async fn without_tls_there_are_no_certificates() {
    let api = Api::with(json!({ "tls": { "mode": "Disabled" } }));
    Operator::start(&api).settle().await;
    assert_eq!((api.get(CA), api.get(TLS)), (None, None));
    assert_eq!(api.condition("TLSReady").1, "Disabled");
    let hosts = api.get(HOSTS).unwrap()["data"]["HA_HOSTS"].clone();
    assert_eq!(hosts, "http://rauthy-0.rauthy:8000,http://rauthy-1.rauthy:8000,http://rauthy-2.rauthy:8000");
}

#[tokio::test]
async fn what_is_under_way_is_looked_at_sooner() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    assert_eq!(operator.round().await.unwrap(), Action::requeue(Duration::from_secs(5)));
}

#[tokio::test]
async fn a_failing_member_stands_in_the_status_and_in_an_event() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let message = "HA_HOSTS: my hostname rauthy-1 is not among the hosts";
    let mut pod = pod_of(&api, 1);
    pod["status"] = json!({ "containerStatuses": [{
        "name": "agent", "image": "x", "imageID": "x", "ready": false, "restartCount": 2,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 20s" } },
        "lastState": { "terminated": { "exitCode": 78, "message": message, "reason": "Error" } },
    }] });
    api.put(&format!("{PODS}/rauthy-1"), pod);
    operator.settle().await;
    let member = api.cluster().status.unwrap().members[1].clone();
    let exit = member.last_exit.expect("an exit");
    assert_eq!((exit.code, exit.message.as_str(), member.restarts), (78, message, 2));
    let (status, reason, text) = api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "MemberFailed"));
    assert!(text.contains("exit code 78") && text.contains(message), "{text}");
    let event = api.events().into_iter().find(|(reason, _)| reason == "MemberFailed").expect("an event");
    assert!(event.1.contains("rauthy-1 ended with exit code 78 (its configuration is wrong)"), "{event:?}");
}

/// A pod with what the StatefulSet on the server would give it.
fn pod_of(api: &Api, ordinal: i32) -> Value {
    let template = api.get(STATEFULSET).unwrap()["spec"]["template"].clone();
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"] });
    pod["metadata"]["name"] = json!(format!("rauthy-{ordinal}"));
    pod["metadata"]["namespace"] = json!("idm");
    pod
}

#[tokio::test]
async fn a_cluster_of_an_old_name_gets_its_own_size() {
    let api = Api::with(json!({}));
    Operator::start(&api).settle().await;
    for ordinal in 0..3 {
        api.put(&format!("{PODS}/rauthy-{ordinal}"), pod_of(&api, ordinal));
    }
    // Deleted, and at once created again with another size, while the old objects are still there.
    api.create_again("uid-2", json!({ "replicas": 5 }));
    Operator::start(&api).round().await.expect_err("the old objects are in the way");
    assert_eq!(api.cluster().status.unwrap().members.len(), 5);
    for path in api.owned().into_keys().filter(|path| !path.starts_with(PODS)) {
        api.remove(&path);
    }
    // The old pods take longest to end.
    Operator::start(&api).settle().await;
    assert_eq!(api.get(STATEFULSET).unwrap()["spec"]["replicas"], 5);
    assert_eq!(api.cluster().status.unwrap().replicas, 0, "the old pods are not this cluster's");
    assert_eq!(api.condition("ScalingBlocked").0, "False");
}

#[tokio::test]
async fn an_edited_host_list_is_drift() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let whole = api.owned();
    for (size, epoch) in [(5, 0), (1, 0), (3, 9)] {
        let mut changed = api.get(HOSTS).unwrap();
        let hosts: Vec<_> = (0..size).map(|n| format!("https://rauthy-{n}.rauthy:8000")).collect();
        let list = json!({ "epoch": epoch, "now": hosts, "next": null });
        changed["data"]["hosts.json"] = json!(list.to_string());
        api.put(HOSTS, changed);
        operator.settle().await;
        assert_eq!(api.get(HOSTS).unwrap()["data"], whole[HOSTS]["data"], "{size} hosts, epoch {epoch}");
        assert_eq!(api.get(STATEFULSET), Some(whole[STATEFULSET].clone()));
    }
}

#[tokio::test]
async fn one_event_for_many_refusals() {
    let api = Api::with(json!({}));
    let publisher = Publisher::new(api.client(), "test".to_owned());
    let refused = |who: &str, reason: &str| Note {
        warning: true,
        reason: "PeerRefused",
        text: format!("rauthy-0 refuses {who}: {reason}"),
    };
    let about = kube::Resource::object_ref(&api.cluster(), &());
    for n in 0..20 {
        publisher.publish(&about, vec![refused(&format!("10.0.0.{n}"), "WRONG_TOKEN")]).await;
    }
    publisher.publish(&about, vec![refused("10.0.0.1", "WRONG_CLUSTER")]).await;
    assert_eq!(api.events().len(), 2, "{:?}", api.events());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_ends_the_round() {
    let api = Api::with(json!({}));
    api.hang();
    let error = Operator::start(&api).round().await.unwrap_err().to_string();
    assert!(error.contains("within 60 s"), "{error}");
}

#[tokio::test]
async fn the_agents_of_an_invalid_cluster_are_still_asked() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    let mut pod = pod_of(&api, 0);
    // Nobody listens there, which is an answer of its own.
    pod["status"] = json!({ "podIP": "127.0.0.1" });
    api.put(&format!("{PODS}/rauthy-0"), pod);
    api.edit(|spec| {
        spec["cache"]["port"] = json!(1);
        spec["agent"] = json!({ "resources": { "limits": { "memory": "64Mi" } } });
    });
    for _ in 0..12 {
        let error = operator.round().await.unwrap_err();
        assert_eq!(operator.after(&error), Action::requeue(Duration::from_secs(15)), "{error}");
    }
    assert_eq!(api.condition("Degraded").1, "InvalidSpec");
    let link = api.cluster().status.unwrap().members[0].link.clone();
    assert!(link.contains("No answer to the operator: no connection"), "{link}");
}

const MONITORS: &str = "/apis/monitoring.coreos.com/v1";
const MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/idm/servicemonitors/rauthy";

/// As if the Prometheus Operator were installed.
fn with_prometheus(api: &Api) {
    let kind = json!({
        "name": "servicemonitors", "singularName": "", "namespaced": true, "kind": "ServiceMonitor", "verbs": ["get"],
    });
    let list = json!({
        "apiVersion": "v1", "kind": "APIResourceList", "groupVersion": "monitoring.coreos.com/v1", "resources": [kind],
    });
    api.put(MONITORS, list);
}

#[tokio::test]
async fn a_service_monitor_where_the_api_server_knows_the_kind_and_the_spec_does_not_refuse() {
    let api = Api::with(json!({}));
    Operator::start(&api).settle().await;
    assert_eq!(api.get(MONITOR), None, "nobody would read it");

    with_prometheus(&api);
    let operator = Operator::start(&api);
    api.edit(|spec| spec["monitoring"] = json!({ "labels": { "release": "prometheus" }, "interval": "10s" }));
    operator.settle().await;
    let monitor = api.get(MONITOR).expect("a ServiceMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(monitor["spec"]["endpoints"], json!([{ "port": "http-agent", "interval": "10s" }]));
    assert_eq!(monitor["metadata"]["ownerReferences"][0]["uid"], "uid-1");

    api.edit(|spec| spec["monitoring"] = json!({ "enabled": false }));
    operator.settle().await;
    assert_eq!(api.get(MONITOR), None);
}
