//! What is in the log stays there: 2, 3, 4, 5, 8, 14; and 16: a request is in it for one generation, and done once.

use std::sync::Arc;

use rauthy_core::log::{Entry, Payload};
use rauthy_core::node::Inside;
use rauthy_core::{Generation, Incarnation, Index, LogTime, Node};

use super::bounds::SESSIONS;
use super::{Check, Checker, Committed, ensure};

impl Checker {
    /// A node has committed an entry; `held` was the last one in its log before.
    pub(super) fn commits(
        &mut self,
        me: &Incarnation,
        inside: &Inside<'_>,
        entry: Arc<Entry>,
        held: Index,
    ) -> Check {
        let (index, generation) = (entry.index, inside.generation);
        let newest = self.newest();
        let life = self.lives.entry(generation).or_default();
        let known = life.last();
        if let Some(was) = life.get(index) {
            // 2, 3, 4: a committed prefix never changes.
            return ensure(was.entry == entry, || {
                format!("4: {me} committed {entry:?}, but {:?} was committed there", was.entry)
            });
        }
        ensure(index == known + 1, || format!("4: {me} committed {index} while {known} was the last"))?;
        // 14: the log's time never goes back.
        let last = life.entries.last().map_or(LogTime(0), |last| last.entry.time);
        ensure(entry.time >= last, || format!("14: log time went back at {index}"))?;
        life.clock.committed(entry.time, self.now);
        if let Payload::Configuration(configuration) = &entry.payload {
            let widest = configuration.lists.iter().map(Vec::len).max().unwrap_or(0);
            life.widest = life.widest.max(widest);
        }
        let outcome = life.model.apply(&entry);
        let sessions = life.model.sessions();
        ensure(sessions <= SESSIONS, || format!("15: {sessions} sessions are open at {index}"))?;
        life.term = life.term.max(inside.term);
        let committed = Committed {
            entry: entry.clone(),
            by: inside.term,
            done: outcome.done,
            change: outcome.change,
            answers: None,
        };
        if index == 1 {
            life.began = self.now;
        }
        life.entries.push(committed);
        // 8: committing generations never alternate.
        if newest != Some(generation) {
            ensure(!self.order.contains(&generation), || {
                format!("8: {generation} committed again after {newest:?} had")
            })?;
            self.order.push(generation);
        }
        self.held_by_quorum(me, inside, index, held)?;
        self.carries(generation, &entry, outcome.fresh)?;
        self.pay(generation, index)
    }

    /// 5: a quorum of every list and map holds it (or held it when it died).
    fn held_by_quorum(&self, me: &Incarnation, inside: &Inside<'_>, index: Index, log: Index) -> Check {
        let held = |who: &Incarnation| {
            self.seen.get(who).is_some_and(|s| s.generation == Some(inside.generation) && s.held >= index)
        };
        // The newest counts, as in Raft; the ones before it as long as the slots change.
        // What a leader appended only after it had committed this does not count for it.
        let there = |at: Index| !inside.leads || at <= log.max(1);
        let all = || inside.configurations.iter().zip(&inside.configured_at);
        let there = || all().filter(|(_, at)| there(**at)).map(|(c, _)| c);
        let newest = there().next_back();
        let active = there().filter(|c| newest.is_some_and(|n| c.lists != n.lists || *c == n));
        ensure(newest.is_some() && active.into_iter().all(|c| c.quorum(&held)), || {
            format!("5: {me} committed {index}, which no quorum holds")
        })
    }

    /// 16, and the answers that say "never appended".
    fn carries(&mut self, generation: Generation, entry: &Entry, fresh: bool) -> Check {
        let index = entry.index;
        let Payload::Write { tag, op } = &entry.payload else { return Ok(()) };
        let Some(number) = self.requests.of(generation, &entry.payload) else { return Ok(()) };
        let Some(asked) = self.requests.get_mut(number) else {
            return Err(format!("12: nobody asked for {entry:?}"));
        };
        ensure(asked.is(op), || format!("12: {asked:?} became {entry:?}"))?;
        let of = *asked.generation.get_or_insert(generation);
        ensure(of == generation, || {
            format!("16: a request of generation {of} is committed in {generation}: {asked:?}, {entry:?}")
        })?;
        let same =
            asked.stamp.is_none_or(|s| tag.is_some_and(|tag| (tag.session, tag.seq) == (s.session, s.seq)));
        ensure(same, || format!("16: {asked:?} is in the log under another name: {entry:?}"))?;
        ensure(!asked.never_appended(), || {
            format!("9: a client was told that this was never appended: {asked:?}, but it is {entry:?}")
        })?;
        asked.logged.get_or_insert((generation, index));
        if fresh {
            ensure(asked.applied.is_none(), || format!("16: applied again at {index}: {asked:?}"))?;
            asked.applied = Some((generation, index));
        }
        Ok(())
    }

    /// 3: whoever leads holds everything that was committed in an earlier term.
    ///
    /// # Errors
    /// If it does not.
    pub fn leads(&mut self, node: &Node) -> Check {
        let Some(inside) = node.inside() else { return Ok(()) };
        let Some(life) = self.lives.get(&inside.generation) else { return Ok(()) };
        // A candidate of an older term may still win it late, and commits nothing any more.
        let first = usize::try_from(inside.log.base_index()).unwrap_or(usize::MAX);
        for committed in life.entries.iter().skip(first).filter(|committed| committed.by < inside.term) {
            let own = inside.log.get(committed.entry.index);
            ensure(own.is_some_and(|own| *own == committed.entry), || {
                format!("3: {} leads without the committed entry {}", node.me(), committed.entry.index)
            })?;
        }
        Ok(())
    }

    /// Values that the log of the newest generation says are there.
    #[must_use]
    pub fn expected(&self) -> u64 {
        let life = self.newest().and_then(|generation| self.lives.get(&generation));
        life.map_or(0, |life| life.model.total().entries)
    }

    /// 12, after healing: what a node holds is exactly what the log of the newest generation says.
    ///
    /// # Errors
    /// If it is something else.
    pub fn nothing_lost(&self, node: &Node) -> Check {
        let Some(life) = self.newest().and_then(|generation| self.lives.get(&generation)) else {
            return Ok(());
        };
        let me = node.me();
        let replica = node.replica();
        let store = replica.store();
        ensure(store.applied() == life.last(), || {
            format!("12: {me} has applied {}, {} was committed", store.applied(), life.last())
        })?;
        for (cache, key, held) in life.model.all() {
            let found = store.get(cache, key);
            let same = found.as_ref().is_some_and(|v| {
                v.version() == held.version && **v == *held.value && v.expires_at() == held.end
            });
            ensure(same, || {
                format!(
                    "12: {me} holds {found:?} under {cache} {}, {held:?} stands there",
                    key.escape_ascii()
                )
            })?;
        }
        let (entries, held) = (store.entries() as u64, life.model.total().entries);
        ensure(entries == held, || format!("12: {me} holds {entries} values, {held} stand there"))
    }
}
