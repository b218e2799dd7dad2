//! What can happen next, and what it does.

use crate::search::Broken;
use crate::seats::log::{Configuration, Counting, Entry, LIVES, Map, Nodes, node};
use crate::seats::rule::Ready;
use crate::seats::state::{Part, Process, State};
use crate::seats::{FORK, LOST, Seats, TWO_LEADERS};
use crate::slots::members;

/// One thing that can happen. Processes are named by their slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A process dies and the next one of its slot is born.
    Restart(u8),
    /// A process asks for votes in a term.
    Campaign(u8, u8),
    /// The first votes for the second.
    Vote(u8, u8),
    /// A candidate counts its votes.
    Win(u8),
    /// An Append of a term's leader arrives at a process: one more entry.
    Receive(u8, u8),
    /// A leader counts its acks.
    Commit(u8),
    /// A leader appends an entry without meaning.
    Write(u8),
    /// A leader begins to give a slot's seat to its present incarnation.
    Swap(u8, u8),
    /// A leader leaves two maps for the new one.
    Swapped(u8),
    /// A leader begins the change of size.
    Resize(u8),
    /// A leader leaves two lists for the new one.
    Resized(u8),
}

impl Seats {
    pub(super) fn possible(&self, state: &State, steps: &mut Vec<Step>) {
        steps.clear();
        let lives: usize = members(self.all()).map(|slot| usize::from(state.processes[slot].life)).sum();
        for slot in members(self.all()) {
            let process = &state.processes[slot];
            let at = slot as u8;
            if lives < self.bounds.restarts && usize::from(process.life) + 1 < LIVES {
                steps.push(Step::Restart(at));
            }
            let newest = process.log.configurations().next();
            if newest.is_some_and(|(_, c)| c.seats(slot, process.life, self.lists)) {
                let terms = process.term + 1..=self.bounds.terms;
                steps.extend(terms.map(|term| Step::Campaign(at, term)));
            }
            match process.part {
                Part::Follower => {}
                Part::Candidate => self.possible_votes(state, slot, steps),
                Part::Leader => self.possible_deeds(state, slot, steps),
            }
            for term in process.term..=self.bounds.terms {
                let led = &state.led[usize::from(term)];
                let leads = process.part == Part::Leader && process.term == term;
                if !led.is_empty() && !leads && led.common(&process.log) < led.len() {
                    steps.push(Step::Receive(term, at));
                }
            }
        }
    }

    fn possible_votes(&self, state: &State, slot: usize, steps: &mut Vec<Step>) {
        let candidate = &state.processes[slot];
        for voter in members(self.all()) {
            let process = &state.processes[voter];
            let may = process.term < candidate.term || process.term == candidate.term && !process.voted;
            if voter != slot && may && process.log.no_newer_than(&candidate.log) {
                steps.push(Step::Vote(voter as u8, slot as u8));
            }
        }
        let room = candidate.log.len() < self.bounds.entries;
        if room && self.quorum(state, candidate, candidate.votes) {
            steps.push(Step::Win(slot as u8));
        }
    }

    fn possible_deeds(&self, state: &State, slot: usize, steps: &mut Vec<Step>) {
        let leader = &state.processes[slot];
        let at = slot as u8;
        if self.committable(state, slot) > leader.commit {
            steps.push(Step::Commit(at));
        }
        if leader.log.len() >= self.bounds.entries {
            return;
        }
        if self.bounds.writes {
            steps.push(Step::Write(at));
        }
        let Some((index, newest)) = leader.log.configurations().next() else { return };
        if !self.ready(leader, index) {
            return;
        }
        if newest.next.is_some() {
            steps.push(Step::Swapped(at));
            return;
        }
        for seat in members(newest.slots(self.lists)) {
            if newest.map.holder(seat) != Some(state.processes[seat].life) {
                steps.push(Step::Swap(at, seat as u8));
            }
        }
        match newest.counting {
            Counting::Old if self.lists.0 != self.lists.1 => steps.push(Step::Resize(at)),
            Counting::Both => steps.push(Step::Resized(at)),
            Counting::Old | Counting::New => {}
        }
    }

    /// Whether a leader may replace the configuration at this index of its log.
    fn ready(&self, leader: &Process, index: u8) -> bool {
        let terms = leader.log.entries().iter().map(|entry| entry.term());
        let found = terms.take_while(|term| *term < leader.term).count();
        let committed = index <= leader.commit;
        match self.rule.ready {
            Ready::OwnTermCommitted => committed && usize::from(leader.commit) > found,
            Ready::KnownCommitted => committed,
            Ready::FoundInLog => committed || usize::from(index) <= found,
            Ready::Always => true,
        }
    }

    /// Whether these are a quorum by the configurations that count in a process's log: the newest, and those before it
    /// as long as the lists differ and the later one is not committed. What is committed, it is taken to know at once.
    fn quorum(&self, state: &State, process: &Process, set: Nodes) -> bool {
        let known = process.log.common(&state.committed);
        let mut newer: Option<(u8, Configuration)> = None;
        for (index, configuration) in process.log.configurations() {
            let counts = newer.is_none_or(|(at, newer)| {
                self.rule.left_by_both && at > known && newer.counting != configuration.counting
            });
            if !counts {
                break;
            }
            if !configuration.quorum(set, self.lists) {
                return false;
            }
            newer = Some((index, configuration));
        }
        newer.is_some()
    }

    /// Up to which index a leader has the acks of a quorum.
    fn committable(&self, state: &State, slot: usize) -> u8 {
        let leader = &state.processes[slot];
        let reached = leader.log.entries().iter().enumerate().rev().find(|(at, entry)| {
            let counts = !self.rule.counts_own_term_only || entry.term() == leader.term;
            counts && self.quorum(state, leader, leader.acks[*at] | node(slot, leader.life))
        });
        reached.map_or(0, |(at, _)| at as u8 + 1)
    }

    pub(super) fn apply(&self, state: &mut State, step: Step) -> Option<Broken> {
        match step {
            Step::Restart(slot) => {
                let process = &mut state.processes[usize::from(slot)];
                *process = Process { life: process.life + 1, ..Process::default() };
            }
            Step::Campaign(slot, term) => {
                let process = &mut state.processes[usize::from(slot)];
                process.step_down(term);
                process.part = Part::Candidate;
                process.voted = true;
                process.votes = node(usize::from(slot), process.life);
            }
            Step::Vote(voter, candidate) => {
                let term = state.processes[usize::from(candidate)].term;
                let process = &mut state.processes[usize::from(voter)];
                process.step_down(term);
                process.voted = true;
                let vote = node(usize::from(voter), process.life);
                state.processes[usize::from(candidate)].votes |= vote;
            }
            Step::Win(slot) => return self.win(state, usize::from(slot)),
            Step::Receive(term, slot) => Self::receive(state, term, usize::from(slot)),
            Step::Commit(slot) => return self.commit(state, usize::from(slot)),
            Step::Write(slot) => Self::append(state, slot, None),
            Step::Swap(slot, seat) => {
                let life = state.processes[usize::from(seat)].life;
                Self::change(state, slot, |newest| {
                    let new = newest.map.with(usize::from(seat), life);
                    if self.rule.joint_swap {
                        Configuration { next: Some(new), ..newest }
                    } else {
                        Configuration { map: new, ..newest }
                    }
                });
            }
            Step::Swapped(slot) => Self::change(state, slot, |newest| {
                let map = newest.next.unwrap_or(newest.map);
                Configuration { map, next: None, ..newest }
            }),
            Step::Resize(slot) => {
                let lives = state.processes.map(|process| process.life);
                Self::change(state, slot, |newest| {
                    // The new slots are learners by then; each gets its seat along with the list.
                    let join =
                        |map: Map, seat: usize| map.with(seat, map.holder(seat).unwrap_or(lives[seat]));
                    let map = members(self.lists.1).fold(newest.map, join);
                    let counting = if self.rule.joint_lists { Counting::Both } else { Counting::New };
                    Configuration { counting, map, next: None }
                });
            }
            Step::Resized(slot) => {
                Self::change(state, slot, |newest| Configuration { counting: Counting::New, ..newest });
            }
        }
        None
    }

    fn change(state: &mut State, slot: u8, to: impl Fn(Configuration) -> Configuration) {
        let newest = state.processes[usize::from(slot)].log.configurations().next();
        if let Some((_, newest)) = newest {
            Self::append(state, slot, Some(to(newest)));
        }
    }

    fn append(state: &mut State, slot: u8, configuration: Option<Configuration>) {
        let leader = &mut state.processes[usize::from(slot)];
        leader.log.push(Entry::new(leader.term, configuration));
        state.led[usize::from(leader.term)] = leader.log;
    }

    fn win(&self, state: &mut State, slot: usize) -> Option<Broken> {
        let candidate = &mut state.processes[slot];
        candidate.part = Part::Leader;
        candidate.votes = 0;
        // As a follower it has heard of what was committed.
        candidate.commit = candidate.log.common(&state.committed);
        candidate.log.push(Entry::new(candidate.term, None));
        let led = &mut state.led[usize::from(candidate.term)];
        if !led.is_empty() {
            return Some(TWO_LEADERS);
        }
        *led = candidate.log;
        Self::lost(state, usize::from(state.processes[slot].term))
    }

    /// Leader completeness: the log of a term's leader begins with all that was committed in earlier terms.
    fn lost(state: &State, term: usize) -> Option<Broken> {
        let led = &state.led[term];
        let earlier = state.committed_in.iter().take_while(|at| **at != 0 && usize::from(**at) < term);
        let missing = usize::from(led.common(&state.committed)) < earlier.count();
        (!led.is_empty() && missing).then_some(LOST)
    }

    fn receive(state: &mut State, term: u8, slot: usize) {
        let led = state.led[usize::from(term)];
        let process = &mut state.processes[slot];
        process.step_down(term);
        let index = led.common(&process.log) + 1;
        // What follows is not the leader's, or it would have been in common.
        process.log = led.prefix(index);
        let who = node(slot, process.life);
        let leader = state.processes.iter_mut().find(|p| p.part == Part::Leader && p.term == term);
        if let Some(leader) = leader {
            leader.acks[..usize::from(index)].iter_mut().for_each(|acks| *acks |= who);
        }
    }

    fn commit(&self, state: &mut State, slot: usize) -> Option<Broken> {
        let index = self.committable(state, slot);
        let leader = &mut state.processes[slot];
        leader.commit = index;
        let (log, term) = (leader.log.prefix(index), leader.term);
        let common = log.common(&state.committed);
        if common < log.len().min(state.committed.len()) {
            return Some(FORK);
        }
        for at in &mut state.committed_in[..usize::from(index)] {
            *at = if *at == 0 { term } else { term.min(*at) };
        }
        if log.len() > state.committed.len() {
            state.committed = log;
        }
        (usize::from(term) + 1..state.led.len()).find_map(|later| Self::lost(state, later))
    }
}

impl Process {
    /// Into a later term as a follower, or a follower of the same term.
    fn step_down(&mut self, term: u8) {
        if term > self.term {
            self.voted = false;
        }
        self.term = term;
        self.part = Part::Follower;
        (self.votes, self.commit) = (0, 0);
        self.acks = Default::default();
    }
}
