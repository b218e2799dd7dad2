//! A leader that is killed, and one that is asked to stop: how long nobody can write.
//!
//! An application on another member begins a write every millisecond, whatever became of those before. What counts is when
//! they are acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rauthy_client::{Client, PutOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::name;
use crate::driver::{Agents, Plan, Programs};
use crate::results::Results;

/// A write is begun so often.
const EACH: Duration = Duration::from_millis(1);
/// What goes on before and after the event.
const AROUND: Duration = Duration::from_millis(300);
/// Longer than a lease: whoever was killed or stopped before was lent one that a hand-over must wait for. What is measured
/// is how long it takes while all who hold one answer.
const LEASES: Duration = Duration::from_millis(1500);
/// There is a new leader within this time, or the run ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes through one agent, until it is dropped.
struct Probe {
    /// When each write was begun and acknowledged.
    acked: mpsc::UnboundedReceiver<(Instant, Instant)>,
    stop: Arc<AtomicBool>,
}

impl Probe {
    fn start(client: Client) -> Self {
        let (tell, acked) = mpsc::unbounded_channel();
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut due = interval(EACH);
            due.set_missed_tick_behavior(MissedTickBehavior::Skip);
            for number in 0_u64.. {
                due.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (client, tell) = (client.clone(), tell.clone());
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let key = format!("probe-{}", number % 1000);
                    if client.put("probe", key, "x", PutOptions::default()).await.is_ok() {
                        let _ = tell.send((begun, Instant::now()));
                    }
                });
            }
        });
        Self { acked, stop }
    }

    /// Waits for the first write that was begun after `since` and acknowledged.
    async fn first_after(&mut self, since: Instant) -> anyhow::Result<Instant> {
        let first = async {
            while let Some((begun, acked)) = self.acked.recv().await {
                if begun > since {
                    return Some(acked);
                }
            }
            None
        };
        timeout(PATIENCE, first)
            .await
            .ok()
            .flatten()
            .ok_or_else(|| anyhow::anyhow!("no write is acknowledged"))
    }

    /// When writes were acknowledged from now on, for this long.
    async fn for_some_time(&mut self, time: Duration, into: &mut Vec<Instant>) {
        let end = Instant::now() + time;
        while let Ok(Some((_, acked))) = tokio::time::timeout_at(end, self.acked.recv()).await {
            into.push(acked);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The longest time between two acknowledgements.
fn longest_gap(mut acked: Vec<Instant>) -> Duration {
    acked.sort();
    acked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Kills leaders, then stops leaders.
///
/// # Errors
/// If the cluster does not come back.
pub async fn visit(plan: &Plan, programs: &Programs, results: &mut Results) -> anyhow::Result<()> {
    let mut agents = Agents::start(3, programs, "128Mi").await?;
    for round in 0..plan.kills {
        kill(&mut agents, round, results).await?;
    }
    for round in 0..plan.stops {
        stop(&mut agents, round, results).await?;
    }
    agents.stop().await;
    Ok(())
}

async fn again(agents: &mut Agents, number: usize) -> anyhow::Result<()> {
    agents.run(number)?;
    for number in 0..agents.len() {
        agents.ready(number).await?;
    }
    Ok(())
}

/// From SIGKILL until a write is acknowledged that was begun when the process was dead.
async fn kill(agents: &mut Agents, round: usize, results: &mut Results) -> anyhow::Result<()> {
    let leader = agents.leader().await?;
    // It is told of everything: what it cannot do now fails, and the next write is a millisecond away.
    let client = agents.client((leader + 1) % agents.len())?.without_retries().pipelined();
    let mut probe = Probe::start(client);
    probe.for_some_time(AROUND, &mut Vec::new()).await;
    let killed = Instant::now();
    agents.process(leader)?.kill().await;
    let written = probe.first_after(Instant::now()).await?;
    results.add(round, name::KILL, "3", "ours", "ms", millis(written - killed));
    drop(probe);
    again(agents, leader).await
}

/// The longest time without an acknowledgement around SIGTERM, and before it.
async fn stop(agents: &mut Agents, round: usize, results: &mut Results) -> anyhow::Result<()> {
    sleep(LEASES).await;
    let leader = agents.leader().await?;
    let client = agents.client((leader + 1) % agents.len())?.pipelined();
    let mut probe = Probe::start(client);
    let mut before = Vec::new();
    probe.for_some_time(AROUND, &mut before).await;
    results.add(round, name::STOP, "3", "undisturbed", "ms", millis(longest_gap(before)));
    let mut acked = Vec::new();
    agents.process(leader)?.terminate().await?;
    probe.for_some_time(AROUND, &mut acked).await;
    agents.process(leader)?.ended().await?;
    probe.for_some_time(AROUND, &mut acked).await;
    anyhow::ensure!(acked.len() > 1, "no write was acknowledged around the hand-over");
    results.add(round, name::STOP, "3", "ours", "ms", millis(longest_gap(acked)));
    drop(probe);
    again(agents, leader).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_between_neighbours() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(longest_gap(vec![at(30), at(0), at(1), at(31)]), Duration::from_millis(29));
        assert_eq!(longest_gap(vec![at(0)]), Duration::ZERO);
    }
}
