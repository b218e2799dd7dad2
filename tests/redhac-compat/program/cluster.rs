//! A process of its own with three members in it, over loopback.

use std::time::Duration;

use redhac::quorum::QuorumState;
use redhac::{
    AckLevel, CacheConfig, CacheMethod, CacheNotify, QuorumHealth, SizedCache, cache_del, cache_get,
    cache_get_from, cache_get_value, cache_insert, cache_put, cache_remove, clear_caches, start_cluster,
};
use tokio::sync::mpsc;

use super::support::{in_own_process, ports, until};
use crate::TRUTHFUL;

const CACHE: &str = "shared";

#[test]
fn three_members() {
    let [a, b, c] = ports();
    let hosts = format!("http://127.0.0.1:{a}, http://127.0.0.1:{b} ,http://127.0.0.1:{c}");
    let variables = [
        ("HA_MODE", "true"),
        ("HA_HOSTS", &hosts),
        ("CACHE_TLS", "false"),
        ("CACHE_AUTH_TOKEN", "SuperSafeSecretToken1337"),
    ];
    in_own_process("cluster::members", &variables);
}

#[test]
fn nothing_is_known_before_the_start() {
    in_own_process("cluster::not_started", &[("HA_MODE", "true")]);
}

#[test]
fn what_redhac_leaves_untold_can_be_left_untold() {
    let compat = "none-on-error, ok-without-quorum";
    in_own_process("cluster::not_started_compatible", &[("HA_MODE", "true"), ("REDHAC_COMPAT", compat)]);
}

fn config() -> (tokio::sync::watch::Sender<Option<redhac::QuorumHealthState>>, CacheConfig) {
    let (tell, mut config) = CacheConfig::new();
    config.spawn_cache(CACHE.into(), SizedCache::with_size(64), None);
    (tell, config)
}

async fn get(config: &CacheConfig, key: &str) -> Result<Option<i32>, redhac::CacheError> {
    cache_get!(i32, CACHE.to_string(), key.to_string(), config, false).await
}

async fn nothing_works(config: &CacheConfig) {
    for error in [
        cache_get_value(CACHE.into(), "k".into(), config, false).await.unwrap_err(),
        cache_put(CACHE.into(), "k".into(), config, &1).await.unwrap_err(),
        cache_insert(CACHE.into(), "k".into(), config, &1, AckLevel::Quorum).await.unwrap_err(),
        cache_remove(CACHE.into(), "k".into(), config, AckLevel::Quorum).await.unwrap_err(),
    ] {
        assert!(error.error.contains("QuorumHealth::Bad"), "{error}");
    }
}

#[tokio::test]
#[ignore = "run by nothing_is_known_before_the_start"]
async fn not_started() {
    let (_tell, config) = config();
    let health = config.rx_health_state.borrow().clone().unwrap();
    assert_eq!(
        (health.health, health.state, health.connected_hosts),
        (QuorumHealth::Bad, QuorumState::Undefined, 0)
    );
    nothing_works(&config).await;
    // redhac does not know, and says that there is nothing.
    assert_eq!(get(&config, "k").await.is_err(), TRUTHFUL);
    // It removes nothing from anywhere else, and says that it did.
    assert_eq!(cache_del(CACHE.into(), "k".into(), &config).await.is_err(), TRUTHFUL);
    config.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "run by what_redhac_leaves_untold_can_be_left_untold"]
async fn not_started_compatible() {
    let (_tell, config) = config();
    nothing_works(&config).await;
    assert_eq!(get(&config, "k").await.unwrap(), None);
    cache_del(CACHE.into(), "k".into(), &config).await.unwrap();
    clear_caches(&config).await.unwrap();
}

/// Who they are, as HA_HOSTS says.
fn hosts() -> Vec<String> {
    let hosts = std::env::var("HA_HOSTS").unwrap();
    hosts.split(',').map(|host| host.trim().trim_start_matches("http://").to_owned()).collect()
}

async fn start(host: &str, notify: Option<mpsc::Sender<CacheNotify>>) -> CacheConfig {
    let (tell, mut config) = config();
    start_cluster(tell, &mut config, notify, Some(host.to_owned())).await.unwrap();
    config
}

/// Waits until a member works with so many others.
async fn works(config: &CacheConfig, others: usize) -> QuorumState {
    let look = async || config.rx_health_state.borrow().clone().unwrap();
    let health = until("at work", look, |health| {
        health.connected_hosts == others
            && health.is_quorum_good().is_ok()
            && matches!(health.state, QuorumState::Leader | QuorumState::Follower)
    });
    let health = health.await;
    let wanted = if others == 2 { QuorumHealth::Good } else { QuorumHealth::Degraded };
    assert_eq!(health.health, wanted);
    health.state
}

/// Waits until a member reads this.
async fn reads(config: &CacheConfig, key: &str, value: Option<i32>) {
    let look = async || get(config, key).await.map_err(|e| e.error);
    drop(until("as it was written", look, |found| *found == Ok(value)).await);
}

/// Tries a write again until it is taken: elections take their time.
async fn insert(config: &CacheConfig, key: &str, value: i32, level: AckLevel) {
    let write = async || {
        cache_insert(CACHE.into(), key.into(), config, &value, level.clone()).await.map_err(|e| e.error)
    };
    drop(until("inserted", write, Result::is_ok).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by three_members"]
async fn members() {
    let hosts = hosts();
    let one = start(&hosts[0], None).await;
    nothing_works(&one).await;
    // redhac's members of the same age can deadlock over who leads; one after the other they do not.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let two = start(&hosts[1], None).await;
    works(&one, 1).await;
    works(&two, 1).await;
    cache_put(CACHE.into(), "early".into(), &one, &1).await.unwrap();
    assert_eq!(get(&one, "early").await.unwrap(), Some(1), "seen at once where it was written");
    reads(&two, "early", Some(1)).await;

    let (tell, mut told) = mpsc::channel(1024);
    let three = start(&hosts[2], Some(tell)).await;
    let all = [&one, &two, &three];
    let mut states = Vec::new();
    for config in all {
        states.push(works(config, 2).await);
    }
    assert_eq!(states.iter().filter(|state| **state == QuorumState::Leader).count(), 1, "{states:?}");

    // redhac's new members have nothing and say so, although the others have it; asking them helps.
    let late = get(&three, "early").await.unwrap();
    assert_eq!(late, if TRUTHFUL { Some(1) } else { None });
    let asked = cache_get!(i32, CACHE.to_string(), "early".to_string(), &three, true).await.unwrap();
    assert_eq!(asked, Some(1));
    let asked = cache_get!(i32, CACHE.to_string(), "nowhere".to_string(), &three, true).await.unwrap();
    assert_eq!(asked, None);

    // Every level from every member reaches all.
    for (n, writer) in all.into_iter().enumerate() {
        for (m, level) in [AckLevel::Quorum, AckLevel::Once, AckLevel::Leader].into_iter().enumerate() {
            let (key, value) = (format!("{n} {level:?}"), i32::try_from(3 * n + m).unwrap());
            insert(writer, &key, value, level.clone()).await;
            for reader in all {
                reads(reader, &key, Some(value)).await;
            }
            cache_remove(CACHE.into(), key.clone(), writer, level).await.unwrap();
            for reader in all {
                reads(reader, &key, None).await;
            }
        }
        let key = format!("{n} direct");
        cache_put(CACHE.into(), key.clone(), writer, &1).await.unwrap();
        for reader in all {
            reads(reader, &key, Some(1)).await;
        }
        cache_del(CACHE.into(), key.clone(), writer).await.unwrap();
        for reader in all {
            reads(reader, &key, None).await;
        }
    }

    // What others wrote is notified, in order.
    cache_put(CACHE.into(), "notified".into(), &one, &1).await.unwrap();
    reads(&three, "notified", Some(1)).await;
    cache_del(CACHE.into(), "notified".into(), &one).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = tokio::time::timeout(super::support::DEADLINE, told.recv()).await;
        let next = next.expect("both are notified").unwrap();
        assert_eq!(next.cache_name, CACHE);
        if next.entry == "notified" {
            seen.push(match next.method {
                CacheMethod::Put | CacheMethod::Insert(_) => "put",
                CacheMethod::Del | CacheMethod::Remove(_) => "del",
            });
        }
    }
    assert_eq!(seen, ["put", "del"]);

    // redhac clears one member and leaves the others different.
    insert(&one, "cleared", 1, AckLevel::Quorum).await;
    reads(&two, "cleared", Some(1)).await;
    clear_caches(&one).await.unwrap();
    reads(&one, "cleared", None).await;
    reads(&two, "cleared", if TRUTHFUL { None } else { Some(1) }).await;

    // A member leaves, the others go on.
    one.shutdown().await.unwrap();
    if TRUTHFUL {
        for config in [&two, &three] {
            works(config, 1).await;
        }
    }
    insert(&two, "after", 2, AckLevel::Quorum).await;
    reads(&three, "after", Some(2)).await;
    // Another one, and nothing is known any more. (redhac's members keep their connections until their process ends.)
    two.shutdown().await.unwrap();
    if TRUTHFUL {
        let look = async || three.rx_health_state.borrow().clone().unwrap().health;
        until("without a quorum", look, |health| *health == QuorumHealth::Bad).await;
        let write = async || cache_put(CACHE.into(), "k".into(), &three, &1).await.map_err(|e| e.error);
        drop(until("refused", write, Result::is_err).await);
        nothing_works(&three).await;
        assert!(get(&three, "after").await.is_err());
    }
    three.shutdown().await.unwrap();
}
