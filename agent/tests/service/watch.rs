//! Watch: every change in order from a position, gaps, the slow, and how it ends.

use std::time::Duration;

use rauthy_client::Seen;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::ChangeKind;
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming};

use crate::support::{Agent, PATIENCE, delete, get, put, refused, start};

type Watch = Streaming<proto::WatchResponse>;

async fn open(agent: &Agent, request: proto::WatchRequest) -> Watch {
    timeout(PATIENCE, agent.client().watch(request)).await.unwrap().unwrap().into_inner()
}

async fn next(watch: &mut Watch) -> Result<Option<proto::WatchResponse>, Status> {
    timeout(PATIENCE, watch.message()).await.expect("nothing more is told")
}

/// The next changes, as many as these or more.
async fn changes(watch: &mut Watch, count: usize) -> Vec<proto::Change> {
    let mut all = Vec::new();
    while all.len() < count {
        let response = next(watch).await.unwrap().expect("the watch ended");
        if let Some(last) = response.changes.last() {
            let (last, all) = (Seen::parse(&last.position), Seen::parse(&response.position));
            assert!(last.map(|s| s.index) <= all.map(|s| s.index));
        }
        all.extend(response.changes);
    }
    all
}

fn told(change: &proto::Change) -> (ChangeKind, &str, Option<&str>) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (change.kind(), text(&change.key), change.value.as_deref().map(text))
}

#[tokio::test]
async fn every_change_is_told_in_order_from_a_position() {
    let agent = start().await;
    // Asked before this node is ready: it begins when it is.
    let mut early =
        open(&agent, proto::WatchRequest { values: true, ..proto::WatchRequest::default() }).await;
    let begin = next(&mut early).await.unwrap().unwrap();
    assert!(begin.changes.is_empty() && agent.handle.status().await.ready, "{begin:?}");
    let mut client = agent.client();
    let first = client.put(put("a", b"1".to_vec())).await.unwrap().into_inner();
    client.put(put("a", b"2".to_vec())).await.unwrap();
    client.put(proto::PutRequest { ttl_ms: 1, ..put("b", b"short".to_vec()) }).await.unwrap();
    let add = proto::IncrementRequest { cache: "c".into(), key: "n".into(), by: 7, ..Default::default() };
    client.increment(add).await.unwrap();
    client.delete(delete("a")).await.unwrap();
    client.delete(delete("nothing")).await.unwrap();
    let take = proto::TakeRequest { cache: "c".into(), key: "n".into(), ..Default::default() };
    client.take(take).await.unwrap();
    client.put(proto::PutRequest { cache: "other".into(), ..put("x", b"3".to_vec()) }).await.unwrap();
    client.clear(proto::ClearRequest { cache: "other".into(), ..Default::default() }).await.unwrap();

    let mut all = changes(&mut early, 9).await;
    // When the short one is removed is the leader's choice.
    let expired = all.iter().position(|c| told(c) == (ChangeKind::Expired, "b", None)).unwrap();
    assert!(all.remove(expired).version > first.version + 1);
    let wanted = [
        (ChangeKind::Put, "a", Some("1")),
        (ChangeKind::Put, "a", Some("2")),
        (ChangeKind::Put, "b", Some("short")),
        (ChangeKind::Put, "n", Some("7")),
        (ChangeKind::Deleted, "a", None),
        (ChangeKind::Taken, "n", None),
        (ChangeKind::Put, "x", Some("3")),
        (ChangeKind::Cleared, "", None),
    ];
    assert_eq!(all.iter().map(told).collect::<Vec<_>>(), wanted);
    assert_eq!((all[0].version, &all[6].cache[..], &all[7].cache[..]), (first.version, "other", "other"));
    assert!(all.windows(2).all(|pair| pair[0].version < pair[1].version), "{all:?}");

    // From the position of a change, and of an answer, what came after it is told again; filtered, and without values.
    let after = |after: &bytes::Bytes| proto::WatchRequest { after: after.clone(), ..Default::default() };
    for position in [&all[0].position, &first.session] {
        let mut again = open(&agent, after(position)).await;
        assert_eq!(told(&changes(&mut again, 1).await[0]), (ChangeKind::Put, "a", None));
    }
    let filtered = proto::WatchRequest { cache: "c".into(), key_prefix: "n".into(), ..after(&first.session) };
    let mut filtered = open(&agent, filtered).await;
    let kinds: Vec<_> = changes(&mut filtered, 2).await.iter().map(proto::Change::kind).collect();
    assert_eq!(kinds, [ChangeKind::Put, ChangeKind::Taken]);
    client.put(put("m", vec![])).await.unwrap();
    client.put(put("nn", vec![])).await.unwrap();
    assert_eq!(told(&changes(&mut filtered, 1).await[0]), (ChangeKind::Put, "nn", None));
    // A read after the position sees what was told.
    let session = changes(&mut early, 2).await[1].position.clone();
    let found = client.get(proto::GetRequest { session, ..get("nn") }).await.unwrap().into_inner();
    assert!(found.value.is_some());
}

#[tokio::test]
async fn what_cannot_be_told_is_a_gap() {
    let agent = start().await;
    agent.ready().await;
    let mut client = agent.client();
    let first = client.put(put("first", b"v".to_vec())).await.unwrap().into_inner();
    let mut slow = open(&agent, proto::WatchRequest { values: true, ..Default::default() }).await;
    next(&mut slow).await.unwrap().unwrap();

    // It is not read from while more happens than is kept; nobody else waits for it.
    for n in 0..40_u8 {
        client.put(put("big", vec![n; 256 << 10])).await.unwrap();
    }
    let (mut previous, mut before) = (0, 0);
    let missed = loop {
        let [change] = &changes(&mut slow, 1).await[..] else { panic!("they do not fit into one message") };
        let position = Seen::parse(&change.position).unwrap().index;
        assert!(position > previous, "it went back from {previous}");
        previous = position;
        match change.kind() {
            ChangeKind::Gap => break position,
            ChangeKind::Put => before += 1,
            other => panic!("{other:?} was told"),
        }
        assert!(before < 40, "10 MiB were told to somebody who did not read");
    };
    // What was missed is read, and what comes then is told.
    let session = Seen { index: missed, ..Seen::parse(&first.session).unwrap() }.to_bytes();
    let found = client.get(proto::GetRequest { session, ..get("big") }).await.unwrap().into_inner();
    assert_eq!(found.value.unwrap()[0], 39);
    client.put(put("end", vec![])).await.unwrap();
    assert_eq!(told(&changes(&mut slow, 1).await[0]), (ChangeKind::Put, "end", Some("")));

    // A position that is too old, and one of another generation; what is told next is after what is missed.
    let old = proto::WatchRequest { after: first.session.clone(), ..Default::default() };
    let mut old = open(&agent, old).await;
    let gap = next(&mut old).await.unwrap().unwrap();
    assert_eq!((gap.changes.len(), gap.changes[0].kind()), (1, ChangeKind::Gap));
    assert_eq!(gap.changes[0].position, gap.position);
    let seen = Seen::parse(&first.session).unwrap();
    let other = Seen { generation: !seen.generation, ..seen }.to_bytes();
    let mut other = open(&agent, proto::WatchRequest { after: other, ..Default::default() }).await;
    let gone = next(&mut other).await.unwrap().unwrap();
    assert_eq!((gone.changes.len(), gone.changes[0].kind()), (1, ChangeKind::Gone));
    assert!(!next(&mut other).await.unwrap().unwrap().position.is_empty(), "it goes on from here");
    client.put(put("next", vec![])).await.unwrap();
    for watch in [&mut old, &mut other] {
        assert_eq!(told(&changes(watch, 1).await[0]), (ChangeKind::Put, "next", None));
    }
}

#[tokio::test]
async fn a_watch_is_refused_or_ends_with_a_reason() {
    let agent = start().await;
    agent.ready().await;
    let mut client = agent.client();
    for wrong in [
        proto::WatchRequest { cache: "c".repeat(65), ..Default::default() },
        proto::WatchRequest { key_prefix: vec![0; 1 << 17].into(), ..Default::default() },
        proto::WatchRequest { after: "mine".into(), ..Default::default() },
    ] {
        let status = client.watch(wrong).await.unwrap_err();
        assert_eq!(refused(&status), (Code::InvalidArgument, "FIELD"), "{}", status.message());
    }
    let mut short = Request::new(proto::WatchRequest::default());
    short.set_timeout(Duration::from_millis(300));
    let mut short = client.watch(short).await.unwrap().into_inner();
    next(&mut short).await.unwrap().unwrap();
    assert_eq!(next(&mut short).await.unwrap_err().code(), Code::DeadlineExceeded);

    // There is an end to how many there may be, and a place is free again when one ends.
    let mut open = Vec::new();
    let status = loop {
        match client.watch(proto::WatchRequest::default()).await {
            Ok(watch) => open.push(watch.into_inner()),
            Err(status) => break status,
        }
        // More than one connection has streams.
        if open.len() % 100 == 0 {
            client = agent.client();
        }
        assert!(open.len() < 10_000, "there is no limit");
    };
    assert_eq!(refused(&status), (Code::ResourceExhausted, "LIMIT"));
    let mut last = open.pop().unwrap();
    open.clear();
    let free = async {
        while client.watch(proto::WatchRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.expect("places stay taken");

    next(&mut last).await.unwrap().unwrap();
    agent.stop.send(()).unwrap();
    let status = next(&mut last).await.unwrap_err();
    assert_eq!(refused(&status), (Code::Unavailable, "STOPPING"));
    timeout(PATIENCE, agent.server).await.unwrap().unwrap().unwrap();
}
