//! An application whose values are in an agent: `RAUTHY_CACHE_SOCKET` is set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::{Duration, Instant};

use rauthy_agent::embedded::{Cache, Config};
use redhac::{
    AckLevel, CacheConfig, CacheMethod, QuorumHealth, QuorumState, TimedSizedCache, cache_del, cache_get,
    cache_get_from, cache_get_value, cache_insert, cache_put, cache_remove, clear_caches, start_cluster,
};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_values_are_in_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("cache.sock").display());
    let agent = Cache::start(Config::builder().single().listen(&socket).build().unwrap()).await.unwrap();
    agent.ready(DEADLINE).await.unwrap();
    let mut application = Command::new(std::env::current_exe().unwrap());
    application.args(["--ignored", "--exact", "--nocapture", "application"]);
    application.env("RAUTHY_CACHE_SOCKET", &socket).env("HA_MODE", "true").env_remove("REDHAC_COMPAT");
    let output = tokio::task::spawn_blocking(move || application.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // It is here, as the application declared it.
    assert_eq!(agent.get("c", "left behind").unwrap().as_deref(), Some(&[5, 0, 0, 0][..]));
    assert_eq!(agent.get("c", "first"), Ok(None), "two values, at most");
}

#[tokio::test]
#[ignore = "run by the_values_are_in_the_agent"]
async fn application() {
    let (tell, mut config) = CacheConfig::new();
    config.spawn_cache("c".into(), TimedSizedCache::with_size_and_lifespan(2, 600), None);
    let name = |text: &str| text.to_owned();
    let (notify, mut told) = mpsc::channel(1024);
    start_cluster(tell, &mut config, Some(notify), None).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let health = config.rx_health_state.borrow().clone().unwrap();
        if (health.health, health.state) == (QuorumHealth::Good, QuorumState::Leader) {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", config.rx_health_state.borrow());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for level in [AckLevel::Quorum, AckLevel::Once, AckLevel::Leader] {
        cache_insert(name("c"), name("k"), &config, &5, level.clone()).await.unwrap();
        assert_eq!(cache_get!(i32, name("c"), name("k"), &config, true).await.unwrap(), Some(5));
        cache_remove(name("c"), name("k"), &config, level).await.unwrap();
        assert_eq!(cache_get!(i32, name("c"), name("k"), &config, true).await.unwrap(), None);
    }
    cache_put(name("c"), name("k"), &config, &5).await.unwrap();
    assert_eq!(cache_get!(i32, name("c"), name("k"), &config, false).await.unwrap(), Some(5));
    // The watch begins a moment after the start.
    let seen = tokio::time::timeout(DEADLINE, async {
        while !matches!(told.try_recv(), Ok(told) if told.entry == "k" && matches!(told.method, CacheMethod::Put))
        {
            cache_put(name("c"), name("k"), &config, &5).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.expect("it is notified");
    cache_del(name("c"), name("k"), &config).await.unwrap();
    assert_eq!(cache_get!(i32, name("c"), name("k"), &config, false).await.unwrap(), None);
    clear_caches(&config).await.unwrap();
    for key in ["first", "second", "left behind"] {
        cache_insert(name("c"), name(key), &config, &5, AckLevel::Quorum).await.unwrap();
    }
    config.shutdown().await.unwrap();
}
