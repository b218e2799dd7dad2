//! What a record must show, and what a failure looks like.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use rauthy_linearizability::session::{self, Observation, Promise};
use rauthy_linearizability::{Answer, Generation, History, Op, Operation, Outcome, Stats};

use crate::caller::Mode;
use crate::{Failures, Read, Record, Stay, is_acknowledged};

/// A replica may be so far behind a write that was acknowledged with Quorum: L on the slowest clock, and a little for
/// the way of the answer to this process.
const BEHIND: Duration = Duration::from_millis(1050);

/// What was judged and found right.
#[derive(Debug)]
pub struct Summary {
    /// Of the linearizability of each key.
    pub stats: Stats,
    /// Writes that were acknowledged with Quorum or All.
    pub acknowledged: usize,
    /// Reads of replicas that were answered.
    pub reads: usize,
    /// Names of the generations that answered, in their order.
    pub generations: Vec<u128>,
    /// How often which refusal was answered.
    pub refusals: BTreeMap<String, usize>,
    /// What was not answered at all.
    pub failures: Failures,
    /// Writes that were acknowledged, for each part of the story ([`crate::Marker`]), by the node that they went through.
    pub through: Vec<BTreeMap<String, usize>>,
    /// For each part of the story and each node: for each time that clients worked there, the longest time
    /// in which no write through it was answered, counted between their beginning, each of the answers, and their end. The
    /// time in which the clients themselves did not get to run is left out.
    pub gaps: Vec<BTreeMap<String, Vec<Duration>>>,
    /// The same of all nodes together: nobody could write anywhere.
    pub gap: Duration,
}

impl Record {
    /// Judges all of it and says what was judged: `least` writes were acknowledged, some through each node, and no
    /// connection was lost, since nobody died.
    ///
    /// # Panics
    /// If that is not so, or a promise was not kept, with the story of it.
    pub fn holds(&self, what: &str, least: usize) -> Summary {
        let summary = self.holds_after_deaths(what, least);
        assert_eq!(summary.failures.lost, 0, "{what}: nobody died, and connections were lost: {summary}");
        summary
    }

    /// The same where a node was killed or told to stop, so that connections to it were lost.
    ///
    /// # Panics
    /// As [`Self::holds`].
    pub fn holds_after_deaths(&self, what: &str, least: usize) -> Summary {
        let summary = self.judge().unwrap_or_else(|story| panic!("{what}: {story}"));
        println!("{what}: {summary}");
        assert!(summary.acknowledged >= least, "{what}: not even {least} writes to judge: {summary}");
        let through =
            |stay: &Stay| summary.through.iter().filter_map(|part| part.get(&stay.node)).sum::<usize>();
        assert!(self.stays.iter().all(|stay| through(stay) > 0), "{what}: none through some node: {summary}");
        assert!(summary.failures.wrong.is_empty(), "{what}: {:?}", summary.failures.wrong);
        summary
    }

    /// Judges all of it.
    ///
    /// # Errors
    /// The first promise that was not kept, as a story.
    pub fn judge(&self) -> Result<Summary, String> {
        let order = self.generations();
        let mut history = History { operations: self.operations.clone(), generations: Vec::new() };
        if order.len() > 1 {
            let lives = order.iter().map(|name| Generation { name: *name, began: 0, ended: u64::MAX });
            history.generations = lives.collect();
            // A condition that did not hold does not say in which generation, and it changed nothing.
            history.operations.retain(|operation| operation.generation.is_some() || !is_done(operation));
        }
        let stats = rauthy_linearizability::check(&history).map_err(|failure| failure.to_string())?;
        let session: Vec<_> = self.seen(|mode| mode == Mode::Session).collect();
        session::monotonic(&session).map_err(|broken| broken.to_string())?;
        let reads: Vec<_> = self.seen(|_| true).collect();
        session::written(&history, &reads).map_err(|broken| broken.to_string())?;
        session::acknowledged(&order, &self.promises(), &reads).map_err(|broken| {
            format!(
                "{broken}\n  (an answer at level Quorum binds the replicas {BEHIND:?} later, which is added to its time)"
            )
        })?;
        let acknowledged = self.operations.iter().filter(|o| is_acknowledged(o)).count();
        Ok(Summary {
            stats,
            acknowledged,
            reads: reads.len(),
            generations: order,
            refusals: self.refusals.clone(),
            failures: self.failures.clone(),
            through: self.through(),
            gaps: self.gaps(),
            gap: self.gap(),
        })
    }

    fn seen(&self, of: impl Fn(Mode) -> bool) -> impl Iterator<Item = Observation<String>> {
        self.reads.iter().filter(move |read| of(read.mode)).map(|Read { seen, .. }| seen.clone())
    }

    /// When the writes of these clients were answered.
    fn written(&self, stay: &Stay) -> Vec<u64> {
        let written = self.operations.iter().filter(|o| is_acknowledged(o));
        written.filter(|o| stay.clients.contains(&o.client)).filter_map(|o| o.ret).collect()
    }

    /// Beginning and end of each part of the story.
    fn parts(&self) -> impl Iterator<Item = (u64, u64)> {
        let begins = std::iter::once(0).chain(self.marks.iter().copied());
        begins.zip(self.marks.iter().copied().chain([u64::MAX]))
    }

    fn through(&self) -> Vec<BTreeMap<String, usize>> {
        let part = |(begin, end)| {
            let mut through = BTreeMap::new();
            for stay in &self.stays {
                let written = self.written(stay).into_iter().filter(|at| (begin..end).contains(at)).count();
                *through.entry(stay.node.clone()).or_default() += written;
            }
            through
        };
        self.parts().map(part).collect()
    }

    fn gaps(&self) -> Vec<BTreeMap<String, Vec<Duration>>> {
        let part = |(begin, end)| {
            let mut gaps = BTreeMap::<_, Vec<_>>::new();
            for stay in self.stays.iter().filter(|stay| stay.began < end && stay.ended > begin) {
                let gap = self.longest(self.written(stay), stay.began.max(begin), stay.ended.min(end));
                gaps.entry(stay.node.clone()).or_default().push(gap);
            }
            gaps
        };
        self.parts().map(part).collect()
    }

    fn gap(&self) -> Duration {
        let began = self.stays.iter().map(|stay| stay.began).min().unwrap_or(0);
        let ended = self.stays.iter().map(|stay| stay.ended).max().unwrap_or(0);
        self.longest(self.stays.iter().flat_map(|stay| self.written(stay)).collect(), began, ended)
    }

    /// The longest time without one of `times` between the beginning and the end.
    fn longest(&self, mut times: Vec<u64>, began: u64, ended: u64) -> Duration {
        times.retain(|time| (began..=ended).contains(time));
        times.extend([began, ended]);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| {
            let both = |(from, to): &(u64, u64)| to.min(&pair[1]).saturating_sub(*from.max(&pair[0]));
            pair[1].saturating_sub(pair[0]).saturating_sub(self.stalls.iter().map(both).sum())
        });
        Duration::from_micros(gaps.max().unwrap_or(0))
    }

    /// Those that answered a write or a linearizable read, by their first answer; then those that only reads named.
    fn generations(&self) -> Vec<u128> {
        let mut first: BTreeMap<u128, u64> = BTreeMap::new();
        let answers = self.operations.iter().filter_map(|o| Some((o.generation?, o.ret?)));
        for (generation, ret) in answers.chain(self.reads.iter().map(|r| (r.seen.generation, r.seen.ret))) {
            let time = first.entry(generation).or_insert(ret);
            *time = ret.min(*time);
        }
        let mut order: Vec<_> = first.into_iter().collect();
        order.sort_by_key(|(_, first)| *first);
        order.into_iter().map(|(generation, _)| generation).collect()
    }

    /// What the acknowledged writes promise to whoever reads any replica.
    fn promises(&self) -> Vec<Promise<String>> {
        let mut removals: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for operation in self.operations.iter().filter(|operation| removes(operation)) {
            let ret = operation.ret.filter(|_| is_done(operation)).unwrap_or(u64::MAX);
            removals.entry(&operation.key).or_default().push((operation.call, ret));
        }
        let behind = BEHIND.as_micros() as u64;
        let all: HashSet<_> = self.all.iter().copied().collect();
        let mut promises = Vec::new();
        for (at, operation) in self.operations.iter().enumerate() {
            let (Outcome::Done { index: Some(entry), .. }, Some(generation), Some(ret)) =
                (&operation.outcome, operation.generation, operation.ret)
            else {
                continue;
            };
            let stays_until = if matches!(operation.op, Op::Delete | Op::Take) {
                0
            } else {
                let removals = removals.get(operation.key.as_str()).into_iter().flatten();
                let later = removals.filter(|(_, ret)| *ret >= operation.call).map(|(call, _)| *call);
                later.min().unwrap_or(u64::MAX)
            };
            let acked_at = if all.contains(&at) { ret } else { ret + behind };
            let key = operation.key.clone();
            promises.push(Promise { generation, key, entry: *entry, acked_at, stays_until });
        }
        promises
    }
}

fn is_done(operation: &Operation<String>) -> bool {
    matches!(operation.outcome, Outcome::Done { .. })
}

/// Whether it removed something, or may have.
fn removes(operation: &Operation<String>) -> bool {
    let found = match &operation.outcome {
        Outcome::Failed => false,
        Outcome::Done { answer: Answer::Found(None) | Answer::Existed(false), .. } => false,
        Outcome::Unknown | Outcome::Done { .. } => true,
    };
    found && matches!(operation.op, Op::Delete | Op::Take)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stats, acknowledged, reads, generations, refusals, failures, through, gaps, gap } = self;
        write!(
            f,
            "{} operations on {} keys are linearizable (up to {} at once on one, {} of unknown outcome), {acknowledged} \
             writes acknowledged (through each node: {through:?}), {reads} reads of replicas, {} generation(s), refused: \
             {refusals:?}, without an answer: {} late, {} lost; the longest time without an \
             answered write {gap:.1?}, by nodes {gaps:.1?}",
            stats.answered,
            stats.keys,
            stats.concurrency,
            stats.unknown,
            generations.len(),
            failures.late,
            failures.lost
        )
    }
}

#[cfg(test)]
mod tests {
    use rauthy_linearizability::{Seen, Value};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn put(call: u64, ret: u64, value: &str, index: u64) -> Operation<String> {
        let outcome = Outcome::at(index, Answer::Silent);
        let (key, op) = ("key 0".to_owned(), Op::put(value));
        Operation { client: 1, generation: Some(7), key, call, ret: Some(ret), op, outcome }
    }

    fn read(mode: Mode, call: u64, seen: Option<(&str, u64)>) -> Read {
        let seen = seen.map(|(value, version)| Seen { value: Value::from(value), version: Some(version) });
        let key = "key 0".to_owned();
        Read { mode, seen: Observation { client: 2, generation: 7, key, call, ret: call + 10, seen } }
    }

    fn judged(operations: Vec<Operation<String>>, reads: Vec<Read>) -> Result<Summary, String> {
        Record { operations, reads, ..Record::default() }.judge()
    }

    fn two_puts() -> Vec<Operation<String>> {
        vec![put(0, 10, "old", 1), put(20, 30, "new", 2)]
    }

    #[test]
    fn a_replica_may_be_behind_for_as_long_as_a_lease_lasts() {
        let reads = |at, seen| vec![read(Mode::Local, at, seen)];
        assert!(judged(two_puts(), reads(SECOND, Some(("old", 1)))).is_ok());
        let stale = judged(two_puts(), reads(2 * SECOND, Some(("old", 1)))).unwrap_err();
        assert!(stale.contains("an older value was read"), "{stale}");
        let miss = judged(two_puts(), reads(2 * SECOND, None)).unwrap_err();
        assert!(miss.contains("an older value was read"), "{miss}");
        let mut record = Record { operations: two_puts(), all: vec![1], ..Record::default() };
        record.reads = reads(SECOND, Some(("old", 1)));
        assert!(record.judge().is_err(), "after All there is no such time");
    }

    #[test]
    fn a_removal_explains_a_miss_and_only_one_that_may_have_come_later_does() {
        let delete = |call, ret, index| {
            let outcome = Outcome::at(index, Answer::Existed(true));
            Operation { op: Op::Delete, outcome, ..put(call, ret, "", index) }
        };
        let miss = || vec![read(Mode::Local, 9 * SECOND, None)];
        let mut later = two_puts();
        later.push(delete(40, 50, 3));
        assert!(judged(later, miss()).is_ok());
        let earlier = vec![put(0, 10, "old", 1), delete(12, 15, 2), put(20, 30, "new", 3)];
        assert!(judged(earlier, miss()).is_err());
        let revived = vec![read(Mode::Local, 9 * SECOND, Some(("new", 2)))];
        let mut later = two_puts();
        later.push(delete(40, 50, 3));
        assert!(judged(later, revived).is_err());
    }

    #[test]
    fn a_lost_write_and_a_session_that_goes_back_are_found() {
        let mut lost = two_puts();
        let op = Op::Read;
        lost.push(Operation { op, outcome: Outcome::found("old", Some(1)), ..put(40, 50, "", 1) });
        assert!(judged(lost, Vec::new()).unwrap_err().contains("new"));
        let back = vec![read(Mode::Session, 40, Some(("new", 2))), read(Mode::Session, 60, Some(("old", 1)))];
        assert!(judged(two_puts(), back).unwrap_err().contains("go back"));
        let made_up = vec![read(Mode::Local, 40, Some(("nobody's", 3)))];
        assert!(judged(two_puts(), made_up).unwrap_err().contains("nobody wrote"));
    }

    fn at_one_node() -> Record {
        let stay = Stay { node: "a".into(), clients: 0..2, began: 0, ended: 100 };
        Record { operations: two_puts(), stays: vec![stay], ..Record::default() }
    }

    #[test]
    #[should_panic(expected = "not even 3 writes to judge")]
    fn too_little_to_judge_is_no_success() {
        at_one_node().holds("too little", 2);
        at_one_node().holds("too little", 3);
    }

    #[test]
    #[should_panic(expected = "none through some node")]
    fn a_node_that_serves_nobody_is_no_success() {
        let mut record = at_one_node();
        record.stays.push(Stay { node: "b".into(), clients: 2..4, began: 0, ended: 100 });
        record.holds("one of two", 2);
    }

    #[test]
    #[should_panic(expected = "connections were lost")]
    fn a_lost_connection_is_no_refusal() {
        let mut record = at_one_node();
        record.failures.lost = 1;
        record.holds_after_deaths("one died", 2);
        record.holds("nobody died", 2);
    }

    #[test]
    fn a_gap_counts_from_the_beginning_and_to_the_end_and_reads_do_not_end_one() {
        let mut operations = vec![put(5, 10, "one", 1), put(12, 20, "two", 2)];
        let refused = Operation { outcome: Outcome::Failed, ..put(40, 50, "three", 0) };
        let elsewhere = Operation { client: 2, ..put(50, 55, "four", 3) };
        let read = Operation { op: Op::Read, outcome: Outcome::found("two", Some(2)), ..put(30, 31, "", 0) };
        operations.extend([refused, elsewhere, read]);
        let stay = |node: &str, clients, began, ended| Stay { node: node.to_owned(), clients, began, ended };
        let record = |stays| Record { operations: operations.clone(), stays, ..Record::default() };
        let micros = Duration::from_micros;
        let gap = |began, ended| record(vec![stay("a", 0..2, began, ended)]).gaps()[0]["a"][0];
        assert_eq!((gap(0, 25), gap(0, 100), gap(0, 9)), (micros(10), micros(80), micros(9)));
        let mut stalled = record(vec![stay("a", 0..2, 0, 100)]);
        stalled.stalls = vec![(8, 15), (30, 60), (95, 120)];
        assert_eq!(stalled.gaps()[0]["a"][0], micros(80 - 30 - 5));
        // A node that left and came again, and another one.
        let both = record(vec![stay("a", 0..2, 0, 25), stay("a", 7..8, 30, 60), stay("b", 2..3, 40, 70)]);
        assert_eq!(both.gap(), micros(35));
        let (a, b) = (vec![micros(10), micros(30)], vec![micros(15)]);
        assert_eq!(both.gaps(), [BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)])]);
        let parts = Record { marks: vec![15, 60], ..both }.gaps();
        assert_eq!((&parts[0]["a"], parts[0].get("b")), (&vec![micros(10)], None));
        assert_eq!((&parts[1]["a"], &parts[1]["b"]), (&vec![micros(5), micros(30)], &vec![micros(15)]));
        assert_eq!((parts[2].get("a"), &parts[2]["b"]), (None, &vec![micros(10)]));
    }
}
