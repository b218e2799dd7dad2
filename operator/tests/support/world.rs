//! A cluster whose Kubernetes and agents are in memory. They keep the rules of the protocol, and fail the test when the
//! operator breaks one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use rauthy_operator::agents::{Access, AgentError, Agents, Report};
use rauthy_proto::admin::size_refusal::Reason;
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest, SizeProgress, SizeRefusal, set_size_reply};
use rauthy_proto::cache::{ConfigurationStatus, MemberStatus, NodeStatus, Role};
use serde_json::{Value, json};

use super::{Api, HOSTS, Operator, PODS, STATEFULSET};

/// Rounds that a change may take.
pub const ROUNDS: usize = 60;

fn slot(ordinal: usize) -> String {
    format!("rauthy-{ordinal}.rauthy:8000")
}

/// The cluster's log, and what its members read from their volumes.
pub struct Log {
    epoch: u64,
    now: usize,
    /// Of a change that is under way.
    next: Option<usize>,
    /// Rounds until it is committed.
    left: u32,
    /// By pod.
    reads: BTreeMap<String, u64>,
    /// Pods that do not answer.
    pub dead: BTreeSet<String>,
    /// Nobody leads.
    pub lost: bool,
    /// Ordinal of the member that leads.
    pub leader: usize,
    /// Pods at the last look, with their uids.
    uids: BTreeMap<String, String>,
    /// Pods that somebody else deleted since then.
    taken_by_others: BTreeSet<String>,
    /// Number of pods that were ever created.
    created: u32,
    /// Uids of pods whose member holds everything.
    learned: BTreeSet<String>,
    /// Number of the generation: counted up when a quorum is lost.
    pub generation: u32,
    /// Requests to change the size.
    pub requests: Vec<SetSizeRequest>,
    /// Pods that were deleted, in this order, and who led then.
    pub replaced: Vec<(String, usize)>,
    /// Requests to give the leadership away.
    pub transfers: u32,
    /// The agents are older: they do not know such a request.
    pub old: bool,
}

#[derive(Clone)]
pub struct World {
    pub api: Api,
    pub log: Arc<Mutex<Log>>,
}

impl World {
    /// A cluster of this size that runs.
    pub async fn running(size: usize) -> Self {
        let api = Api::with(json!({ "replicas": size }));
        let log = Log {
            epoch: 0,
            now: size,
            next: None,
            left: 0,
            reads: BTreeMap::new(),
            dead: BTreeSet::new(),
            lost: false,
            leader: 0,
            uids: BTreeMap::new(),
            taken_by_others: BTreeSet::new(),
            created: 0,
            learned: BTreeSet::new(),
            generation: 0,
            requests: Vec::new(),
            replaced: Vec::new(),
            transfers: 0,
            old: false,
        };
        let world = Self { api, log: Arc::new(Mutex::new(log)) };
        world.operator().settle().await;
        world.controllers();
        world.operator().settle().await;
        world.api.writes();
        world
    }

    pub fn operator(&self) -> Operator {
        Operator::with_agents(&self.api, Box::new(self.clone()))
    }

    pub fn list(&self) -> Value {
        let map = self.api.get(HOSTS).expect("the host list");
        serde_json::from_str(map["data"]["hosts.json"].as_str().unwrap()).unwrap()
    }

    pub fn stage(&self) -> Option<String> {
        let map = self.api.get(HOSTS).expect("the host list");
        let change: Value =
            serde_json::from_str(map["metadata"]["annotations"]["rauthy.dev/size-change"].as_str()?).ok()?;
        Some(change["stage"].as_str()?.to_owned())
    }

    pub fn replicas(&self) -> usize {
        let set = self.api.get(STATEFULSET).unwrap();
        usize::try_from(set["spec"]["replicas"].as_u64().unwrap()).unwrap()
    }

    pub fn pods(&self) -> BTreeMap<String, String> {
        let all = self.api.owned();
        let pods =
            all.iter().filter_map(|(path, pod)| Some((path.strip_prefix(PODS)?.strip_prefix('/')?, pod)));
        pods.map(|(name, pod)| (name.to_owned(), pod["metadata"]["uid"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// What Kubernetes does between two rounds: pods come and go, and volumes show the list.
    pub fn controllers(&self) {
        if self.api.get(HOSTS).is_none() {
            return;
        }
        let wanted: BTreeSet<String> =
            (0..self.replicas()).map(|ordinal| format!("rauthy-{ordinal}")).collect();
        let there = self.pods();
        for name in there.keys().filter(|name| !wanted.contains(*name)) {
            let log = self.log.lock().unwrap();
            let ordinal: usize = name.trim_start_matches("rauthy-").parse().unwrap();
            let needed = ordinal < log.now || log.next.is_some_and(|next| ordinal < next);
            assert!(!needed, "{name} is removed while the log counts it");
            drop(log);
            self.api.remove(&format!("{PODS}/{name}"));
        }
        self.notice(&wanted, &there);
        for name in wanted.iter().filter(|name| !there.contains_key(*name)) {
            self.create(name);
        }
        // A volume shows the list when its pod is touched, or is new.
        let epoch = self.list()["epoch"].as_u64().unwrap();
        let mut log = self.log.lock().unwrap();
        for name in &wanted {
            let pod = self.api.get(&format!("{PODS}/{name}")).unwrap();
            let touched = pod["metadata"]["annotations"]["rauthy.dev/host-list"].as_str().unwrap_or_default();
            if !there.contains_key(name) || touched.starts_with(&format!("{epoch}.")) {
                log.reads.insert(name.clone(), epoch);
            }
        }
        if let Some(next) = log.next {
            log.left = log.left.saturating_sub(1);
            if log.left == 0 {
                (log.now, log.next, log.epoch) = (next, None, log.epoch + 1);
            }
        }
        log.uids = self.pods();
        self.elect(&mut log);
    }

    /// Judges the pods that were deleted since the last call.
    fn notice(&self, wanted: &BTreeSet<String>, there: &BTreeMap<String, String>) {
        let mut log = self.log.lock().unwrap();
        // Who lived until now has learned everything by now.
        let lived: Vec<(String, String)> = log
            .uids
            .iter()
            .filter(|(name, uid)| there.get(*name) == Some(uid))
            .map(|(name, uid)| (name.clone(), uid.clone()))
            .collect();
        let before = std::mem::take(&mut log.uids);
        let gone: Vec<_> = before
            .iter()
            .filter(|(name, uid)| wanted.contains(*name) && there.get(*name) != Some(uid))
            .collect();
        let strangers = std::mem::take(&mut log.taken_by_others);
        let ours: Vec<_> = gone.iter().filter(|(name, _)| !strangers.contains(*name)).collect();
        assert!(ours.len() <= 1, "more than one pod was deleted: {ours:?}");
        for (name, uid) in &ours {
            let ordinal: usize = name.trim_start_matches("rauthy-").parse().unwrap();
            let (leader, size) = (log.leader, log.now);
            log.replaced.push(((*name).clone(), leader));
            if !log.learned.contains(*uid) || ordinal >= size {
                continue;
            }
            for other in (0..size).filter(|other| *other != ordinal) {
                let uid = there.get(&format!("rauthy-{other}"));
                let well = self.lives(&log, other) && uid.is_some_and(|uid| log.learned.contains(uid));
                assert!(well, "{name} was deleted while rauthy-{other} holds no seat");
            }
            assert!(size < 3 || leader != ordinal || log.old, "the leader was deleted without a transfer");
        }
        let runs = |name: &str| self.lives(&log, name.trim_start_matches("rauthy-").parse().unwrap());
        log.learned = lived.into_iter().filter(|(name, _)| runs(name)).map(|(_, uid)| uid).collect();
    }

    /// A pod as the StatefulSet on the server makes it. An image whose name has `bad` in it never runs.
    fn create(&self, name: &str) {
        let set = self.api.get(STATEFULSET).unwrap();
        let template = &set["spec"]["template"];
        let mut lives = self.log.lock().unwrap();
        lives.created += 1;
        let bad = |container: &Value| container["image"].as_str().is_some_and(|image| image.contains("bad"));
        let containers = |key: &str| template["spec"][key].as_array().cloned().unwrap_or_default();
        let status = |container: &Value| {
            let state = match bad(container) {
                true => json!({ "waiting": { "reason": "ErrImagePull", "message": "no such image" } }),
                false => json!({ "running": {} }),
            };
            json!({
                "name": container["name"], "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": state,
            })
        };
        let (init, main) = (containers("initContainers"), containers("containers"));
        let ready = if init.iter().chain(&main).any(bad) { "False" } else { "True" };
        self.api.put(
            &format!("{PODS}/{name}"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": "idm", "uid": format!("uid-{}-of-{name}", lives.created),
                    "annotations": template["metadata"]["annotations"],
                },
                "spec": template["spec"],
                "status": {
                    "podIP": "127.0.0.1", "conditions": [{ "type": "Ready", "status": ready }],
                    "initContainerStatuses": init.iter().map(status).collect::<Vec<_>>(),
                    "containerStatuses": main.iter().map(status).collect::<Vec<_>>(),
                },
            }),
        );
    }

    /// Somebody leads who lives and has everything; without a quorum of such the data is gone.
    fn elect(&self, log: &mut Log) {
        let all = log.now;
        let whole = |log: &Log, ordinal: usize| {
            let uid = log.uids.get(&format!("rauthy-{ordinal}"));
            ordinal < all && self.lives(log, ordinal) && uid.is_some_and(|uid| log.learned.contains(uid))
        };
        let seated: Vec<usize> = (0..all).filter(|ordinal| whole(log, *ordinal)).collect();
        if seated.len() > all / 2 {
            if !seated.contains(&log.leader) {
                log.leader = seated[0];
            }
            return;
        }
        let living: Vec<usize> = (0..all).filter(|ordinal| self.lives(log, *ordinal)).collect();
        if living.len() > all / 2 {
            log.generation += 1;
            log.leader = living[0];
            log.learned = log.uids.values().cloned().collect();
        }
    }

    /// Deletes a pod as somebody else would: a person, or a node that dies.
    pub fn lose(&self, name: &str) {
        self.api.remove(&format!("{PODS}/{name}"));
        self.log.lock().unwrap().taken_by_others.insert(name.to_owned());
    }

    /// Whether all pods are of the template that the StatefulSet has now.
    pub fn is_rolled(&self) -> bool {
        let set = self.api.get(STATEFULSET).unwrap();
        let wanted = &set["spec"]["template"]["metadata"]["annotations"];
        let current = |name: &String| {
            let pod = self.api.get(&format!("{PODS}/{name}")).unwrap();
            let annotations = &pod["metadata"]["annotations"];
            ["rauthy.dev/template-hash", "kubectl.kubernetes.io/restartedAt"]
                .iter()
                .all(|key| annotations[key] == wanted[key])
        };
        let pods = self.pods();
        pods.len() == self.replicas() && pods.keys().all(current)
    }

    /// Rounds and controllers until all pods are of the newest template and the operator says so.
    pub async fn roll(&self, operator: &Operator) {
        for _ in 0..ROUNDS {
            let _ = operator.round().await;
            let rolled = self.is_rolled();
            self.controllers();
            if rolled && self.api.condition("Progressing").1 == "Complete" {
                return;
            }
        }
        panic!("not rolled after {ROUNDS} rounds: {:?}", self.api.condition("Progressing"));
    }

    /// Rounds and controllers until the size is `size` and nothing changes any more.
    pub async fn reach(&self, operator: &Operator, size: usize) {
        for _ in 0..ROUNDS {
            // A round that fails is tried again.
            let _ = operator.round().await;
            self.controllers();
            if self.at(size) {
                return;
            }
        }
        panic!(
            "not {size} members after {ROUNDS} rounds: {}, stage {:?}, {:?}",
            self.list(),
            self.stage(),
            self.blocked()
        );
    }

    pub fn at(&self, size: usize) -> bool {
        if self.api.get(HOSTS).is_none() {
            return false;
        }
        let (list, log) = (self.list(), self.log.lock().unwrap());
        let rests = list["next"].is_null() && self.stage().is_none() && log.next.is_none();
        rests
            && list["now"].as_array().unwrap().len() == size
            && (log.now, log.epoch) == (size, list["epoch"].as_u64().unwrap())
            && self.pods().len() == size
    }

    pub fn blocked(&self) -> (String, String, String) {
        self.api.condition("ScalingBlocked")
    }

    fn judge(&self, wanted: &SetSizeRequest) -> SetSizeReply {
        let (list, stage) = (self.list(), self.stage());
        let mut log = self.log.lock().unwrap();
        log.requests.push(wanted.clone());
        let sizes = (wanted.now.len(), Some(wanted.next.len()).filter(|next| *next > 0));
        if let (_, Some(_)) = sizes {
            assert_eq!(stage.as_deref(), Some("committing"), "rule 3f: it is written down before it is sent");
        }
        assert_eq!(list["epoch"], wanted.epoch, "a change is known by its number");
        let refuse = |reason: Reason| {
            let refusal = SizeRefusal {
                reason: reason.into(),
                message: format!("{reason:?}"),
                ..SizeRefusal::default()
            };
            SetSizeReply { result: Some(set_size_reply::Result::Refusal(refusal)) }
        };
        let progress =
            |p: SizeProgress| SetSizeReply { result: Some(set_size_reply::Result::Progress(p.into())) };
        let ends_with = sizes.1.unwrap_or(sizes.0);
        let last = wanted.epoch + u64::from(sizes.1.is_some());
        if log.next.is_none() && log.now == ends_with && log.epoch >= last {
            return progress(SizeProgress::Done);
        }
        if log.next.is_some() {
            return progress(SizeProgress::UnderWay);
        }
        let readers =
            (0..sizes.0).filter(|o| log.reads.get(&format!("rauthy-{o}")) >= Some(&wanted.epoch)).count();
        if readers <= sizes.0 / 2 {
            return refuse(Reason::Unconfirmed);
        }
        match sizes.1 {
            Some(next) if log.now == sizes.0 && log.epoch + 1 == wanted.epoch => {
                let learned = (0..next).filter(|o| self.lives(&log, *o)).count();
                if learned <= next / 2 {
                    return refuse(Reason::NotCaughtUp);
                }
                (log.epoch, log.next, log.left) = (wanted.epoch, Some(next), 2);
                progress(SizeProgress::Preparing)
            }
            None if log.now == sizes.0 && log.epoch < wanted.epoch => {
                log.epoch = wanted.epoch;
                progress(SizeProgress::Preparing)
            }
            _ => refuse(Reason::OtherConfiguration),
        }
    }

    fn lives(&self, log: &Log, ordinal: usize) -> bool {
        let name = format!("rauthy-{ordinal}");
        let Some(pod) = self.api.get(&format!("{PODS}/{name}")) else { return false };
        let containers = ["initContainerStatuses", "containerStatuses"].map(|key| pod["status"][key].clone());
        let mut all = containers.iter().flat_map(|list| list.as_array().into_iter().flatten());
        let runs =
            all.any(|container| container["name"] == "agent" && container["state"]["running"].is_object());
        runs && !log.dead.contains(&name)
    }
}

impl Agents for World {
    fn ask<'a>(&'a self, _: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>> {
        Box::pin(async move {
            let log = self.log.lock().unwrap();
            let report = |pod: &Pod| {
                let name = pod.metadata.name.clone().unwrap();
                let ordinal: usize = name.trim_start_matches("rauthy-").parse().unwrap();
                if !self.lives(&log, ordinal) {
                    return Report { pod: name, answer: Err("no answer within 2 s".to_owned()) };
                }
                let all = pods.len();
                let has_seat = |other: usize| {
                    let uid = log.uids.get(&format!("rauthy-{other}"));
                    self.lives(&log, other) && uid.is_some_and(|uid| log.learned.contains(uid))
                };
                let members = (0..all).map(|other| MemberStatus {
                    slot: slot(other),
                    me: other == ordinal,
                    connected: other != ordinal,
                    caught_up: other < log.now && has_seat(other),
                    learned: other >= log.now && has_seat(other),
                    ..MemberStatus::default()
                });
                let node = NodeStatus {
                    slot: slot(ordinal),
                    role: match () {
                        () if log.lost => Role::Candidate,
                        () if ordinal == log.leader => Role::Leader,
                        () if has_seat(ordinal) => Role::Follower,
                        () => Role::Learner,
                    }
                    .into(),
                    generation: format!("g{}", log.generation),
                    term: 2,
                    leader: if log.lost { String::new() } else { slot(log.leader) },
                    ready: ordinal < log.now && !log.lost && has_seat(ordinal),
                    host_epoch: log.reads.get(&name).copied().unwrap_or(0),
                    configuration: Some(ConfigurationStatus {
                        epoch: log.epoch,
                        now: (0..log.now).map(slot).collect(),
                        next: log.next.map(|next| (0..next).map(slot).collect()).unwrap_or_default(),
                        resizing: log.next.is_some(),
                    }),
                    members: members.collect(),
                    ..NodeStatus::default()
                };
                Report { pod: name, answer: Ok(node) }
            };
            pods.iter().map(report).collect()
        })
    }

    fn set_size<'a>(
        &'a self,
        _: &'a Access,
        pod: &'a Pod,
        change: SetSizeRequest,
    ) -> BoxFuture<'a, Result<SetSizeReply, AgentError>> {
        Box::pin(async move {
            let leader = format!("rauthy-{}", self.log.lock().unwrap().leader);
            assert_eq!(pod.metadata.name.as_deref(), Some(leader.as_str()), "only the leader is asked");
            Ok(self.judge(&change))
        })
    }

    fn transfer<'a>(&'a self, _: &'a Access, pod: &'a Pod) -> BoxFuture<'a, Result<bool, AgentError>> {
        Box::pin(async move {
            let mut log = self.log.lock().unwrap();
            if log.old {
                return Err(AgentError::Unable("this agent does not know such a request".to_owned()));
            }
            log.transfers += 1;
            assert_eq!(pod.metadata.name, Some(format!("rauthy-{}", log.leader)), "only the leader is asked");
            // The first request is not enough.
            if log.transfers % 2 == 1 {
                return Ok(true);
            }
            log.leader = (log.leader + 1) % log.now;
            Ok(false)
        })
    }
}
