//! Clients that write all the time, and what they were promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rauthy_client::{Client, Error, PutOptions};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What became of the writes.
#[derive(Debug, Default)]
pub struct History {
    /// Key and value of every write that was acknowledged at level Quorum.
    pub acknowledged: BTreeMap<String, String>,
    /// Writes that may or may not stand.
    pub unknown: usize,
    /// Writes that were refused before anything happened.
    pub refused: usize,
    /// The longest time between two acknowledgements of one writer.
    pub longest_gap: Duration,
    /// The last refusal or unknown outcome, in words.
    pub last_error: String,
}

/// Writers, each with keys of its own, as fast as they are answered.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: JoinSet<History>,
}

impl Writers {
    /// Starts `each` writers on every one of these clients.
    #[must_use]
    pub fn start(clients: impl IntoIterator<Item = Client>, each: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for (c, client) in clients.into_iter().enumerate() {
            for w in 0..each {
                let name = format!("writer-{c}-{w}");
                tasks.spawn(write(client.clone(), name, stop.clone(), acknowledged.clone()));
            }
        }
        Self { stop, acknowledged, tasks }
    }

    /// Acknowledged writes so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends them and gives what they saw.
    ///
    /// # Panics
    /// If a writer did.
    pub async fn stop(mut self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = History::default();
        while let Some(one) = self.tasks.join_next().await {
            let one = one.unwrap();
            all.acknowledged.extend(one.acknowledged);
            all.unknown += one.unknown;
            all.refused += one.refused;
            all.longest_gap = all.longest_gap.max(one.longest_gap);
            if !one.last_error.is_empty() {
                all.last_error = one.last_error;
            }
        }
        all
    }
}

async fn write(client: Client, name: String, stop: Arc<AtomicBool>, count: Arc<AtomicU64>) -> History {
    let mut history = History::default();
    let mut last = Instant::now();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (format!("{name}-{n}"), format!("value {n} of {name}"));
        match client.put("test", key.clone(), value.clone(), PutOptions::default()).await {
            Ok(_) => {
                count.fetch_add(1, Ordering::Relaxed);
                history.acknowledged.insert(key, value);
                history.longest_gap = history.longest_gap.max(last.elapsed());
                last = Instant::now();
            }
            Err(error) => {
                match error {
                    Error::UnknownOutcome => history.unknown += 1,
                    _ => history.refused += 1,
                }
                history.last_error = error.to_string();
                // Not to fill the machine with refusals while there is no leader.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    history.longest_gap = history.longest_gap.max(last.elapsed());
    history
}

impl History {
    /// Whether every acknowledged write is read at this client.
    ///
    /// # Errors
    /// Names those that are not.
    pub async fn check(&self, client: &Client) -> Result<(), String> {
        let mut lost = Vec::new();
        for (key, value) in &self.acknowledged {
            match client.get("test", key.clone()).await {
                Ok(Some(found)) if found.value == value.as_bytes() => {}
                Ok(other) => lost.push(format!("{key}: {:?}", other.map(|o| o.value))),
                Err(error) => return Err(format!("{key}: {error}")),
            }
        }
        if lost.is_empty() {
            Ok(())
        } else {
            let some: Vec<_> = lost.iter().take(5).collect();
            Err(format!(
                "{} of {} acknowledged writes are lost: {some:?}",
                lost.len(),
                self.acknowledged.len()
            ))
        }
    }
}
