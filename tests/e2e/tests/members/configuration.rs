//! Wrong settings are refused where they are made, and seen where somebody looks.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rauthy_e2e::scene::{KUBERNETES, OPERATOR, brief};
use rauthy_e2e::{eventually, lasts, play};
use serde_json::{Value, json};

/// The exit code for a wrong configuration (EX_CONFIG).
const EX_CONFIG: i64 = 78;

#[tokio::test]
async fn a_wrong_rauthycluster_is_refused_by_the_api_server_with_a_message_that_says_what_is_allowed()
-> anyhow::Result<()> {
    play("refused", async |scene| {
        let cases = [
            (json!({"replicas": 0}), ["spec.replicas", "greater than or equal to 1"]),
            (json!({"replicas": 10}), ["spec.replicas", "less than or equal to 9"]),
            (json!({"replicas": 3, "tls": {"mode": "Sometimes"}}), ["\"Managed\"", "\"Disabled\""]),
            (json!({"replicas": 3, "cache": {"invalidateAfter": "soon"}}), ["cache.invalidateAfter", "10s"]),
        ];
        for (spec, words) in cases {
            let Err(error) = scene.apply(spec.clone()).await else { bail!("{spec} is accepted") };
            let text = error.to_string();
            ensure!(words.iter().all(|w| text.contains(w)), "{spec}: {text} does not say {words:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hostname_that_is_not_in_ha_hosts_ends_with_78_and_a_clear_message_everywhere() -> anyhow::Result<()>
{
    let env = json!([{"name": "HOSTNAME_OVERWRITE", "value": "stranger"}]);
    ends_with_78("hostname", env, &["stranger", "none of the members", "HOSTNAME_OVERWRITE"]).await
}

#[tokio::test]
async fn malformed_ha_hosts_end_with_78_and_a_clear_message_everywhere() -> anyhow::Result<()> {
    let env = json!([
        {"name": "HA_HOSTS", "value": "https://rauthy-0.rauthy:8000,nonsense", "valueFrom": null},
        {"name": "HA_HOSTS_FILE", "$patch": "delete"},
    ]);
    ends_with_78("hosts", env, &["HA_HOSTS", "nonsense"]).await
}

#[tokio::test]
async fn a_missing_token_ends_with_78_and_a_clear_message_everywhere() -> anyhow::Result<()> {
    let env = json!([
        {"name": "CACHE_AUTH_TOKEN", "$patch": "delete"},
        {"name": "CACHE_AUTH_TOKEN_FILE", "$patch": "delete"},
    ]);
    ends_with_78("token", env, &["CACHE_AUTH_TOKEN", "not set"]).await
}

/// One pod comes back with a wrong environment: its agent ends with 78, and one message with these words is seen in
/// `kubectl logs -c agent`, in the member's status and in an event. The others go on.
async fn ends_with_78(slug: &str, env: Value, words: &[&str]) -> anyhow::Result<()> {
    play(&format!("exit-78-{slug}"), async |scene| {
        scene.with_agents().await?;
        scene.tamper(env).await?;
        scene.kubectl(&["delete", "pod", "rauthy-2", "--wait=false"]).await?;

        let message = eventually("the member's status has the exit", KUBERNETES, async || {
            let member = scene.member("rauthy-2").await?;
            let exit = &member["lastExit"];
            ensure!(exit["code"] == EX_CONFIG, "{member}");
            anyhow::Ok(exit["message"].as_str().unwrap_or_default().to_owned())
        })
        .await?;
        ensure!(words.iter().all(|w| message.contains(w)), "the status says {message:?}, not {words:?}");

        let logs = eventually("the log has the message", OPERATOR, async || {
            let logs = scene.kubectl(&["logs", "rauthy-2", "-c", "agent"]).await?;
            ensure!(words.iter().all(|w| logs.contains(w)), "{logs:?}");
            anyhow::Ok(logs)
        })
        .await?;
        let saying = logs.lines().filter(|line| words.iter().all(|w| line.contains(w))).count();
        ensure!(saying == 1, "the log says it {saying} times: {logs}");

        let event = scene.event(&[words, &["rauthy-2", "78"]].concat(), OPERATOR).await?;
        println!("event: {event}");
        let written = scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await;
        written.context("the other two cannot go on")?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_with_another_token_never_joins_and_is_reported() -> anyhow::Result<()> {
    play("other-token", async |scene| {
        scene.with_agents().await?;
        let other = "another-token-than-the-one-of-all-the-others";
        scene
            .tamper(json!([
                {"name": "CACHE_AUTH_TOKEN", "value": other, "valueFrom": null},
                {"name": "CACHE_AUTH_TOKEN_FILE", "$patch": "delete"},
            ]))
            .await?;
        scene.replace("rauthy-2").await?;

        let reported = eventually("the status reports it", OPERATOR, async || {
            let status = scene.status().await?;
            let members = status["members"].as_array().context("no members")?;
            let refused = members.iter().filter(|m| m["pod"] != "rauthy-2").find_map(|m| {
                m["refused"]
                    .as_array()?
                    .iter()
                    .find(|r| r["reason"].as_str().is_some_and(|r| r.to_lowercase().contains("token")))
                    .cloned()
            });
            refused.with_context(|| format!("{} {}", brief(&status), status["members"]))
        })
        .await?;
        println!("reported: {reported}");
        ensure!(
            reported["claimed"].as_str().is_some_and(|slot| slot.starts_with("rauthy-2.")),
            "who? {reported}"
        );
        let degraded = scene.condition("Degraded", "True", OPERATOR).await?;
        println!("Degraded: {}: {}", degraded["reason"], degraded["message"]);
        // The cause comes before what came of it, the refusal that is reported above.
        ensure!(
            degraded["reason"] == "ForeignFields"
                && degraded["message"].as_str().is_some_and(|text| text.contains("CACHE_AUTH_TOKEN")),
            "why? {degraded}"
        );
        // Three times what an honest member takes to be one again.
        lasts("rauthy-2 stays out", Duration::from_secs(30), async || {
            let view = scene.view("rauthy-0").await?;
            let members = view["members"].as_array().cloned().unwrap_or_default();
            let it = members.iter().find(|m| m["slot"].as_str().is_some_and(|s| s.starts_with("rauthy-2")));
            let it = it.context("no such member")?;
            ensure!(it["connected"] == false && it["caught_up"] == false, "{it}");
            anyhow::Ok(())
        })
        .await?;
        for text in [serde_json::to_string(&scene.status().await?)?, scene.kubectl(&["get", "events"]).await?]
        {
            ensure!(!text.contains(other), "the token is shown: {text}");
        }
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await.context("the other two cannot go on")?;
        Ok(())
    })
    .await
}
