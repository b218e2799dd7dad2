//! Level Direct: answered when the write is shown on this node and queued, without a word of the consensus task.
//!
//! ```text
//! caller ─ room? ─ show in the replica ─ queue ─▶ Ok          consensus task ─ in the leader's log ─▶ room again
//! ```
//!
//! Whoever writes faster than the log takes it waits for room, here, before the answer. Of what becomes of it afterwards
//! nobody hears but the metrics.

use std::time::Duration;

use rauthy_core::{Directly, Done, Effect, Limit, Refusal, Request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::{Call, Handle, Written, clock, on_core_clock};

/// Writes that are answered and not yet in the leader's log, at most. One takes the room of several if it is long.
pub(super) const UNDER_WAY: usize = 4096;
/// Bytes in one room: 4 MiB are under way at most, below what the core lets a node hold.
const ROOM: usize = 1 << 10;

/// While a caller waits he looks so often whether this node may still take it, and whether what it shows has made room by
/// being over, of which nobody is told.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held by a write at level Direct until the leader has it, or it is lost.
pub type UnderWay = OwnedSemaphorePermit;

fn rooms(request: &Request) -> u32 {
    u32::try_from(1 + request.size() / ROOM).unwrap_or(u32::MAX)
}

impl Handle {
    /// `None`: only the consensus task can say what becomes of it.
    pub(super) async fn write_directly(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Option<Result<Written, Refusal>> {
        let rooms = rooms(request);
        loop {
            // Before the look, so that nothing applied after it is missed.
            let applied = self.0.applied.notified();
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            let room = async {
                let under_way = self.0.direct_room.clone().acquire_many_owned(rooms).await.ok()?;
                Some((under_way, self.0.calls.reserve().await.ok()?))
            };
            match timeout_at(look_again, room).await {
                Ok(Some((under_way, queue))) => match self.0.replica.show_directly(request, clock::now()) {
                    Directly::Shown(generation) => {
                        let (request, deadline) = (request.clone(), on_core_clock(deadline));
                        queue.send(Call::Direct { generation, request, deadline, under_way });
                        let done = Done { version: 0, effect: Effect::Accepted };
                        return Some(Ok(Written { done, position: None }));
                    }
                    Directly::AskNode => return None,
                    Directly::NoRoom => {
                        drop((under_way, queue));
                        let _ = timeout_at(look_again, applied).await;
                    }
                },
                // The consensus task has ended.
                Ok(None) => return Some(Err(Refusal::NoQuorum)),
                // There is no room, but perhaps no lease either: then nobody waits for it.
                Err(_) if !self.0.replica.may_show(request, clock::now()) => return None,
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                return Some(Err(Refusal::Limit(Limit::Waiting)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rauthy_core::Condition;

    use super::*;

    #[test]
    fn a_long_one_takes_more_room() {
        let put = |len: usize| {
            let value = vec![0; len].into();
            rooms(&Request::Put {
                cache: "c".into(),
                key: "k".into(),
                value,
                ttl: None,
                condition: Condition::Always,
            })
        };
        assert_eq!((put(0), put(1021), put(1022), put(1 << 20)), (1, 1, 2, 1025));
        assert!((put(1 << 20) as usize) < UNDER_WAY);
    }
}
