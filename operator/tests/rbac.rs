//! Least RBAC: with the rules of the chart everything works, and each verb that is taken away breaks something. The rules are
//! read from the chart, so that a new one fails here until a part of the story needs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
#[path = "support/helm.rs"]
mod helm;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use front::{Front, Right};
use futures::future::BoxFuture;
use helm::{of_kind, template};
use k8s_openapi::api::core::v1::Pod;
use rauthy_operator::agents::{Access, AgentError, Agents, Report};
use rauthy_operator::check::{self, Place};
use rauthy_operator::controller;
use rauthy_operator::leader::Election;
use rauthy_operator::names;
use rauthy_operator::probes::Readiness;
use rauthy_operator::reconcile::Context;
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest};
use rauthy_proto::cache::{ConfigurationStatus, MemberStatus, NodeStatus, Role};
use serde_json::{Value, json};
use support::{Api, Operator, PODS};

/// Three members of `idm/rauthy` that are well, and read the list of number 0 for ever.
struct Well;

fn slot(ordinal: usize) -> String {
    format!("rauthy-{ordinal}.rauthy:8000")
}

impl Agents for Well {
    fn ask<'a>(&'a self, access: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>> {
        let report = |pod: &Pod| {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let ordinal: usize = name.rsplit('-').next().and_then(|o| o.parse().ok()).unwrap_or(0);
            let member = |o: usize| MemberStatus {
                slot: slot(o),
                caught_up: true,
                learned: true,
                connected: true,
                me: o == ordinal,
                ..MemberStatus::default()
            };
            let node = NodeStatus {
                slot: slot(ordinal),
                ready: true,
                role: if ordinal == 0 { Role::Leader } else { Role::Follower }.into(),
                leader: slot(0),
                term: 1,
                generation: "g".to_owned(),
                members: (0..3).map(member).collect(),
                configuration: Some(ConfigurationStatus {
                    now: (0..3).map(slot).collect(),
                    ..ConfigurationStatus::default()
                }),
                ..NodeStatus::default()
            };
            Report { pod: name, answer: Ok(node) }
        };
        let ours = access.names.cluster == "rauthy";
        Box::pin(std::future::ready(pods.iter().filter(|_| ours).map(report).collect()))
    }

    fn transfer<'a>(&'a self, _: &'a Access, _: &'a Pod) -> BoxFuture<'a, Result<bool, AgentError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn set_size<'a>(
        &'a self,
        _: &'a Access,
        _: &'a Pod,
        _: SetSizeRequest,
    ) -> BoxFuture<'a, Result<SetSizeReply, AgentError>> {
        Box::pin(std::future::ready(Err(AgentError::Timeout)))
    }
}

fn rules() -> BTreeSet<Right> {
    let objects = template("charts/rauthy-operator", &[]);
    let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
    let mut rights = BTreeSet::new();
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
        let words =
            |key: &str| rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
        for group in words("apiGroups") {
            for resource in words("resources") {
                rights.extend(words("verbs").map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    rights
}

struct Story {
    front: Front,
    context: Arc<Context>,
    /// What went well.
    good: BTreeSet<String>,
}

impl Story {
    fn note(&mut self, what: impl Into<String>, good: bool) {
        if good {
            self.good.insert(what.into());
        }
    }

    fn rounds(&self) -> String {
        let text = self.context.metrics.text().unwrap();
        let counts = text.lines().filter(|line| line.starts_with("rauthy_operator_reconciliations_total"));
        counts.collect::<Vec<_>>().join(" ")
    }

    /// Waits for a round to end, so that the next one that is due by itself is far away.
    async fn after_a_round(&self) {
        let before = self.rounds();
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.rounds() != before {
                return;
            }
        }
    }

    /// Whether a round follows at once when somebody changes this object, and the change is taken back.
    async fn drift(&mut self, path: &str, of_the_operator: bool) {
        self.after_a_round().await;
        let before = self.rounds();
        let good = self.front.api.get(path).unwrap();
        let mut changed = good.clone();
        let label = "app.kubernetes.io/component";
        changed["metadata"]["labels"][label] = json!("changed");
        self.front.api.put(path, changed);
        self.front.tell(path, Some(good.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.note(format!("noticed {path}"), self.rounds() != before);
        if of_the_operator {
            let now = self.front.api.get(path).unwrap();
            self.note(format!("repaired {path}"), now["metadata"]["labels"] == good["metadata"]["labels"]);
        }
    }
}

/// The StatefulSet's controller makes pods of the present template, all ready.
fn pods(front: &Front) {
    let Some(set) = front.api.get("/apis/apps/v1/namespaces/idm/statefulsets/rauthy") else { return };
    for ordinal in 0..3 {
        let path = format!("{PODS}/rauthy-{ordinal}");
        let mut metadata = set["spec"]["template"]["metadata"].clone();
        metadata["name"] = json!(format!("rauthy-{ordinal}"));
        metadata["namespace"] = json!("idm");
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let status = json!({ "podIP": "127.0.0.1", "conditions": ready });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status });
        let before = front.api.get(&path);
        front.api.put(&path, pod);
        front.tell(&path, before);
    }
}

/// Objects of a cluster that are no longer wanted, and a spec that does not want them.
fn leftovers(api: &Api) -> Vec<String> {
    let owner = json!([{
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "name": "single", "uid": "uid-2", "controller": true,
    }]);
    let kinds = [
        ("/apis/policy/v1", "poddisruptionbudgets", "policy/v1", "PodDisruptionBudget"),
        ("/apis/monitoring.coreos.com/v1", "servicemonitors", "monitoring.coreos.com/v1", "ServiceMonitor"),
        ("/apis/networking.k8s.io/v1", "networkpolicies", "networking.k8s.io/v1", "NetworkPolicy"),
    ];
    let put = |(prefix, plural, version, kind): (&str, &str, &str, &str)| {
        let path = format!("{prefix}/namespaces/idm/{plural}/single");
        let metadata = json!({ "name": "single", "namespace": "idm", "uid": kind, "ownerReferences": owner });
        let spec = json!({ "selector": {}, "endpoints": [], "podSelector": {} });
        api.put(&path, json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec }));
        path
    };
    let paths = kinds.map(put).to_vec();
    let spec =
        json!({ "replicas": 1, "monitoring": { "enabled": false }, "networkPolicy": { "enabled": false } });
    cluster(api, "single", "uid-2", spec);
    paths
}

/// One more RauthyCluster, or another spec of it.
fn cluster(api: &Api, name: &str, uid: &str, spec: Value) -> String {
    let path = format!("/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/{name}");
    let generation = api.version();
    let metadata = json!({ "name": name, "namespace": "idm", "uid": uid, "generation": generation });
    api.put(
        &path,
        json!({ "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "metadata": metadata, "spec": spec }),
    );
    path
}

/// A cluster whose certificate came from cert-manager and is the user's from now on: it is no longer asked for, and the
/// cluster's own authority goes.
async fn other_certificates(story: &mut Story) {
    let front = story.front.clone();
    let issued = front.api.get("/apis/cert-manager.io/v1/namespaces/idm/certificates/issued-tls");
    story.note("cert-manager is asked", issued.is_some());
    let secrets = "/api/v1/namespaces/idm/secrets";
    let Some(mut tls) = front.api.get(&format!("{secrets}/moved-tls")) else { return };
    let metadata = json!({ "name": "own", "namespace": "idm" });
    let own = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": tls["data"] });
    front.api.put(&format!("{secrets}/own"), own);
    tls["metadata"]["annotations"][names::CERT_MANAGER] = json!("true");
    front.api.put(&format!("{secrets}/moved-tls"), tls);
    let asked = "/apis/cert-manager.io/v1/namespaces/idm/certificates/moved-tls";
    let owner = json!([{
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "name": "moved", "uid": "uid-3", "controller": true,
    }]);
    let metadata =
        json!({ "name": "moved-tls", "namespace": "idm", "uid": "asked", "ownerReferences": owner });
    front.api.put(
        asked,
        json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata }),
    );
    let spec = json!({ "tls": { "mode": "Secret", "secret": { "name": "own" } } });
    let path = cluster(&front.api, "moved", "uid-3", spec);
    front.tell(&path, Some(json!({})));
    tokio::time::sleep(Duration::from_secs(20)).await;
    story.note("cert-manager is asked no more", front.api.get(asked).is_none());
    story.note("an authority is removed", front.api.get(&format!("{secrets}/moved-ca")).is_none());
}

/// Everything that the operator does, with these rights; what of it went well.
async fn story(rights: Option<BTreeSet<Right>>) -> (BTreeSet<String>, Front) {
    let api = Api::with(json!({}));
    let kind = json!({
        "name": "servicemonitors", "singularName": "", "namespaced": true, "kind": "ServiceMonitor", "verbs": ["get"],
    });
    api.put(
        "/apis/monitoring.coreos.com/v1",
        json!({ "groupVersion": "monitoring.coreos.com/v1", "resources": [kind] }),
    );
    let crd = serde_json::to_value(<rauthy_operator::crd::RauthyCluster as kube::CustomResourceExt>::crd());
    api.put(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rauthyclusters.rauthy.dev",
        crd.unwrap(),
    );
    let leftovers = leftovers(&api);
    cluster(&api, "moved", "uid-3", json!({}));
    let issuer = json!({ "issuerRef": { "name": "company-ca" } });
    cluster(&api, "issued", "uid-4", json!({ "tls": { "mode": "CertManager", "certManager": issuer } }));
    let front = Front::of(api.clone(), rights);
    let context = Operator::context(front.client(), Box::new(Well));
    let mut story = Story { front: front.clone(), context: context.clone(), good: BTreeSet::new() };

    let mut election =
        Election::new(front.client(), "ops", "x-rauthy-operator", "me", Arc::new(Readiness::default()));
    let won = election.step().await.is_ok_and(|won| won);
    story.note("the lease is won", won);
    story.note("the lease is kept", election.step().await.is_ok_and(|kept| kept));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stop = async move { drop(stopped.await) };
        controller::run(context, &[], stop).await;
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    pods(&front);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let owned = api.owned();
    for path in owned.keys().filter(|path| path.contains("/rauthy")) {
        story.note(format!("made {path}"), true);
    }
    other_certificates(&mut story).await;
    for path in leftovers {
        story.note(format!("removed {path}"), api.get(&path).is_none());
    }
    let status = api.cluster().status.unwrap_or_default();
    story.note("available", status.conditions.iter().any(|c| c.type_ == "Available" && c.status == "True"));
    story.note("events", !api.events().is_empty());
    for (path, object) in &owned {
        // Secrets are not watched, and the rest of this story concerns one cluster.
        let ours = object["metadata"]["ownerReferences"][0]["uid"] == "uid-1";
        let pod = path.ends_with("/pods/rauthy-0");
        if pod || ours && !path.contains("/secrets/") && !path.contains("monitoring.coreos.com") {
            story.drift(path, !pod).await;
        } else if ours && path.ends_with("-tls") {
            api.remove(path);
            tokio::time::sleep(Duration::from_secs(40)).await;
            story.note(format!("made again {path}"), api.get(path).is_some());
        }
    }
    let path = "/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/rauthy";
    api.annotate("rauthy.dev/restart", "once");
    front.tell(path, Some(json!({})));
    tokio::time::sleep(Duration::from_secs(30)).await;
    pods(&front);
    tokio::time::sleep(Duration::from_secs(30)).await;
    story.after_a_round().await;
    let before = story.rounds();
    api.edit(|spec| spec["replicas"] = json!(5));
    front.tell(path, Some(json!({})));
    tokio::time::sleep(Duration::from_secs(1)).await;
    story.note("a changed spec is noticed", story.rounds() != before);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pod = api.get(&format!("{PODS}/rauthy-1"));
    story.note(
        "pods are touched",
        pod.is_some_and(|pod| pod["metadata"]["annotations"]["rauthy.dev/host-list"].is_string()),
    );
    story.note("a pod is replaced", api.events().iter().any(|(reason, _)| reason == "Rolling"));
    let _ = stop.send(());
    running.await.unwrap();

    // What `helm test` and the start of the operator look at.
    let place = Place { namespace: "ops", lease: "x-rauthy-operator", watched: &[] };
    for line in check::check(&front.client(), place).await.good {
        story.note(line, true);
    }
    (story.good, front)
}

#[tokio::test(start_paused = true)]
async fn each_verb_is_needed_and_no_other() {
    let rules = rules();
    assert!(rules.len() > 25, "{rules:?}");
    let (whole, front) = story(Some(rules.clone())).await;
    assert_eq!(front.denied(), BTreeSet::new(), "asked for, and not in the chart");
    let expected = [
        "available",
        "events",
        "the lease is kept",
        "pods are touched",
        "a changed spec is noticed",
        "a pod is replaced",
        "cert-manager is asked",
        "cert-manager is asked no more",
        "an authority is removed",
    ];
    for fact in expected {
        let events = front.api.events();
        assert!(whole.contains(fact), "{fact}: {whole:#?}, {:?}, {events:#?}", front.api.cluster().status);
    }
    assert!(whole.iter().any(|fact| fact.starts_with("removed ")), "{whole:#?}");
    let mut idle = Vec::new();
    for right in &rules {
        let fewer = rules.iter().filter(|other| *other != right).cloned().collect();
        let (good, front) = story(Some(fewer)).await;
        let lost: Vec<_> = whole.difference(&good).collect();
        if lost.is_empty() || !front.denied().contains(right) {
            idle.push(right);
        } else {
            println!("without {right:?}: {lost:?}");
        }
    }
    assert!(idle.is_empty(), "nothing fails without these, so the chart must not ask for them: {idle:#?}");
}
