//! Random histories, for sizes that are too large to be exhausted; a counterexample is cut to what it needs.

use std::time::Instant;

use crate::search::{Broken, CLASSES, Model, Report, Verdict, tell};

/// How many random walks, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Walks {
    /// How many.
    pub walks: u64,
    /// Steps drawn in each.
    pub steps: usize,
    /// The same seed takes the same walks.
    pub seed: u64,
}

struct Random(u64);

impl Random {
    /// Xorshift (Marsaglia 2003), below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

/// Takes random walks until one breaks something.
pub fn walk<M: Model>(model: &M, walks: Walks) -> Report {
    let began = Instant::now();
    let mut random = Random(walks.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut features = vec![0; model.features().len()];
    let (mut taken, mut done, mut verdict) = (0, 0, Verdict::Walked);
    let mut steps = Vec::new();
    'walks: while done < walks.walks {
        done += 1;
        // Each walk has its own mood, so that quiet and stormy histories both happen.
        let mood: [usize; CLASSES] = std::array::from_fn(|_| 1 + random.below(16));
        let mut state = model.start();
        let (mut history, mut bits) = (Vec::new(), 0);
        for _ in 0..walks.steps {
            model.steps(&state, &mut steps);
            let Some(step) = steps.get(random.below(steps.len())).copied() else { break };
            if model.class(step).is_some_and(|class| random.below(mood[class % CLASSES]) != 0) {
                continue;
            }
            let (next, broken) = model.take(&state, step);
            taken += 1;
            history.push(step);
            bits |= model.features_of(&next);
            if let Some(broken) = broken {
                verdict = Verdict::Broken(tell(model, &shrink(model, history, broken), broken));
                break 'walks;
            }
            state = next;
        }
        for (at, count) in features.iter_mut().enumerate() {
            *count += u64::from(bits >> at & 1);
        }
    }
    Report {
        verdict,
        states: taken,
        steps: taken as u64,
        depth: done as usize,
        features: model.features().iter().copied().zip(features).collect(),
        took: began.elapsed(),
    }
}

/// Leaves out steps as long as the rest is possible and still breaks the same.
fn shrink<M: Model>(model: &M, mut history: Vec<M::Step>, broken: Broken) -> Vec<M::Step> {
    loop {
        let before = history.len();
        for chunk in [16, 8, 4, 2, 1] {
            let mut at = 0;
            while at < history.len() {
                let mut shorter = history.clone();
                shorter.drain(at..(at + chunk).min(history.len()));
                match breaks(model, &shorter, broken) {
                    Some(length) => {
                        shorter.truncate(length);
                        history = shorter;
                    }
                    None => at += 1,
                }
            }
        }
        if history.len() == before {
            return history;
        }
    }
}

/// After how many of these steps the property is broken, if they are possible.
fn breaks<M: Model>(model: &M, history: &[M::Step], expected: Broken) -> Option<usize> {
    let mut state = model.start();
    let mut steps = Vec::new();
    for (at, step) in history.iter().enumerate() {
        model.steps(&state, &mut steps);
        if !steps.contains(step) {
            return None;
        }
        let (next, broken) = model.take(&state, *step);
        if broken.is_some() {
            return (broken == Some(expected)).then_some(at + 1);
        }
        state = next;
    }
    None
}
