//! The way into the consensus task for everybody else in the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rauthy_core::replica::Position;
use rauthy_core::{
    AckLevel, Done, Found, Generation, HostList, Limit, ReadPoint, ReadRefusal, Refusal, Replica, Request,
    SizeChange, SizeProgress, SizeRefusal, Span, Stamp, Status, Time,
};
use rauthy_proto::cache::NodeStatus;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::clock;
use super::metrics::Metrics;
use super::status::View;
use super::watch::{Filter, Watcher};
use crate::serve::operations::Operations;

mod direct;
#[cfg(test)]
mod tests;

pub(super) use direct::UnderWay;

/// How long [`Handle::hand_over`] waits at most.
const HAND_OVER: Duration = Duration::from_secs(5);

/// The consensus task answers what it cannot do within this time, if it is not stuck.
const LAST_ANSWER: Duration = Duration::from_millis(200);

/// What a client asks of the core; answered once, at the deadline at the latest.
pub(super) enum Call {
    Write {
        request: Request,
        stamp: Option<Stamp>,
        level: AckLevel,
        deadline: Time,
        reply: oneshot::Sender<Result<Written, Refusal>>,
    },
    /// At level Direct: it is shown and answered already.
    Direct {
        generation: Generation,
        request: Request,
        deadline: Time,
        under_way: UnderWay,
    },
    Read {
        deadline: Time,
        reply: oneshot::Sender<Option<ReadPoint>>,
    },
}

impl Call {
    /// Its client has given up.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Self::Write { reply, .. } => reply.is_closed(),
            Self::Read { reply, .. } => reply.is_closed(),
            Self::Direct { .. } => false,
        }
    }
}

/// What else is asked of the consensus task.
pub(super) enum Command {
    Status(oneshot::Sender<Status>),
    HandOver(oneshot::Sender<()>),
    Hosts(HostList),
    SetSize(SizeChange, oneshot::Sender<Result<SizeProgress, SizeRefusal>>),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// As the core says it.
    pub done: Done,
    /// A read at this position sees it; `None` at level Direct.
    pub position: Option<Position>,
}

/// To the consensus task; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    calls: mpsc::Sender<Call>,
    /// Room for writes at level Direct.
    direct_room: Arc<Semaphore>,
    commands: mpsc::Sender<Command>,
    replica: Arc<Replica>,
    /// Something was applied.
    applied: Arc<Notify>,
    metrics: Arc<Metrics>,
    view: View,
    /// How long a call without a leader is tried again.
    patience: Duration,
    writer_idle: Duration,
    stopping: AtomicBool,
}

/// What a handle is made of.
pub(super) struct Ends {
    pub calls: mpsc::Sender<Call>,
    pub commands: mpsc::Sender<Command>,
    pub replica: Arc<Replica>,
    pub applied: Arc<Notify>,
    pub metrics: Arc<Metrics>,
    pub view: View,
    pub patience: Duration,
    pub writer_idle: Duration,
}

/// Asks again while there is no leader, in growing steps.
struct Patience {
    give_up: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits a little; false: long enough.
    async fn pause(&mut self) -> bool {
        if Instant::now() + self.pause >= self.give_up {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(20));
        true
    }
}

/// The same moment on the core's clock.
fn on_core_clock(deadline: Instant) -> Time {
    let left = deadline.saturating_duration_since(Instant::now());
    clock::now() + Span(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))
}

impl Handle {
    pub(super) fn new(ends: Ends) -> Self {
        let Ends { calls, commands, replica, applied, metrics, view, patience, writer_idle } = ends;
        let stopping = AtomicBool::new(false);
        Self(Arc::new(Shared {
            calls,
            direct_room: Arc::new(Semaphore::new(direct::UNDER_WAY)),
            commands,
            replica,
            applied,
            metrics,
            view,
            patience,
            writer_idle,
            stopping,
        }))
    }

    /// Writes. The core hands it to one leader after the other until the deadline, and it is applied at most once. Where
    /// there is no leader it is offered again for a part of a lease (that is safe: it was never appended), so that a
    /// planned hand-over is not seen by clients. At level Direct it is answered before the core has it.
    ///
    /// # Errors
    /// [`Refusal::NoQuorum`], [`Refusal::Limit`] and [`Refusal::Level`]: it was never appended.
    /// [`Refusal::UnknownOutcome`]: it may or may not stand, also when `deadline` passed after it was handed to the core.
    pub async fn write(
        &self,
        request: Request,
        level: AckLevel,
        deadline: Instant,
    ) -> Result<Written, Refusal> {
        self.write_as(None, request, level, deadline).await
    }

    /// As [`Self::write`], under the stamp of a session that the client has opened ([`Request::OpenSession`]): repeated
    /// with the same stamp, through whichever node, it is applied at most once.
    ///
    /// # Errors
    /// As [`Self::write`], but that a refusal speaks of this attempt alone.
    pub async fn write_as(
        &self,
        stamp: Option<Stamp>,
        request: Request,
        level: AckLevel,
        deadline: Instant,
    ) -> Result<Written, Refusal> {
        if (level, stamp) == (AckLevel::Direct, None)
            && let Some(result) = self.write_directly(&request, deadline).await
        {
            return result;
        }
        let mut patience = self.patience(deadline);
        loop {
            let result = self.offer(stamp, request.clone(), level, deadline).await;
            if !matches!(result, Err(Refusal::NoQuorum | Refusal::NotLeader)) {
                return result;
            }
            if !patience.pause().await {
                // A refusal between nodes means nothing to a client.
                return Err(Refusal::NoQuorum);
            }
        }
    }

    fn patience(&self, deadline: Instant) -> Patience {
        let now = Instant::now();
        // Not to the last moment: a refusal that comes after the deadline is an unknown outcome.
        let left = deadline.saturating_duration_since(now);
        let give_up = now + self.0.patience.min(left - (left / 2).min(LAST_ANSWER));
        Patience { give_up, pause: Duration::from_millis(2) }
    }

    /// Hands a write to the core once.
    async fn offer(
        &self,
        stamp: Option<Stamp>,
        request: Request,
        level: AckLevel,
        deadline: Instant,
    ) -> Result<Written, Refusal> {
        let (reply, result) = oneshot::channel();
        let call = Call::Write { request, stamp, level, deadline: on_core_clock(deadline), reply };
        match self.0.calls.try_send(call) {
            Ok(()) => {}
            Err(TrySendError::Full(call)) => match timeout_at(deadline, self.0.calls.send(call)).await {
                Ok(Ok(())) => {}
                // The queue stayed full.
                Err(_) => return Err(Refusal::Limit(Limit::Waiting)),
                Ok(Err(_)) => return Err(Refusal::NoQuorum),
            },
            // The consensus task has ended.
            Err(TrySendError::Closed(_)) => return Err(Refusal::NoQuorum),
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

    /// Reads this node's replica on the caller's thread, if it has applied what a session has seen.
    ///
    /// # Errors
    /// As [`Self::read_after`], which waits.
    pub fn read_seen(&self, cache: &str, key: &[u8], seen: Position) -> Result<Found, ReadRefusal> {
        self.0.replica.get_after(cache, key, seen, clock::now)
    }

    /// Reads this node's replica, not before it has applied what a session has seen.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ReadRefusal::Syncing`] if it is not applied at the deadline; [`ReadRefusal::Gap`] if it was
    /// seen in another generation, whose data is gone.
    pub async fn read_after(
        &self,
        cache: &str,
        key: &[u8],
        seen: Position,
        deadline: Instant,
    ) -> Result<Found, ReadRefusal> {
        self.once_applied(deadline, || self.read_seen(cache, key, seen)).await
    }

    /// Reads what stands at a moment after this call began: nothing older than what anybody was told before.
    ///
    /// # Errors
    /// [`ReadRefusal::NoLease`]: no leader with a quorum answered before the deadline. [`ReadRefusal::Gap`]: the
    /// generation ended meanwhile.
    pub async fn read_linearizable(
        &self,
        cache: &str,
        key: &[u8],
        deadline: Instant,
    ) -> Result<Found, ReadRefusal> {
        let mut patience = self.patience(deadline);
        let point = loop {
            match self.ask(deadline).await {
                Some(point) => break point,
                None if patience.pause().await => {}
                None => return Err(ReadRefusal::NoLease),
            }
        };
        self.once_applied(deadline, || self.0.replica.get_at(cache, key, point)).await
    }

    /// Reads again whenever something was applied, for as long as more must be.
    async fn once_applied(
        &self,
        deadline: Instant,
        read: impl Fn() -> Result<Found, ReadRefusal>,
    ) -> Result<Found, ReadRefusal> {
        loop {
            // Before the look, so that nothing applied after it is missed.
            let applied = self.0.applied.notified();
            let result = read();
            if result != Err(ReadRefusal::Syncing) || timeout_at(deadline, applied).await.is_err() {
                return result;
            }
        }
    }

    async fn ask(&self, deadline: Instant) -> Option<ReadPoint> {
        let (reply, point) = oneshot::channel();
        let call = Call::Read { deadline: on_core_clock(deadline), reply };
        timeout_at(deadline, self.0.calls.send(call)).await.ok()?.ok()?;
        timeout_at(deadline, point).await.ok()?.ok()?
    }

    /// The generation that this node is bound to.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.0.replica.feed_end().map(|end| end.generation)
    }

    /// A session that a client has opened and not used for so long may be ended.
    #[must_use]
    pub fn writer_idle(&self) -> Duration {
        self.0.writer_idle
    }

    /// Watches what changes on this node, from a position that an answer or another watch gave, or from now on.
    #[must_use]
    pub fn watch(&self, filter: Filter, after: Option<Position>) -> Watcher {
        Watcher::new(self.clone(), filter, after)
    }

    /// Told whenever something was applied, all data is gone, or nothing will be applied any more.
    pub(super) fn applied(&self) -> Arc<Notify> {
        self.0.applied.clone()
    }

    /// The consensus task has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.0.calls.is_closed()
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

    /// The host list was read again. One with a lower epoch than before is ignored.
    pub async fn set_hosts(&self, hosts: HostList) {
        // Without the consensus task nobody needs it.
        let _ = self.0.commands.send(Command::Hosts(hosts)).await;
    }

    /// Changes the size of the cluster; may be repeated, and must be until it is done.
    ///
    /// # Errors
    /// If the change is not begun.
    pub async fn set_size(&self, change: SizeChange) -> Result<SizeProgress, SizeRefusal> {
        let (reply, result) = oneshot::channel();
        if self.0.commands.send(Command::SetSize(change, reply)).await.is_err() {
            return Err(SizeRefusal::NotLeader);
        }
        result.await.unwrap_or(Err(SizeRefusal::NotLeader))
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

    /// What applications asked.
    pub(crate) fn operations(&self) -> &Operations {
        &self.0.metrics.operations
    }

    /// What the runtime counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }
}
