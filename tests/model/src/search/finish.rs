//! Whether the end can be reached from everywhere.
//!
//! Safety alone is kept by a protocol that does nothing. So the whole graph of states is built, and searched backwards
//! from its ends along the steps that an operator may count on ([`Goal::helps`]). A state that is not met on the way
//! is one in which something waits for what can never happen.

use std::collections::HashMap;
use std::time::Instant;

use crate::search::{Broken, Limits, Model, Report, Verdict, exhaust, tell};

/// A model with an end.
pub trait Goal: Model {
    /// What was wanted has been reached.
    fn reached(&self, state: &Self::State) -> bool;

    /// The step may be counted on: it is not a fault.
    fn helps(&self, state: &Self::State, step: Self::Step) -> bool;
}

const STUCK: Broken = Broken("from here on the end is out of reach without another fault");

/// Looks for states from which no end can be reached. Safety is not judged here. Holds the whole graph in memory: about
/// 40 bytes a step.
pub fn can_always_finish<M: Goal>(model: &M, limits: Limits) -> Report {
    let began = Instant::now();
    let mut graph = Graph { parents: Vec::new(), edges: Vec::new(), ends: Vec::new() };
    let mut numbers = HashMap::new();
    let start = model.start();
    let mut prints = vec![model.fingerprint(&start)];
    numbers.insert(prints[0], 0_u32);
    graph.parents.push(0);
    let (mut level, mut depth, mut steps) = (vec![(0_u32, start)], 0, Vec::new());
    let mut bounded = false;
    let mut features = vec![0; model.features().len()];
    while !level.is_empty() && !bounded {
        let mut next_level = Vec::new();
        for (here, state) in &level {
            let bits = model.features_of(state);
            features.iter_mut().enumerate().for_each(|(at, count)| *count += u64::from(bits >> at & 1));
            if model.reached(state) {
                graph.ends.push(*here);
            }
            model.steps(state, &mut steps);
            for step in &steps {
                let (next, broken) = model.take(state, *step);
                if broken.is_some() {
                    continue;
                }
                let print = model.fingerprint(&next);
                let count = prints.len() as u32;
                let number = *numbers.entry(print).or_insert(count);
                if number == count {
                    prints.push(print);
                    graph.parents.push(*here);
                    next_level.push((number, next));
                }
                if model.helps(state, *step) {
                    graph.edges.push((number, *here));
                }
            }
            bounded |= prints.len() > limits.states;
        }
        depth += 1;
        level = next_level;
    }
    let edges = graph.edges.len() as u64;
    let stuck = graph.stuck(prints.len());
    let verdict = match stuck.first() {
        _ if bounded => Verdict::Bounded,
        None => Verdict::Exhausted,
        Some(first) => {
            let path: Vec<u64> = graph.path(*first).iter().map(|at| prints[*at as usize]).collect();
            let story = tell(model, &exhaust::follow(model, &path), STUCK);
            Verdict::Stuck { states: stuck.len(), story }
        }
    };
    Report {
        verdict,
        states: prints.len(),
        steps: edges,
        depth,
        features: model.features().iter().copied().zip(features).collect(),
        took: began.elapsed(),
    }
}

/// The states by number, in the order in which they were found.
struct Graph {
    parents: Vec<u32>,
    /// (to, from), of the steps that help.
    edges: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl Graph {
    /// Those from which no end is reached.
    fn stuck(&mut self, count: usize) -> Vec<u32> {
        self.edges.sort_unstable();
        let mut good = vec![false; count];
        let mut work = self.ends.clone();
        work.iter().for_each(|end| good[*end as usize] = true);
        while let Some(to) = work.pop() {
            let from = self.edges.partition_point(|(at, _)| *at < to);
            for (_, before) in self.edges[from..].iter().take_while(|(at, _)| *at == to) {
                if !good[*before as usize] {
                    good[*before as usize] = true;
                    work.push(*before);
                }
            }
        }
        (0..count as u32).filter(|at| !good[*at as usize]).collect()
    }

    fn path(&self, to: u32) -> Vec<u32> {
        let mut path = vec![to];
        let mut at = to;
        while at != 0 {
            at = self.parents[at as usize];
            path.push(at);
        }
        path.reverse();
        path
    }
}
