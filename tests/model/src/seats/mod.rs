//! Rules 1 and 4 inside one generation: Raft with incarnations, seat swaps in two maps, a change of size in two lists.
//!
//! ```text
//! Seats = the list before and after + Rule (the switches) + Bounds
//! State = the present incarnation of each slot (term, vote, part, log, and as candidate or leader what reached it),
//!         the log of each term's leader as it was sent, and what was ever committed
//! ```
//!
//! **The properties.** There is at most one leader in a term; whoever leads holds all that was committed in earlier
//! terms; and nothing that is committed is ever committed differently.
//!
//! **What is abstracted away**, and why it loses no behaviour within the bounds:
//! * Messages are never lost, only late: an Append of a term's leader may arrive at anybody in that term or an earlier
//!   one, also after the leader's death; a vote and an ack count whenever the candidate or leader counts them, also
//!   after their giver's death. What nobody counts might as well have been lost.
//! * An Append carries one entry, the first that the receiver lacks. A longer one is several of them at once.
//! * Terms are only raised by votes, Appends and campaigns, and a campaign may take any higher term: a process that
//!   has not heard of a term can do all that it could do had it heard.
//! * Timeouts, PreVote and leases only forbid; here anybody with a seat may campaign at any time, and a leader need
//!   not notice that it was deposed. So does the rule that the old incarnation must have been silent for L: by the time
//!   there is a new incarnation, the old one is dead (S1) and only its messages are left.
//! * What is committed, everybody whose log has it is taken to know at once: knowing less asks for more majorities.
//! * All entries that are no configurations are alike. A snapshot is an Append to an empty log.
//!
//! **Bounds**: restarts in all, the highest term, the length of a log. Within them everything is looked at.

mod key;
mod log;
mod rule;
mod state;
mod steps;
mod story;

pub use log::{Configuration, Counting, Entry, LIVES, Log, MAX_LOG, MAX_SLOTS, Map, Nodes, node};
pub use rule::{Ready, Rule, Variant};
pub use state::{MAX_TERM, Part, Process, State};
pub use steps::Step;

use std::ops::Range;

use crate::search::{Broken, Model};
use crate::slots::{Slots, first, members};

/// Broken if two processes lead in one term.
pub const TWO_LEADERS: Broken = Broken("there are two leaders in one term");
/// Broken if a leader does not hold all that is committed.
pub const LOST: Broken = Broken("a committed entry is missing at the leader of a later term");
/// Broken if two entries are committed in one place.
pub const FORK: Broken = Broken("two different entries are committed at the same index");

/// How far the search goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Restarts of all slots together.
    pub restarts: usize,
    /// The highest term, at most [`MAX_TERM`].
    pub terms: u8,
    /// Entries of a log, at most [`MAX_LOG`].
    pub entries: u8,
    /// Leaders append other entries too.
    pub writes: bool,
}

/// The model: lists under a rule, within bounds.
#[derive(Clone, Debug)]
pub struct Seats {
    /// The list before the change of size and after it; equal if there is none.
    pub lists: (Slots, Slots),
    /// The rule.
    pub rule: Rule,
    /// How far to look.
    pub bounds: Bounds,
    /// The ways to rename slots that change nothing.
    names: Vec<[usize; MAX_SLOTS]>,
    /// Slots that may be renamed among themselves.
    runs: Vec<Range<usize>>,
}

impl Seats {
    /// From so many slots to so many, at most [`MAX_SLOTS`]; bounds beyond what fits are cut.
    #[must_use]
    pub fn new((before, after): (usize, usize), rule: Rule, bounds: Bounds) -> Self {
        let lists = (first(before.min(MAX_SLOTS)), first(after.min(MAX_SLOTS)));
        let bounds = Bounds {
            terms: bounds.terms.min(MAX_TERM as u8),
            entries: bounds.entries.min(MAX_LOG as u8),
            ..bounds
        };
        Self { lists, rule, bounds, names: key::names(lists), runs: key::runs(lists) }
    }

    fn all(&self) -> Slots {
        self.lists.0 | self.lists.1
    }
}

impl Model for Seats {
    type State = State;
    type Step = Step;

    /// Slot 0 has founded the generation and everybody has acked its first entry.
    fn start(&self) -> State {
        let map = members(self.lists.0).fold(Map::default(), |map, slot| map.with(slot, 0));
        let mut log = Log::default();
        log.push(Entry::new(1, Some(Configuration { map, ..Configuration::default() })));
        let mut state = State {
            processes: Default::default(),
            led: Default::default(),
            committed: log,
            committed_in: Default::default(),
        };
        state.committed_in[0] = 1;
        state.led[1] = log;
        for slot in members(self.lists.0) {
            state.processes[slot] = Process { term: 1, voted: true, log, ..Process::default() };
        }
        let leader = &mut state.processes[0];
        (leader.part, leader.commit) = (Part::Leader, 1);
        leader.acks[0] = map.nodes();
        state
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        self.possible(state, steps);
    }

    fn take(&self, state: &State, step: Step) -> (State, Option<Broken>) {
        let mut next = *state;
        let broken = self.apply(&mut next, step);
        (next, broken)
    }

    fn fingerprint(&self, state: &State) -> u64 {
        self.key(state)
    }

    fn tell(&self, before: &State, step: Step, after: &State) -> String {
        self.line(before, step, after)
    }

    fn features(&self) -> &'static [&'static str] {
        &["later leader", "two leaders of different terms", "vote of the dead", "two maps", "a seat swapped"]
    }

    fn features_of(&self, state: &State) -> u32 {
        let processes = || members(self.all()).map(|slot| (slot, &state.processes[slot]));
        let leaders = processes().filter(|(_, p)| p.part == Part::Leader).count();
        let present: Nodes = processes().map(|(slot, p)| node(slot, p.life)).sum();
        let swapping =
            |log: &Log| log.entries().iter().any(|e| e.configuration().is_some_and(|c| c.next.is_some()));
        let newest = state.committed.configurations().next();
        let swapped =
            newest.is_some_and(|(_, c)| members(self.all()).any(|slot| c.map.holder(slot) > Some(0)));
        let features = [
            processes().any(|(_, p)| p.part == Part::Leader && p.term > 1),
            leaders > 1,
            processes().any(|(_, p)| p.votes & !present != 0),
            processes().any(|(_, p)| swapping(&p.log)) || !self.rule.joint_swap,
            swapped,
        ];
        features.iter().enumerate().fold(0, |bits, (at, holds)| bits | u32::from(*holds) << at)
    }

    fn class(&self, step: Step) -> Option<usize> {
        match step {
            Step::Restart(_) => Some(0),
            Step::Campaign(..) => Some(1),
            Step::Write(_) => Some(2),
            _ => None,
        }
    }
}
