//! Clients that count, and try again under the same request id until they are answered: nothing is counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rauthy_client::{Client, Error, PutOptions};
use tokio::task::JoinSet;

use crate::Cluster;

/// Numbers that all of them count up.
const NUMBERS: usize = 3;
/// How long a client tries: longer than any node is away.
const DEADLINE: Duration = Duration::from_secs(20);

/// The clients at work.
pub struct Counters {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Counted>,
}

/// What they were told.
#[derive(Debug, Default)]
pub struct Counted {
    /// By number: every answer, in no order.
    answers: BTreeMap<usize, Vec<i64>>,
    /// By number: additions that may or may not have been done.
    unknown: BTreeMap<usize, i64>,
}

impl Counters {
    /// Starts one at every node.
    #[must_use]
    pub fn start(cluster: &Cluster) -> Self {
        let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for node in cluster.nodes() {
            let client = Client::new(&node.target).unwrap().with_deadline(DEADLINE);
            tasks.spawn(count(client, stop.clone()));
        }
        Self { stop, tasks }
    }

    /// Ends them and gives what they were told.
    ///
    /// # Panics
    /// If one did.
    pub async fn stop(self) -> Counted {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Counted::default();
        for one in self.tasks.join_all().await {
            for (number, answers) in one.answers {
                all.answers.entry(number).or_default().extend(answers);
            }
            for (number, unknown) in one.unknown {
                *all.unknown.entry(number).or_default() += unknown;
            }
        }
        all
    }
}

fn name(number: usize) -> String {
    format!("counted {number}")
}

async fn count(client: Client, stop: Arc<AtomicBool>) -> Counted {
    let mut counted = Counted::default();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let number = n % NUMBERS;
        match client.increment("test", name(number), 1, PutOptions::default()).await {
            Ok(sum) => counted.answers.entry(number).or_default().push(sum),
            Err(Error::UnknownOutcome) => *counted.unknown.entry(number).or_default() += 1,
            // Nothing was added.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    counted
}

impl Counted {
    /// No answer was given twice, and what stands there is what was added.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self, client: &Client) -> Result<String, String> {
        let mut said = String::new();
        for (number, answers) in &self.answers {
            let mut sorted = answers.clone();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
                return Err(format!("{}: two were told {}", name(*number), twice[0]));
            }
            let found = client.get_linearizable("test", name(*number)).await.map_err(|e| e.to_string())?;
            let stands = found.and_then(|f| std::str::from_utf8(&f.value).ok()?.parse::<i64>().ok());
            let added = i64::try_from(answers.len()).unwrap();
            let most = added + self.unknown.get(number).copied().unwrap_or(0);
            let right = stands.is_some_and(|stands| (added..=most).contains(&stands));
            let words = format!("{}: {added} to {most} were added, {stands:?} stands there; ", name(*number));
            if !right {
                return Err(words);
            }
            said += &words;
        }
        Ok(said)
    }
}
