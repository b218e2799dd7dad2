//! Each step of a change by itself; tests/scaling.rs drives whole changes.

use k8s_openapi::api::apps::v1::StatefulSet;
use rauthy_proto::admin::size_refusal::Reason;
use rauthy_proto::admin::{SetSizeReply, SizeProgress, SizeRefusal, set_size_reply};
use rauthy_proto::cache::{ConfigurationStatus, MemberStatus, NodeStatus, Role};
use serde_json::json;

use super::{Answer, Facts, Progress, question, step};
use crate::agents::Report;
use crate::crd::RauthyClusterSpec;
use crate::names::Names;
use crate::reconcile::build::host_list::{Change, HostList, Running, Stage, hosts};

const NOW: i64 = 1_800_000_000;

/// A cluster of `size` members that are all well and read list `epoch`.
struct Scene {
    spec: RauthyClusterSpec,
    names: Names,
    running: Running,
    set: StatefulSet,
    reports: Vec<Report>,
}

fn slot(ordinal: i32) -> String {
    format!("rauthy-{ordinal}.rauthy:8000")
}

impl Scene {
    fn new(size: i32, wanted: i32, epoch: u64) -> Self {
        let spec: RauthyClusterSpec = serde_json::from_value(json!({ "replicas": wanted })).unwrap();
        let names = Names::new("idm", "rauthy");
        let list = HostList { epoch, now: hosts(&names, &spec, size), next: None };
        let mut scene = Self {
            spec,
            names,
            running: Running { list, change: None, written: true },
            set: set(epoch),
            reports: Vec::new(),
        };
        scene.members(size, size, epoch);
        scene
    }

    /// Pods `0..pods` answer, and hold the data; the log counts the first `seats`.
    fn members(&mut self, pods: i32, seats: i32, epoch: u64) {
        let node = |ordinal: i32| NodeStatus {
            slot: slot(ordinal),
            role: if ordinal == 0 { Role::Leader } else { Role::Follower }.into(),
            term: 3,
            leader: slot(0),
            ready: ordinal < seats,
            host_epoch: self.running.list.epoch,
            configuration: Some(ConfigurationStatus {
                epoch,
                now: (0..seats).map(slot).collect(),
                ..ConfigurationStatus::default()
            }),
            members: (0..pods)
                .map(|other| MemberStatus {
                    slot: slot(other),
                    me: other == ordinal,
                    caught_up: other < seats,
                    learned: other >= seats,
                    ..MemberStatus::default()
                })
                .collect(),
            ..NodeStatus::default()
        };
        self.reports = (0..pods)
            .map(|ordinal| Report { pod: format!("rauthy-{ordinal}"), answer: Ok(node(ordinal)) })
            .collect();
    }

    fn change(&mut self, stage: Stage, next: Option<i32>, pods: i32) {
        self.running.list.next = next.map(|next| hosts(&self.names, &self.spec, next));
        self.running.change = Some(Change { stage, pods, since: NOW });
    }

    fn facts(&self, now: i64) -> Facts<'_> {
        Facts {
            running: &self.running,
            spec: &self.spec,
            names: &self.names,
            statefulset: Some(&self.set),
            reports: &self.reports,
            now,
        }
    }

    /// Epoch, sizes, stage, and how it stands.
    fn step(&self, answer: Option<Answer>, now: i64) -> (u64, i32, Option<i32>, Option<Stage>, Progress) {
        let step = step(&self.facts(now), answer.as_ref());
        let Running { list, change, .. } = step.running;
        (list.epoch, list.size(), list.next_size(), change.map(|change| change.stage), step.progress)
    }
}

fn set(floor: u64) -> StatefulSet {
    let env = json!([{ "name": "HA_HOSTS_MIN_EPOCH", "value": floor.to_string() }]);
    serde_json::from_value(json!({
        "metadata": { "generation": 4 },
        "spec": { "selector": {}, "template": { "spec": { "containers": [{ "name": "agent", "env": env }] } } },
        "status": { "observedGeneration": 4, "replicas": 3 },
    }))
    .unwrap()
}

#[test]
fn nothing_is_done_or_asked_while_the_size_is_right() {
    let scene = Scene::new(3, 3, 4);
    assert_eq!(question(&scene.facts(NOW)), None);
    assert_eq!(scene.step(None, NOW), (4, 3, None, None, Progress::Rest));
}

#[test]
fn a_size_is_announced_and_raised_before_it_counts() {
    let scene = Scene::new(3, 5, 4);
    let facts = scene.facts(NOW);
    let first = step(&facts, None);
    assert_eq!((first.running.list.epoch, first.running.list.next_size()), (5, Some(5)));
    assert_eq!(first.running.change.as_ref().unwrap().stage, Stage::Announced);
    assert_eq!(first.running.pods(), 5);
    let down = Scene::new(5, 3, 4);
    assert_eq!(step(&down.facts(NOW), None).running.pods(), 5, "the pods that leave stay until it is done");
}

#[test]
fn a_cluster_without_a_leader_keeps_its_size_and_says_so() {
    let mut scene = Scene::new(3, 5, 4);
    for report in &mut scene.reports {
        report.answer = Err("no answer".to_owned());
    }
    let (epoch, size, next, stage, progress) = scene.step(None, NOW);
    assert_eq!((epoch, size, next, stage), (4, 3, None, None));
    assert!(matches!(progress, Progress::Blocked("NoLeader", _)), "{progress:?}");
}

#[test]
fn members_are_told_only_when_a_majority_reads_the_list_and_the_new_ones_hold_the_data() {
    let announced = || {
        let mut scene = Scene::new(3, 5, 5);
        scene.change(Stage::Announced, Some(5), 5);
        scene.members(5, 3, 4);
        scene
    };
    let scene = announced();
    assert_eq!(question(&scene.facts(NOW)), None, "nothing is sent before it is written down");
    let (epoch, _, next, stage, _) = scene.step(None, NOW);
    assert_eq!((epoch, next, stage), (5, Some(5), Some(Stage::Committing)));

    // One of three reads the list.
    let mut scene = announced();
    for report in &mut scene.reports[1..3] {
        report.answer.as_mut().unwrap().host_epoch = 4;
    }
    let late = NOW + 61;
    assert!(
        matches!(scene.step(None, NOW).4, Progress::Moving(text) if text.contains("1 of 3 members read"))
    );
    assert!(matches!(scene.step(None, late).4, Progress::Blocked("ListNotRead", _)));

    // The template's floor is that of the list before.
    let mut scene = announced();
    scene.set = set(4);
    assert!(matches!(
        scene.step(None, late),
        (5, 3, Some(5), Some(Stage::Announced), Progress::Blocked("StatefulSetNotObserved", _))
    ));

    // One new member is missing: it is waited for, but not for ever.
    let mut scene = announced();
    scene.members(4, 3, 4);
    assert!(
        matches!(scene.step(None, NOW).4, Progress::Moving(text) if text.contains("rauthy-4.rauthy:8000"))
    );
    assert_eq!(scene.step(None, late).3, Some(Stage::Committing));

    // A majority of the new size is missing: nothing is begun, however long it takes.
    let mut scene = Scene::new(3, 7, 5);
    scene.change(Stage::Announced, Some(7), 7);
    scene.members(3, 3, 4);
    assert!(matches!(
        scene.step(None, late + 3600),
        (_, 3, Some(7), Some(Stage::Announced), Progress::Blocked("MembersMissing", _))
    ));
}

#[test]
fn what_was_sent_is_finished_first_and_what_was_not_is_taken_back() {
    let mut scene = Scene::new(3, 3, 5);
    scene.change(Stage::Announced, Some(5), 5);
    let taken_back = step(&scene.facts(NOW), None);
    assert_eq!((taken_back.running.list.epoch, taken_back.running.list.next_size()), (6, None));
    assert_eq!(taken_back.running.change.as_ref().unwrap().stage, Stage::TakenBack);
    assert_eq!(
        taken_back.running.pods(),
        5,
        "those of a generation that may have been founded under both lists"
    );

    let mut scene = Scene::new(3, 3, 5);
    scene.change(Stage::Committing, Some(5), 5);
    let asked = question(&scene.facts(NOW)).unwrap();
    assert_eq!((asked.epoch, asked.now.len(), asked.next.len()), (5, 3, 5));
    assert_eq!(scene.step(Some(Answer::UnderWay), NOW).3, Some(Stage::Committing));
    let refused = || Some(Answer::Refused("x".to_owned()));
    assert!(matches!(scene.step(refused(), NOW).4, Progress::Moving(_)), "it may pass");
    assert!(matches!(scene.step(refused(), NOW + 61).4, Progress::Blocked("Refused", _)));
    assert!(matches!(scene.step(None, NOW + 61).4, Progress::Blocked("NoLeader", _)));
    let (epoch, size, next, stage, _) = scene.step(Some(Answer::Done), NOW);
    assert_eq!((epoch, size, next, stage), (6, 5, None, None));
}

#[test]
fn a_change_that_was_taken_back_ends_when_the_log_has_followed() {
    let mut scene = Scene::new(3, 3, 6);
    scene.change(Stage::TakenBack, None, 5);
    scene.members(5, 3, 4);
    let asked = question(&scene.facts(NOW)).unwrap();
    assert_eq!((asked.epoch, asked.now.len(), asked.next.len()), (6, 3, 0));
    assert_eq!(scene.running.pods(), 5);
    assert_eq!(scene.step(Some(Answer::Done), NOW), (6, 3, None, None, Progress::Rest));
    // Another size is wanted meanwhile: one change after the other.
    scene.spec.replicas = 7;
    assert_eq!(scene.step(Some(Answer::UnderWay), NOW).0, 6);
    assert_eq!(scene.step(Some(Answer::Done), NOW).2, Some(7));
}

#[test]
fn a_log_with_another_number_is_brought_up_first() {
    let mut scene = Scene::new(3, 5, 9);
    scene.members(3, 3, 4);
    let asked = question(&scene.facts(NOW)).unwrap();
    assert_eq!((asked.epoch, asked.next.len()), (9, 0));
    assert_eq!(scene.step(Some(Answer::UnderWay), NOW).0, 9);
    assert_eq!(scene.step(Some(Answer::Done), NOW).0, 10);
}

#[test]
fn answers_say_what_they_say() {
    let reply = |result| Ok(SetSizeReply { result });
    let progress = |p: SizeProgress| reply(Some(set_size_reply::Result::Progress(p.into())));
    let refusal = |reason: Reason| {
        let refusal =
            SizeRefusal { reason: reason.into(), message: "why".to_owned(), ..SizeRefusal::default() };
        reply(Some(set_size_reply::Result::Refusal(refusal)))
    };
    assert_eq!(Answer::of(progress(SizeProgress::Done)), Answer::Done);
    for other in [SizeProgress::UnderWay, SizeProgress::Preparing, SizeProgress::Unspecified] {
        assert_eq!(Answer::of(progress(other)), Answer::UnderWay);
    }
    assert_eq!(Answer::of(refusal(Reason::NotLeader)), Answer::UnderWay);
    assert_eq!(Answer::of(refusal(Reason::Unconfirmed)), Answer::Refused("why".to_owned()));
    assert!(matches!(Answer::of(reply(None)), Answer::Refused(_)));
    assert!(matches!(Answer::of(Err("gone".to_owned())), Answer::Refused(text) if text.contains("gone")));
}
