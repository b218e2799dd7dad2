//! What reads of a replica promise: less than linearizability, but not nothing.
//!
//! ```text
//! Observation  client, generation, key, [call, ret], what it saw: a read, or a write of its own
//! Promise      generation, key, entry, acked_at: a write that was answered at level All
//! ```
//!
//! Each promise has a function, which looks at everything at once and returns the first thing that breaks it.
//! Operations that touch in time are concurrent and say nothing of each other.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};

use crate::history::{Answer, History, Op, Outcome, Seen, Value};

/// Something that a client saw of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation<K> {
    /// Who.
    pub client: u64,
    /// In which generation.
    pub generation: u128,
    /// Of which key.
    pub key: K,
    /// When it asked.
    pub call: u64,
    /// When it was answered.
    pub ret: u64,
    /// What was there, or what it wrote; `None`: nothing.
    pub seen: Option<Seen>,
}

/// A write that was answered at level All: from then on no node serves what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise<K> {
    /// In which generation.
    pub generation: u128,
    /// Of which key.
    pub key: K,
    /// Index of its log entry, whether it wrote a value or removed one.
    pub entry: u64,
    /// When the answer came.
    pub acked_at: u64,
    /// The first moment at which its value may be gone: when it may end, or when somebody first called for a removal
    /// (delete, take, clear) that may have come after it. 0 if it removed, `u64::MAX` if nothing of the kind happened.
    pub stays_until: u64,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken<K: Debug> {
    /// A client saw a key go back in time.
    #[error("a client saw a key go back in time:\n  {earlier}\n  and afterwards\n  {later}")]
    WentBack {
        /// What it saw.
        earlier: Box<Observation<K>>,
        /// What it saw after that.
        later: Box<Observation<K>>,
    },
    /// One entry of the log wrote two values.
    #[error("the same version of a key had two values:\n  {one}\n  and\n  {other}")]
    TwoValues {
        /// The one.
        one: Box<Observation<K>>,
        /// The other.
        other: Box<Observation<K>>,
    },
    /// A value was read that nobody had asked to write.
    #[error("nobody wrote what was read here:\n  {0}")]
    NeverWritten(Box<Observation<K>>),
    /// After a write had been answered at level All, something older was read.
    #[error("an older value was read after entry {} of {:?} had been acknowledged with All at {}:\n  {read}", promise.entry, promise.key, promise.acked_at)]
    OlderThanAcked {
        /// The write.
        promise: Box<Promise<K>>,
        /// The read that came after it.
        read: Box<Observation<K>>,
    },
}

/// What a client sees of a key in one generation never goes back: not to a lower version, and not to a version that
/// was gone. Observations are reads that pass the client's position along (Session), and the client's own writes, so
/// that this is "read your writes" as well. Local reads belong here if the client stays with one node.
///
/// # Errors
/// [`Broken::WentBack`].
pub fn monotonic<K: Ord + Clone + Debug>(observations: &[Observation<K>]) -> Result<(), Broken<K>> {
    let mut groups: BTreeMap<(u64, u128, &K), Vec<&Observation<K>>> = BTreeMap::new();
    for seen in observations {
        groups.entry((seen.client, seen.generation, &seen.key)).or_default().push(seen);
    }
    for group in groups.into_values() {
        let highest = Running::new(group.iter().filter_map(|seen| Some((seen.ret, (version(seen)?, *seen)))));
        // Gone is what was seen before somebody asked who then found nothing.
        let gone = Running::new(
            group
                .iter()
                .filter(|seen| seen.seen.is_none())
                .filter_map(|nothing| Some((nothing.ret, *highest.before(nothing.call)?))),
        );
        for later in group {
            let Some(now) = version(later) else { continue };
            let lower = highest.before(later.call).filter(|(version, _)| *version > now);
            let revived = gone.before(later.call).filter(|(version, _)| *version >= now);
            if let Some((_, earlier)) = lower.or(revived) {
                let (earlier, later) = (Box::new((*earlier).clone()), Box::new(later.clone()));
                return Err(Broken::WentBack { earlier, later });
            }
        }
    }
    Ok(())
}

/// Whatever is read was written: some put of this value to this key, in this generation, was called before the read
/// ended. And one version of a key is one value. Where numbers are incremented any number may come from that.
///
/// # Errors
/// [`Broken::NeverWritten`] and [`Broken::TwoValues`].
pub fn written<K: Ord + Clone + Debug>(
    history: &History<K>,
    observations: &[Observation<K>],
) -> Result<(), Broken<K>> {
    /// What a key was told to hold, and when first.
    #[derive(Default)]
    struct Asked<'a> {
        values: BTreeMap<&'a Value, Vec<(Option<u128>, u64)>>,
        increments: Vec<(Option<u128>, u64)>,
    }
    let mut asked: BTreeMap<&K, Asked<'_>> = BTreeMap::new();
    let mut versions: BTreeMap<(u128, &K, u64), Observation<K>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.outcome != Outcome::Failed) {
        let when = (operation.generation, operation.call);
        match &operation.op {
            Op::Put { value, .. } => {
                asked.entry(&operation.key).or_default().values.entry(value).or_default().push(when);
                if let (Some(generation), Outcome::Done { index: Some(index), answer }) =
                    (operation.generation, &operation.outcome)
                    && !matches!(answer, Answer::ConditionFailed { .. })
                {
                    let seen = Some(Seen { value: value.clone(), version: Some(*index) });
                    let (client, key, call) = (operation.client, operation.key.clone(), operation.call);
                    let ret = operation.ret.unwrap_or(u64::MAX);
                    let wrote = Observation { client, generation, key, call, ret, seen };
                    versions.insert((generation, &operation.key, *index), wrote);
                }
            }
            Op::Increment { .. } => asked.entry(&operation.key).or_default().increments.push(when),
            Op::Read | Op::Delete | Op::Take | Op::Clear => {}
        }
    }
    for read in observations {
        let Some(seen) = &read.seen else { continue };
        let before = |(generation, call): &(Option<u128>, u64)| {
            generation.is_none_or(|generation| generation == read.generation) && *call <= read.ret
        };
        let explained = asked.get(&read.key).is_some_and(|asked| {
            asked.values.get(&seen.value).is_some_and(|puts| puts.iter().any(before))
                || matches!(seen.value, Value::Number(_)) && asked.increments.iter().any(before)
        });
        if !explained {
            return Err(Broken::NeverWritten(Box::new(read.clone())));
        }
        let Some(version) = seen.version else { continue };
        let one = versions.entry((read.generation, &read.key, version)).or_insert_with(|| read.clone());
        if one.seen.as_ref().is_some_and(|other| other.value != seen.value) {
            return Err(Broken::TwoValues { one: Box::new(one.clone()), other: Box::new(read.clone()) });
        }
    }
    Ok(())
}

/// Invariant 11: a value acknowledged with All is never followed by an older local read anywhere. `order` is that of
/// the generations; a read in one that precedes that of the promise is older, one in a later generation is not.
///
/// # Errors
/// [`Broken::OlderThanAcked`].
pub fn acknowledged<K: Ord + Clone + Debug>(
    order: &[u128],
    promises: &[Promise<K>],
    reads: &[Observation<K>],
) -> Result<(), Broken<K>> {
    type At<'a, K> = (u64, (u64, &'a Promise<K>));
    /// By the time of the answer: the highest entry, the latest end, the first answer.
    struct Promised<'a, K> {
        entries: Running<&'a Promise<K>>,
        stays: Running<&'a Promise<K>>,
        first: &'a Promise<K>,
    }
    let rank: HashMap<u128, usize> = order.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut groups: BTreeMap<(&K, u128), Vec<&Promise<K>>> = BTreeMap::new();
    for promise in promises {
        groups.entry((&promise.key, promise.generation)).or_default().push(promise);
    }
    let mut keys: BTreeMap<&K, Vec<(u128, Promised<'_, K>)>> = BTreeMap::new();
    for ((key, generation), group) in groups {
        let entries = Running::new(group.iter().map(|p| -> At<'_, K> { (p.acked_at, (p.entry, p)) }));
        let stays = Running::new(group.iter().map(|p| -> At<'_, K> { (p.acked_at, (p.stays_until, p)) }));
        if let Some(first) = group.into_iter().min_by_key(|p| p.acked_at) {
            keys.entry(key).or_default().push((generation, Promised { entries, stays, first }));
        }
    }
    for read in reads {
        for (generation, promised) in keys.get(&read.key).into_iter().flatten() {
            let broken = if *generation == read.generation {
                match version(read) {
                    Some(version) => promised.entries.before(read.call).filter(|(entry, _)| *entry > version),
                    None if read.seen.is_none() => {
                        promised.stays.before(read.call).filter(|(until, _)| *until > read.ret)
                    }
                    None => None,
                }
                .map(|(_, promise)| *promise)
            } else {
                let older = match (rank.get(&read.generation), rank.get(generation)) {
                    (Some(read), Some(promise)) => read < promise,
                    _ => false,
                };
                Some(promised.first).filter(|first| older && first.acked_at < read.call)
            };
            if let Some(promise) = broken {
                let (promise, read) = (Box::new(promise.clone()), Box::new(read.clone()));
                return Err(Broken::OlderThanAcked { promise, read });
            }
        }
    }
    Ok(())
}

/// The highest of what came before a time.
struct Running<T>(Vec<(u64, (u64, T))>);

impl<T: Copy> Running<T> {
    fn new(items: impl Iterator<Item = (u64, (u64, T))>) -> Self {
        let mut list: Vec<_> = items.collect();
        list.sort_by_key(|(time, _)| *time);
        for at in 1..list.len() {
            if list[at].1.0 < list[at - 1].1.0 {
                list[at].1 = list[at - 1].1;
            }
        }
        Self(list)
    }

    fn before(&self, time: u64) -> Option<&(u64, T)> {
        let at = self.0.partition_point(|(other, _)| *other < time);
        self.0.get(at.checked_sub(1)?).map(|(_, highest)| highest)
    }
}

fn version<K>(observation: &Observation<K>) -> Option<u64> {
    observation.seen.as_ref().and_then(|seen| seen.version)
}

impl<K: Debug> fmt::Display for Observation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, generation, key, call, ret, seen } = self;
        write!(f, "{call:>10}..{ret:<10}  client {client}, generation {generation:032x}, key {key:?}: ")?;
        match seen {
            Some(seen) => write!(f, "{seen}"),
            None => f.write_str("nothing"),
        }
    }
}
