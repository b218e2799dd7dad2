//! Session: thousands of calls at a time, answers that are matched by id, errors, deadlines, limits, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use rauthy_client::Seen;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer;
use rauthy_proto::cache::call::Call;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::support::{Agent, PATIENCE, get, put, refused, start};

struct Session {
    calls: mpsc::Sender<proto::SessionRequest>,
    answers: Streaming<proto::SessionResponse>,
    session: Option<Seen>,
}

fn call(id: u64, call: Call) -> proto::Call {
    proto::Call { id, timeout_ms: 0, call: Some(call) }
}

impl Session {
    async fn open(agent: &Agent, deadline: Option<Duration>) -> Self {
        let (calls, receiver) = mpsc::channel(4);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let answers = timeout(PATIENCE, agent.client().session(request)).await.unwrap().unwrap().into_inner();
        Self { calls, answers, session: None }
    }

    async fn send(&self, calls: Vec<proto::Call>) {
        self.calls.send(proto::SessionRequest { calls }).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<proto::SessionResponse>, Status> {
        timeout(PATIENCE, self.answers.message()).await.expect("no answer comes")
    }

    /// So many answers, by id, each once.
    async fn answers(&mut self, count: usize) -> BTreeMap<u64, Answer> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let response = self.next().await.unwrap().expect("the stream ended");
            assert!(!response.answers.is_empty());
            // It is the position of these answers; earlier ones may have been later in the log.
            let seen = [self.session, Seen::parse(&response.session)].into_iter().flatten();
            self.session = seen.max_by_key(|seen| seen.index);
            for answer in response.answers {
                assert!(all.insert(answer.id, answer.answer.unwrap()).is_none(), "{} twice", answer.id);
            }
        }
        all
    }

    async fn one(&mut self, asked: Call) -> Answer {
        self.send(vec![call(7, asked)]).await;
        self.answers(1).await.remove(&7).expect("the answer of another call")
    }
}

fn failure(answer: &Answer) -> (Code, &str) {
    let Answer::Failure(failure) = answer else { panic!("{answer:?} is no failure") };
    (Code::from(i32::try_from(failure.code).unwrap()), &failure.reason)
}

#[tokio::test]
async fn thousands_in_flight_are_all_answered() {
    const MANY: u64 = 20_000;
    let agent = start().await;
    agent.ready().await;
    let mut session = Session::open(&agent, None).await;
    let calls = session.calls.clone();
    let key = |n: u64| format!("key {}", n % 1000);
    let writer = tokio::spawn(async move {
        // Writes and, mixed with them, reads that are answered before them.
        for from in (0..MANY).step_by(500) {
            let calls_of = |n: u64| match n % 4 {
                0 => call(n, Call::Put(put(&key(n), key(n).into_bytes()))),
                1 => call(n, Call::Get(proto::GetRequest { linearizable: true, ..get(&key(n - 1)) })),
                _ => call(n, Call::Get(get(&key(n / 4 * 4)))),
            };
            let all = (from..from + 500).map(calls_of).collect();
            calls.send(proto::SessionRequest { calls: all }).await.unwrap();
        }
    });
    let answers = session.answers(usize::try_from(MANY).unwrap()).await;
    writer.await.unwrap();
    for (n, answer) in &answers {
        match answer {
            Answer::Put(put) if n % 4 == 0 => assert!(put.version > 0 && put.session.is_empty()),
            Answer::Get(got) if n % 4 != 0 => {
                assert!(got.value.as_deref().is_none_or(|value| value == key(n / 4 * 4).as_bytes()));
                assert!(got.session.is_empty());
            }
            other => panic!("call {n} is answered with {other:?}"),
        }
    }
    // The session of the stream sees all of that.
    let seen = session.session.unwrap();
    let last = answers.values().filter_map(|a| if let Answer::Put(p) = a { Some(p.version) } else { None });
    let last = last.max().unwrap();
    assert!(seen.index >= last, "{seen:?} is before {last}");
    let read = proto::GetRequest { session: seen.to_bytes(), ..get("key 0") };
    assert!(matches!(session.one(Call::Get(read)).await, Answer::Get(got) if got.value.is_some()));

    // The client is done: so is the stream.
    session.send(vec![call(1, Call::Put(put("last", vec![])))]).await;
    let Session { calls, mut answers, .. } = session;
    drop(calls);
    let last = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(last.answers.len(), 1);
    assert_eq!(timeout(PATIENCE, answers.message()).await.unwrap().unwrap(), None);
    let counts = agent.handle.metrics().operations.counts();
    let calls: u64 = counts.iter().filter(|c| &*c.cache == "c").map(|c| c.count).sum();
    assert_eq!(calls, MANY + 2, "{counts:?}");
}

#[tokio::test]
async fn an_answer_does_not_wait_for_an_earlier_call() {
    let agent = start().await;
    agent.ready().await;
    let mut session = Session::open(&agent, None).await;
    let Answer::Put(first) = session.one(Call::Put(put("k", b"v".to_vec()))).await else { panic!() };
    let seen = session.session.unwrap();
    // This one waits for what is not written yet.
    let ahead = Seen { index: first.version + 2, ..seen }.to_bytes();
    let slow = call(1, Call::Get(proto::GetRequest { session: ahead, ..get("k") }));
    session.send(vec![slow, call(2, Call::Get(get("k")))]).await;
    let answers = session.answers(1).await;
    assert!(answers.contains_key(&2), "{answers:?}");
    session.send(vec![call(3, Call::Put(put("a", vec![]))), call(4, Call::Put(put("b", vec![])))]).await;
    let answers = session.answers(3).await;
    assert!(matches!(&answers[&1], Answer::Get(got) if got.value.as_deref() == Some(b"v")), "{answers:?}");
}

#[tokio::test]
async fn errors_are_those_of_the_calls_by_themselves() {
    let agent = start().await;
    // Not ready yet: a truthful error, at once and at the deadline that was asked for.
    let mut session = Session::open(&agent, None).await;
    assert_eq!(failure(&session.one(Call::Get(get("k"))).await), (Code::Unavailable, "NO_QUORUM"));
    let short = proto::Call { timeout_ms: 100, ..call(1, Call::Put(put("k", vec![]))) };
    session.send(vec![short]).await;
    let early = session.answers(1).await;
    if !matches!(early[&1], Answer::Put(_)) {
        assert_eq!(failure(&early[&1]), (Code::Unavailable, "NO_QUORUM"));
    }
    agent.ready().await;
    let Answer::Put(first) = session.one(Call::Put(put("k", b"text".to_vec()))).await else { panic!() };
    let absent = proto::PutRequest { if_absent: true, ..put("k", vec![]) };
    let answer = session.one(Call::Put(absent)).await;
    assert_eq!(failure(&answer), (Code::FailedPrecondition, "VERSION"));
    assert!(matches!(answer, Answer::Failure(f) if f.version == Some(first.version)));
    let add = proto::IncrementRequest { cache: "c".into(), key: "k".into(), by: 1, ..Default::default() };
    let answer = session.one(Call::Increment(add)).await;
    assert_eq!(failure(&answer), (Code::FailedPrecondition, "NOT_A_NUMBER"));
    assert_eq!(failure(&session.one(Call::Get(get(""))).await), (Code::InvalidArgument, "FIELD"));
    session.send(vec![proto::Call { id: 9, timeout_ms: 0, call: None }]).await;
    assert_eq!(failure(&session.answers(1).await[&9]), (Code::InvalidArgument, "FIELD"));
    let seen = session.session.unwrap();
    let ahead = Seen { index: seen.index + 1000, ..seen }.to_bytes();
    let late = Call::Get(proto::GetRequest { session: ahead, ..get("k") });
    session.send(vec![proto::Call { timeout_ms: 200, ..call(1, late) }]).await;
    assert_eq!(failure(&session.answers(1).await[&1]), (Code::Unavailable, "SYNCING"));
    let other = Seen { generation: !seen.generation, ..seen }.to_bytes();
    let gone = proto::GetRequest { session: other, ..get("k") };
    assert_eq!(failure(&session.one(Call::Get(gone)).await), (Code::FailedPrecondition, "GAP"));
    assert!(matches!(session.one(Call::Status(proto::StatusRequest {})).await, Answer::Status(_)));

    // The stream's own deadline.
    let mut short = Session::open(&agent, Some(Duration::from_millis(300))).await;
    assert_eq!(short.next().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn whoever_does_not_read_his_answers_is_not_read_from() {
    let agent = start().await;
    agent.ready().await;
    let mut client = agent.client();
    client.put(put("big", vec![1; 1 << 20])).await.unwrap();
    let mut session = Session::open(&agent, None).await;
    // Answers of 1 MiB each, for which nobody has room. At some time the next request is not taken any more.
    let mut sent = 0;
    let full = async {
        loop {
            let calls = (sent..sent + 64).map(|n| call(n, Call::Get(get("big")))).collect();
            let message = proto::SessionRequest { calls };
            match timeout(Duration::from_secs(2), session.calls.send(message)).await {
                Ok(sending) => sending.unwrap(),
                Err(_) => return,
            }
            sent += 64;
            assert!(sent < 1_000_000, "it reads on and on");
        }
    };
    timeout(PATIENCE * 3, full).await.expect("it reads on and on");
    // Others go on meanwhile, and so does this one when it reads.
    client.put(put("other", vec![])).await.unwrap();
    let mut got = 0;
    while got < 200.min(sent) {
        got += session.next().await.unwrap().unwrap().answers.len() as u64;
    }
}

#[tokio::test]
async fn it_answers_what_it_has_begun_and_stops() {
    let agent = start().await;
    agent.ready().await;
    let mut session = Session::open(&agent, None).await;
    session.send((0..1000).map(|n| call(n, Call::Put(put(&n.to_string(), vec![])))).collect()).await;
    let begun = session.answers(1).await.len();
    agent.stop.send(()).unwrap();
    let mut answered = begun;
    let status = loop {
        match session.next().await {
            Ok(Some(response)) => answered += response.answers.len(),
            Ok(None) => panic!("it ends without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(refused(&status), (Code::Unavailable, "STOPPING"));
    // Answered is what stands, and nothing else does.
    let stands = agent.handle.replica().store().usage("c").entries;
    assert_eq!(stands, answered as u64);
    timeout(PATIENCE, agent.server).await.unwrap().unwrap().unwrap();
}
