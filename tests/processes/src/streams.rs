//! A Session and a Watch as the protocol has them. Nobody opens them again when they end: what came over them, and how
//! they ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rauthy_client::{Client, REASON};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer;
use rauthy_proto::cache::cache_client::CacheClient;
use rauthy_proto::cache::call::Call;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Puts in one message, and how long until the next one.
const BATCH: u64 = 8;
const PAUSE: Duration = Duration::from_millis(20);

fn connect(target: &str) -> CacheClient<Channel> {
    CacheClient::new(Endpoint::from_shared(target.to_owned()).unwrap().connect_lazy())
}

/// The reason that a status of the agent names.
#[must_use]
pub fn reason(status: &Status) -> &str {
    status.metadata().get(REASON).and_then(|reason| reason.to_str().ok()).unwrap_or_default()
}

/// A session that puts, over one stream, as long as that lasts.
pub struct OneSession {
    name: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<Said>,
}

/// What a session was told.
#[derive(Debug, Default)]
pub struct Said {
    name: String,
    /// Puts that were sent, or were about to be.
    pub sent: u64,
    /// By the number of the put: acknowledged, or why not.
    pub answers: BTreeMap<u64, Result<(), String>>,
    /// How the stream ended; `None`: in order.
    pub ended: Option<Status>,
}

impl OneSession {
    /// Opens it.
    pub async fn open(target: &str, name: &str) -> Self {
        let (calls, receiver) = mpsc::channel(1);
        let answers = connect(target).session(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let asking = tokio::spawn(ask(name.to_owned(), calls, stop.clone()));
        let task = tokio::spawn(listen(name.to_owned(), answers, answered.clone(), asking));
        Self { name: name.to_owned(), stop, answered, task }
    }

    /// Answers so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether the stream stands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// Ends its side of the stream; what was said until the other side ended.
    ///
    /// # Panics
    /// If its task did.
    pub async fn close(self) -> Said {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// What was said until the stream ended by itself.
    ///
    /// # Panics
    /// If that takes 30 s, or its task panicked.
    pub async fn ended(self) -> Said {
        let what = format!("the end of the session {}", self.name);
        crate::within(&what, crate::PATIENCE, self.task).await.unwrap()
    }
}

fn key(name: &str, number: u64) -> String {
    format!("{name} {number}")
}

async fn ask(name: String, calls: mpsc::Sender<proto::SessionRequest>, stop: Arc<AtomicBool>) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let put = |number| {
            let key = key(&name, number).into();
            let put =
                proto::PutRequest { cache: "test".into(), key, value: "x".into(), ..Default::default() };
            proto::Call { id: number, timeout_ms: 0, call: Some(Call::Put(put)) }
        };
        let batch = proto::SessionRequest { calls: (sent..sent + BATCH).map(put).collect() };
        sent += BATCH;
        if calls.send(batch).await.is_err() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    sent
}

async fn listen(
    name: String,
    mut answers: tonic::Streaming<proto::SessionResponse>,
    count: Arc<AtomicU64>,
    asking: JoinHandle<u64>,
) -> Said {
    let mut said = Said { name, ..Said::default() };
    said.ended = loop {
        match answers.message().await {
            Ok(Some(response)) => {
                for answer in response.answers {
                    let result = match answer.answer {
                        Some(Answer::Put(_)) => Ok(()),
                        other => Err(format!("{other:?}")),
                    };
                    said.answers.insert(answer.id, result);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    drop(answers);
    said.sent = asking.await.unwrap();
    said
}

impl Said {
    /// What was acknowledged stands, everything else does not: for a stream that ended in order, or with STOPPING, which
    /// says that what has no answer was never begun.
    ///
    /// # Errors
    /// What is otherwise.
    pub async fn check(&self, client: &Client) -> Result<(), String> {
        for number in 0..self.sent {
            let found = client.get_linearizable("test", key(&self.name, number)).await;
            let stands = found.map_err(|error| format!("{}: {error}", key(&self.name, number)))?.is_some();
            let answer = self.answers.get(&number);
            if stands != matches!(answer, Some(Ok(()))) {
                return Err(format!("put {number} of {}: {answer:?}, stands: {stands}", self.name));
            }
        }
        Ok(())
    }
}

/// A watch of keys that begin so, over one stream, as long as that lasts.
pub struct OneWatch {
    keys: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<Option<Status>>,
}

impl OneWatch {
    /// Opens it; returns when it has begun.
    pub async fn open(target: &str, prefix: &str) -> Self {
        let key_prefix = prefix.to_owned().into();
        let request = proto::WatchRequest { cache: "test".into(), key_prefix, ..Default::default() };
        let mut changes = connect(target).watch(request).await.unwrap().into_inner();
        changes.message().await.unwrap().expect("the first response");
        let keys = Arc::<Mutex<Vec<String>>>::default();
        let task = tokio::spawn({
            let keys = keys.clone();
            async move {
                loop {
                    match changes.message().await {
                        Ok(Some(response)) => {
                            let seen = response.changes.into_iter().map(|change| match change.kind() {
                                proto::ChangeKind::Put => String::from_utf8_lossy(&change.key).into_owned(),
                                kind => format!("{kind:?}"),
                            });
                            keys.lock().unwrap().extend(seen);
                        }
                        Ok(None) => return None,
                        Err(status) => return Some(status),
                    }
                }
            }
        });
        Self { keys, task }
    }

    /// Keys that were put, in order; anything else that happened by its name.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }

    /// Whether the stream stands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// How it ended by itself; `None`: without a word.
    ///
    /// # Panics
    /// If it does not within 30 s.
    pub async fn ended(self) -> Option<Status> {
        crate::within("the end of the watch", crate::PATIENCE, self.task).await.unwrap()
    }
}

/// Somebody who asks for more over a session than he reads: it stays under way for as long as the agent lets it.
pub struct Deaf {
    answers: tonic::Streaming<proto::SessionResponse>,
    /// Its side of the stream stays open.
    _calls: mpsc::Sender<proto::SessionRequest>,
}

impl Deaf {
    /// Asks for a large value again and again.
    pub async fn ask(target: &str) -> Self {
        let (key, value) = ("large", vec![7; 1 << 20]);
        let mut grpc = connect(target);
        let large = proto::PutRequest {
            cache: "test".into(),
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        grpc.put(large).await.unwrap();
        let (calls, receiver) = mpsc::channel(1);
        let mut answers = grpc.session(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let get = |id| {
            let get = proto::GetRequest { cache: "test".into(), key: key.into(), ..Default::default() };
            proto::Call { id, timeout_ms: 0, call: Some(Call::Get(get)) }
        };
        calls.send(proto::SessionRequest { calls: (0..64).map(get).collect() }).await.unwrap();
        // One of them: the agent has begun.
        answers.message().await.unwrap().expect("an answer");
        Self { answers, _calls: calls }
    }

    /// How the stream ended.
    ///
    /// # Panics
    /// If it does not within 30 s, or in order.
    pub async fn ended(mut self) -> Status {
        let end = async {
            loop {
                match self.answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream of somebody who did not read ended in order"),
                    Err(status) => return status,
                }
            }
        };
        crate::within("the end of a stream that nobody reads", crate::PATIENCE, end).await
    }
}
