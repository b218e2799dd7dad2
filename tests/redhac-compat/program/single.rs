//! A process of its own: `HA_MODE` is not set.

use redhac::{
    AckLevel, CacheConfig, SizedCache, TimedCache, TimedSizedCache, cache_del, cache_get, cache_get_from,
    cache_get_value, cache_insert, cache_put, cache_remove, clear_caches, start_cluster,
};
use serde::{Deserialize, Serialize};

use super::support::{in_own_process, until};

#[test]
fn a_single_process() {
    in_own_process("single::alone", &[]);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    id: i64,
    name: String,
    roles: Vec<Option<String>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowed<'a> {
    name: &'a str,
}

async fn number(config: &CacheConfig, cache: &str, key: &str) -> Option<i32> {
    cache_get!(i32, cache.to_string(), key.to_string(), config, false).await.unwrap()
}

#[tokio::test]
#[ignore = "run by a_single_process"]
async fn alone() {
    let (tell, mut config) = CacheConfig::new();
    config.spawn_cache("sized".into(), SizedCache::with_size(5), None);
    config.spawn_cache("timed".into(), TimedCache::with_lifespan(1), Some(16));
    config.spawn_cache("both".into(), TimedSizedCache::with_size_and_lifespan(2, 1), None);
    config.spawn_cache("all".into(), cached::UnboundCache::new(), None);
    let name = |name: &str| name.to_owned();

    // Values by their type, and by their bytes.
    let session = Session { id: 7, name: "Ada".into(), roles: vec![None, Some("admin".into())] };
    cache_put(name("all"), name("s"), &config, &session).await.unwrap();
    let found = cache_get!(Session, name("all"), name("s"), &config, false).await.unwrap();
    assert_eq!(found, Some(session.clone()));
    let bytes = cache_get_value(name("all"), name("s"), &config, true).await.unwrap().unwrap();
    assert_eq!(bytes, bincode::serialize(&session).unwrap());
    assert_eq!(cache_get_from::<Session>(&bytes).await.unwrap(), Some(session));
    cache_put(name("all"), name("b"), &config, &Borrowed { name: "Eve" }).await.unwrap();
    let bytes = cache_get_value(name("all"), name("b"), &config, false).await.unwrap().unwrap();
    assert_eq!(cache_get_from::<Borrowed>(&bytes).await.unwrap(), Some(Borrowed { name: "Eve" }));
    assert!(cache_get_from::<Session>(b"?").await.unwrap_err().error.contains("deserializing"));
    let other = cache_get!(Session, name("all"), name("b"), &config, false).await;
    assert!(other.is_err(), "another type is an error: {other:?}");
    assert_eq!(cache_get_value(name("all"), name("nothing"), &config, false).await.unwrap(), None);

    // With every ack level, which means nothing here.
    for level in [AckLevel::Quorum, AckLevel::Once, AckLevel::Leader] {
        cache_insert(name("all"), name("n"), &config, &17, level.clone()).await.unwrap();
        assert_eq!(number(&config, "all", "n").await, Some(17));
        cache_remove(name("all"), name("n"), &config, level).await.unwrap();
        assert_eq!(number(&config, "all", "n").await, None);
    }
    cache_put(name("all"), name("n"), &config, &1).await.unwrap();
    cache_del(name("all"), name("n"), &config).await.unwrap();
    assert_eq!(number(&config, "all", "n").await, None);
    cache_del(name("all"), name("never there"), &config).await.unwrap();

    // A cache that is not there.
    for error in [
        cache_put(name("none"), name("k"), &config, &1).await.unwrap_err(),
        cache_insert(name("none"), name("k"), &config, &1, AckLevel::Once).await.unwrap_err(),
        cache_del(name("none"), name("k"), &config).await.unwrap_err(),
        cache_remove(name("none"), name("k"), &config, AckLevel::Once).await.unwrap_err(),
        cache_get_value(name("none"), name("k"), &config, false).await.unwrap_err(),
    ] {
        assert!(error.error.contains("could not find expected cache_name 'none'"), "{error}");
    }

    // The oldest value makes room; one that is overwritten needs none.
    for (key, value) in [("1", 1), ("2", 2), ("2", 22), ("3", 3), ("4", 4), ("5", 5), ("6", 6)] {
        cache_put(name("sized"), name(key), &config, &value).await.unwrap();
    }
    let look = async || number(&config, "sized", "1").await;
    until("without the oldest value", look, Option::is_none).await;
    for (key, value) in [("2", 22), ("3", 3), ("4", 4), ("5", 5), ("6", 6)] {
        assert_eq!(number(&config, "sized", key).await, Some(value));
    }

    // Values end.
    for cache in ["timed", "both"] {
        for key in 1..=3 {
            cache_put(name(cache), key.to_string(), &config, &key).await.unwrap();
        }
        let look = async || number(&config, cache, "3").await;
        until("without a value whose time has come", look, Option::is_none).await;
    }
    assert_eq!(number(&config, "sized", "6").await, Some(6), "it has no time");

    // Clones share, another config does not: unless the values are in an agent, which has them for all.
    let (_tell, mut other) = CacheConfig::new();
    other.spawn_cache("sized".into(), SizedCache::with_size(5), None);
    let shared = std::env::var("RAUTHY_CACHE_SOCKET").is_ok();
    assert_eq!(number(&other, "sized", "6").await, shared.then_some(6));
    cache_put(name("sized"), name("clone"), &config.clone(), &1).await.unwrap();
    assert_eq!(number(&config, "sized", "clone").await, Some(1));

    // Starting, clearing, ending.
    assert!(config.rx_health_state.borrow().is_none());
    start_cluster(tell, &mut config, None, None).await.unwrap();
    clear_caches(&config).await.unwrap();
    for (cache, key) in [("sized", "6"), ("all", "s"), ("all", "b")] {
        assert_eq!(cache_get_value(name(cache), name(key), &config, false).await.unwrap(), None);
    }
    config.shutdown().await.unwrap();
    assert!(config.rx_health_state.borrow().is_none());
}
