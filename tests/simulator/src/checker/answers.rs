//! What writers are told is what the log says: 12 and 16, and what each level promises.

use rauthy_core::{AckLevel, Condition, Done, Effect, Generation, Refusal, Request};

use super::requests::Asked;
use super::{Check, Checker, ensure};

/// The cache that is declared to take writes without safety.
pub const DIRECT: &str = "loose";

/// A level that says nothing of what is asked must be refused (rule 9, ack levels).
fn must_be_refused(asked: &Asked) -> bool {
    match asked.level {
        AckLevel::Direct => {
            let plain = matches!(
                asked.request,
                Request::Put { condition: Condition::Always, .. } | Request::Delete { .. }
            );
            !plain || asked.key().is_none_or(|(cache, _)| cache != DIRECT)
        }
        AckLevel::Leader | AckLevel::Once => asked.request.needs_its_effect(),
        AckLevel::Quorum | AckLevel::All => false,
    }
}

impl Checker {
    /// A client was answered; `generation` is that of the node that said it.
    ///
    /// # Errors
    /// If it was told something that is not so.
    pub fn answered(
        &mut self,
        number: u64,
        generation: Option<Generation>,
        result: &Result<Done, Refusal>,
    ) -> Check {
        let Some(asked) = self.requests.get_mut(number) else { return Ok(()) };
        ensure(!must_be_refused(asked) || *result == Err(Refusal::Level), || {
            format!("9: this level says nothing, but the answer was {result:?}: {asked:?}")
        })?;
        asked.refusal = result.as_ref().err().copied();
        match result {
            Err(Refusal::NotLeader) => {
                Err(format!("9: a client was told that a node does not lead: {asked:?}"))
            }
            Err(Refusal::UnknownOutcome) => Ok(()),
            Err(refusal @ (Refusal::NoQuorum | Refusal::Limit(_) | Refusal::Level)) => {
                asked.refused += 1;
                ensure(!asked.never_appended() || asked.logged.is_none(), || {
                    format!("9: {refusal:?} says that it was never appended, but it is in the log: {asked:?}")
                })
            }
            Ok(Done { effect: Effect::Unknown, .. }) => {
                Err(format!("9: an ok that knows nothing: {asked:?}"))
            }
            Ok(done) => {
                let Some(generation) = asked.generation.or(generation) else {
                    return Err(format!("12: answered by a node without a generation: {asked:?}"));
                };
                if done.effect == Effect::Accepted {
                    return self.accepted(number, done);
                }
                let known = self.lives.get(&generation).is_some_and(|life| done.version <= life.last());
                if known {
                    return self.done(number, generation, done);
                }
                // Whoever committed it ended this life in the same step; the others follow.
                self.lives.entry(generation).or_default().owed.push((number, done.clone()));
                Ok(())
            }
        }
    }

    /// Levels below Quorum: a leader has it.
    fn accepted(&mut self, number: u64, done: &Done) -> Check {
        let Some(asked) = self.requests.get_mut(number) else { return Ok(()) };
        match asked.level {
            AckLevel::Direct => {
                ensure(done.version == 0, || format!("Direct: answered with a position: {done:?}, {asked:?}"))
            }
            AckLevel::Leader | AckLevel::Once => {
                asked.accepted = Some(done.version);
                let numbered = matches!(asked.request, Request::Put { .. }) || asked.stamp.is_some();
                let appended = asked.appended.iter().any(|(_, index)| *index == done.version);
                ensure(appended || !numbered, || {
                    format!("Leader: answered with {}, where no leader appended it: {asked:?}", done.version)
                })
            }
            AckLevel::Quorum | AckLevel::All => {
                Err(format!("12: answered before it was applied: {done:?}, {asked:?}"))
            }
        }
    }

    /// An entry is committed: what was answered with it before is judged.
    pub(super) fn pay(&mut self, generation: Generation, index: u64) -> Check {
        let Some(life) = self.lives.get_mut(&generation) else { return Ok(()) };
        if life.owed.is_empty() {
            return Ok(());
        }
        let (due, rest) =
            std::mem::take(&mut life.owed).into_iter().partition(|(_, done)| done.version <= index);
        life.owed = rest;
        let due: Vec<(u64, Done)> = due;
        due.iter().try_for_each(|(number, done)| self.done(*number, generation, done))
    }

    /// 12: what was acknowledged is what was committed, and did what was said. 16: the same question, the same answer.
    fn done(&mut self, number: u64, generation: Generation, done: &Done) -> Check {
        let Some(asked) = self.requests.get_mut(number) else { return Ok(()) };
        let Some(life) = self.lives.get_mut(&generation) else { return Ok(()) };
        let at = usize::try_from(done.version.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(committed) = life.entries.get_mut(at) else { return Ok(()) };
        let stands = match &committed.entry.payload {
            rauthy_core::log::Payload::Write { op, .. } => asked.is(op),
            _ => false,
        };
        ensure(stands, || {
            format!("12: {asked:?} was answered with {done:?}, which is {:?}", committed.entry)
        })?;
        ensure(committed.done == *done, || {
            format!("16: {asked:?} was answered with {done:?}, but that entry did {:?}", committed.done)
        })?;
        if let Some((_, first)) = &asked.answer {
            ensure(first == done, || {
                format!("16: {asked:?} was answered with {first:?}, and now with {done:?}")
            })?;
        } else {
            asked.answer = Some((self.now, done.clone()));
        }
        // Opening a session and declaring a cache may be done twice, each with an answer of its own.
        let other = committed.answers.replace(number).filter(|other| *other != number);
        ensure(other.is_none(), || {
            format!("16: {:?} answers request {other:?} and {asked:?}", committed.entry)
        })?;
        life.acked = life.acked.max(done.version);
        if asked.level == AckLevel::All {
            life.acked_all = life.acked_all.max(done.version);
        }
        Ok(())
    }

    /// At the end, everything healed: levels below Quorum lost no more than they may, and nobody waits for an answer to
    /// come true.
    ///
    /// # Errors
    /// If something is gone that may not be.
    pub fn promises_kept(&self) -> Check {
        let Some(generation) = self.newest() else { return Ok(()) };
        let Some(life) = self.lives.get(&generation) else { return Ok(()) };
        ensure(life.owed.is_empty(), || format!("12: acknowledged and never committed: {:?}", life.owed))?;
        // Whatever an older leader appended comes before the last entry, or never.
        let term = life.entries.last().map_or(0, |last| last.entry.term);
        for asked in self.requests.all().filter(|asked| asked.generation == Some(generation)) {
            let Some(index) = asked.accepted.filter(|_| asked.applied.is_none()) else { continue };
            let appended = asked.appended.iter().filter(|(_, at)| *at == index).map(|(term, _)| *term).max();
            let Some(appended) = appended else { continue };
            let there = life.get(index).map(|committed| committed.entry.term);
            if there.is_none() && appended == term {
                continue; // it is on its way
            }
            let small = asked.level == AckLevel::Once && life.widest <= 3;
            ensure(!small, || format!("Once: lost, in a cluster of no more than 3: {asked:?}"))?;
            ensure(appended < there.unwrap_or(term), || {
                format!("{:?}: lost, but the leader has not changed: {asked:?}", asked.level)
            })?;
        }
        Ok(())
    }
}
