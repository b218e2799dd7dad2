//! Every public item that is no function of the cache: that it is there, of the same form, and does the same.

use std::error::Error;

use redhac::quorum::{QuorumReport, RegisteredLeader, RpcServer, RpcServerState};
use redhac::{
    AckLevel, CacheConfig, CacheError, CacheMethod, CacheNotify, CacheReq, QuorumHealth, QuorumHealthState,
    QuorumState, SizedCache, TimedCache, TimedSizedCache,
};
use tokio::sync::{mpsc, watch};

fn comes_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(
    values: &[T],
) {
    for value in values {
        let bytes = bincode::serialize(value).unwrap();
        assert_eq!(bincode::deserialize::<T>(&bytes).unwrap(), value.clone());
    }
}

#[test]
fn health_has_the_same_form() {
    let mut state = QuorumHealthState::default();
    let QuorumHealthState { health, state: doing, tx_leader, connected_hosts } = state.clone();
    assert_eq!((health, doing, connected_hosts), (QuorumHealth::Bad, QuorumState::Undefined, 0));
    assert!(tx_leader.is_none());
    assert!(state.is_quorum_good().unwrap_err().error.contains("QuorumHealth::Bad"));
    for good in [QuorumHealth::Good, QuorumHealth::Degraded] {
        state.health = good;
        assert!(state.is_quorum_good().is_ok());
    }
    comes_back(&[QuorumHealth::Good, QuorumHealth::Degraded, QuorumHealth::Bad]);
    comes_back(&[
        QuorumState::Leader,
        QuorumState::LeaderDead,
        QuorumState::LeaderSwitch,
        QuorumState::LeaderTxAwait("a:1".into()),
        QuorumState::LeadershipRequested(7),
        QuorumState::Follower,
        QuorumState::Undefined,
        QuorumState::Retry,
    ]);
}

#[test]
fn ack_levels_and_reports_have_the_same_form() {
    for level in [AckLevel::Quorum, AckLevel::Once, AckLevel::Leader] {
        let rpc = level.get_rpc_value();
        assert!(rpc.ack_level.is_some());
        assert_eq!(rpc.ack_level, rpc.clone().ack_level);
        let shown = format!("{:?}", rpc.ack_level);
        assert!(shown.contains(&format!("Level{level:?}")), "{shown}");
        let again: redhac::quorum::AckLevel = AckLevel::from_rpc_value(Some(rpc));
        assert_eq!(again, level);
    }
    let server = |state| RpcServer { address: "a:1".into(), state, tx: None, election_ts: 7 };
    assert_eq!(server(RpcServerState::Alive), server(RpcServerState::Dead), "only the address counts");
    let report = |leader| QuorumReport {
        health: QuorumHealth::Good,
        state: QuorumState::Follower,
        leader,
        hosts: vec![server(RpcServerState::Alive)],
    };
    let remote = report(Some(RegisteredLeader::Remote(server(RpcServerState::Alive))));
    assert_eq!(remote, remote.clone());
    assert_ne!(remote, report(Some(RegisteredLeader::Local(1))));
}

#[test]
fn errors_are_made_of_the_same_things() {
    let error = CacheError { error: "words".into() };
    assert_eq!(error.to_string().trim_end(), "words");
    let error: Box<dyn Error> = Box::new(error);
    assert!(error.source().is_none());
    let bad = bincode::deserialize::<String>(b"x").unwrap_err();
    assert!(CacheError::from(bad).error.contains("bincode"));
    let (sender, receiver) = flume::bounded::<CacheReq>(1);
    drop(receiver);
    let unsent = sender.send(CacheReq::Reset).unwrap_err();
    assert!(CacheError::from(unsent).error.contains("Flume"));
    let (sender, receiver) = flume::bounded::<CacheReq>(1);
    drop(sender);
    assert!(CacheError::from(receiver.recv().unwrap_err()).error.contains("Disconnected"));
    let (sender, receiver) = mpsc::channel::<CacheReq>(1);
    drop(receiver);
    let unsent = sender.blocking_send(CacheReq::Del { entry: "k".into() }).unwrap_err();
    assert!(CacheError::from(unsent).error.contains("Flume"));
}

#[test]
fn requests_and_notifications_have_the_same_form() {
    let (resp, _answers) = flume::unbounded();
    let put = CacheReq::Put { entry: "k".into(), value: vec![1] };
    for request in
        [CacheReq::Get { entry: "k".into(), resp }, put, CacheReq::Del { entry: "k".into() }, CacheReq::Reset]
    {
        assert!(!format!("{request:?}").is_empty());
    }
    let methods = [
        CacheMethod::Put,
        CacheMethod::Insert(AckLevel::Once),
        CacheMethod::Del,
        CacheMethod::Remove(AckLevel::Leader),
    ];
    for method in methods {
        let told = CacheNotify { cache_name: "c".into(), entry: "k".into(), method };
        let (CacheMethod::Put | CacheMethod::Insert(_) | CacheMethod::Del | CacheMethod::Remove(_)) =
            told.method;
        assert_eq!((told.cache_name.as_str(), told.entry.as_str()), ("c", "k"));
    }
}

#[tokio::test]
async fn a_config_is_made_cloned_and_shown() {
    let (tell, mut config): (watch::Sender<Option<QuorumHealthState>>, CacheConfig) = CacheConfig::new();
    config.spawn_cache("sized".into(), SizedCache::with_size(5), None);
    config.spawn_cache("timed".into(), TimedCache::with_lifespan(60), Some(16));
    config.spawn_cache("both".into(), TimedSizedCache::with_size_and_lifespan(5, 60), None);
    config.spawn_cache("neither".into(), cached::UnboundCache::new(), None);
    assert!(format!("{:?}", config.clone()).contains("CacheConfig"));
    let health: &watch::Receiver<Option<QuorumHealthState>> = &config.rx_health_state;
    assert!(health.borrow().is_none());
    drop(tell);
}
