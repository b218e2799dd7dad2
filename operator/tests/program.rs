//! The operator's program as Kubernetes runs it: its probes and metrics, the Lease, its end; and what it prints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use front::Front;
use serde_json::{Value, json};
use support::{Api, CA, HOSTS, STATEFULSET, TOKEN};
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, front) = (listener.local_addr().unwrap(), front.clone());
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let front = front.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            front.serve(&head.method, &head.uri, &head.headers, &body).map(axum::body::Body::new)
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
