//! What is said when the consensus task takes nothing, or is gone.

use rauthy_core::{Condition, Effect, Slot};

use super::*;
use crate::mesh::Board;

/// A call's deadline.
const WITHIN: Duration = Duration::from_millis(500);
/// How long a call without a leader is tried again.
const PATIENCE: Duration = Duration::from_millis(200);

/// A handle whose consensus task is this test; so many calls fit into its queue.
fn handle(room: usize) -> (Handle, mpsc::Receiver<Call>) {
    let ((calls, taken), (commands, _)) = (mpsc::channel(room), mpsc::channel(1));
    let view = View {
        cluster: "test".into(),
        slot: Slot::new("a:1"),
        started: std::time::Instant::now(),
        board: Arc::<Board>::default(),
        tls: None,
        me: None,
    };
    let handle = Handle::new(Ends {
        calls,
        commands,
        replica: Arc::default(),
        applied: Arc::default(),
        metrics: Arc::default(),
        view,
        patience: PATIENCE,
        writer_idle: Duration::from_secs(60),
    });
    (handle, taken)
}

fn put() -> Request {
    let (cache, key, value) = ("c".into(), "k".into(), "v".into());
    Request::Put { cache, key, value, ttl: None, condition: Condition::Always }
}

fn soon() -> Instant {
    Instant::now() + WITHIN
}

async fn write(handle: &Handle) -> Result<Written, Refusal> {
    handle.write(put(), AckLevel::Quorum, soon()).await
}

/// The consensus task answers one call.
async fn answer(taken: &mut mpsc::Receiver<Call>, result: Result<Written, Refusal>) {
    let Some(Call::Write { reply, .. }) = taken.recv().await else { panic!("no write came") };
    reply.send(result).unwrap();
}

fn written() -> Written {
    Written { done: Done { version: 3, effect: Effect::Put { existed: false } }, position: None }
}

#[tokio::test]
async fn a_full_queue_is_waited_for_and_no_longer_than_the_deadline() {
    let (handle, mut taken) = handle(1);
    let queued = handle.clone();
    let queued = tokio::spawn(async move { write(&queued).await });
    while handle.0.calls.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let full = Err(Refusal::Limit(Limit::Waiting));
    assert_eq!(write(&handle).await, full, "nobody was handed it");
    assert!(Instant::now() - began >= WITHIN, "room was waited for");
    assert_eq!(queued.await.unwrap(), Err(Refusal::UnknownOutcome), "handed on, without an answer");

    // And when there is room in time, it goes on.
    let blocked = handle.clone();
    let blocked = tokio::spawn(async move { write(&blocked).await });
    tokio::task::yield_now().await;
    assert!(taken.recv().await.unwrap().is_abandoned(), "who has given up is known by that");
    answer(&mut taken, Ok(written())).await;
    assert_eq!(blocked.await.unwrap(), Ok(written()));
}

#[tokio::test]
async fn without_a_consensus_task_there_is_no_quorum() {
    let (handle, taken) = handle(1);
    assert!(!handle.has_ended());
    drop(taken);
    assert!(handle.has_ended());
    assert_eq!(write(&handle).await, Err(Refusal::NoQuorum));
    assert_eq!(handle.read_linearizable("c", b"k", soon()).await, Err(ReadRefusal::NoLease));
    // One that ends while somebody waits has perhaps handed on what it had.
    let (handle, mut taken) = self::handle(1);
    let waits = tokio::spawn(async move { write(&handle).await });
    drop(taken.recv().await);
    assert_eq!(waits.await.unwrap(), Err(Refusal::UnknownOutcome));
}

#[tokio::test]
async fn what_was_never_appended_is_offered_again_for_a_part_of_a_lease() {
    let (handle, mut taken) = handle(1);
    let writes = tokio::spawn(async move { write(&handle).await });
    answer(&mut taken, Err(Refusal::NoQuorum)).await;
    answer(&mut taken, Err(Refusal::NotLeader)).await;
    answer(&mut taken, Ok(written())).await;
    assert_eq!(writes.await.unwrap(), Ok(written()));

    // And for no longer, however much time the call has.
    let (handle, mut taken) = self::handle(1);
    let (began, much) = (Instant::now(), Duration::from_secs(20));
    let writes = tokio::spawn(async move { handle.write(put(), AckLevel::Quorum, began + much).await });
    while let Some(Call::Write { reply, .. }) = taken.recv().await {
        let _ = reply.send(Err(Refusal::NotLeader));
    }
    assert_eq!(writes.await.unwrap(), Err(Refusal::NoQuorum), "a refusal between nodes is not for clients");
    let took = Instant::now() - began;
    assert!(took >= PATIENCE / 2 && took < much / 2, "it was tried for {took:?}");
}
