//! A refusal, told so that a person can follow it.

use std::fmt::{self, Debug, Display};

use crate::config::Config;
use crate::history::{Answer, Condition, Op, Operation, Outcome, Seen, Window};
use crate::model::{Held, State, Version, What};
use crate::plan::{EventKind, Plan};
use crate::search::{Arrival, Stuck};
use crate::segment::{Placed, Segment};

/// How many unknown writes from before the story are named in it.
const EARLIER_UNKNOWN: usize = 8;
/// How many answers a story tells if there are so many.
const AT_LEAST: usize = 6;
/// How many answers back it looks for who wrote a value.
const FAR_BACK: usize = 40;

/// No order of the operations on one key explains what the clients were told.
///
/// What is told is the shortest beginning of the history that has no order, without what is no longer of interest: the
/// story starts where everything that happened before can only have led to one state.
#[derive(Clone, Debug)]
pub struct Violation<K> {
    /// The key.
    pub key: K,
    /// The generation, if it has a name.
    pub generation: Option<u128>,
    /// The operations of the story, that one included, in the order of their calls. If the story starts in the middle,
    /// they do not stand for themselves: `start` belongs to them.
    pub operations: Vec<Operation<K>>,
    /// Which of these got its answer when no order was left.
    pub stuck: usize,
    /// The story starts after this time, and what the key held then. `None`: at the beginning, with nothing.
    pub start: Option<(u64, String)>,
    /// Unknown writes from before the story that are not in it. None of them helps.
    pub left_out: usize,
    /// What the key could hold right before the answer came, after each possible order of the others.
    pub possible: Vec<String>,
}

impl<K: Clone> Violation<K> {
    pub(crate) fn new(
        key: K,
        operations: &[Operation<K>],
        segment: &Segment,
        plan: &Plan<'_>,
        stuck: &Stuck,
        arrivals: &[Arrival],
    ) -> Self {
        let begin = begin(operations, plan, stuck, arrivals);
        let first = begin.map_or(0, |(event, _)| event);
        let start = begin.map(|(event, config)| (plan.events[event - 1].time, held(plan, config.state)));
        // Open where the story starts, but what it did is in the state already.
        let over = |step: u32| {
            begin.is_some_and(|(event, config)| {
                plan.open(&plan.events[event]).contains(&step)
                    && config.done.contains(plan.bits[step as usize])
            })
        };
        let until = plan.events[stuck.event].time;
        let from = start.as_ref().map_or(0, |(time, _)| *time);
        let answered = plan.events[first..].iter().filter_map(|event| match event.kind {
            EventKind::Return(step) if over(step) => None,
            EventKind::Return(step) => Some(plan.placed[step as usize]),
            EventKind::WindowEnds => None,
        });
        let (before, during): (Vec<Placed>, Vec<Placed>) =
            segment.unknown.iter().partition(|placed| placed.call < from);
        let left_out = before.len().saturating_sub(EARLIER_UNKNOWN);
        let mut shown: Vec<(u64, usize)> = answered
            .chain(during)
            .chain(before.into_iter().skip(left_out))
            .map(|placed| (placed.call, placed.operation))
            .filter(|(call, _)| *call <= until)
            .collect();
        shown.sort_unstable();
        let stuck_operation = plan.placed[stuck.step as usize].operation;
        Self {
            key,
            generation: segment.generation,
            operations: shown.iter().map(|(_, number)| operations[*number].clone()).collect(),
            stuck: shown.iter().position(|(_, number)| *number == stuck_operation).unwrap_or(0),
            start,
            left_out,
            possible: stuck.states.iter().map(|state| held(plan, *state)).collect(),
        }
    }
}

/// Where the story starts, if not at the beginning: the last event at which only one state was possible and from
/// which on there is something to tell, with who wrote what the stuck operation saw if that is not too far back.
fn begin<'b, K>(
    operations: &[Operation<K>],
    plan: &Plan<'_>,
    stuck: &Stuck,
    arrivals: &'b [Arrival],
) -> Option<(usize, &'b Config)> {
    let seen = match &operations[plan.placed[stuck.step as usize].operation].outcome {
        Outcome::Done { answer: Answer::Found(Some(seen)), .. } => Some(&seen.value),
        _ => None,
    };
    let wrote = |step: u32| match &operations[plan.placed[step as usize].operation].op {
        Op::Put { value, .. } => Some(value) == seen,
        _ => false,
    };
    let writer = plan.events[..stuck.event]
        .iter()
        .rposition(|event| matches!(event.kind, EventKind::Return(step) if wrote(step)))
        .filter(|event| stuck.event - event < FAR_BACK);
    let latest = stuck.event.saturating_sub(AT_LEAST).min(writer.unwrap_or(stuck.event));
    (1..=latest).rev().find_map(|event| match arrivals.get(event) {
        Some(Arrival::One(config)) => Some((event, config)),
        _ => None,
    })
}

fn held(plan: &Plan<'_>, state: State) -> String {
    let Some(Held { what, version, window }) = state.held else { return "nothing".into() };
    let value = match what {
        What::Number(number) => number.to_string(),
        What::Bytes(number) => plan.values[number as usize].to_string(),
        What::Unseen => "a value that nobody read".into(),
    };
    let version = match version {
        Version::Known(version) => format!(", version {version}"),
        Version::Above(_) => String::new(),
    };
    format!("{value}{version}{}", End(window))
}

impl<K: Debug> Display for Violation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?} is not linearizable", self.key)?;
        if let Some(generation) = self.generation {
            write!(f, " in generation {generation:032x}")?;
        }
        f.write_str("\n")?;
        match &self.start {
            None => f.write_str("  it began with nothing\n")?,
            Some((time, held)) => writeln!(f, "  after {time}, whatever came before, it held {held}")?,
        }
        if self.left_out > 0 {
            writeln!(f, "  {} older writes without an answer do not help and are left out", self.left_out)?;
        }
        for (number, operation) in self.operations.iter().enumerate() {
            writeln!(f, "  {} {operation}", if number == self.stuck { "▶" } else { " " })?;
        }
        writeln!(f, "  stuck at ▶: before its answer the key could hold only")?;
        self.possible.iter().try_for_each(|held| writeln!(f, "    {held}"))?;
        f.write_str("  and no order of the operations that were open then leads on from there")
    }
}

impl<K> Display for Operation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ret = match (self.ret, &self.outcome) {
            (Some(ret), Outcome::Done { .. } | Outcome::Failed) => ret.to_string(),
            _ => String::new(),
        };
        write!(
            f,
            "{:>10}..{ret:<10}  client {:<4} {:<28} → {}",
            self.call,
            self.client,
            self.op.to_string(),
            self.outcome
        )
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ttl = match self {
            Self::Read => return f.write_str("read"),
            Self::Delete => return f.write_str("delete"),
            Self::Take => return f.write_str("take"),
            Self::Clear => return f.write_str("clear"),
            Self::Increment { by, ttl } => {
                write!(f, "increment {by:+}")?;
                ttl
            }
            Self::Put { value, condition, ttl } => {
                write!(f, "put {value}")?;
                match condition {
                    Condition::Always => {}
                    Condition::IfAbsent => f.write_str(" if absent")?,
                    Condition::IfVersion(version) => write!(f, " if version {version}")?,
                }
                ttl
            }
        };
        write!(f, "{}", End(*ttl))
    }
}

/// When a value ends.
struct End(Option<Window>);

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(Window { earliest, latest: u64::MAX }) => write!(f, ", may end from {earliest} on"),
            Some(Window { earliest, latest }) => write!(f, ", ends in {earliest}..{latest}"),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, answer) = match self {
            Self::Unknown => return f.write_str("no answer"),
            Self::Failed => return f.write_str("refused"),
            Self::Done { index, answer } => (index, answer),
        };
        match answer {
            Answer::Silent => f.write_str("done"),
            Answer::Existed(true) => f.write_str("done, there was a value"),
            Answer::Existed(false) => f.write_str("done, there was none"),
            Answer::Found(None) => f.write_str("nothing"),
            Answer::Found(Some(seen)) => write!(f, "{seen}"),
            Answer::Number(number) => write!(f, "{number}"),
            Answer::ConditionFailed { version: None } => f.write_str("condition failed"),
            Answer::ConditionFailed { version: Some(0) } => f.write_str("condition failed, there was none"),
            Answer::ConditionFailed { version: Some(version) } => {
                write!(f, "condition failed, there was version {version}")
            }
            Answer::NotANumber => f.write_str("not a number"),
        }?;
        index.map_or(Ok(()), |index| write!(f, " (entry {index})"))
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        self.version.map_or(Ok(()), |version| write!(f, ", version {version}"))
    }
}
