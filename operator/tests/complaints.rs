//! What users of other operators complain about, each ruled out by a test of its own. Some have a second one on the real
//! Kubernetes, in tests/e2e.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
#[path = "support/helm.rs"]
mod helm;
mod support;

use front::Front;
use helm::{of_kind, root, template};
use kube::CustomResourceExt;
use rauthy_operator::agents::{Report, leader};
use rauthy_operator::crd::{RauthyCluster, served};
use rauthy_proto::cache::{NodeStatus, Role};
use serde_json::{Value, json};
use support::world::{ROUNDS, World};
use support::{Api, HOSTS, Operator, PDB, PODS, STATEFULSET, TLS};

fn pod_template(api: &Api) -> Value {
    api.get(STATEFULSET).unwrap()["spec"]["template"].clone()
}

/// Puts three ready pods there, of the present template.
fn three_pods(api: &Api) {
    for ordinal in 0..3 {
        let mut metadata = pod_template(api)["metadata"].clone();
        metadata["name"] = json!(format!("rauthy-{ordinal}"));
        metadata["namespace"] = json!("idm");
        let status = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status });
        api.put(&format!("{PODS}/rauthy-{ordinal}"), pod);
    }
}

async fn running() -> (Api, Operator) {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    three_pods(&api);
    operator.settle().await;
    (api, operator)
}

/// cnpg#10433. A new certificate lands in the Secret that pods mount, in a way that reaches them: a folder, which the kubelet
/// updates, never a single file of it (`subPath`), which stays as it was. That agents read it again and use it is tested with
/// the agent, and with whole rotations on the real Kubernetes.
#[tokio::test]
async fn a_rotated_certificate_that_pods_do_not_get_until_somebody_deletes_them() {
    let (api, operator) = running().await;
    let before = api.get(TLS).unwrap()["data"].clone();
    api.remove(TLS);
    operator.settle().await;
    assert_ne!(api.get(TLS).unwrap()["data"]["tls.crt"], before["tls.crt"], "it is another one");
    let pod = pod_template(&api)["spec"].clone();
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "tls").unwrap();
    assert_eq!(volume["secret"]["secretName"], "rauthy-tls");
    assert!(!pod.to_string().contains("subPath"));
}

/// openstack infra-operator PR 643.
#[tokio::test]
async fn a_hash_of_the_certificate_or_of_the_size_in_the_template_that_restarts_a_quorum() {
    let (api, operator) = running().await;
    let before = pod_template(&api);
    api.remove(TLS);
    operator.settle().await;
    assert_eq!(pod_template(&api), before, "a new certificate");
    assert_eq!(api.writes().iter().filter(|write| write.starts_with("DELETE")).count(), 0);

    // Another size, that is reached: what decides about restarts stays, and so does every pod.
    let world = World::running(3).await;
    let hash = || pod_template(&world.api)["metadata"]["annotations"]["rauthy.dev/template-hash"].clone();
    let (before, pods) = (hash(), world.pods());
    assert!(before.is_string());
    for size in [5, 3] {
        world.api.edit(|spec| spec["replicas"] = json!(size));
        world.reach(&world.operator(), size).await;
        assert_eq!(hash(), before, "{size} members");
        assert!(pods.iter().all(|(name, uid)| world.pods().get(name) == Some(uid)), "{size} members");
    }
}

/// etcd-operator#193.
#[tokio::test]
async fn a_loss_for_a_moment_that_shrinks_the_statefulset() {
    let (api, operator) = running().await;
    let replicas = || api.get(STATEFULSET).unwrap()["spec"]["replicas"].clone();
    for gone in [vec![2], vec![1, 2], vec![0, 1, 2]] {
        for ordinal in &gone {
            api.remove(&format!("{PODS}/rauthy-{ordinal}"));
        }
        for operator in [&operator, &Operator::start(&api)] {
            operator.settle().await;
            assert_eq!(replicas(), 3, "pods {gone:?} are gone");
        }
        let hosts = api.get(HOSTS).unwrap()["data"]["HA_HOSTS"].as_str().unwrap().split(',').count();
        assert_eq!(hosts, 3);
        three_pods(&api);
    }
}

/// cnpg#5467.
#[tokio::test]
async fn a_budget_that_is_left_behind_and_blocks_drains() {
    let api = Api::with(json!({ "replicas": 1 }));
    let operator = Operator::start(&api);
    operator.settle().await;
    assert_eq!(api.get(PDB), None, "a single member could never be drained");
    // As left by a larger cluster.
    let owner = api.get(STATEFULSET).unwrap()["metadata"]["ownerReferences"].clone();
    let metadata = json!({ "name": "rauthy", "namespace": "idm", "uid": "x", "ownerReferences": owner });
    let spec = json!({ "maxUnavailable": 0 });
    api.put(PDB, json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec }));
    operator.settle().await;
    assert_eq!(api.get(PDB), None);

    // One that somebody edited to let nothing go is put right.
    let (api, operator) = running().await;
    let mut budget = api.get(PDB).unwrap();
    budget["spec"]["maxUnavailable"] = json!(0);
    api.put(PDB, budget);
    operator.settle().await;
    assert_eq!(api.get(PDB).unwrap()["spec"]["maxUnavailable"], 1);
}

/// dragonfly-operator#504. Whatever changed, and whoever runs: one pod at most goes in one round, and all are replaced in
/// the end. Agents that serve fail the test when one of them goes that holds what the others lack.
#[tokio::test]
async fn all_replicas_deleted_in_one_pass() {
    for down in 0..=3 {
        let world = World::running(3).await;
        let operator = world.operator();
        if down > 0 {
            world.api.edit(|spec| spec["agent"] = json!({ "image": "bad:1" }));
            operator.round().await.unwrap();
            // As nodes that die would take them: their successors never run.
            for ordinal in 0..down {
                world.lose(&format!("rauthy-{ordinal}"));
            }
            world.controllers();
        }
        world.api.edit(|spec| spec["agent"] = json!({ "image": "agent:2", "logLevel": "debug" }));
        let mut deleted = 0;
        for _ in 0..ROUNDS {
            let before = world.pods().len();
            let _ = operator.round().await;
            let gone = before - world.pods().len();
            assert!(gone <= 1, "{gone} of {before} pods in one round, {down} of them down");
            deleted += gone;
            world.controllers();
            if world.is_rolled() {
                break;
            }
        }
        assert!(world.is_rolled() && deleted == 3, "{deleted} were replaced, {down} were down");
    }
}

/// cnpg#5950.
#[tokio::test]
async fn an_upgrade_of_the_operator_that_restarts_every_cluster() {
    let (api, _) = running().await;
    let before = api.get(STATEFULSET).unwrap();
    let newer = Operator::with_image(&api, "agent:2");
    newer.settle().await;
    assert_eq!(api.get(STATEFULSET).unwrap(), before);
    assert!(api.cluster().status.unwrap().members.iter().all(|member| !member.outdated));
}

/// rabbitmq/cluster-operator#79. Nothing waits for an operator that may be gone.
#[tokio::test]
async fn a_namespace_that_is_terminating_for_ever() {
    let (api, operator) = running().await;
    for (path, object) in api.all() {
        assert!(object["metadata"].get("finalizers").is_none(), "{path}");
        let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        assert!(owners.iter().all(|owner| owner["blockOwnerDeletion"] != true), "{path}");
    }
    // And a cluster that is being deleted gets nothing new.
    let path = "/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/rauthy";
    let mut cluster = api.get(path).unwrap();
    cluster["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
    api.put(path, cluster);
    api.remove(HOSTS);
    api.writes();
    operator.round().await.unwrap();
    assert_eq!(api.writes(), Vec::<String>::new());
}

/// strimzi#12039. The definition is among the chart's templates, so that an upgrade of the chart upgrades it; and where it is
/// older all the same, the operator says what gets lost.
#[tokio::test]
async fn fields_that_are_stripped_in_silence_after_an_upgrade_of_the_chart() {
    let chart = template("charts/rauthy-operator", &[]);
    let file = std::fs::read_to_string(root().join("crds/rauthyclusters.yaml")).unwrap();
    let file: Value = serde_yaml::from_str(&file).unwrap();
    assert_eq!(*of_kind(&chart, "CustomResourceDefinition")[0], file);

    let mut old = serde_json::to_value(RauthyCluster::crd()).unwrap();
    let spec =
        &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    spec.as_object_mut().unwrap().remove("monitoring");
    spec["cache"]["properties"].as_object_mut().unwrap().remove("engine");
    let api = Api::default();
    api.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rauthyclusters.rauthy.dev", old);
    let missing = served::missing_fields(Front::of(api, None).client()).await.unwrap();
    assert_eq!(missing, ["spec.cache.engine", "spec.monitoring"]);
}

/// dragonfly-operator#191. The operator appoints nobody; it believes whoever serves under the highest term, never a member
/// that has just started. That such a member wins no election is the core's: its tests, the model and the simulator.
#[test]
fn an_empty_restarted_member_that_becomes_the_leader() {
    let report = |pod: &str, role: Role, ready: bool, leader: &str, term: u64| Report {
        pod: pod.to_owned(),
        answer: Ok(NodeStatus {
            slot: format!("{pod}.rauthy:8000"),
            role: role.into(),
            ready,
            leader: leader.to_owned(),
            term,
            ..NodeStatus::default()
        }),
    };
    let empty = || report("rauthy-0", Role::Leader, false, "rauthy-0.rauthy:8000", 9);
    let well = || report("rauthy-1", Role::Leader, true, "rauthy-1.rauthy:8000", 3);
    let follower = || report("rauthy-2", Role::Follower, true, "rauthy-1.rauthy:8000", 3);
    let who = |reports: &[Report]| leader(reports).map(|(pod, _)| pod);
    assert_eq!(who(&[empty(), well(), follower()]).as_deref(), Some("rauthy-1"));
    assert_eq!(who(&[empty(), follower()]).as_deref(), Some("rauthy-1"), "whom the others serve under");
    assert_eq!(who(&[empty()]), None);
}
