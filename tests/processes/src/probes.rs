//! A client that reads, puts and deletes all the time, to see from when on a node refuses, and that it goes on to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rauthy_client::{AckLevel, Client, Error, PutOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A round of requests begins this often, whether or not the one before is answered.
const EVERY: Duration = Duration::from_millis(50);

/// What one request gave.
#[derive(Clone, Debug)]
struct Answer {
    what: &'static str,
    asked: Instant,
    answered: Instant,
    /// What was read or done, in words.
    result: Result<String, Error>,
}

/// The client. It reads one key and writes another.
pub struct Probes {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Answer>>,
}

/// All its answers.
#[derive(Debug)]
pub struct Answers(Vec<Answer>);

impl Probes {
    /// Begins to read `key`.
    #[must_use]
    pub fn start(client: Client, key: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(ask(client, key.to_owned(), stop.clone()));
        Self { stop, task }
    }

    /// Ends and gives the answers.
    ///
    /// # Panics
    /// If a request did.
    pub async fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        Answers(self.task.await.unwrap())
    }
}

async fn ask(client: Client, key: String, stop: Arc<AtomicBool>) -> Vec<Answer> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (reader, writer, remover, key) = (client.clone(), client.clone(), client.clone(), key.clone());
        asked.spawn(timed("read", async move {
            let found = reader.get("test", key).await?;
            Ok(found.map_or("a miss".into(), |f| String::from_utf8_lossy(&f.value).into_owned()))
        }));
        asked.spawn(timed("put", async move {
            writer.put("test", "a probe", "x", PutOptions::default()).await.map(|v| format!("version {v}"))
        }));
        asked.spawn(timed("delete", async move {
            remover.delete("test", "another probe", AckLevel::Quorum).await.map(|e| format!("existed {e}"))
        }));
    }
    asked.join_all().await
}

async fn timed(what: &'static str, call: impl Future<Output = Result<String, Error>>) -> Answer {
    let asked = Instant::now();
    let result = call.await;
    Answer { what, asked, answered: Instant::now(), result }
}

impl Answers {
    /// Checks a time without a quorum: reads asked for `lease` or more after `from` and writes asked for `limit` or
    /// more after it, and answered before `until`, gave NO_QUORUM and nothing else; before that no write was
    /// confirmed. Returns when the last read was served and when the last write was asked for that was not refused,
    /// as spans since `from`.
    ///
    /// # Panics
    /// If one was not; also if there was none to judge.
    #[must_use]
    pub fn refused(
        &self,
        from: Instant,
        lease: Duration,
        limit: Duration,
        until: Instant,
    ) -> (Duration, Duration) {
        let mut judged = 0;
        let (mut last_read, mut last_write) = (Duration::ZERO, Duration::ZERO);
        for answer in self.0.iter().filter(|a| a.asked >= from && a.answered < until) {
            let since = answer.asked - from;
            let read = answer.what == "read";
            if answer.result != Err(Error::NoQuorum) {
                let last = if read { &mut last_read } else { &mut last_write };
                *last = since.max(*last);
            }
            if since >= if read { lease } else { limit } {
                judged += 1;
                assert_eq!(
                    answer.result,
                    Err(Error::NoQuorum),
                    "a {} asked {since:?} after the loss of the quorum, answered after {:?}",
                    answer.what,
                    answer.answered - answer.asked
                );
            }
        }
        assert!(judged > 20, "only {judged} requests were made in all that time");
        (last_read, last_write)
    }
}
