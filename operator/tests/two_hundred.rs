//! 200 RauthyClusters: what an operator that has nothing to do asks of the API server. The test bounds calls, not time; it
//! prints processor time and memory for docs/operator-scale.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
mod support;

use std::time::{Duration, Instant};

use front::Front;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use rauthy_operator::agents::{Access, AgentError, Agents, Report};
use rauthy_operator::controller;
use rauthy_operator::names::Names;
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest};
use rauthy_proto::cache::{ConfigurationStatus, MemberStatus, NodeStatus, Role};
use serde_json::json;
use support::{Api, Operator};

const CLUSTERS: usize = 200;
/// Seconds in which nothing happens. Time is not waited for: it jumps to what is due next.
const IDLE: u64 = 120;

/// All members of all clusters are well.
struct Well;

impl Agents for Well {
    fn ask<'a>(&'a self, access: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>> {
        let slot = |ordinal: i32| access.names.slot(ordinal, access.port);
        let report = |(ordinal, pod): (usize, &Pod)| {
            let me = i32::try_from(ordinal).unwrap();
            let member = |o: i32| MemberStatus {
                slot: slot(o),
                caught_up: true,
                learned: true,
                connected: true,
                me: o == me,
                ..MemberStatus::default()
            };
            let node = NodeStatus {
                slot: slot(me),
                ready: true,
                role: if me == 0 { Role::Leader } else { Role::Follower }.into(),
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
            Report { pod: pod.metadata.name.clone().unwrap(), answer: Ok(node) }
        };
        Box::pin(std::future::ready(pods.iter().enumerate().map(report).collect()))
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

fn clusters(api: &Api) -> Vec<Names> {
    let names: Vec<_> =
        (0..CLUSTERS).map(|n| Names::new(format!("team-{}", n % 20), format!("c{n}"))).collect();
    for Names { namespace, cluster } in &names {
        let path = format!("/apis/rauthy.dev/v1alpha1/namespaces/{namespace}/rauthyclusters/{cluster}");
        api.put(
            &path,
            json!({
                "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": {},
                "metadata": { "name": cluster, "namespace": namespace, "uid": format!("uid-{cluster}"), "generation": 1 },
            }),
        );
    }
    names
}

/// What the StatefulSets' controller makes.
fn pods(front: &Front, names: &[Names]) {
    for Names { namespace, cluster } in names {
        let set = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{cluster}");
        let set = front.api.get(&set).unwrap_or_else(|| panic!("{namespace}/{cluster} has no StatefulSet"));
        for ordinal in 0..3 {
            let mut metadata = set["spec"]["template"]["metadata"].clone();
            metadata["name"] = json!(format!("{cluster}-{ordinal}"));
            metadata["namespace"] = json!(namespace);
            let status =
                json!({ "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }] });
            let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status });
            let path = format!("/api/v1/namespaces/{namespace}/pods/{cluster}-{ordinal}");
            front.api.put(&path, pod);
            front.tell(&path, None);
        }
    }
}

/// Seconds of processor time of this process, and bytes that it holds.
fn usage() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let pages: u64 =
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (ticks / 100.0, pages * 4096)
}

#[tokio::test(start_paused = true)]
async fn an_idle_operator_of_200_clusters_lists_nothing_anew_and_writes_nothing() {
    let front = Front::of(Api::default(), None);
    let names = clusters(&front.api);
    let context = Operator::context(front.client(), Box::new(Well));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let metrics = context.clone();
    let began = Instant::now();
    let running = tokio::spawn(async move {
        let stop = async move { drop(stopped.await) };
        controller::run(context, &[], stop).await;
    });
    tokio::time::sleep(Duration::from_secs(15)).await;
    pods(&front, &names);
    tokio::time::sleep(Duration::from_secs(40)).await;
    let creation = front.calls();
    let lists = front.wide();
    println!("creation of {CLUSTERS}: {:?} of this machine's time", began.elapsed());
    // Each kind is listed once and watched from then on.
    assert!(lists.len() >= 14, "{lists:?}");
    assert!(lists.values().all(|times| *times == 1), "at the start: {lists:?}");
    let rounds = |text: String| -> f64 {
        let line =
            text.lines().find(|l| l.starts_with("rauthy_operator_reconciliation_seconds_count")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (before, processor) = (rounds(metrics.metrics.text().unwrap()), usage().0);
    front.api.writes();

    tokio::time::sleep(Duration::from_secs(IDLE)).await;
    let (calls, wide) = (front.calls(), front.wide());
    let (now, memory) = usage();
    let rounds = rounds(metrics.metrics.text().unwrap()) - before;
    let all: usize = calls.values().sum();
    println!(
        "{IDLE} s without news: {rounds} rounds ({:.1}/s), {all} requests ({:.1} a round)",
        rounds / IDLE as f64,
        all as f64 / rounds
    );
    println!(
        "processor: {:.2} s, mock API server included; memory of the process: {} MiB",
        now - processor,
        memory >> 20
    );
    println!("by request: {calls:?}");
    println!("at the creation: {creation:?}");
    assert_eq!(front.api.writes(), Vec::<String>::new(), "nothing happened");
    assert!(wide.is_empty(), "listed or watched again over all namespaces: {wide:?}");
    // Every cluster is looked at every 15 s, and not more.
    let expected = (CLUSTERS as u64 * IDLE / 15) as f64;
    assert!(rounds <= expected * 1.1 && rounds >= expected * 0.8, "{rounds} rounds, {expected} are due");
    // A round reads the cluster and its objects one by one, and lists the pods of its cluster.
    assert!(all as f64 <= rounds * 12.0, "{all} requests in {rounds} rounds");
    let lists: usize = calls.iter().filter(|((_, _, verb), _)| verb == "list").map(|(_, times)| times).sum();
    assert!(lists as f64 <= rounds, "{lists} lists in {rounds} rounds");
    let _ = stop.send(());
    running.await.unwrap();
}
