//! Level Direct: answered when the write is shown on this node and queued, without a word of the consensus task.
//!
//! ```text
//! caller ─ room? ─ show in the replica ─ queue ─▶ Ok          consensus task ─ in the leader's log ─▶ room again
//! ```
//!
//! Whoever writes faster than the log takes it waits for room, here: what was answered is not refused for want of it
//! later. Whatever else becomes of it, nobody hears but the metrics.

use std::time::Duration;

use rauthy_core::{Directly, Done, Effect, Limit, Refusal, Request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::{Call, Handle, Written, clock, on_core_clock};

/// Writes that are answered and not yet in the leader's log, at most.
pub(super) const UNDER_WAY: usize = 4096;

/// What is shown makes room when it is applied; or when its time is over, of which nobody is told.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held by a write at level Direct until the leader has it, or it is lost.
pub type UnderWay = OwnedSemaphorePermit;

impl Handle {
    /// `None`: only the consensus task can say what becomes of it.
    pub(super) async fn put_directly(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Option<Result<Written, Refusal>> {
        let full = Some(Err(Refusal::Limit(Limit::Waiting)));
        loop {
            let permit = self.0.directly.clone().acquire_owned();
            let (under_way, queue) = match timeout_at(deadline, async {
                let under_way = permit.await.ok()?;
                Some((under_way, self.0.calls.reserve().await.ok()?))
            })
            .await
            {
                Ok(Some(both)) => both,
                // The consensus task has ended.
                Ok(None) => return Some(Err(Refusal::NoQuorum)),
                Err(_) => return full,
            };
            // Before the look, so that nothing applied after it is missed.
            let applied = self.0.applied.notified();
            match self.0.replica.show_directly(request, clock::now()) {
                Directly::Shown => {
                    queue.send(Call::Direct {
                        request: request.clone(),
                        deadline: on_core_clock(deadline),
                        under_way,
                    });
                    let done = Done { version: 0, effect: Effect::Accepted };
                    return Some(Ok(Written { done, position: None }));
                }
                Directly::Unknown => return None,
                Directly::NoRoom => {}
            }
            drop((under_way, queue));
            if Instant::now() >= deadline {
                return full;
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), applied).await;
        }
    }
}
