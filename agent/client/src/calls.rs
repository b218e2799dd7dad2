//! The calls of the cache, one by one.

use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use tonic::Status;

use crate::error::{Call, Error, judge};
use crate::{AckLevel, Client, Condition, Limits, NodeStatus, PutOptions, Value, limits};

impl Client {
    /// Reads a key from the agent's own replica. `None` is a truthful miss: a read that cannot be answered
    /// truthfully is an error.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Gap`] only in a [`Client::session`].
    pub async fn get(&self, cache: &str, key: impl Into<Bytes>) -> Result<Option<Value>, Error> {
        self.read(cache, key.into(), false).await
    }

    /// Reads what stands at this moment: nothing older than what anybody was told before. That costs a round trip to the
    /// leader and its quorum.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_linearizable(&self, cache: &str, key: impl Into<Bytes>) -> Result<Option<Value>, Error> {
        self.read(cache, key.into(), true).await
    }

    async fn read(&self, cache: &str, key: Bytes, linearizable: bool) -> Result<Option<Value>, Error> {
        invalid(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        let seen = self.session.as_ref().and_then(|session| session.seen());
        let session = seen.map(|seen| seen.to_bytes()).unwrap_or_default();
        let request =
            self.request(proto::GetRequest { cache: cache.to_owned(), key, linearizable, session }, None);
        let answer = self.connect().get(request).await.map_err(|status| {
            let error = self.judge(Call::Read, &status);
            if let (Error::Gap, Some(session), Some(seen)) = (&error, &self.session, seen) {
                session.forget(seen);
            }
            error
        })?;
        let answer = answer.into_inner();
        self.saw(&answer.session);
        Ok(answer.value.map(|value| Value { value, version: answer.version }))
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
        self.store(cache, key.into(), value.into(), None, options).await
    }

    /// Stores a value if a condition holds, in one linearizable step, and returns its version. Needs level Quorum or All.
    ///
    /// # Errors
    /// As [`Client::put`]; [`Error::Version`] if the condition does not hold: nothing was written.
    pub async fn put_if(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        condition: Condition,
        options: PutOptions,
    ) -> Result<u64, Error> {
        self.store(cache, key.into(), value.into(), Some(condition), options).await
    }

    async fn store(
        &self,
        cache: &str,
        key: Bytes,
        value: Bytes,
        condition: Option<Condition>,
        options: PutOptions,
    ) -> Result<u64, Error> {
        invalid(
            limits::check_cache(cache)
                .or_else(|| limits::check_key(&key))
                .or_else(|| limits::check_value(&value))
                .or_else(|| options.ttl.and_then(limits::check_ttl)),
        )?;
        let request = proto::PutRequest {
            cache: cache.to_owned(),
            key,
            value,
            ttl_ms: options.ttl.map_or(0, millis),
            ack: ack(options.ack),
            if_absent: condition == Some(Condition::Absent),
            if_version: match condition {
                Some(Condition::Version(version)) => Some(version),
                Some(Condition::Absent) | None => None,
            },
        };
        let request = self.request(request, options.deadline);
        let answer = self.connect().put(request).await.map_err(|s| self.judge(Call::Write, &s))?.into_inner();
        self.saw(&answer.session);
        Ok(answer.version)
    }

    /// Removes a key. The answer is whether it was there, which only the levels Quorum and All know: at the others it is
    /// always `false`.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the key may or may not be gone.
    pub async fn delete(&self, cache: &str, key: impl Into<Bytes>, level: AckLevel) -> Result<bool, Error> {
        let key = key.into();
        invalid(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        let request = proto::DeleteRequest { cache: cache.to_owned(), key, ack: ack(level) };
        let request = self.request(request, None);
        let answer =
            self.connect().delete(request).await.map_err(|s| self.judge(Call::Write, &s))?.into_inner();
        self.saw(&answer.session);
        Ok(answer.existed)
    }

    /// Gets and removes a value in one linearizable step: of all who take it, one gets it. Needs level Quorum or All.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the value may be gone without having been given to anybody.
    pub async fn take(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        level: AckLevel,
    ) -> Result<Option<Bytes>, Error> {
        let key = key.into();
        invalid(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        let request =
            self.request(proto::TakeRequest { cache: cache.to_owned(), key, ack: ack(level) }, None);
        let answer =
            self.connect().take(request).await.map_err(|s| self.judge(Call::Write, &s))?.into_inner();
        self.saw(&answer.session);
        Ok(answer.value)
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
        let key = key.into();
        invalid(
            limits::check_cache(cache)
                .or_else(|| limits::check_key(&key))
                .or_else(|| options.ttl.and_then(limits::check_ttl)),
        )?;
        let request = proto::IncrementRequest {
            cache: cache.to_owned(),
            key,
            by,
            ttl_ms: options.ttl.map_or(0, millis),
            ack: ack(options.ack),
        };
        let request = self.request(request, options.deadline);
        let answer = self.connect().increment(request).await.map_err(|s| self.judge(Call::Write, &s))?;
        let answer = answer.into_inner();
        self.saw(&answer.session);
        Ok(answer.number)
    }

    /// Removes all values of a cache and returns how many there were, which only the levels Quorum and All know.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear(&self, cache: &str, level: AckLevel) -> Result<u64, Error> {
        invalid(limits::check_cache(cache))?;
        let request = self.request(proto::ClearRequest { cache: cache.to_owned(), ack: ack(level) }, None);
        let answer =
            self.connect().clear(request).await.map_err(|s| self.judge(Call::Write, &s))?.into_inner();
        self.saw(&answer.session);
        Ok(answer.values)
    }

    /// Says what a cache may hold; the last word counts. What is in it already stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn declare(&self, cache: &str, limits: Limits) -> Result<(), Error> {
        invalid(limits::check_cache(cache).or_else(|| limits.ttl.and_then(limits::check_ttl)))?;
        let request = proto::DeclareRequest {
            cache: cache.to_owned(),
            entries: limits.entries,
            bytes: limits.bytes,
            ttl_ms: limits.ttl.map_or(0, millis),
            evict: limits.evict,
            direct: limits.direct,
            ack: proto::AckLevel::Quorum.into(),
        };
        let request = self.request(request, None);
        let answer = self.connect().declare(request).await.map_err(|s| self.judge(Call::Write, &s))?;
        self.saw(&answer.into_inner().session);
        Ok(())
    }

    /// How the agent sees its cluster.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let request = self.request(proto::StatusRequest {}, None);
        let answer = self.connect().status(request).await.map_err(|s| self.judge(Call::Read, &s))?;
        answer.into_inner().node.ok_or_else(|| Error::Other {
            code: "OK".into(),
            message: "a status without content; are client and agent of the same version?".into(),
        })
    }

    fn saw(&self, token: &[u8]) {
        if let Some(session) = &self.session {
            session.saw(token);
        }
    }

    fn judge(&self, call: Call, status: &Status) -> Error {
        judge(&self.target, call, status)
    }
}

fn invalid(problem: Option<String>) -> Result<(), Error> {
    problem.map_or(Ok(()), |p| Err(Error::Invalid(p)))
}

fn ack(level: AckLevel) -> i32 {
    proto::AckLevel::from(level).into()
}

/// Whole milliseconds, rounded up; checked before to be in range.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
