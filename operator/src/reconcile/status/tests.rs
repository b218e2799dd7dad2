//! What the status says about what the agents say.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use rauthy_proto::cache::{MemberStatus as Seat, NodeStatus, Refusal, Role};
use serde_json::json;

use super::{Facts, progressing, status};
use crate::agents::Report;
use crate::crd::{Phase, RauthyCluster, RauthyClusterStatus};
use crate::names::{Names, TEMPLATE_HASH};
use crate::reconcile::apply::Applied;
use crate::reconcile::credentials;
use crate::reconcile::dereference::Observed;
use crate::reconcile::events::notes;
use crate::reconcile::roll::Step;
use crate::reconcile::scale::Progress;
use crate::reconcile::validate::{Environment, validate};

/// A cluster whose members say what the test lets them say.
struct Scene {
    cluster: RauthyCluster,
    observed: Observed,
    reports: Vec<Report>,
    now: i64,
}

fn slot(ordinal: i32) -> String {
    format!("rauthy-{ordinal}.rauthy:8000")
}

impl Scene {
    /// Three members under `leader`, all well.
    fn led_by(leader: i32) -> Self {
        let cluster = serde_json::from_value(json!({
            "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": {},
            "metadata": { "name": "rauthy", "namespace": "idm", "uid": "uid-1", "generation": 1 },
        }))
        .unwrap();
        let mut scene =
            Self { cluster, observed: Observed::default(), reports: Vec::new(), now: 1_800_000_000 };
        scene.observed.pods = (0..3).map(|ordinal| pod(ordinal, true)).collect();
        scene.lead(leader);
        scene
    }

    fn lead(&mut self, leader: i32) {
        let seats = |me: i32| {
            (0..3).map(move |other| Seat {
                slot: slot(other),
                incarnation: format!("life-{other}"),
                me: other == me,
                connected: other != me,
                caught_up: true,
                lag: Some(u64::from(other != leader)),
                ..Seat::default()
            })
        };
        self.reports = (0..3)
            .map(|ordinal| Report {
                pod: format!("rauthy-{ordinal}"),
                answer: Ok(NodeStatus {
                    slot: slot(ordinal),
                    incarnation: format!("life-{ordinal}"),
                    role: if ordinal == leader { Role::Leader } else { Role::Follower }.into(),
                    generation: "g1".to_owned(),
                    term: 7,
                    leader: slot(leader),
                    ready: true,
                    members: seats(ordinal).collect(),
                    ..NodeStatus::default()
                }),
            })
            .collect();
    }

    fn node(&mut self, ordinal: usize) -> &mut NodeStatus {
        self.reports[ordinal].answer.as_mut().unwrap()
    }

    fn silence(&mut self, ordinal: usize) {
        self.reports[ordinal].answer = Err("no answer within 2 s".to_owned());
    }

    fn status(&self) -> RauthyClusterStatus {
        let environment = Environment { agent_image: Some("agent:1".to_owned()), ..Environment::default() };
        let validated = validate(&self.cluster, &self.observed, &environment, &[]);
        status(&Facts {
            cluster: &self.cluster,
            names: &Names::new("idm", "rauthy"),
            observed: &self.observed,
            validated: validated.as_ref(),
            failure: None,
            reports: &self.reports,
            scaling: &Progress::Rest,
            rolling: &Step::Rest,
            credentials: &credentials::Progress::default(),
            now: Timestamp::from_second(self.now).unwrap(),
        })
    }

    /// Makes the present status the previous one, a minute later; returns the events that it caused.
    fn go_on(&mut self) -> Vec<String> {
        let new = self.status();
        let events = notes(&self.cluster, &new, &Applied::default());
        self.cluster.status = Some(new);
        self.now += 60;
        events.into_iter().map(|note| format!("{}: {}", note.reason, note.text)).collect()
    }
}

fn pod(ordinal: i32, ready: bool) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("rauthy-{ordinal}") },
        "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    }))
    .unwrap()
}

fn condition(status: &RauthyClusterStatus, kind: &str) -> String {
    let condition = status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    format!("{}/{}", condition.status, condition.reason)
}

#[test]
fn all_is_well() {
    let mut scene = Scene::led_by(1);
    let status = scene.status();
    assert_eq!((status.ready.as_str(), status.leader.as_deref()), ("3/3", Some("rauthy-1")));
    assert_eq!((status.phase, status.term, status.size), (Phase::Running, Some(7), Some(3)));
    assert_eq!(condition(&status, "Available"), "True/QuorumServing");
    assert_eq!(condition(&status, "Progressing"), "False/Complete");
    assert_eq!(condition(&status, "Degraded"), "False/AsExpected");
    assert!(!progressing(&status));
    assert_eq!(status.members[2].link, "Connected");
    let events = scene.go_on();
    assert!(events.contains(&"LeaderChanged: rauthy-1 leads (term 7)".to_owned()), "{events:?}");
    assert!(events.iter().any(|event| event.starts_with("Available: ")), "{events:?}");
}

#[test]
fn nothing_happened_means_the_same_status_and_no_event() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    // What goes on in an idle cluster: entries of the clock, leases, counters, ages.
    for round in 1..5 {
        for ordinal in 0..3 {
            let node = scene.node(ordinal);
            (node.commit, node.applied, node.lease_ms) = (round, round, 900 - round);
            (node.uptime_ms, node.certificate_expires_in_s) = (round * 1000, 9000 - round.cast_signed());
            node.members[0].lag = Some(round);
        }
        assert_eq!(Some(scene.status()), scene.cluster.status, "round {round}");
        assert_eq!(scene.go_on(), Vec::<String>::new());
    }
}

#[test]
fn a_lost_member_is_degraded_and_a_lost_quorum_is_not_available() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    let since = scene.status().conditions[0].last_transition_time.clone();
    scene.observed.pods.remove(2);
    scene.reports.remove(2);
    let status = scene.status();
    assert_eq!((status.ready.as_str(), status.phase), ("2/3", Phase::Degraded));
    assert_eq!(condition(&status, "Available"), "True/QuorumServing");
    assert_eq!(condition(&status, "Degraded"), "True/MembersNotReady");
    assert_eq!(status.members[2].message.as_deref(), Some("the pod does not exist yet"));
    assert_eq!(status.conditions[0].last_transition_time, since, "the status did not change");
    assert!(progressing(&status));

    // The leader is alone now: its lease is over, and it says so.
    scene.silence(1);
    scene.observed.pods[1] = pod(1, false);
    scene.node(0).ready = false;
    scene.node(0).not_ready_reason = "the lease is over".to_owned();
    let status = scene.status();
    assert_eq!((status.leader.as_deref(), status.phase), (None, Phase::Unavailable));
    assert_eq!(condition(&status, "Available"), "False/NoLeader");
    assert_ne!(status.conditions[0].last_transition_time, since);
    assert_eq!(status.members[0].message.as_deref(), Some("the lease is over"));
    assert!(scene.go_on().iter().any(|event| event.starts_with("Unavailable: no leader")));
}

#[test]
fn a_deposed_leader_is_not_believed() {
    let mut scene = Scene::led_by(0);
    for ordinal in [1, 2] {
        let node = scene.node(ordinal);
        (node.term, node.leader) = (8, slot(2));
    }
    scene.node(2).role = Role::Leader.into();
    assert_eq!(scene.status().leader.as_deref(), Some("rauthy-2"));
    // It does not answer the operator, but those that serve under it do.
    scene.silence(2);
    let status = scene.status();
    assert_eq!((status.leader.as_deref(), status.term), (Some("rauthy-2"), Some(8)));
    assert!(status.members[2].ready, "the kubelet's word counts for who does not answer the operator");
    assert!(status.members[2].link.contains("no answer within 2 s"));
}

#[test]
fn what_cannot_be_known_is_unknown() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    (0..3).for_each(|ordinal| scene.silence(ordinal));
    let status = scene.status();
    assert_eq!(condition(&status, "Available"), "Unknown/AgentsUnreachable");
    assert_eq!((status.phase, status.ready.as_str(), status.leader), (Phase::Unknown, "3/3", None));
}

#[test]
fn a_first_founding_is_not_a_loss() {
    let mut scene = Scene::led_by(0);
    scene.reports.clear();
    scene.observed.pods.clear();
    for _ in 0..3 {
        let status = scene.status();
        assert_eq!(
            (status.phase, condition(&status, "Available").as_str()),
            (Phase::Creating, "False/Founding")
        );
        assert_eq!(condition(&status, "Progressing"), "True/Creating");
        scene.go_on();
    }
}

#[test]
fn a_pod_that_is_ready_a_moment_after_its_agent_is_no_degradation() {
    let mut scene = Scene::led_by(0);
    scene.observed.pods = (0..3).map(|ordinal| pod(ordinal, false)).collect();
    for _ in 0..2 {
        let status = scene.status();
        assert_eq!((status.phase, status.ready.as_str()), (Phase::Creating, "0/3"));
        assert_eq!(condition(&status, "Available"), "True/QuorumServing");
        assert_eq!(condition(&status, "Progressing"), "True/Creating");
        assert_eq!(condition(&status, "Degraded"), "False/AsExpected");
        scene.go_on();
    }
    scene.observed.pods = (0..3).map(|ordinal| pod(ordinal, true)).collect();
    assert_eq!(scene.status().phase, Phase::Running);
    scene.go_on();
    scene.observed.pods[1] = pod(1, false);
    let status = scene.status();
    assert_eq!(
        (status.phase, condition(&status, "Degraded").as_str()),
        (Phase::Degraded, "True/MembersNotReady")
    );
    assert_eq!(condition(&status, "Progressing"), "True/MembersStarting");
    assert_eq!(status.members[1].message.as_deref(), Some("the agent serves, the pod is not ready yet"));
}

#[test]
fn a_refused_peer_is_reported_once() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    let refuse = |scene: &mut Scene, port: u16, age: u64, count: u64| {
        scene.node(0).refusals = vec![Refusal {
            from: format!("10.1.2.3:{port}"),
            claimed: slot(2),
            reason: "WRONG_TOKEN".to_owned(),
            age_s: age,
            count,
        }];
    };
    refuse(&mut scene, 40000, 1, 1);
    let status = scene.status();
    assert_eq!(condition(&status, "Degraded"), "True/PeerRefused");
    let events = scene.go_on();
    let expected = "PeerRefused: rauthy-0 refuses rauthy-2.rauthy:8000 at 10.1.2.3: WRONG_TOKEN";
    assert_eq!(events, [expected]);
    refuse(&mut scene, 41234, 7, 30);
    assert_eq!(scene.go_on(), Vec::<String>::new(), "the same peer, tried again");
    refuse(&mut scene, 41234, 500, 30);
    assert_eq!(condition(&scene.status(), "Degraded"), "False/AsExpected");
}

#[test]
fn changes_worth_an_event() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    scene.lead(2);
    assert_eq!(scene.go_on(), ["LeaderChanged: rauthy-2 leads after rauthy-0 (term 7)"]);
    (0..3).for_each(|ordinal| scene.node(ordinal).generation = "g2".to_owned());
    scene.go_on();
    assert_eq!(scene.status().generation.as_deref(), Some("g2"));
    let led = scene.reports.clone();
    scene.reports.clear();
    assert_eq!(scene.status().generation.as_deref(), Some("g2"), "the last one that was known");
    scene.reports = led;
    scene.cluster.spec.replicas = 4;
    scene.cluster.metadata.generation = Some(2);
    let events = scene.go_on();
    assert!(
        events.iter().any(|event| event.starts_with("EvenSize: 4 members tolerate no more")),
        "{events:?}"
    );
    scene.cluster.spec.replicas = 1;
    scene.cluster.metadata.generation = Some(3);
    let events = scene.go_on();
    assert!(events.iter().any(|event| event.starts_with("SingleMember: a restart")), "{events:?}");
    scene.cluster.spec.paused = true;
    let events = scene.go_on();
    assert!(events.iter().any(|event| event.starts_with("Paused: ")), "{events:?}");
}

#[test]
fn long_words_are_cut_between_characters() {
    let mut scene = Scene::led_by(0);
    scene.observed.pods[1] = pod(1, false);
    scene.node(1).ready = false;
    scene.node(1).not_ready_reason = "ä".repeat(2000);
    let message = scene.status().members[1].message.clone().unwrap();
    assert_eq!(message.chars().count(), 501);
}

#[test]
fn a_wrong_spec_does_not_hide_what_runs() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    scene.cluster.spec.cache.max_memory = "1Mi".to_owned();
    let status = scene.status();
    assert_eq!(condition(&status, "Degraded"), "True/InvalidSpec");
    assert_eq!(condition(&status, "Available"), "True/QuorumServing");
    assert_eq!((status.leader.as_deref(), status.phase), (Some("rauthy-0"), Phase::Degraded));
}

#[test]
fn strangers_do_not_degrade_a_cluster() {
    let mut scene = Scene::led_by(0);
    scene.go_on();
    for (claimed, reason) in [
        (slot(7), "WRONG_TOKEN"),
        ("x".to_owned(), "WRONG_CLUSTER"),
        (slot(2), "MALFORMED"),
        (String::new(), "BUSY"),
    ] {
        scene.node(0).refusals = vec![Refusal {
            from: "10.1.2.3:40000".to_owned(),
            claimed,
            reason: reason.to_owned(),
            age_s: 1,
            count: 1,
        }];
        assert_eq!(condition(&scene.status(), "Degraded"), "False/AsExpected", "{reason}");
        assert_eq!(scene.go_on(), Vec::<String>::new());
    }
}

#[test]
fn pods_of_an_earlier_template_are_counted() {
    let mut scene = Scene::led_by(0);
    let hashed = |hash: &str| Some([(TEMPLATE_HASH.to_owned(), hash.to_owned())].into());
    scene.observed.statefulset = Some(
        serde_json::from_value(json!({
            "metadata": { "name": "rauthy", "ownerReferences": [{
                "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "name": "rauthy", "uid": "uid-1",
                "controller": true,
            }] },
            "spec": { "replicas": 3, "selector": {}, "serviceName": "rauthy", "template": {
                "metadata": { "annotations": { TEMPLATE_HASH: "new" } },
            } },
        }))
        .unwrap(),
    );
    for (ordinal, hash) in ["new", "old", "old"].into_iter().enumerate() {
        scene.observed.pods[ordinal].metadata.annotations = hashed(hash);
    }
    let status = scene.status();
    let outdated: Vec<_> = status.members.iter().map(|member| member.outdated).collect();
    assert_eq!(outdated, [false, true, true]);
    assert_eq!(condition(&status, "Progressing"), "True/PodsOutdated");
    let message = &status.conditions.iter().find(|c| c.type_ == "Progressing").unwrap().message;
    assert!(message.starts_with("2 of 3 pods") && message.contains("rauthy-1, rauthy-2"), "{message}");
    scene.observed.pods.iter_mut().for_each(|pod| pod.metadata.annotations = hashed("new"));
    assert_eq!(condition(&scene.status(), "Progressing"), "False/Complete");
}
