//! One call, tried until it is answered, cannot be, or its time is over.
//!
//! What is tried again: what was certainly not done (no quorum, catching up, no agent there, an agent that stops), and
//! what was perhaps done, if it is known again by its request id (or is a read). Everything else is an answer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use rauthy_proto::cache as proto;
use tokio::time::Instant;

use crate::error::{Again, Call, Error, Failed};
use crate::{Client, transport};

/// First wait before a call is tried again, and the longest; each is a random part of it, half at least.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(400);
/// So often a write is asked about again whose outcome the agent itself does not know: a member that lost its leader
/// says so at once, and soon knows. A writer that was forgotten stays unknown.
const UNKNOWN: u32 = 8;

/// How often a call was tried, and what that means.
#[derive(Default)]
struct Tries {
    pauses: Pauses,
    unknown: u32,
    /// An earlier one may have been done.
    perhaps: bool,
}

impl Client {
    /// Carries out a call: `make` gives its message, once for each try. `known`: under a request id.
    pub(crate) async fn run(
        &self,
        kind: Call,
        known: bool,
        deadline: Option<Duration>,
        make: impl Fn(Option<proto::RequestId>) -> proto::call::Call + Send + Sync,
    ) -> Result<proto::answer::Answer, Error> {
        let end = Instant::now() + deadline.unwrap_or(self.deadline);
        if !self.retries {
            return self.once(kind, end, make(None)).await.map_err(|failed| failed.error);
        }
        let mut tries = Tries::default();
        let mut ticket = None;
        loop {
            if known && ticket.is_none() {
                match self.writers.ticket(self, end).await {
                    Ok(new) => ticket = Some(new),
                    Err(failed) if failed.again == Again::NotDone && tries.pauses.pause(end).await => {
                        continue;
                    }
                    Err(failed) => return Err(failed.error),
                }
            }
            let failed = match self.once(kind, end, make(ticket.as_ref().map(|t| t.id()))).await {
                Ok(answer) => {
                    if let Some(ticket) = &ticket {
                        ticket.answered();
                    }
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            let goes_on = match failed.again {
                Again::Never => false,
                Again::NotDone => true,
                Again::Perhaps => {
                    tries.perhaps = true;
                    known
                }
                Again::Unknown => {
                    (tries.perhaps, tries.unknown) = (true, tries.unknown + 1);
                    known && tries.unknown < UNKNOWN
                }
                // The writer is gone with its generation; whatever an earlier try did is gone, too, but was it done?
                Again::Register => {
                    if let Some(ticket) = ticket.take() {
                        self.writers.forget(&ticket);
                    }
                    !tries.perhaps
                }
            };
            if !(goes_on && tries.pauses.pause(end).await) {
                return Err(tries.verdict(kind, failed));
            }
        }
    }

    /// Asks once.
    pub(crate) async fn once(
        &self,
        kind: Call,
        end: Instant,
        call: proto::call::Call,
    ) -> Result<proto::answer::Answer, Failed> {
        match &self.pipeline {
            Some(pipeline) => pipeline.call(self, kind, end, call).await,
            None => {
                let answer = transport::unary(self, kind, end, call).await?;
                self.saw(transport::position(&answer));
                Ok(answer)
            }
        }
    }
}

impl Tries {
    fn verdict(&self, kind: Call, failed: Failed) -> Error {
        let answered = matches!(failed.error, Error::Version { .. } | Error::NotANumber);
        if kind == Call::Write && self.perhaps && !answered { Error::UnknownOutcome } else { failed.error }
    }
}

/// Waits between tries, each about twice as long as the one before.
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pauses {
    /// Waits before the next try; `false`, at once, if there is no time for it.
    pub async fn pause(&mut self, end: Instant) -> bool {
        let wait = self.next();
        let time = Instant::now() + wait < end;
        if time {
            tokio::time::sleep(wait).await;
        }
        time
    }

    /// Waits before the next try of something that has no end.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        let wait = jittered(self.0);
        self.0 = (self.0 * 2).min(LONGEST);
        wait
    }
}

/// Between a half and all of it. The keys of a hasher are random, which is all that is needed here.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(wait);
    wait / 2 + wait.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_and_stay_in_their_bounds() {
        let waits: std::collections::BTreeSet<_> = (0..50).map(|_| jittered(LONGEST)).collect();
        assert!(waits.len() > 10, "{waits:?}");
        assert!(waits.iter().all(|wait| (LONGEST / 2..=LONGEST).contains(wait)), "{waits:?}");
    }
}
