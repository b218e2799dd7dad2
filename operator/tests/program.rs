//! The operator's program as Kubernetes runs it: its probes and metrics, the Lease, its end; and what it prints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use front::Front;
use serde_json::{Value, json};
use support::{Api, CA, CLUSTER, HOSTS, STATEFULSET, TOKEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/rauthy-operator";
/// A state that does not come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(90);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rauthy-operator"))
}

/// An API server on a port of this machine.
async fn listen(front: &Front) -> SocketAddr {
    listen_but(front, |_| None).await
}

/// The same, but for requests that are answered with this instead.
async fn listen_but(
    front: &Front,
    instead: impl Fn(&str) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, front) = (listener.local_addr().unwrap(), front.clone());
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let (front, instead) = (front.clone(), instead.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            instead(&format!("{} {}", head.method, head.uri.path()))
                .unwrap_or_else(|| front.serve(&head.method, &head.uri, &head.headers, &body).map(Body::new))
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A port that is free, or was a moment ago.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A running operator; it ends with the test.
struct Running {
    child: Child,
    probes: SocketAddr,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    async fn start(id: &str, server: SocketAddr, failpoint: &str) -> Self {
        let probes = free().await;
        let folder =
            std::env::temp_dir().join(format!("rauthy-operator-{}-{}", std::process::id(), probes.port()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{server}") } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        });
        let file = folder.join("kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = program()
            .args(["run", "--namespace", "ops", "--agent-image", "agent:1", "--id", id])
            .args(["--probes", &probes.to_string()])
            .env("KUBECONFIG", &file)
            .env("FAILPOINT", failpoint)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, probes, folder }
    }

    /// Status and body of a request to the probes; none while nobody answers.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.probes).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let code = text.split(' ').nth(1)?.parse().ok()?;
        Some((code, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    async fn code(&self, path: &str) -> Option<u16> {
        self.get(path).await.map(|(code, _)| code)
    }

    async fn metrics(&self) -> String {
        self.get("/metrics").await.unwrap_or_default().1
    }

    fn terminate(&self) {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    async fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("it ends", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        ended.unwrap()
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn holder(api: &Api) -> String {
    api.get(LEASE)
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[tokio::test]
async fn one_acts_the_other_is_ready_and_a_lease_is_given_back_at_the_end() {
    let front = Front::of(Api::with(json!({})), None);
    let (api, server) = (front.api.clone(), listen(&front).await);
    let mut first = Running::start("first", server, "").await;
    eventually("the first one acts", async || api.get(STATEFULSET).is_some()).await;
    assert_eq!(holder(&api), "first");
    let second = Running::start("second", server, "").await;
    eventually("the second one is ready", async || second.code("/readyz").await == Some(200)).await;
    for one in [&first, &second] {
        assert_eq!(one.get("/livez").await, Some((200, "ok".to_owned())));
        assert_eq!(one.get("/readyz").await, Some((200, "ok".to_owned())));
        assert_eq!(one.code("/elsewhere").await, Some(404));
    }
    let (acts, waits) = (first.metrics().await, second.metrics().await);
    assert!(
        acts.contains("rauthy_operator_leading 1") && waits.contains("rauthy_operator_leading 0"),
        "{acts}\n{waits}"
    );
    assert!(acts.contains("rauthy_operator_reconciliations_total{result=\"ok\"}"), "{acts}");
    assert!(acts.contains("rauthy_operator_cluster_members{namespace=\"idm\",name=\"rauthy\"} 3"), "{acts}");
    assert!(acts.trim_end().ends_with("# EOF") && waits.trim_end().ends_with("# EOF"));

    // Who is told to end gives the Lease back: nobody has to wait until it is over.
    let renewals = || api.get(LEASE).unwrap()["spec"]["leaseTransitions"].clone();
    let before = renewals();
    first.terminate();
    assert!(first.end().await.success(), "a graceful end is none to worry about");
    let given_back = api.writes().iter().filter(|write| *write == &format!("PUT {LEASE}")).count();
    assert!(given_back > 0);
    eventually("the second one acts", async || holder(&api) == "second").await;
    assert_ne!(renewals(), before);
    api.remove(HOSTS);
    front.tell(HOSTS, Some(json!({ "metadata": { "labels": {} } })));
    eventually("it does the work", async || api.get(HOSTS).is_some()).await;
    let metrics = second.metrics().await;
    assert!(metrics.contains("rauthy_operator_leading 1"), "{metrics}");
}

#[tokio::test]
async fn a_lease_that_was_given_back_is_free_at_once() {
    let front = Front::of(Api::with(json!({})), None);
    let (api, server) = (front.api.clone(), listen(&front).await);
    let mut only = Running::start("only", server, "").await;
    eventually("it acts", async || api.get(STATEFULSET).is_some()).await;
    only.terminate();
    assert!(only.end().await.success());
    assert_eq!(holder(&api), "", "nobody holds it");
}

#[tokio::test]
async fn without_an_api_server_it_lives_and_is_not_ready() {
    let mut lonely = Running::start("lonely", free().await, "").await;
    eventually("it lives", async || lonely.code("/livez").await == Some(200)).await;
    let (code, text) = lonely.get("/readyz").await.unwrap();
    assert_eq!(code, 503);
    assert!(text.contains("the API server does not answer"), "{text}");
    assert_eq!(lonely.code("/metrics").await, Some(200));
    lonely.terminate();
    lonely.end().await;
}

#[tokio::test]
async fn it_ends_by_a_signal_at_its_failpoint_and_the_next_one_finishes() {
    use std::os::unix::process::ExitStatusExt;

    let front = Front::of(Api::with(json!({})), None);
    let (api, server) = (front.api.clone(), listen(&front).await);
    let mut doomed = Running::start("doomed", server, "ca-made").await;
    let end = doomed.end().await;
    assert!(end.signal().is_some(), "{end}");
    let (token, ca) = (api.get(TOKEN).unwrap()["data"].clone(), api.get(CA).unwrap()["data"].clone());
    assert_eq!(api.get(STATEFULSET), None);
    assert_eq!(holder(&api), "doomed", "it gave nothing back");
    let next = Running::start("next", server, "").await;
    eventually("the next one finishes", async || api.get(STATEFULSET).is_some()).await;
    assert_eq!((&api.get(TOKEN).unwrap()["data"], &api.get(CA).unwrap()["data"]), (&token, &ca));
    drop(next);

    let mut wrong = Running::start("wrong", server, "nowhere").await;
    assert!(!wrong.end().await.success());
}

#[tokio::test]
async fn with_a_folder_it_ends_at_each_of_its_failpoints_once_however_often_it_is_started() {
    let front = Front::of(Api::with(json!({})), None);
    let (api, server) = (front.api.clone(), listen(&front).await);
    let places = ["token-made", "ca-made", "certificate-made", "hosts-written"];
    let folder = std::env::temp_dir().join(format!("rauthy-passed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let failpoint = format!("{}:{}", places.join(","), folder.display());
    for place in places {
        assert!(!folder.join(place).exists() && api.get(STATEFULSET).is_none(), "{place}");
        let mut doomed = Running::start("again", server, &failpoint).await;
        assert!(!doomed.end().await.success());
        assert!(folder.join(place).exists(), "it did not end at {place}");
    }
    let last = Running::start("again", server, &failpoint).await;
    eventually("it finishes", async || api.get(STATEFULSET).is_some()).await;
    drop(last);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A write that the API server has no time for is sent once in a round: what the library sends again by itself has passed
/// the fence long before, when this operator held the Lease.
#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_in_another_round_and_not_before() {
    let patch = format!("PATCH {STATEFULSET}");
    let story = async |code: u16, after: Option<u64>| {
        let (seen, refuses) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let front = Front::of(Api::with(json!({})), None);
        let instead = {
            let (seen, refuses, refused) = (seen.clone(), refuses.clone(), patch.clone());
            move |request: &str| {
                seen.lock().unwrap().push((Instant::now(), request.to_owned()));
                let mut answer = Response::builder().status(code);
                if let Some(seconds) = after {
                    answer = answer.header("Retry-After", seconds);
                }
                let now = refuses.load(Ordering::Relaxed) && request == refused;
                now.then(|| answer.body(Body::from("{}")).unwrap())
            }
        };
        let server = listen_but(&front, instead).await;
        let running = Running::start("only", server, "").await;
        let made = || front.api.get(CLUSTER).unwrap()["status"]["conditions"].is_array();
        eventually("the cluster is made", async || made()).await;
        // Another template; what was begun before has time to end.
        tokio::time::sleep(Duration::from_secs(1)).await;
        refuses.store(true, Ordering::Relaxed);
        let before = front.api.get(CLUSTER);
        front.api.edit(|spec| spec["agent"] = json!({ "image": "agent:2" }));
        seen.lock().unwrap().clear();
        front.tell(CLUSTER, before);
        let attempts = || {
            let seen = seen.lock().unwrap();
            (0..seen.len()).filter(|at| seen[*at].1 == patch).collect::<Vec<_>>()
        };
        eventually("three attempts", async || attempts().len() >= 3).await;
        drop(running);
        let (attempts, seen) = (attempts(), seen.lock().unwrap());
        for pair in attempts.windows(2) {
            let rounds = seen[pair[0]..pair[1]].iter().filter(|(_, what)| *what == format!("GET {CLUSTER}"));
            let (rounds, waited) = (rounds.count(), seen[pair[1]].0 - seen[pair[0]].0);
            println!("{code}, Retry-After {after:?}: again after {waited:?}");
            assert_eq!(rounds, 1, "{code}, {after:?}: sent again after {waited:?}");
            // A failure is followed by a second at least, but for a fifth.
            let least = after.map_or(Duration::from_millis(800), Duration::from_secs);
            assert!(
                waited >= least - Duration::from_millis(50),
                "{code}, {after:?}: sent again after {waited:?}"
            );
        }
    };
    let stories = [(429, None), (503, None), (504, None), (429, Some(4)), (503, Some(4))];
    futures::future::join_all(stories.map(|(code, after)| story(code, after))).await;
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn it_prints_the_definition_and_what_each_example_would_get() {
    let output = program().arg("crd").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let file = std::fs::read_to_string(root().join("crds/rauthyclusters.yaml")).unwrap();
    let parse = |yaml: &str| -> Value { serde_yaml::from_str(yaml).unwrap() };
    assert_eq!(parse(&String::from_utf8(output.stdout).unwrap()), parse(&file));

    let mut examples = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        examples += 1;
        let output = program().args(["render", "-f"]).arg(&path).output().unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{}: {said}", path.display());
        assert!(said.contains("kind: StatefulSet"), "{}", path.display());
    }
    assert!(examples >= 8, "{examples} examples");
    for (arguments, words) in [
        (vec!["render", "-f", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (vec!["render", "-f", "Cargo.toml"], "is not a RauthyCluster"),
    ] {
        let output = program().args(&arguments).current_dir(root()).output().unwrap();
        assert!(
            !output.status.success() && text(&output).contains(words),
            "{arguments:?}: {}",
            text(&output)
        );
    }
}
