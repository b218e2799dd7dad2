//! A client that reads in two ways, puts and deletes all the time, to see from when on a node refuses, and that it goes on to.

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
        let (asker, asked_for) = (client.clone(), key.clone());
        asked.spawn(timed("read", async move {
            let found = reader.get("test", key).await?;
            Ok(found.map_or("a miss".into(), |f| String::from_utf8_lossy(&f.value).into_owned()))
        }));
        asked.spawn(timed("linearizable read", async move {
            let found = asker.get_linearizable("test", asked_for).await?;
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
    /// Checks a time without a quorum: local reads asked for `lease` or more after `from`, and everything else asked for
    /// `limit` or more after it, and answered before `until`, gave NO_QUORUM and nothing else, each within `limit`.
    ///
    /// # Panics
    /// If one did not; also if there was none to judge.
    #[must_use]
    pub fn refused(&self, from: Instant, lease: Duration, limit: Duration, until: Instant) -> Refused {
        let mut judged = 0;
        let mut refused = Refused::default();
        for answer in self.0.iter().filter(|a| a.asked >= from && a.answered < until) {
            let (since, took) = (answer.asked - from, answer.answered - answer.asked);
            let read = answer.what == "read";
            if answer.result != Err(Error::NoQuorum) {
                let last = if read { &mut refused.last_read } else { &mut refused.last_other };
                *last = since.max(*last);
            }
            if since >= if read { lease } else { limit } {
                judged += 1;
                refused.slowest = took.max(refused.slowest);
                assert!(
                    answer.result == Err(Error::NoQuorum) && took < limit,
                    "a {} asked {since:?} after the loss of the quorum, answered after {took:?}: {:?}",
                    answer.what,
                    answer.result
                );
            }
        }
        assert!(judged > 20, "only {judged} requests were made in all that time");
        refused
    }
}

/// How requests were refused without a quorum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    /// How long after the loss of the quorum the last local read was asked for that was answered.
    pub last_read: Duration,
    /// How long after it the last other request was asked for that was not refused.
    pub last_other: Duration,
    /// The longest that a refusal took.
    pub slowest: Duration,
}
