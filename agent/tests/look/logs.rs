//! What is never in the logs, at any level: keys, values, tokens.

use std::time::Duration;

use rauthy_client::{AckLevel, Condition, PutOptions};
use rustix::process::Signal;

use super::fleet::{Fleet, TOKEN, ready, until};

#[tokio::test]
async fn logs_as_json_hold_no_key_no_value_and_no_token() {
    let shown = shown("json").await;
    let every = shown.iter().flat_map(|log| log.lines());
    for line in every {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
    }
    let levels = ["\"level\":\"DEBUG\"", "\"level\":\"TRACE\""];
    assert!(levels.iter().any(|level| shown[0].contains(level)), "{}", shown[0]);
}

#[tokio::test]
async fn logs_as_text_hold_no_key_no_value_and_no_token() {
    let shown = shown("text").await;
    assert!([" DEBUG ", " TRACE "].iter().any(|level| shown[0].contains(level)), "{}", shown[0]);
    assert!(!shown.concat().contains('\u{1b}'), "colours in a file");
    assert!(shown[0].lines().all(|line| !line.starts_with('{')), "this is JSON: {}", shown[0]);
}

/// The logs of members and of a stranger who did everything that could be logged; no secret is in them.
async fn shown(format: &str) -> Vec<String> {
    // Everything that this program says; of the libraries below it as much as LOG_LEVEL=trace lets through.
    let fleet = Fleet::new(3, true).with("LOG_FORMAT", format);
    let fleet = fleet.with("LOG_LEVEL", "trace").with("CACHE_MAX_BYTES", "4Mi");
    let mut agents = vec![fleet.start(0), fleet.start(1)];
    ready(&agents).await;
    let wrong = "canary-of-another-token";
    let stranger = fleet.start_as("stranger", 2, &[("CACHE_AUTH_TOKEN", wrong)]);
    for agent in &agents {
        let client = agent.client();
        let options = PutOptions { ttl: Some(Duration::from_millis(200)), ..PutOptions::default() };
        for n in 0..20 {
            client.put("cache", format!("canary-key-{n}"), "canary-value", options).await.unwrap();
            client.get_linearizable("cache", format!("canary-key-{n}")).await.unwrap();
        }
        let absent = client
            .put_if("cache", "canary-key-0", "canary-value", Condition::Version(1), PutOptions::default())
            .await;
        assert!(absent.is_err());
        client.put("cache", "canary-key", "canary-value", PutOptions::default()).await.unwrap();
        assert!(client.increment("cache", "canary-key", 1, PutOptions::default()).await.is_err());
        client.take("cache", "canary-key", AckLevel::Quorum).await.unwrap();
        client.put("", "canary-key", "canary-value", PutOptions::default()).await.unwrap_err();
        // Until the memory is full.
        for n in 0.. {
            let value = [b"canary-value".as_slice(), &[b'x'; 500_000]].concat();
            if client.put("full", format!("canary-key-{n}"), value, PutOptions::default()).await.is_err() {
                break;
            }
        }
        client.clear("full", AckLevel::Quorum).await.unwrap();
    }
    until(&agents[0], "visited by the stranger", |s| !s.refusals.is_empty()).await;
    // An election, and everybody's last words.
    for agent in &agents {
        agent.signal(Signal::TERM);
    }
    for agent in &mut agents {
        assert_eq!(agent.gone(), Some(0));
    }
    let shown: Vec<String> = agents.iter().chain([&stranger]).map(super::fleet::Agent::log).collect();
    for log in &shown {
        assert!(log.lines().count() > 10, "too little is logged to say anything:\n{log}");
        for line in log.lines() {
            for canary in ["canary", TOKEN, wrong] {
                assert!(!line.contains(canary), "a secret is logged: {line}");
            }
        }
    }
    shown
}
