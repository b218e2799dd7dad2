//! Two replicas of the operator and one Lease.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rauthy_operator::leader::Election;
use rauthy_operator::probes::Readiness;
use support::Api;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator";

fn candidate(api: &Api, id: &str) -> Election {
    Election::new(api.client(), "system", "operator", id, Arc::new(Readiness::default()))
}

fn holder(api: &Api) -> String {
    api.get(LEASE).unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_holds_it_and_hands_it_on() {
    let api = Api::default();
    let (mut first, mut second) = (candidate(&api, "first"), candidate(&api, "second"));
    assert!(first.step().await.unwrap(), "nobody held it");
    assert!(!second.step().await.unwrap(), "the first holds it");
    assert!(first.step().await.unwrap(), "it renews");
    assert_eq!(holder(&api), "first");

    // Only the holder can give it back.
    second.release().await;
    assert_eq!(holder(&api), "first");
    first.release().await;
    assert!(second.step().await.unwrap(), "it was given back");
    assert!(!first.step().await.unwrap(), "the second holds it");
    assert_eq!(api.get(LEASE).unwrap()["spec"]["leaseTransitions"], 2);
}

#[tokio::test]
async fn who_was_slower_does_not_hold_it() {
    // Between reading and writing another replica created it, or wrote it.
    let api = Api::default();
    api.refuse(Some(("/leases", 409)));
    assert!(!candidate(&api, "slow").step().await.unwrap(), "creating");
    api.refuse(None);
    assert!(candidate(&api, "fast").step().await.unwrap());
    api.refuse(Some(("/leases", 409)));
    assert!(!candidate(&api, "fast").step().await.unwrap(), "renewing");
}

#[tokio::test]
async fn a_failing_server_is_an_error_and_not_a_lost_election() {
    let api = Api::default();
    api.refuse(Some(("/leases", 500)));
    assert!(candidate(&api, "first").step().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_while_a_lease_is_sought_is_asked_again() {
    let api = Api::default();
    api.hang();
    let mut candidate = candidate(&api, "first");
    let seeking = tokio::time::timeout(Duration::from_secs(60), candidate.win());
    let (won, ()) = tokio::join!(seeking, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        api.answer_again();
    });
    assert!(won.is_ok(), "it still waits for the answer that never comes");
    assert_eq!(holder(&api), "first");
}
