//! The client against a real agent in this process: restarts, a socket that comes late, connections that break, watches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rauthy_agent::config::Config;
use rauthy_agent::runtime::{self, Running};
use rauthy_agent::serve;
use rauthy_client::{Change, Client, Condition, Error, PutOptions, Removal, WatchOptions};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// A single node. Its data ends with it, as that of a cluster whose members all restart.
struct Agent {
    running: Running,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Agent {
    async fn start(path: &Path) -> Self {
        let listen = format!("unix://{}", path.display());
        let env = |name: &str| (name == "CACHE_LISTEN").then(|| listen.clone());
        let config = Config::from(&env, "host", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let listen = config.listen.clone();
        let (handle, running) = runtime::start(config).await.unwrap();
        let stop = CancellationToken::new();
        let served = serve::cache(listen, handle, stop.clone().cancelled_owned());
        let server = tokio::spawn(async move { served.await.unwrap() });
        Self { running, stop, server }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap();
        self.running.shutdown().await;
    }
}

fn setup() -> (tempfile::TempDir, PathBuf, Client) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.sock");
    (dir, path.clone(), client(&path))
}

fn client(path: &Path) -> Client {
    Client::new(&format!("unix://{}", path.display())).unwrap().with_deadline(PATIENCE)
}

/// Passes connections on to the agent, and cuts them off: after a request has arrived there, before its answer is back.
struct Cutter {
    /// Answers are held back and their connection ends.
    cut: Arc<AtomicBool>,
    /// So many connections ended that way.
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    fn start(path: &Path, agent: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let cutter = Self { cut: Arc::default(), cuts: Arc::default() };
        let (cut, cuts, agent) = (cutter.cut.clone(), cutter.cuts.clone(), agent.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (cut, cuts) = (cut.clone(), cuts.clone());
                let agent = UnixStream::connect(&agent).await.unwrap();
                tokio::spawn(pass(client, agent, cut, cuts));
            }
        });
        cutter
    }
}

async fn pass(client: UnixStream, agent: UnixStream, cut: Arc<AtomicBool>, cuts: Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_agent, mut to_agent) = agent.into_split();
    let there = async { tokio::io::copy(&mut from_client, &mut to_agent).await.map(|_| ()) };
    let back = async {
        let mut buffer = vec![0; 1 << 16];
        // Bytes since the cut was asked for: what is small answers nothing yet (settings, acknowledged frames).
        let mut seen = 0;
        loop {
            let n = from_agent.read(&mut buffer).await?;
            if n == 0 {
                return Ok::<_, std::io::Error>(());
            }
            if cut.load(Ordering::SeqCst) {
                seen += n;
                if seen > 60 && cut.swap(false, Ordering::SeqCst) {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
            }
            to_client.write_all(&buffer[..n]).await?;
        }
    };
    tokio::select! {
        _ = there => {}
        _ = back => {}
    }
}

#[tokio::test]
async fn a_socket_that_comes_late_and_an_agent_that_restarts() {
    let (_dir, path, client) = setup();
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.put("c", "k", "v", PutOptions::default()).await }
    });
    // It is on its way before anybody listens.
    tokio::task::yield_now().await;
    let agent = Agent::start(&path).await;
    early.await.unwrap().unwrap();
    assert_eq!(client.get("c", "k").await.unwrap().unwrap().value, "v");
    agent.stop().await;
    let between = tokio::spawn({
        let client = client.clone();
        async move { client.get("c", "k").await }
    });
    tokio::task::yield_now().await;
    let agent = Agent::start(&path).await;
    assert_eq!(between.await.unwrap(), Ok(None), "a single node begins anew");
    // The writer of the first life is gone, which no caller notices.
    assert_eq!(client.increment("c", "n", 1, PutOptions::default()).await, Ok(1));
    assert_eq!(client.increment("c", "n", 1, PutOptions::default()).await, Ok(2));
    agent.stop().await;
}

#[tokio::test]
async fn a_write_whose_connection_breaks_is_done_once() {
    let (dir, path, direct) = setup();
    let agent = Agent::start(&path).await;
    direct.put("c", "ready", "", PutOptions::default()).await.unwrap();
    let front = dir.path().join("front.sock");
    let cutter = Cutter::start(&front, &path);
    let client = client(&front);
    let mut wanted = 0;
    for by in 1..=20 {
        cutter.cut.store(by % 2 == 0, Ordering::SeqCst);
        wanted += by;
        let sum = timeout(PATIENCE, client.increment("c", "n", by, PutOptions::default())).await;
        assert_eq!(sum.expect("it is never answered"), Ok(wanted), "adding {by}");
    }
    assert_eq!(direct.get("c", "n").await.unwrap().unwrap().value, wanted.to_string());
    let cuts = cutter.cuts.load(Ordering::SeqCst);
    assert!(cuts >= 5, "only {cuts} answers were cut off");

    // Without request ids nobody can know.
    let client = client.without_retries();
    let outcome = loop {
        cutter.cut.store(true, Ordering::SeqCst);
        match client.increment("c", "n", 1, PutOptions::default()).await {
            Err(error) => break error,
            Ok(_) => continue,
        }
    };
    assert_eq!(outcome, Error::UnknownOutcome);
    agent.stop().await;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    user: String,
    roles: BTreeMap<String, bool>,
}

#[tokio::test]
async fn typed_values() {
    let (_dir, path, client) = setup();
    let agent = Agent::start(&path).await;
    let logins = client.clone().session().cache::<Login>("logins").with_ttl(Duration::from_secs(60));
    let alice = Login { user: "alice".into(), roles: [("admin".into(), true)].into() };
    let version = logins.put("a", &alice).await.unwrap();
    let found = logins.get_versioned("a").await.unwrap().unwrap();
    assert_eq!((&found.value, found.version), (&alice, version));
    let bob = Login { user: "bob".into(), ..alice.clone() };
    let unmet = logins.put_if("a", &bob, Condition::Absent).await;
    assert_eq!(unmet, Err(Error::Version { version: Some(version) }));
    logins.put_if("a", &bob, Condition::Version(version)).await.unwrap();
    assert_eq!(logins.get_linearizable("a").await.unwrap().as_ref(), Some(&bob));
    assert_eq!(logins.take("a").await.unwrap(), Some(bob));
    assert_eq!(logins.take("a").await.unwrap(), None);
    let numbers = client.cache::<u64>("logins");
    numbers.put("n", &7).await.unwrap();
    let error = logins.get("n").await.unwrap_err();
    assert!(matches!(error, Error::Codec { .. }), "{error:?}");
    assert_eq!((numbers.delete("n").await, numbers.get("n").await), (Ok(true), Ok(None)));
    agent.stop().await;
}

/// The next change, or what is wrong.
async fn next(watch: &mut rauthy_client::Watch) -> Change {
    timeout(PATIENCE, watch.next()).await.expect("no change comes").expect("it has ended").unwrap().change
}

fn put(key: &'static str, value: &'static str) -> impl Fn(&Change) -> bool {
    move |change| matches!(change, Change::Put { key: k, value: Some(v), .. } if k == key && v == value)
}

#[tokio::test]
async fn a_watch_goes_on_after_its_connection_broke_and_tells_what_it_missed() {
    let (dir, path, direct) = setup();
    let agent = Agent::start(&path).await;
    direct.put("c", "before", "1", PutOptions::default()).await.unwrap();
    let front = dir.path().join("front.sock");
    let cutter = Cutter::start(&front, &path);
    let options = WatchOptions { cache: "c".into(), values: true, ..WatchOptions::default() };
    let mut watch = client(&front).watch(options.clone()).await.unwrap();
    let write = async |key: &'static str, value: &'static str| {
        direct.put("c", key, value, PutOptions::default()).await.unwrap();
    };
    write("a", "1").await;
    let first = next(&mut watch).await;
    assert!(put("a", "1")(&first), "{first:?}");
    let position = watch.position();

    // The connection breaks with the next change; all of them come nevertheless, once each.
    cutter.cut.store(true, Ordering::SeqCst);
    for (key, value) in [("b", "1"), ("b", "2"), ("c", "3")] {
        write(key, value).await;
        let change = next(&mut watch).await;
        assert!(put(key, value)(&change), "{change:?}");
    }
    direct.delete("c", "b", rauthy_client::AckLevel::Quorum).await.unwrap();
    let removed = next(&mut watch).await;
    assert!(matches!(removed, Change::Removed { why: Removal::Deleted, .. }), "{removed:?}");
    assert_eq!(cutter.cuts.load(Ordering::SeqCst), 1, "the connection never broke");

    // Another one goes on from where the first was.
    let after = WatchOptions { after: position, ..options };
    let mut late = direct.watch(after).await.unwrap();
    let change = next(&mut late).await;
    assert!(put("b", "1")(&change), "{change:?}");

    // An agent that begins anew has other data: both are told so before anything else.
    agent.stop().await;
    let agent = Agent::start(&path).await;
    for watch in [&mut watch, &mut late] {
        loop {
            let change = next(watch).await;
            if matches!(change, Change::Gap | Change::Gone) {
                break;
            }
            assert!(!put("new", "1")(&change), "nothing was said to be lost");
        }
    }
    write("new", "1").await;
    for watch in [&mut watch, &mut late] {
        while !put("new", "1")(&next(watch).await) {}
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_session_says_once_that_its_data_is_gone() {
    let (_dir, path, client) = setup();
    let client = client.session();
    let agent = Agent::start(&path).await;
    client.put("c", "k", "v", PutOptions::default()).await.unwrap();
    agent.stop().await;
    let agent = Agent::start(&path).await;
    assert_eq!(client.get("c", "k").await, Err(Error::Gap));
    assert_eq!(client.get("c", "k").await, Ok(None));
    agent.stop().await;
}

#[tokio::test]
async fn many_calls_share_one_stream_and_each_gets_its_own_answer() {
    let (_dir, path, client) = setup();
    let client = client.pipelined();
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.put("c", "early", "v", PutOptions::default()).await }
    });
    tokio::task::yield_now().await;
    let agent = Agent::start(&path).await;
    early.await.unwrap().unwrap();

    let each = |n: usize| {
        let client = client.clone().session();
        async move {
            let (key, value) = (n.to_string(), format!("value {n}"));
            let version = client.put("c", key.clone(), value.clone(), PutOptions::default()).await?;
            let found = client.get("c", key.clone()).await?.expect("it was written before");
            assert_eq!((&*found.value, found.version), (value.as_bytes(), version));
            let taken = client.take("c", key, rauthy_client::AckLevel::Quorum).await?;
            assert_eq!(taken.as_deref(), Some(value.as_bytes()));
            Ok::<_, Error>(())
        }
    };
    let calls: Vec<_> = (0..3000).map(|n| tokio::spawn(each(n))).collect();
    for call in calls {
        timeout(PATIENCE, call).await.expect("a call is never answered").unwrap().unwrap();
    }
    let unmet = client.put_if("c", "early", "w", Condition::Absent, PutOptions::default()).await;
    assert!(matches!(unmet, Err(Error::Version { version: Some(_) })), "{unmet:?}");
    let text = client.increment("c", "early", 1, PutOptions::default()).await;
    assert_eq!(text, Err(Error::NotANumber));
    assert_eq!(client.status().await.unwrap().entries, 1);

    // The largest value there may be passes among small ones.
    let large = vec![7; rauthy_client::limits::VALUE];
    client.put("c", "large", large.clone(), PutOptions::default()).await.unwrap();
    let (found, small) = tokio::join!(client.get("c", "large"), client.get("c", "early"));
    assert_eq!(found.unwrap().unwrap().value, large);
    assert_eq!(small.unwrap().unwrap().value, "v");

    agent.stop().await;
    let impatient = client.clone().with_deadline(Duration::from_millis(300));
    let error = impatient.get("c", "early").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let agent = Agent::start(&path).await;
    assert_eq!(client.get("c", "early").await, Ok(None), "a single node begins anew");
    agent.stop().await;
}

#[tokio::test]
async fn writes_of_a_stream_that_breaks_are_done_once() {
    let (dir, path, direct) = setup();
    let agent = Agent::start(&path).await;
    direct.put("c", "ready", "", PutOptions::default()).await.unwrap();
    let front = dir.path().join("front.sock");
    let cutter = Cutter::start(&front, &path);
    let client = client(&front).pipelined();
    let mut sums = Vec::new();
    for _ in 0..10 {
        cutter.cut.store(true, Ordering::SeqCst);
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.increment("c", "n", 1, PutOptions::default()).await })
            })
            .collect();
        for call in calls {
            sums.push(timeout(PATIENCE, call).await.expect("a call is never answered").unwrap().unwrap());
        }
    }
    sums.sort_unstable();
    assert!(sums.iter().copied().eq(1..=500), "{sums:?}");
    let cuts = cutter.cuts.load(Ordering::SeqCst);
    assert!(cuts >= 5, "only {cuts} streams were cut off");
    agent.stop().await;
}
