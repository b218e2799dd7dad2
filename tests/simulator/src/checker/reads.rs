//! What readers are told: 10, 11, 12, 13. Every answer is compared with what stood at the index that it names.

use rauthy_core::{Found, Generation, Incarnation, Index, LogTime, ReadPoint, Term};

use super::answers::DIRECT;
use super::model::Held;
use super::{Check, Checker, Life, ensure};

/// What had happened when a read began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    /// The generation that had committed last.
    newest: Option<Generation>,
    /// How much it had committed, and in which term.
    last: Index,
    term: Term,
    /// Its greatest index that somebody was told, and the same at level All.
    acked: Index,
    acked_all: Index,
    /// What its log's time had surely reached.
    reached: LogTime,
}

/// A read under a lease.
#[derive(Debug)]
pub struct Leased<'a> {
    /// Whose replica.
    pub who: &'a Incarnation,
    /// Its generation, and whether its own log gives it a seat.
    pub generation: Option<Generation>,
    /// See there.
    pub seated: bool,
    /// The term that it led when the read began.
    pub leads: Option<Term>,
    /// What it had applied then.
    pub applied: Index,
    /// What had happened then.
    pub before: Before,
    /// The world's time when its clock was looked at.
    pub at: u64,
    /// Which cache.
    pub cache: &'a str,
    /// Which key.
    pub key: &'a [u8],
    /// The caller had seen this much of this generation.
    pub after: Option<Index>,
}

impl Checker {
    /// What has happened up to `now`.
    #[must_use]
    pub fn before(&self, now: u64) -> Before {
        let newest = self.newest();
        let life = newest.and_then(|generation| self.lives.get(&generation));
        life.map_or_else(Before::default, |life| Before {
            newest,
            last: life.last(),
            term: life.term,
            acked: life.acked,
            acked_all: life.acked_all,
            reached: life.clock.at_least(now),
        })
    }

    fn life(&self, generation: Generation, index: Index) -> Result<&Life, String> {
        let life = self.lives.get(&generation).filter(|life| index <= life.last());
        life.ok_or_else(|| {
            format!("12: something was read at {index} of {generation}, which is not committed")
        })
    }

    /// A read was answered under a lease (Local, Session).
    ///
    /// # Errors
    /// If the answer was not true at the moment when the clock was looked at.
    pub fn leased(&self, read: &Leased<'_>, found: &Found) -> Check {
        let Leased { who, before, at, .. } = *read;
        let life = self.life(found.generation, found.index)?;
        // 13: not from a wiped or unseated node.
        ensure(read.generation == Some(found.generation) && read.seated, || {
            format!("13: {who} of {:?} (seated: {}) returned {found:?}", read.generation, read.seated)
        })?;
        ensure(found.index >= read.applied, || {
            format!("13: {who} returned {found:?}, though it had applied {} before", read.applied)
        })?;
        ensure(read.after.is_none_or(|after| found.index >= after), || {
            format!("Session: {who} returned {found:?}, the caller had seen {:?}", read.after)
        })?;
        if !self.drift_beyond {
            ensure(before.newest == Some(found.generation), || {
                format!(
                    "10: {who} was read under {}, {:?} has committed since",
                    found.generation, before.newest
                )
            })?;
            ensure(found.term >= before.term, || {
                format!("10: {who} was read under term {}, term {} has committed", found.term, before.term)
            })?;
            ensure(found.index >= before.acked_all, || {
                format!("11: {who} returned {found:?}, {} was acknowledged with All", before.acked_all)
            })?;
            ensure(read.leads != Some(found.term) || found.index >= before.acked, || {
                format!("12: the leader {who} returned {found:?}, {} was acknowledged", before.acked)
            })?;
        }
        if read.cache == DIRECT {
            return Ok(()); // what was put there directly is not in the log yet
        }
        let (reached, most) = (before.reached, life.clock.at_most(found.term, at));
        let may = |end| if self.drift_beyond { (true, true) } else { (end > reached, end <= most) };
        let bounds = || format!("; {who} may judge by {reached:?} to {most:?}");
        self.value(life, read.cache, read.key, found, may, bounds)
    }

    /// The value is the one that stood there. `may`: whether a value with this end may be returned, and may be missing.
    fn value(
        &self,
        life: &Life,
        cache: &str,
        key: &[u8],
        found: &Found,
        may: impl Fn(LogTime) -> (bool, bool),
        bounds: impl Fn() -> String,
    ) -> Check {
        let held = life.model.at(cache, key, found.index);
        let ending = |held: &Held| held.end.map_or((true, false), &may);
        let (same, timely) = match (&found.value, held) {
            (None, None) => (true, true),
            (Some((value, version)), Some(held)) => {
                (*version == held.version && **value == *held.value, ending(held).0)
            }
            (None, Some(held)) => (true, ending(held).1),
            (Some(_), None) => (false, true),
        };
        let key = key.escape_ascii();
        ensure(same, || format!("12: {found:?} was read of {cache} {key}, where {held:?} stood"))?;
        ensure(timely, || {
            let end = held.and_then(|held| held.end);
            format!("13: {found:?} was read of {cache} {key}, which ends at {end:?}{}", bounds())
        })
    }

    /// A linearizable read was answered. Clocks have no part in this.
    ///
    /// # Errors
    /// If it missed what was committed before it began, or is not what stood there.
    pub fn linearizable(
        &self,
        before: Before,
        point: ReadPoint,
        cache: &str,
        key: &[u8],
        found: &Found,
    ) -> Check {
        let life = self.life(found.generation, found.index)?;
        ensure(found.generation == point.generation && found.index >= point.index, || {
            format!("Linearizable: {found:?} was read for {point:?}")
        })?;
        self.point(before, point)?;
        let may = |end| (end > point.log_time, end <= point.log_time);
        self.value(life, cache, key, found, may, || format!("; {point:?}"))
    }

    /// A point is no older than the question for it.
    ///
    /// # Errors
    /// If it is.
    pub fn point(&self, before: Before, point: ReadPoint) -> Check {
        let (newest, rank) =
            (before.newest.and_then(|newest| self.rank(newest)), self.rank(point.generation));
        ensure(rank.is_some() && rank >= newest, || {
            format!("Linearizable: {point:?} is of a generation that had ended: {before:?}")
        })?;
        ensure(before.newest != Some(point.generation) || point.index >= before.last, || {
            format!("Linearizable: {point:?} is older than what was committed before: {before:?}")
        })?;
        let late = before.newest == Some(point.generation) && point.log_time < before.reached;
        ensure(!late || self.drift_beyond, || {
            format!("13: {point:?} judges by a time that was over: {before:?}")
        })
    }
}
