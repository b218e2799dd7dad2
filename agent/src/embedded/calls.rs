//! What can be asked of the embedded cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rauthy_client::{AckLevel, Condition, Error, Limits, PutOptions, limits};
use rauthy_core::replica::Position;
use rauthy_core::store::Value;
use rauthy_core::{Effect, Found, ReadRefusal, Request, Span, WhenFull};
use tokio::time::Instant;

use super::Cache;
use crate::runtime::Written;
use crate::serve::operations::{Level, Operation, Outcome};
use crate::serve::reason::Reason;

type Read = Result<Option<Value>, Error>;

fn check(problem: Option<String>) -> Result<(), Error> {
    problem.map_or(Ok(()), |p| Err(Error::Invalid(p)))
}

fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn level(level: AckLevel) -> (rauthy_core::AckLevel, Level) {
    use rauthy_core::AckLevel as Core;
    match level {
        AckLevel::Direct => (Core::Direct, Level::Direct),
        AckLevel::Leader => (Core::Leader, Level::Leader),
        AckLevel::Once => (Core::Once, Level::Once),
        AckLevel::Quorum => (Core::Quorum, Level::Quorum),
        AckLevel::All => (Core::All, Level::All),
    }
}

impl Cache {
    /// Reads a key from this node's replica, under its lease: on this thread, without a channel, and without a copy of the
    /// value. `None` is a truthful miss. The version of the value is 0 while it is written at level Direct and not in the
    /// log yet.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] and [`Error::Syncing`]: nothing is known here at the moment. In a [`Cache::session`] also if
    /// this node has not caught up with what the session has seen ([`Cache::read`] waits for that), and [`Error::Gap`] if
    /// that is gone.
    pub fn get(&self, cache: &str, key: impl AsRef<[u8]>) -> Read {
        let key = key.as_ref();
        check(limits::check_cache(cache).or_else(|| limits::check_key(key)))?;
        let handle = &self.inner.handle;
        let found = match self.seen() {
            None => handle.read(cache, key),
            Some(seen) => handle.read_seen(cache, key, seen),
        };
        let level = if self.session.is_some() { Level::Session } else { Level::Local };
        self.found(cache, level, None, found)
    }

    /// As [`Cache::get`], and waits while this node is catching up with what the session has seen, 5 s at most.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn read(&self, cache: &str, key: impl AsRef<[u8]>) -> Read {
        let (started, key) = (Instant::now(), key.as_ref());
        check(limits::check_cache(cache).or_else(|| limits::check_key(key)))?;
        let handle = &self.inner.handle;
        let (level, found) = match self.seen() {
            None => (Level::Local, handle.read(cache, key)),
            Some(seen) => {
                (Level::Session, handle.read_after(cache, key, seen, started + limits::DEADLINE).await)
            }
        };
        self.found(cache, level, Some(started), found)
    }

    /// Reads what stands at this moment: nothing older than what anybody was told before. That costs a round trip to the
    /// leader and its quorum.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] or [`Error::Syncing`] if it cannot be known.
    pub async fn get_linearizable(&self, cache: &str, key: impl AsRef<[u8]>) -> Read {
        let (started, key) = (Instant::now(), key.as_ref());
        check(limits::check_cache(cache).or_else(|| limits::check_key(key)))?;
        let found = self.inner.handle.read_linearizable(cache, key, started + limits::DEADLINE).await;
        // A generation that ended meanwhile is no gap: nothing was named that is gone.
        let found = found.map_err(|e| if e == ReadRefusal::Gap { ReadRefusal::NoLease } else { e });
        self.found(cache, Level::Linearizable, Some(started), found)
    }

    fn found(
        &self,
        cache: &str,
        level: Level,
        started: Option<Instant>,
        found: Result<Found, ReadRefusal>,
    ) -> Read {
        let handle = &self.inner.handle;
        let (result, outcome) = match found {
            Ok(found) => {
                if let Some(session) = &self.session {
                    session.saw(Position { generation: found.generation, index: found.index });
                }
                let value = found.value.map(|(value, _)| value);
                let outcome = if value.is_some() { Outcome::Ok } else { Outcome::Miss };
                (Ok(value), outcome)
            }
            Err(refusal) => {
                let reason = Reason::of_read(refusal, || handle.is_learning());
                if let (Reason::Gap, Some(session)) = (&reason, &self.session)
                    && let Some(seen) = session.seen()
                {
                    session.forget(seen);
                }
                let outcome = reason.outcome();
                (Err(reason.into()), outcome)
            }
        };
        match started {
            Some(started) => self.count(cache, Operation::Get, level, outcome, started),
            None => handle.operations().counted(cache, Operation::Get, level, outcome),
        }
        result
    }

    fn seen(&self) -> Option<Position> {
        self.session.as_ref().and_then(|session| session.seen())
    }

    /// Stores a value and returns its version; at level Direct 0.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the value may or may not be stored.
    pub async fn put(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<u64, Error> {
        self.store(cache, key.into(), value.into(), rauthy_core::Condition::Always, options).await
    }

    /// Stores a value if a condition holds, in one linearizable step, and returns its version. Needs level Quorum or All.
    ///
    /// # Errors
    /// As [`Cache::put`]; [`Error::Version`] if the condition does not hold: nothing was written.
    pub async fn put_if(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        condition: Condition,
        options: PutOptions,
    ) -> Result<u64, Error> {
        let condition = match condition {
            Condition::Absent => rauthy_core::Condition::Absent,
            Condition::Version(version) => rauthy_core::Condition::Version(version),
        };
        self.store(cache, key.into(), value.into(), condition, options).await
    }

    async fn store(
        &self,
        cache: &str,
        key: Bytes,
        value: Bytes,
        condition: rauthy_core::Condition,
        options: PutOptions,
    ) -> Result<u64, Error> {
        check(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        check(limits::check_value(&value).or_else(|| options.ttl.and_then(limits::check_ttl)))?;
        let ttl = options.ttl.map(span);
        let request = Request::Put { cache: cache.into(), key, value, ttl, condition };
        Ok(self.write(Operation::Put, request, options).await?.done.version)
    }

    /// Removes a key. The answer is whether it was there, which only the levels Quorum and All know: at the others it is
    /// always `false`.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the key may or may not be gone.
    pub async fn delete(&self, cache: &str, key: impl Into<Bytes>, ack: AckLevel) -> Result<bool, Error> {
        let (cache, key) = self.checked(cache, key.into())?;
        let written = self.write(Operation::Delete, Request::Delete { cache, key }, with(ack)).await?;
        Ok(written.done.existed())
    }

    /// Gets and removes a value in one linearizable step: of all who take it, one gets it. Needs level Quorum or All.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the value may be gone without having been given to anybody.
    pub async fn take(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        ack: AckLevel,
    ) -> Result<Option<Bytes>, Error> {
        let (cache, key) = self.checked(cache, key.into())?;
        let written = self.write(Operation::Take, Request::Take { cache, key }, with(ack)).await?;
        match written.done.effect {
            Effect::Taken(value) => Ok(value),
            _ => Err(Error::UnknownOutcome),
        }
    }

    /// Adds to a number, which is stored as decimal text, and returns the sum; a missing one counts as 0, and the time to
    /// live of `options` is for such a one. Needs level Quorum or All.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotANumber`] if something else is stored there, or the sum is too large.
    pub async fn increment(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        by: i64,
        options: PutOptions,
    ) -> Result<i64, Error> {
        let (cache, key) = self.checked(cache, key.into())?;
        check(options.ttl.and_then(limits::check_ttl))?;
        let request = Request::Increment { cache, key, by, ttl: options.ttl.map(span) };
        match self.write(Operation::Increment, request, options).await?.done.effect {
            Effect::Number(number) => Ok(number),
            _ => Err(Error::UnknownOutcome),
        }
    }

    /// Removes all values of a cache, on every node, and returns how many there were, which only the levels Quorum and All
    /// know.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear(&self, cache: &str, ack: AckLevel) -> Result<u64, Error> {
        check(limits::check_cache(cache))?;
        let written = self.write(Operation::Clear, Request::Clear { cache: cache.into() }, with(ack)).await?;
        Ok(if let Effect::Cleared { values } = written.done.effect { values } else { 0 })
    }

    /// Says what a cache may hold; the last word counts. What is in it already stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn limit(&self, cache: &str, limits: Limits) -> Result<(), Error> {
        check(limits::check_cache(cache).or_else(|| limits.ttl.and_then(limits::check_ttl)))?;
        for (what, most) in [("entries", limits.entries), ("bytes", limits.bytes)] {
            let many = most.filter(|most| *most > limits::COUNT);
            check(many.map(|n| format!("{what} is {n}; at most {} are possible", limits::COUNT)))?;
        }
        let limits = rauthy_core::Limits {
            entries: limits.entries,
            bytes: limits.bytes,
            ttl: limits.ttl.map(span),
            when_full: if limits.evict { WhenFull::Evict } else { WhenFull::Reject },
            direct: limits.direct,
        };
        let request = Request::Declare { cache: cache.into(), limits };
        self.write(Operation::Declare, request, PutOptions::default()).await.map(|_| ())
    }

    fn checked(&self, cache: &str, key: Bytes) -> Result<(Arc<str>, Bytes), Error> {
        check(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        Ok((cache.into(), key))
    }

    async fn write(
        &self,
        operation: Operation,
        request: Request,
        options: PutOptions,
    ) -> Result<Written, Error> {
        let started = Instant::now();
        let deadline = started + options.deadline.unwrap_or(limits::DEADLINE);
        let cache = request.cache().cloned().unwrap_or_default();
        let (ack, level) = level(options.ack);
        let written = self.inner.handle.write(request, ack, deadline).await.map_err(Reason::from);
        let written = written.and_then(crate::serve::judged);
        let outcome = match &written {
            Ok(Written { done, .. }) if done.effect == Effect::Taken(None) => Outcome::Miss,
            Ok(_) => Outcome::Ok,
            Err(reason) => reason.outcome(),
        };
        self.count(&cache, operation, level, outcome, started);
        let written = written?;
        if let (Some(session), Some(position)) = (&self.session, written.position) {
            session.saw(position);
        }
        Ok(written)
    }

    fn count(&self, cache: &str, operation: Operation, level: Level, outcome: Outcome, started: Instant) {
        self.inner.handle.operations().ended(cache, operation, level, outcome, started.elapsed());
    }
}

fn with(ack: AckLevel) -> PutOptions {
    PutOptions { ack, ..PutOptions::default() }
}
