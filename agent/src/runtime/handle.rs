//! The way into the consensus task for everybody else in the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rauthy_core::replica::{Found, ReadRefusal};
use rauthy_core::{AckLevel, Done, Refusal, Replica, Request, Status};
use rauthy_proto::cache::NodeStatus;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::clock;
use super::metrics::Metrics;
use super::status::View;

/// How long [`Handle::hand_over`] waits at most.
const HAND_OVER: Duration = Duration::from_secs(5);

/// A write on its way to the core.
pub(super) struct Proposal {
    pub request: Request,
    pub level: AckLevel,
    pub reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// What else is asked of the consensus task.
pub(super) enum Command {
    Status(oneshot::Sender<Status>),
    HandOver(oneshot::Sender<()>),
}

/// To the consensus task; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    proposals: mpsc::Sender<Proposal>,
    commands: mpsc::Sender<Command>,
    replica: Arc<Replica>,
    metrics: Arc<Metrics>,
    view: View,
    /// How long a write without a leader is tried again.
    patience: Duration,
    stopping: AtomicBool,
}

impl Handle {
    pub(super) fn new(
        proposals: mpsc::Sender<Proposal>,
        commands: mpsc::Sender<Command>,
        replica: Arc<Replica>,
        metrics: Arc<Metrics>,
        view: View,
        patience: Duration,
    ) -> Self {
        let stopping = AtomicBool::new(false);
        Self(Arc::new(Shared { proposals, commands, replica, metrics, view, patience, stopping }))
    }

    /// Writes. Where there is no leader the request is offered again for a part of a lease (that is safe: it was never
    /// appended), so that a planned hand-over is not seen by clients.
    ///
    /// # Errors
    /// [`Refusal::NoQuorum`] and [`Refusal::Limit`]: it was never appended. [`Refusal::UnknownOutcome`]: it may or
    /// may not stand, also when `deadline` passed after it was handed to the core.
    pub async fn write(&self, request: Request, level: AckLevel, deadline: Instant) -> Result<Done, Refusal> {
        let give_up = deadline.min(Instant::now() + self.0.patience);
        let mut pause = Duration::from_millis(2);
        loop {
            let refusal = match self.offer(request.clone(), level, deadline).await {
                Err(refusal @ (Refusal::NoQuorum | Refusal::NotLeader)) => refusal,
                other => return other,
            };
            if Instant::now() + pause >= give_up {
                // A refusal between nodes means nothing to a client.
                return Err(if refusal == Refusal::NotLeader { Refusal::NoQuorum } else { refusal });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Hands a write to the core once.
    async fn offer(&self, request: Request, level: AckLevel, deadline: Instant) -> Result<Done, Refusal> {
        let (reply, result) = oneshot::channel();
        match timeout_at(deadline, self.0.proposals.send(Proposal { request, level, reply })).await {
            Ok(Ok(())) => {}
            // The queue stayed full.
            Err(_) => return Err(Refusal::Limit),
            // The consensus task has ended.
            Ok(Err(_)) => return Err(Refusal::NoQuorum),
        }
        match timeout_at(deadline, result).await {
            Ok(Ok(result)) => result,
            Err(_) | Ok(Err(_)) => Err(Refusal::UnknownOutcome),
        }
    }

    /// Reads this node's replica under its read lease, on the caller's thread.
    ///
    /// # Errors
    /// If there is no lease, or what it requires is not applied yet: never a miss that is not true.
    pub fn read(&self, cache: &str, key: &[u8]) -> Result<Found, ReadRefusal> {
        self.0.replica.get(cache, key, clock::now)
    }

    /// Whether this node follows a leader but has no seat yet. Costs the consensus task nothing, and is up to 250 ms old.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.0.metrics.is_learning()
    }

    /// How this node sees the cluster.
    pub async fn status(&self) -> NodeStatus {
        let (reply, result) = oneshot::channel();
        let core = match self.0.commands.send(Command::Status(reply)).await {
            Ok(()) => result.await.ok(),
            Err(_) => None,
        };
        self.0.view.node_status(core.as_ref(), &self.0.replica, self.0.stopping.load(Ordering::Relaxed))
    }

    /// Hands the leadership over: returns when that is done, when there was none to hand over, or after 5 s.
    pub async fn hand_over(&self) {
        let (reply, done) = oneshot::channel();
        if self.0.commands.send(Command::HandOver(reply)).await.is_ok() {
            let _ = timeout(HAND_OVER, done).await;
        }
    }

    /// From now on this node says that it is not ready, because it is about to stop.
    pub fn stop_being_ready(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// What readers use.
    #[must_use]
    pub fn replica(&self) -> Arc<Replica> {
        self.0.replica.clone()
    }

    /// What the runtime counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }
}
