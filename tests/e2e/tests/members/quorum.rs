//! What a member does that is left without a quorum.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rauthy_e2e::app::App;
use rauthy_e2e::freeze::Frozen;
use rauthy_e2e::{Scene, eventually, lasts, play};
use rauthy_probe::Outcome;
use serde_json::json;

/// `cache.invalidateAfter`, as it is by default.
const T_INV: Duration = Duration::from_secs(10);
/// A member that lost the quorum says so within this.
const SAYS_SO_WITHIN: Duration = Duration::from_secs(2);
/// All is well again within this.
const HEALED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn with_two_of_three_frozen_the_third_answers_no_quorum_within_2_s_and_never_a_stale_value()
-> anyhow::Result<()> {
    play("two-frozen", async |scene| {
        scene.with_app(json!({})).await?;
        let leader = scene.leader().await?;
        let follower = scene.others(&leader).remove(0);
        for third in [leader, follower] {
            let app = scene.app(&third).await?;
            app.put("key", &third).await?;
            app.holds("key", Some(&third)).await?;
            let start = Instant::now();
            let frozen = freeze_others(scene, &third).await?;
            let after = loop {
                // A write that is on its way to a frozen leader would wait for longer than the answer may take.
                let seen = no_quorum(app, &third, 100).await;
                match (seen, start.elapsed()) {
                    (Ok(()), after) => break after,
                    (Err(seen), after) if after > SAYS_SO_WITHIN => return Err(seen),
                    _ => {}
                }
            };
            println!("{third}: NO_QUORUM {:.1} s after the freeze", after.as_secs_f32());
            ensure!(after <= SAYS_SO_WITHIN, "{third}: NO_QUORUM only after {after:?}");
            lasts("NO_QUORUM", Duration::from_secs(2), async || no_quorum(app, &third, 2000).await).await?;
            frozen.into_iter().try_for_each(Frozen::thaw)?;
            eventually("the value is back", HEALED_WITHIN, async || app.holds("key", Some(&third)).await)
                .await?;
            scene.available(3).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_thawed_member_never_answers_with_the_value_from_before_it_froze() -> anyhow::Result<()> {
    play("one-frozen", async |scene| {
        scene.with_app(json!({})).await?;
        let leader = scene.leader().await?;
        // The leader last: meanwhile the others choose another one.
        for (round, pod) in scene.others(&leader).into_iter().chain([leader]).enumerate() {
            let (app, other) = (scene.app(&pod).await?, scene.app(&scene.others(&pod)[0]).await?);
            app.put("key", &format!("old-{round}")).await?;
            let frozen = scene.freeze(&pod).await?;
            let new = format!("new-{round}");
            eventually("the other two go on", HEALED_WITHIN, async || other.put("key", &new).await).await?;
            frozen.thaw()?;
            // Errors pass; the first answer has to be the new value.
            let answer = eventually("it answers again", HEALED_WITHIN, async || app.get("key").await).await?;
            ensure!(
                answer.as_deref() == Some(new.as_str()),
                "{pod} answers {answer:?}, {new} was acknowledged"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn frozen_for_5_s_the_values_are_kept() -> anyhow::Result<()> {
    play("frozen-short", async |scene| {
        let (app, third, generation) = prepared(scene).await?;
        let frozen = freeze_others(scene, &third).await?;
        tokio::time::sleep(Duration::from_secs(5)).await; // the fault lasts this long
        frozen.into_iter().try_for_each(Frozen::thaw)?;
        let answer = eventually("it answers again", HEALED_WITHIN, async || app.get("key").await).await?;
        ensure!(answer.as_deref() == Some("kept"), "the value is {answer:?}");
        for pod in scene.pods() {
            let app = scene.app(&pod).await?;
            eventually("the value is there", HEALED_WITHIN, async || app.holds("key", Some("kept")).await)
                .await?;
        }
        let now = scene.view(&third).await?["generation"].clone();
        ensure!(now == generation, "the generation was {generation} and is {now}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn frozen_for_twice_t_inv_a_new_and_empty_generation_begins() -> anyhow::Result<()> {
    play("frozen-long", async |scene| {
        let (app, third, generation) = prepared(scene).await?;
        let frozen = freeze_others(scene, &third).await?;
        tokio::time::sleep(2 * T_INV).await; // the fault lasts this long
        frozen.into_iter().try_for_each(Frozen::thaw)?;
        let answer = eventually("it answers again", HEALED_WITHIN, async || app.get("key").await).await?;
        ensure!(answer.is_none(), "the value is {answer:?}, it should be wiped");
        for pod in scene.pods() {
            let app = scene.app(&pod).await?;
            let answer = eventually("it answers again", HEALED_WITHIN, async || app.get("key").await).await?;
            ensure!(answer.is_none(), "the value is {answer:?} at {pod}, it should be wiped");
            let now = scene.view(&pod).await?["generation"].clone();
            ensure!(
                now.is_string() && now != generation,
                "the generation was {generation} and is {now} at {pod}"
            );
        }
        app.put("key", "new").await?;
        for pod in scene.pods() {
            ensure!(scene.view(&pod).await?["role"] != "free", "{pod} is still free");
        }
        scene.available(3).await
    })
    .await
}

/// A cluster with a value; the application of one member, its pod, and the generation.
async fn prepared(scene: &Scene) -> anyhow::Result<(App, String, serde_json::Value)> {
    scene.with_app(json!({})).await?;
    let third = scene.leader().await?;
    let app = scene.app(&third).await?;
    app.put("key", "kept").await?;
    let generation = scene.view(&third).await?["generation"].clone();
    ensure!(generation.is_string(), "no generation");
    Ok((app, third, generation))
}

async fn freeze_others(scene: &Scene, pod: &str) -> anyhow::Result<Vec<Frozen>> {
    let mut frozen = Vec::new();
    for other in scene.others(pod) {
        frozen.push(scene.freeze(&other).await.with_context(|| format!("freezing {other}"))?);
    }
    Ok(frozen)
}

/// Demands that a read and a write both answer `NO_QUORUM`; and before they do, that a read that is answered holds
/// `value`, since nothing can have been acknowledged meanwhile. The write may take `deadline_ms`.
async fn no_quorum(app: App, value: &str, deadline_ms: u64) -> anyhow::Result<()> {
    let (read, write) = tokio::join!(app.try_get("key"), app.try_put("another", "x", deadline_ms));
    let (read, write) = (read?, write?);
    if read.outcome == Outcome::Ok {
        // Not an error that a later look could mend.
        assert_eq!(read.value.as_deref(), Some(value), "a stale value");
    }
    let both = read.outcome == Outcome::NoQuorum && write.outcome == Outcome::NoQuorum;
    ensure!(both, "read {:?} {}, write {:?} {}", read.outcome, read.error, write.outcome, write.error);
    Ok(())
}
