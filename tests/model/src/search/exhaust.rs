//! Breadth first over everything that can happen: the first counterexample found is a shortest one.

use std::time::Instant;

use crate::search::seen::Seen;
use crate::search::{Broken, Limits, Model, Report, Story, Verdict, tell};

/// States that are expanded between two looks at the table's size.
const ROUND: usize = 8192;
/// More steps than any state of the models has.
const STEPS: usize = 128;

struct Part<M: Model> {
    next: Vec<M::State>,
    steps: u64,
    features: [u64; 32],
    broken: Option<(u64, Broken)>,
}

/// Looks at every reachable state, up to the bound.
pub fn exhaust<M: Model>(model: &M, limits: Limits) -> Report {
    let began = Instant::now();
    let mut seen = Seen::new();
    let start = model.start();
    seen.insert(model.fingerprint(&start), 0);
    let mut features = [0; 32];
    count(model, &start, &mut features);
    let mut level = vec![start];
    let (mut depth, mut steps) = (0, 0);
    let report = |verdict, states, steps, depth, features: &[u64; 32]| Report {
        verdict,
        states,
        steps,
        depth,
        features: model.features().iter().copied().zip(features.iter().copied()).collect(),
        took: began.elapsed(),
    };
    while !level.is_empty() {
        if limits.progress {
            let (states, took) = (seen.len(), began.elapsed().as_secs());
            eprintln!("    depth {depth}: {} states here, {states} in all, {took} s", level.len());
        }
        let mut next = Vec::new();
        for round in level.chunks(ROUND * limits.threads.max(1)) {
            if seen.len() >= limits.states {
                return report(Verdict::Bounded, seen.len(), steps, depth, &features);
            }
            seen.reserve(round.len() * STEPS);
            let parts = expand(model, &seen, round, limits.threads);
            for part in parts {
                steps += part.steps;
                features.iter_mut().zip(part.features).for_each(|(all, some)| *all += some);
                next.extend(part.next);
                if let Some((before, broken)) = part.broken {
                    let story = retrace(model, &seen.path(before), broken);
                    return report(Verdict::Broken(story), seen.len(), steps, depth + 1, &features);
                }
            }
        }
        level = next;
        depth += 1;
    }
    report(Verdict::Exhausted, seen.len(), steps, depth, &features)
}

fn expand<M: Model>(model: &M, seen: &Seen, states: &[M::State], threads: usize) -> Vec<Part<M>> {
    if threads <= 1 {
        return vec![expand_part(model, seen, states)];
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = states
            .chunks(states.len().div_ceil(threads).max(512))
            .map(|part| scope.spawn(move || expand_part(model, seen, part)))
            .collect();
        // A worker that panicked must not pass for one that found nothing.
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn expand_part<M: Model>(model: &M, seen: &Seen, states: &[M::State]) -> Part<M> {
    let mut part = Part { next: Vec::new(), steps: 0, features: [0; 32], broken: None };
    let mut steps = Vec::new();
    for state in states {
        model.steps(state, &mut steps);
        debug_assert!(steps.len() <= STEPS);
        let here = model.fingerprint(state);
        for step in &steps {
            part.steps += 1;
            let (next, broken) = model.take(state, *step);
            if let Some(broken) = broken {
                part.broken = Some((here, broken));
                return part;
            }
            if seen.insert(model.fingerprint(&next), here) {
                count(model, &next, &mut part.features);
                part.next.push(next);
            }
        }
    }
    part
}

fn count<M: Model>(model: &M, state: &M::State, features: &mut [u64; 32]) {
    let bits = model.features_of(state);
    for (at, count) in features.iter_mut().enumerate() {
        *count += u64::from(bits >> at & 1);
    }
}

/// The steps along the fingerprints, then one that breaks the property.
fn retrace<M: Model>(model: &M, path: &[u64], broken: Broken) -> Story {
    let mut taken = follow(model, path);
    let mut state = model.start();
    for step in &taken {
        state = model.take(&state, *step).0;
    }
    let mut steps = Vec::new();
    model.steps(&state, &mut steps);
    taken.extend(steps.iter().find(|step| model.take(&state, **step).1 == Some(broken)));
    tell(model, &taken, broken)
}

/// Steps that lead from the start along these fingerprints.
pub(super) fn follow<M: Model>(model: &M, path: &[u64]) -> Vec<M::Step> {
    let mut state = model.start();
    let (mut steps, mut taken) = (Vec::new(), Vec::new());
    for wanted in path.iter().skip(1) {
        model.steps(&state, &mut steps);
        let found = steps.iter().find_map(|step| {
            let next = model.take(&state, *step).0;
            (model.fingerprint(&next) == *wanted).then_some((*step, next))
        });
        let Some((step, next)) = found else { break };
        taken.push(step);
        state = next;
    }
    taken
}
