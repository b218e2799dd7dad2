//! The name under which this client's writes are known again.
//!
//! ```text
//! Writers ── Writer (registered with the cache, shared by all clones) ── numbers: 17 · 18 (answered) · 19 · …
//!                                                                    answered_below: 17
//! ```
//!
//! A writer is registered before the first write, and anew when it was idle for long or its generation is gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Client;
use crate::error::{Again, Call, Error, Failed};

/// So far apart the numbers of the writes under way may be, as `cache.proto` says.
const WINDOW: u64 = 32_768;

/// The present writer, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    present: RwLock<Option<Arc<Writer>>>,
    /// Held by whoever registers one.
    registering: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Writer {
    name: Bytes,
    idle: Duration,
    numbers: Mutex<Numbers>,
    freed: Notify,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    /// Those under way.
    open: BTreeSet<u64>,
    /// Of the last answer.
    last: Instant,
}

/// The number of one write, which counts as under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    writer: Arc<Writer>,
    number: u64,
}

impl Writers {
    /// A number for a new write.
    pub async fn ticket(&self, client: &Client, end: Instant) -> Result<Ticket, Failed> {
        loop {
            let writer = match self.present() {
                Some(writer) => writer,
                None => self.register(client, end).await?,
            };
            let freed = writer.freed.notified();
            if let Some(ticket) = writer.take() {
                return Ok(ticket);
            }
            if tokio::time::timeout_at(end, freed).await.is_err() {
                let why = format!(
                    "{WINDOW} writes of this client are under way, or one waits for its answer for long"
                );
                return Err(Failed { error: Error::Limit(why), again: Again::Never });
            }
        }
    }

    /// The writer of this ticket is not known any more.
    pub fn forget(&self, ticket: &Ticket) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        if present.as_ref().is_some_and(|writer| Arc::ptr_eq(writer, &ticket.writer)) {
            *present = None;
        }
    }

    fn present(&self) -> Option<Arc<Writer>> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.as_ref().filter(|writer| !writer.is_idle()).cloned()
    }

    async fn register(&self, client: &Client, end: Instant) -> Result<Arc<Writer>, Failed> {
        let _one = self.registering.lock().await;
        if let Some(writer) = self.present() {
            return Ok(writer);
        }
        let call = proto::call::Call::Register(proto::RegisterRequest {});
        let answer = match client.once(Call::Write, end, call).await {
            Ok(proto::answer::Answer::Register(answer)) => answer,
            Ok(_) => return Err(Failed { error: Error::unexpected(), again: Again::Never }),
            // One that was registered without an answer is forgotten by itself.
            Err(Failed { error, again: Again::Perhaps | Again::Unknown | Again::Register }) => {
                let error = if error == Error::UnknownOutcome { Error::NoQuorum } else { error };
                return Err(Failed { error, again: Again::NotDone });
            }
            Err(failed) => return Err(failed),
        };
        let numbers = Numbers { next: 1, open: BTreeSet::new(), last: Instant::now() };
        let writer = Arc::new(Writer {
            name: answer.writer,
            idle: Duration::from_millis(answer.idle_ms),
            numbers: Mutex::new(numbers),
            freed: Notify::new(),
        });
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(writer.clone());
        Ok(writer)
    }
}

impl Writer {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may be forgotten soon: half of its time is over.
    fn is_idle(&self) -> bool {
        self.numbers().last.elapsed() > self.idle / 2
    }

    fn take(self: &Arc<Self>) -> Option<Ticket> {
        let mut numbers = self.numbers();
        let number = numbers.next;
        if numbers.open.first().is_some_and(|first| number - first >= WINDOW) {
            return None;
        }
        numbers.next += 1;
        numbers.open.insert(number);
        Some(Ticket { writer: self.clone(), number })
    }
}

impl Ticket {
    /// As it stands in a request that is sent now.
    pub fn id(&self) -> proto::RequestId {
        let first = self.writer.numbers().open.first().copied();
        proto::RequestId {
            writer: self.writer.name.clone(),
            number: self.number,
            answered_below: first.unwrap_or(self.number),
        }
    }

    /// The writer has written.
    pub fn answered(&self) {
        self.writer.numbers().last = Instant::now();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.writer.numbers().open.remove(&self.number);
        self.writer.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_under_way_bounds_what_is_remembered() {
        let writer = Arc::new(Writer {
            name: Bytes::from_static(b"w"),
            idle: Duration::from_secs(30),
            numbers: Mutex::new(Numbers { next: 1, open: BTreeSet::new(), last: Instant::now() }),
            freed: Notify::new(),
        });
        let first = writer.take().unwrap();
        let second = writer.take().unwrap();
        assert_eq!((second.id().number, second.id().answered_below), (2, 1));
        for _ in 2..WINDOW {
            drop(writer.take().unwrap());
        }
        assert!(writer.take().is_none(), "the first is {WINDOW} behind");
        drop(first);
        assert_eq!(second.id().answered_below, 2);
        assert_eq!(writer.take().unwrap().number, WINDOW + 1);
    }
}
