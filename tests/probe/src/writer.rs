//! A writer: one write after another, each with a value greater than all before.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rauthy_client::{Client, PutOptions};
use tokio::task::JoinHandle;

use crate::history::{Operation, Outcome};

/// How long one write may take, so that one lost answer does not end the writing.
const DEADLINE: Duration = Duration::from_secs(2);
/// The pause after each write that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// At most one writer at a time.
#[derive(Debug, Default)]
pub struct Writer {
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Vec<Operation>>,
}

impl Writer {
    /// Starts to write round and round to the keys `prefix-0` to `prefix-(keys-1)`; a writer that runs is kept,
    /// and the answer is `false`.
    pub fn start(&self, client: Client, cache: String, prefix: String, keys: u64) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return false;
        }
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(write(client, cache, prefix, keys.max(1), stopped));
        *running = Some(Running { stop, task });
        true
    }

    /// Stops, and returns all that was written. Empty where nothing ran.
    pub async fn stop(&self) -> Vec<Operation> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, task }) = running else { return Vec::new() };
        let _ = stop.send(());
        task.await.unwrap_or_default()
    }
}

async fn write(
    client: Client,
    cache: String,
    prefix: String,
    keys: u64,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Vec<Operation> {
    let birth = Instant::now();
    let now = || u64::try_from(birth.elapsed().as_micros()).unwrap_or(u64::MAX);
    let options = PutOptions { deadline: Some(DEADLINE), ..PutOptions::default() };
    let mut history = Vec::new();
    for value in 0.. {
        if !matches!(stopped.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
            break;
        }
        let key = format!("{prefix}-{}", value % keys);
        let start_us = now();
        let answer = client.put(&cache, key.clone(), value.to_string(), options).await;
        let outcome = answer.as_ref().map_or_else(Outcome::from, |_| Outcome::Ok);
        history.push(Operation { start_us, end_us: now(), key, value, outcome });
        if outcome != Outcome::Ok {
            tokio::time::sleep(PAUSE).await;
        }
    }
    history
}
