//! Clients that do everything that the cache can do, all the time and through all nodes, and write down what they asked,
//! what they were told, and when.
//!
//! ```text
//! Recorder ─ clients of each node ─▶ Record ─┬─ operations  writes and linearizable reads, for tests/linearizability
//!                                            ├─ reads       of replicas: Local (at home), Session (anywhere)
//!                                            ├─ refusals    how often which error was answered
//!                                            ├─ failures    what was no answer at all
//!                                            └─ stays       whose clients were at work from when to when
//! Record::judge  linearizable · nobody goes back · nothing is read that nobody wrote · no replica is further behind
//!                than a lease is long · no older value after All
//! ```
//!
//! Nodes come, move to another address and go while the recorder runs. All times are microseconds of one clock, that of
//! this process.

// A recorder that fails is a test that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod caller;
mod client;
mod judge;
mod nodes;
mod stalls;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rauthy_linearizability::session::Observation;
use rauthy_linearizability::{Op, Operation, Outcome};
use tokio::task::JoinSet;
use tokio::time::Instant;

use caller::{Caller, Mode};
use client::{Client, Random};
pub use judge::Summary;
use nodes::Nodes;
use stalls::Stalls;

/// How long one of the last reads may take.
const LAST: Duration = Duration::from_secs(20);
/// Between two tries of a last read.
const PAUSE: Duration = Duration::from_millis(40);

/// How the clients work.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Clients at each node, of which the first asks no other one.
    pub each: usize,
    /// Keys that they share; every third one is a number that is counted up.
    pub keys: usize,
    /// A client rests for up to so long after an answer.
    pub pause: Duration,
    /// How long a call may take.
    pub deadline: Duration,
    /// The first part of each key's name: what one recorder writes, another one cannot explain.
    pub name: &'static str,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            each: 4,
            keys: 12,
            pause: Duration::from_millis(20),
            deadline: Duration::from_secs(2),
            name: "",
        }
    }
}

impl Load {
    fn key(&self, number: usize) -> String {
        let kind = if is_number(number) { "number" } else { "key" };
        format!("{}{kind} {number}", self.name)
    }
}

const fn is_number(key: usize) -> bool {
    key % 3 == 2
}

/// A read of a replica.
#[derive(Clone, Debug)]
struct Read {
    mode: Mode,
    seen: Observation<String>,
}

/// The clients of a node were at work.
#[derive(Clone, Debug)]
struct Stay {
    node: String,
    /// Their numbers.
    clients: std::ops::Range<u64>,
    began: u64,
    ended: u64,
}

/// Calls without an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Not in time.
    pub late: usize,
    /// Their connection was not made, or broke.
    pub lost: usize,
    /// For a reason that there must not be; the first ones of each client, in words.
    pub wrong: Vec<String>,
}

/// What all clients were told.
#[derive(Debug, Default)]
pub struct Record {
    operations: Vec<Operation<String>>,
    /// Answered writes at level All, as positions in `operations`.
    all: Vec<usize>,
    reads: Vec<Read>,
    refusals: BTreeMap<String, usize>,
    failures: Failures,
    stays: Vec<Stay>,
    marks: Vec<u64>,
    /// From when to when this process itself did not run.
    stalls: Vec<(u64, u64)>,
}

impl Record {
    fn add(&mut self, other: Self) {
        let before = self.operations.len();
        self.operations.extend(other.operations);
        self.all.extend(other.all.into_iter().map(|at| at + before));
        self.reads.extend(other.reads);
        self.stays.extend(other.stays);
        for (reason, count) in other.refusals {
            *self.refusals.entry(reason).or_default() += count;
        }
        self.failures.late += other.failures.late;
        self.failures.lost += other.failures.lost;
        self.failures.wrong.extend(other.failures.wrong);
    }
}

/// Says that another part of the story begins: gaps are told for each part.
#[derive(Clone, Debug)]
pub struct Marker {
    began: Instant,
    marks: Arc<Mutex<Vec<u64>>>,
}

impl Marker {
    /// It begins now.
    pub fn mark(&self) {
        self.marks.lock().unwrap().push(micros(self.began));
    }
}

/// Whether it is a write, and its answer says that it was done (or that its condition does not hold).
fn is_acknowledged(operation: &Operation<String>) -> bool {
    operation.op != Op::Read && matches!(operation.outcome, Outcome::Done { .. })
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The clients of one node.
struct Crew {
    stay: Stay,
    stop: Arc<AtomicBool>,
    /// How many writes through this node were acknowledged so far.
    written: Arc<AtomicU64>,
    tasks: JoinSet<Record>,
}

/// The clients at work.
pub struct Recorder {
    began: Instant,
    load: Load,
    nodes: Nodes,
    done: Arc<AtomicU64>,
    /// The number of the next client.
    next: u64,
    crews: BTreeMap<String, Crew>,
    /// Those that were told to end.
    leaving: Vec<Crew>,
    marks: Arc<Mutex<Vec<u64>>>,
    stalls: Stalls,
}

impl Recorder {
    /// Without a node yet.
    #[must_use]
    pub fn new(load: Load) -> Self {
        let began = Instant::now();
        Self {
            began,
            load,
            nodes: Nodes::default(),
            done: Arc::default(),
            next: 0,
            crews: BTreeMap::new(),
            leaving: Vec::new(),
            marks: Arc::default(),
            stalls: Stalls::watch(began),
        }
    }

    /// Starts clients at each of these nodes: its name, and where its cache is asked (as `RAUTHY_CACHE_SOCKET` says it).
    #[must_use]
    pub fn start(nodes: impl IntoIterator<Item = (String, String)>, load: Load) -> Self {
        let mut recorder = Self::new(load);
        let nodes: Vec<_> = nodes.into_iter().collect();
        // All are known before the first client may choose one.
        for (name, target) in &nodes {
            recorder.nodes.set(name, target);
        }
        for (name, target) in &nodes {
            recorder.join(name, target);
        }
        recorder
    }

    /// A node is there, or has another address: the first time, clients begin to work through it.
    pub fn join(&mut self, name: &str, target: &str) {
        self.nodes.set(name, target);
        if self.crews.contains_key(name) {
            return;
        }
        let first = self.next;
        self.next += self.load.each as u64;
        let (stop, written, mut tasks) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), JoinSet::new());
        for number in first..self.next {
            let client = self.client(number, name, self.load.deadline);
            tasks.spawn(client.run(stop.clone(), self.done.clone(), written.clone()));
        }
        let stay = Stay { node: name.to_owned(), clients: first..self.next, began: self.now(), ended: 0 };
        self.crews.insert(name.to_owned(), Crew { stay, stop, written, tasks });
    }

    /// The clients of a node end, each with the answer that it waits for. Others go on to read there until it is gone.
    pub fn leave(&mut self, name: &str) {
        let Some(mut crew) = self.crews.remove(name) else { return };
        crew.stop.store(true, Ordering::Relaxed);
        crew.stay.ended = self.now();
        self.leaving.push(crew);
    }

    /// A node is gone: nobody reads there any more. Its clients end with it.
    pub fn gone(&mut self, name: &str) {
        self.nodes.remove(name);
        self.leave(name);
    }

    /// For whoever tells the parts of the story apart.
    #[must_use]
    pub fn marker(&self) -> Marker {
        Marker { began: self.began, marks: self.marks.clone() }
    }

    /// Writes and linearizable reads that came to an end so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The same for whoever does not hold the recorder.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Waits until `more` writes than now were acknowledged through each of the nodes. A story that begins or ends before
    /// says nothing of a node to which its clients had not got yet.
    ///
    /// # Panics
    /// If that takes longer than `within`.
    pub async fn written(&self, more: u64, within: Duration) {
        let now =
            || self.crews.iter().map(|(name, crew)| (name.clone(), crew.written.load(Ordering::Relaxed)));
        let (before, since) = (now().collect::<BTreeMap<_, _>>(), Instant::now());
        while !now().all(|(name, written)| written >= before.get(&name).unwrap_or(&0) + more) {
            let seen = || now().collect::<BTreeMap<_, _>>();
            assert!(
                since.elapsed() < within,
                "not {more} writes more through each node: {before:?}, {:?}",
                seen()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the clients, then reads every key through every node in every mode, so that what was lost is missed, and
    /// gives all of it.
    ///
    /// # Errors
    /// If one of the last reads is refused for longer than `within`: they are for a cluster that is whole again.
    ///
    /// # Panics
    /// If a client did.
    pub async fn stop(mut self, within: Duration) -> Result<Record, String> {
        for name in self.crews.keys().cloned().collect::<Vec<_>>() {
            self.leave(&name);
        }
        let mut record = Record { marks: self.marks.lock().unwrap().clone(), ..Record::default() };
        for mut crew in std::mem::take(&mut self.leaving) {
            while let Some(one) = crew.tasks.join_next().await {
                record.add(one.unwrap());
            }
            record.stays.push(crew.stay);
        }
        record.stalls = self.stalls.seen();
        let mut last = self.client(u64::MAX, "", LAST);
        for key in (0..self.load.keys).map(|number| self.load.key(number)) {
            for at in self.nodes.names() {
                for mode in [Mode::Linearizable, Mode::Session, Mode::Local] {
                    let since = Instant::now();
                    while let Some(refusal) = last.read(&at, &key, mode).await {
                        if since.elapsed() > within {
                            return Err(format!(
                                "the last {mode:?} read of {key} at {at} is refused for {within:?}: {refusal:?}"
                            ));
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
        record.add(last.record);
        Ok(record)
    }

    fn now(&self) -> u64 {
        micros(self.began)
    }

    fn client(&self, number: u64, home: &str, deadline: Duration) -> Client {
        Client {
            number,
            home: home.to_owned(),
            stays: number.is_multiple_of(self.load.each as u64),
            caller: Caller::new(self.nodes.clone(), deadline),
            random: Random(number.wrapping_add(1)),
            load: self.load,
            began: self.began,
            record: Record::default(),
        }
    }
}
