//! Clients in every pod that exists at the moment, whose whole history is judged at the end.
//!
//! Each asks the agent through the application of its pod ([`rauthy_probe::tunnel`]). A pod's clients begin when its
//! application runs and end when it is told to go; what was under way then has an unknown outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use rauthy_recorder::{Load, Marker, Recorder, Summary};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::scene::{OPERATOR, Scene, ip};
use crate::wait::eventually;

/// They rest between two calls: on two cores the pods of three tests share what is there, and clients that never rest
/// would leave nothing to whom they wait for.
const LOAD: Load = Load {
    each: 2,
    keys: 12,
    pause: Duration::from_millis(80),
    deadline: Duration::from_secs(2),
    name: "e2e ",
};
/// Between two looks at the pods.
const LOOK: Duration = Duration::from_millis(200);
/// What was asked and answered before a disturbance may begin, and again after it.
const ENOUGH: u64 = 60;
/// Clients of pods that stay wait no longer than this for an answered write while others come and go.
pub const NO_GAP: Duration = Duration::from_secs(2);

/// Clients at work.
pub struct Clients {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Recorder>,
    answered: Arc<AtomicU64>,
    marker: Marker,
}

impl Clients {
    /// Starts them in all pods of the scene's cluster, and waits until there is something to lose.
    ///
    /// # Errors
    /// If they are not answered.
    pub async fn start(scene: &Scene) -> anyhow::Result<Self> {
        let recorder = Recorder::new(LOAD);
        let (answered, marker) = (recorder.counter(), recorder.marker());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(follow(scene.clone(), recorder, stopped));
        let clients = Self { stop: Some(stop), task, answered, marker };
        clients.more().await?;
        Ok(clients)
    }

    /// Waits until some more was answered.
    ///
    /// # Errors
    /// If it is not.
    pub async fn more(&self) -> anyhow::Result<()> {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("clients are answered", OPERATOR, async || {
            let now = self.answered.load(Ordering::Relaxed) - before;
            ensure!(now >= ENOUGH, "{now} answers");
            anyhow::Ok(())
        })
        .await
    }

    /// Another part of the story begins: gaps are told for each part.
    pub fn mark(&self) {
        self.marker.mark();
    }

    /// Ends them, reads every key through every pod, and judges all of it: nothing that a quorum acknowledged is lost, and
    /// every answer is one that a single cache could have given. The cluster has to be whole again.
    ///
    /// # Errors
    /// The first promise that was not kept, as a story.
    pub async fn stop(mut self) -> anyhow::Result<Summary> {
        self.more().await?;
        let stop = self.stop.take().context("they were ended before")?;
        let _ = stop.send(());
        let recorder = (&mut self.task).await.context("the clients ended by themselves")?;
        let record = recorder.stop(OPERATOR).await.map_err(anyhow::Error::msg)?;
        let summary = record.judge().map_err(anyhow::Error::msg)?;
        println!("{summary}");
        Ok(summary)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Demands that nothing was refused, and that no outcome is unknown.
///
/// # Errors
/// What was refused.
pub fn none_failed(summary: &Summary) -> anyhow::Result<()> {
    let (refused, unknown) = (&summary.refusals, summary.stats.unknown);
    ensure!(
        refused.is_empty() && unknown == 0,
        "refused: {refused:?}, {unknown} of unknown outcome: {summary}"
    );
    Ok(())
}

/// Demands that these pods were there all through a part of the story (from 0), and that their clients never waited for
/// long.
///
/// # Errors
/// Who did.
pub fn no_gap(summary: &Summary, part: usize, pods: &[&str]) -> anyhow::Result<()> {
    for pod in pods {
        let gaps = summary.gaps.get(part).and_then(|gaps| gaps.get(*pod)).map(Vec::as_slice);
        let Some([gap]) = gaps else { bail!("{pod} was not there all the time: {summary}") };
        ensure!(*gap <= NO_GAP, "the clients of {pod} had no answer for {gap:?}: {summary}");
    }
    Ok(())
}

/// Has clients join each pod whose application runs, and leave it when it is told to go.
async fn follow(scene: Scene, mut recorder: Recorder, mut stopped: oneshot::Receiver<()>) -> Recorder {
    let mut known = BTreeMap::<String, String>::new();
    while let Err(oneshot::error::TryRecvError::Empty) = stopped.try_recv() {
        // While the API server is busy, they go on where they are.
        if let Ok(pods) = scene.api::<Pod>().list(&ListParams::default()).await {
            let now: BTreeMap<_, _> =
                pods.items.iter().filter_map(|pod| Some((pod.name_any(), (pod.uid()?, pod)))).collect();
            let gone = known.iter().filter(|(name, uid)| now.get(*name).is_none_or(|(now, _)| now != *uid));
            for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                recorder.gone(&name);
                known.remove(&name);
            }
            for (name, (uid, pod)) in now {
                if pod.metadata.deletion_timestamp.is_some() {
                    recorder.leave(&name);
                } else if !known.contains_key(&name)
                    && let Some(target) = target(pod)
                {
                    recorder.join(&name, &target);
                    known.insert(name, uid);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    recorder
}

/// Where the cache is asked through a pod's application; `None` while that does not run.
fn target(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let runs = |name| {
        containers.iter().any(|c| c.name == name && c.state.as_ref().is_some_and(|s| s.running.is_some()))
    };
    runs("rauthy")
        .then(|| ip(pod).ok())
        .flatten()
        .map(|ip| format!("http://{ip}:{}", rauthy_probe::tunnel::PORT))
}
