//! The cache inside an application: whole nodes in this process, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod direct;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rauthy_agent::embedded::{
    AckLevel, Cache, Changed, Condition, Config, Error, Filter, Health, Limits, PutOptions, Quorum, Removal,
    StartError, Typed, Watched, Watcher,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(60);

/// A port that nobody uses, below those that the system gives to outgoing connections: one of these could take it
/// while its node is down.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Two test programs that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(71) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(place % 20_000).unwrap();
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

async fn alone() -> Cache {
    let cache = Cache::start(Config::builder().single().build().unwrap()).await.unwrap();
    cache.ready(DEADLINE).await.unwrap();
    cache
}

struct Members(Vec<u16>);

impl Members {
    fn new(size: usize) -> Self {
        Self((0..size).map(|_| port()).collect())
    }

    async fn start(&self, member: usize) -> Cache {
        let all = self.0.iter().map(|port| format!("http://localhost:{port}"));
        let me = format!("localhost:{}", self.0[member]);
        let config = Config::builder().cluster(all).me(&me).token("0123456789abcdef").without_tls();
        let config = config.invalidate_after(Duration::from_secs(3));
        let cache = Cache::start(config.build().unwrap()).await.unwrap();
        assert_eq!(cache.slot(), me);
        cache
    }

    async fn start_all(&self) -> Vec<Cache> {
        let mut all = Vec::new();
        for member in 0..self.0.len() {
            all.push(self.start(member).await);
        }
        for cache in &all {
            until(cache, "full", |h| h.quorum == Quorum::Full).await;
        }
        all
    }
}

/// Waits until this holds for what a node says of its health.
async fn until(cache: &Cache, what: &str, holds: impl FnMut(&Health) -> bool) -> Health {
    let mut health = cache.health();
    let found = tokio::time::timeout(DEADLINE, health.wait_for(holds)).await;
    match found {
        Ok(found) => found.unwrap().clone(),
        Err(_) => panic!("{} is not {what}: {:?}, {:#?}", cache.slot(), cache.health(), cache.status().await),
    }
}

/// Tries again until there is a result that is no error.
async fn eventually<T, F: Future<Output = Result<T, Error>>>(mut attempt: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match attempt().await {
            Ok(result) => return result,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    user: String,
    times: u32,
}

fn login(user: &str, times: u32) -> Login {
    Login { user: user.into(), times }
}

#[tokio::test]
async fn typed_values_are_stored_and_taken() {
    let cache = alone().await;
    let logins: Typed<Login> = cache.typed("logins");
    assert_eq!(logins.get("a"), Ok(None), "a truthful miss");
    let first = logins.put("a", &login("Ada", 1)).await.unwrap();
    assert_eq!(logins.get("a"), Ok(Some(login("Ada", 1))));
    let none = PutOptions::default();
    let unmet = logins.put_if("a", &login("Eve", 1), Condition::Absent, none).await;
    assert_eq!(unmet, Err(Error::Version { version: Some(first) }));
    logins.put_if("a", &login("Ada", 2), Condition::Version(first), none).await.unwrap();
    assert_eq!(logins.get_linearizable("a").await, Ok(Some(login("Ada", 2))));
    assert_eq!(logins.take("a").await, Ok(Some(login("Ada", 2))));
    assert_eq!(logins.take("a").await, Ok(None));
    assert_eq!(logins.delete("a").await, Ok(false));
    for user in ["b", "c"] {
        logins.put(user, &login(user, 0)).await.unwrap();
    }
    assert_eq!(logins.clear().await, Ok(2));
    assert_eq!(logins.read("b").await, Ok(None));

    // What is of another type is an error, not a miss.
    cache.put("logins", "raw", "no login", none).await.unwrap();
    assert!(matches!(logins.get("raw"), Err(Error::Codec { .. })), "{:?}", logins.get("raw"));
    assert_eq!(cache.increment("counters", "n", 40, none).await, Ok(40));
    assert_eq!(cache.increment("counters", "n", 2, none).await, Ok(42));
    assert_eq!(cache.increment("logins", "raw", 1, none).await, Err(Error::NotANumber));
    let value = cache.get("counters", "n").unwrap().unwrap();
    assert_eq!((&*value, value.key()), (&b"42"[..], &b"n"[..]));
    assert!(matches!(cache.get("", "n"), Err(Error::Invalid(problem)) if problem.contains("cache name")));
    assert!(
        matches!(cache.delete("c", "", AckLevel::Quorum).await, Err(Error::Invalid(p)) if p.contains("key"))
    );
}

#[tokio::test]
async fn what_a_cache_is_declared_to_hold_is_kept() {
    let cache = alone().await;
    let few = Limits { entries: Some(2), evict: true, ..Limits::default() };
    let few: Typed<u32> = cache.declare("few", few).await.unwrap();
    for n in 0..3 {
        few.put(&n.to_string(), &n).await.unwrap();
    }
    assert_eq!((few.get("0"), few.get("1"), few.get("2")), (Ok(None), Ok(Some(1)), Ok(Some(2))));
    let full = Limits { entries: Some(1), ..Limits::default() };
    let full: Typed<u32> = cache.declare("full", full).await.unwrap();
    full.put("a", &1).await.unwrap();
    assert!(matches!(full.put("b", &2).await, Err(Error::Limit(_))));
    let short = Limits { ttl: Some(Duration::from_millis(300)), ..Limits::default() };
    let short: Typed<u32> = cache.declare("short", short).await.unwrap();
    short.put("as declared", &1).await.unwrap();
    short.put_for("longer", &2, Duration::from_secs(600)).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while short.get("as declared") != Ok(None) {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(short.get("longer"), Ok(Some(2)));
    let direct = PutOptions { ack: AckLevel::Direct, ..PutOptions::default() };
    assert!(matches!(short.put_with("x", &1, direct).await, Err(Error::Level(_))));
    let fast = Limits { direct: true, ..Limits::default() };
    let fast: Typed<u32> = cache.declare("fast", fast).await.unwrap();
    assert_eq!(fast.put_with("x", &1, direct).await, Ok(0));
    assert_eq!(fast.get("x"), Ok(Some(1)));
}

#[tokio::test]
async fn a_read_copies_nothing() {
    let cache = alone().await;
    cache.put("c", "k", vec![7; 10_000], PutOptions::default()).await.unwrap();
    cache.get("c", "k").unwrap().unwrap();
    let mut read = None;
    let used = allocation_counter::measure(|| read = Some(cache.get("c", "k")));
    assert_eq!(read.unwrap().unwrap().unwrap().len(), 10_000);
    assert_eq!((used.count_total, used.bytes_total), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_tell_their_health_and_hand_over() {
    let members = Members::new(3);
    let first = members.start(0).await;
    let alone = until(&first, "heard of", |h| h.others == 2).await;
    assert_eq!((alone.quorum, alone.ready), (Quorum::Lost, false));
    assert_eq!(first.get("c", "k"), Err(Error::NoQuorum), "never a miss that is not true");
    let early = first.ready(Duration::from_millis(10)).await;
    assert!(matches!(early, Err(StartError::NotReady { ref why, .. }) if !why.is_empty()), "{early:?}");

    let others = [members.start(1).await, members.start(2).await];
    let mut all = vec![first, others[0].clone(), others[1].clone()];
    for cache in &all {
        let health = until(cache, "full", |h| h.quorum == Quorum::Full).await;
        assert_eq!((health.connected, health.leader.is_some()), (2, true));
    }
    let leader = async || {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = all.iter().position(|c| c.health().borrow().leads) {
                return found;
            }
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let leader = leader().await;
    eventually(|| all[leader].put("c", "k", "v", PutOptions::default())).await;

    // In order: the others go on at once, and this one answers nothing any more.
    let gone = all.remove(leader);
    gone.shutdown().await;
    assert!(gone.health().borrow().stopped);
    assert_eq!(gone.put("c", "k", "late", PutOptions::default()).await, Err(Error::NoQuorum));
    gone.shutdown().await;
    for cache in &all {
        until(cache, "degraded, with another leader", |h| {
            h.quorum == Quorum::Degraded && h.leader.as_deref().is_some_and(|leader| leader != gone.slot())
        })
        .await;
    }
    let value = eventually(|| all[0].get_linearizable("c", "k")).await;
    assert_eq!(value.as_deref(), Some(&b"v"[..]));

    // The port is free again, also for a node that is dropped without a word.
    let back = members.start(leader).await;
    until(&back, "back", |h| h.ready).await;
    drop((back, gone));
    let [last, dropped] = [all.pop().unwrap(), all.pop().unwrap()];
    drop((others, dropped));
    until(&last, "without a quorum", |h| h.quorum == Quorum::Lost && h.connected == 0).await;
    let deadline = Instant::now() + DEADLINE;
    while last.get("c", "k") != Err(Error::NoQuorum) {
        assert!(Instant::now() < deadline, "{:?}", last.get("c", "k"));
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_reads_what_it_wrote_and_a_linearizable_read_what_anybody_wrote() {
    let all = Members::new(3).start_all().await;
    for (n, cache) in all.iter().cycle().take(60).enumerate() {
        let session = cache.session();
        let value = n.to_string();
        eventually(|| session.put("c", "k", value.clone(), PutOptions::default())).await;
        assert_eq!(session.read("c", "k").await.unwrap().as_deref(), Some(value.as_bytes()));
        assert_eq!(session.get("c", "k").unwrap().as_deref(), Some(value.as_bytes()), "it is here already");
        for other in &all {
            let seen = other.get_linearizable("c", "k").await.unwrap();
            assert_eq!(seen.as_deref(), Some(value.as_bytes()));
        }
    }
    for cache in &all {
        cache.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_a_gap_for_the_session_that_saw_it() {
    let members = Members::new(3);
    let mut all = members.start_all().await;
    let session = all[0].session();
    eventually(|| session.put("c", "k", "v", PutOptions::default())).await;
    assert_eq!(session.read("c", "k").await.unwrap().as_deref(), Some(&b"v"[..]));
    // Without the others for longer than it may keep what it has.
    all.truncate(1);
    let deadline = Instant::now() + DEADLINE;
    while all[0].status().await.wipes == 0 {
        assert!(Instant::now() < deadline, "{:#?}", all[0].status().await);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(session.get("c", "k"), Err(Error::NoQuorum));
    all.push(members.start(1).await);
    all[0].ready(DEADLINE).await.unwrap();
    assert_eq!(session.read("c", "k").await, Err(Error::Gap));
    assert_eq!(session.read("c", "k").await, Ok(None), "it begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("cache.sock").display());
    let http = port();
    let config = Config::builder().single().listen(&socket).http(&format!("127.0.0.1:{http}"));
    let cache = Cache::start(config.build().unwrap()).await.unwrap();
    cache.ready(DEADLINE).await.unwrap();
    let client = rauthy_client::Client::new(&socket).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) =
        client.put("logins", "a", r#"{"user":"Ada","times":3}"#, PutOptions::default()).await
    {
        assert!(Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cache.typed::<Login>("logins").get("a"), Ok(Some(login("Ada", 3))));
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_ok());
    cache.shutdown().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_err(), "it is closed");
    assert!(!folder.path().join("cache.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_whoever_made_it() {
    let all = Members::new(3).start_all().await;
    let filter = Filter { cache: Some("watched".into()), ..Filter::default() };
    let mut watcher = all[0].watch(filter, None);
    let told = async |watcher: &mut Watcher| {
        let next = tokio::time::timeout(DEADLINE, watcher.next()).await;
        next.expect("something is told").expect("the node goes on")
    };
    let Watched::At(begin) = told(&mut watcher).await else { panic!("it begins somewhere") };
    eventually(|| all[1].put("watched", "k", "v", PutOptions::default())).await;
    eventually(|| all[2].put("other", "k", "v", PutOptions::default())).await;
    eventually(|| all[2].delete("watched", "k", AckLevel::Quorum)).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match told(&mut watcher).await {
            Watched::Changes(changes, position) => {
                assert!(position > begin);
                seen.extend(changes.into_iter().map(|change| change.change));
            }
            Watched::At(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let put = Changed::Put { key: "k".into(), value: "v".into() };
    let removed = Changed::Removed { key: "k".into(), why: Removal::Deleted };
    assert_eq!(seen, [put, removed]);
    all[0].shutdown().await;
    loop {
        match tokio::time::timeout(DEADLINE, watcher.next()).await.expect("the end is told") {
            None | Some(Watched::Gone) => break,
            Some(Watched::At(_)) => {}
            Some(other) => panic!("{other:?}"),
        }
    }
}
