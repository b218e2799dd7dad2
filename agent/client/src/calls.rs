//! The calls of the cache, one by one.

use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer;
use rauthy_proto::cache::call::Call as Message;

use crate::error::{Call, Error};
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
        let get = |_| {
            let (key, session) = (key.clone(), session.clone());
            Message::Get(proto::GetRequest { cache: cache.to_owned(), key, linearizable, session })
        };
        let answer = self.run(Call::Read, false, None, get).await.inspect_err(|error| {
            if let (Error::Gap, Some(session), Some(seen)) = (error, &self.session, seen) {
                session.forget(seen);
            }
        })?;
        let Answer::Get(answer) = answer else { return Err(Error::unexpected()) };
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
        let put = |request_id| {
            Message::Put(proto::PutRequest {
                cache: cache.to_owned(),
                key: key.clone(),
                value: value.clone(),
                ttl_ms: options.ttl.map_or(0, millis),
                ack: ack(options.ack),
                if_absent: condition == Some(Condition::Absent),
                if_version: match condition {
                    Some(Condition::Version(version)) => Some(version),
                    Some(Condition::Absent) | None => None,
                },
                request_id,
            })
        };
        let known = options.ack != AckLevel::Direct;
        let answer = self.run(Call::Write, known, options.deadline, put).await?;
        let Answer::Put(answer) = answer else { return Err(Error::unexpected()) };
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
        let delete = |request_id| {
            let (cache, key) = (cache.to_owned(), key.clone());
            Message::Delete(proto::DeleteRequest { cache, key, ack: ack(level), request_id })
        };
        let known = level != AckLevel::Direct;
        let answer = self.run(Call::Write, known, None, delete).await?;
        let Answer::Delete(answer) = answer else { return Err(Error::unexpected()) };
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
        let take = |request_id| {
            let (cache, key) = (cache.to_owned(), key.clone());
            Message::Take(proto::TakeRequest { cache, key, ack: ack(level), request_id })
        };
        let known = level != AckLevel::Direct;
        let answer = self.run(Call::Write, known, None, take).await?;
        let Answer::Take(answer) = answer else { return Err(Error::unexpected()) };
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
        let increment = |request_id| {
            Message::Increment(proto::IncrementRequest {
                cache: cache.to_owned(),
                key: key.clone(),
                by,
                ttl_ms: options.ttl.map_or(0, millis),
                ack: ack(options.ack),
                request_id,
            })
        };
        let known = options.ack != AckLevel::Direct;
        let answer = self.run(Call::Write, known, options.deadline, increment).await?;
        let Answer::Increment(answer) = answer else { return Err(Error::unexpected()) };
        Ok(answer.number)
    }

    /// Removes all values of a cache and returns how many there were, which only the levels Quorum and All know.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear(&self, cache: &str, level: AckLevel) -> Result<u64, Error> {
        invalid(limits::check_cache(cache))?;
        let clear = |request_id| {
            Message::Clear(proto::ClearRequest { cache: cache.to_owned(), ack: ack(level), request_id })
        };
        let known = level != AckLevel::Direct;
        let answer = self.run(Call::Write, known, None, clear).await?;
        let Answer::Clear(answer) = answer else { return Err(Error::unexpected()) };
        Ok(answer.values)
    }

    /// Says what a cache may hold; the last word counts. What is in it already stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn declare(&self, cache: &str, limits: Limits) -> Result<(), Error> {
        invalid(limits::check_cache(cache).or_else(|| limits.ttl.and_then(limits::check_ttl)))?;
        let declare = |request_id| {
            Message::Declare(proto::DeclareRequest {
                cache: cache.to_owned(),
                entries: limits.entries,
                bytes: limits.bytes,
                ttl_ms: limits.ttl.map_or(0, millis),
                evict: limits.evict,
                direct: limits.direct,
                ack: proto::AckLevel::Quorum.into(),
                request_id,
            })
        };
        self.run(Call::Write, true, None, declare).await?;
        Ok(())
    }

    /// How the agent sees its cluster.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let status = |_| Message::Status(proto::StatusRequest {});
        let answer = self.run(Call::Read, false, None, status).await?;
        let Answer::Status(answer) = answer else { return Err(Error::unexpected()) };
        answer.node.ok_or_else(Error::unexpected)
    }

    pub(crate) fn saw(&self, token: &[u8]) {
        if let Some(session) = &self.session {
            session.saw(token);
        }
    }
}

pub(crate) fn invalid(problem: Option<String>) -> Result<(), Error> {
    problem.map_or(Ok(()), |p| Err(Error::Invalid(p)))
}

fn ack(level: AckLevel) -> i32 {
    proto::AckLevel::from(level).into()
}

/// Whole milliseconds, rounded up; checked before to be in range.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
