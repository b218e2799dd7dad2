//! What of the consensus core could be changed without anybody noticing?
//!
//! ```text
//! cargo-mutants --list ─▶ [Mutant] ─▶ woven into one copy of the sources ─▶ one build ─▶ a trial for each mutant
//!                          list.rs      weave.rs                             build.rs      trial.rs ─▶ state.rs
//! ```
//!
//! cargo-mutants says what to change, and would build the core and the simulator anew for each of two thousand changes:
//! hours. Here all of them are built in at once. A function `f` with the changes 17 and 18 becomes
//! `fn f() { match crate::mutant() { 17 => { … } 18 => { … } _ => { … } } }`, and the environment chooses one of them.
//! Changes that do not compile are found by the compiler's messages and left out. What cannot be woven (constants,
//! `const fn`, and functions that return `impl Trait`) is built by itself.

mod build;
mod list;
mod state;
mod trial;
mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use build::Builder;
use list::Mutant;
use state::{Outcome, State};
use trial::Trial;

/// Tries changes of the consensus core.
#[derive(Parser)]
struct Args {
    /// A copy of the workspace that may be changed; the sources in it are as they should be.
    #[arg(long)]
    tree: PathBuf,
    /// What `cargo mutants --list --json` says of it.
    #[arg(long)]
    list: PathBuf,
    /// Where what was found is kept.
    #[arg(long)]
    state: PathBuf,
    /// Try again what was not noticed.
    #[arg(long)]
    again: bool,
    /// Histories that a mutant must outlive.
    #[arg(long, default_value_t = 48)]
    histories: u64,
    /// Stop after so many minutes.
    #[arg(long, default_value_t = 100_000)]
    minutes: u64,
    /// Only those of this part: 2/3 is the second one of three.
    #[arg(long, value_parser = part)]
    part: Option<(usize, usize)>,
}

fn part(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(k, n)| (1..=*n).contains(k)).ok_or_else(|| "as in 2/3".to_owned())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let began = Instant::now();
    let end = began + Duration::from_secs(60 * args.minutes);
    let all = list::read(&args.list, &args.tree)?;
    let mut state = State::open(&args.state)?;
    let open: Vec<&Mutant> = all
        .iter()
        .enumerate()
        .filter(|(at, _)| args.part.is_none_or(|(k, n)| at % n == k - 1))
        .map(|(_, mutant)| mutant)
        .filter(|mutant| match state.outcome(mutant) {
            None => true,
            Some(Outcome::Missed) => args.again,
            Some(_) => false,
        })
        .collect();
    println!("{} mutants, {} to try", all.len(), open.len());
    if !open.is_empty() {
        let builder = Builder::new(&args.tree)?;
        let mut run = Run { args: &args, end, state: &mut state, builder, done: 0, of: open.len() };
        let (woven, alone): (Vec<&Mutant>, Vec<&Mutant>) = open.into_iter().partition(|m| m.weavable());
        let unweavable = run.woven(&woven)?;
        run.alone(&[alone, unweavable].concat())?;
        println!("{:.0} minutes", began.elapsed().as_secs_f64() / 60.0);
    }
    state.summarize(&all, &args.state.with_file_name("summary.txt"), &args.state.with_file_name("missed.txt"))
}

struct Run<'a> {
    args: &'a Args,
    end: Instant,
    state: &'a mut State,
    builder: Builder<'a>,
    done: usize,
    of: usize,
}

impl Run<'_> {
    /// Builds them into one program and tries each; gives back those that this did not work for.
    fn woven<'m>(&mut self, mutants: &[&'m Mutant]) -> Result<Vec<&'m Mutant>> {
        let mut left: BTreeMap<u32, &Mutant> = (1..).zip(mutants.iter().copied()).collect();
        let mut alone = Vec::new();
        if left.is_empty() {
            return Ok(alone);
        }
        loop {
            let woven = self.builder.weave(&left)?;
            let began = Instant::now();
            let blamed = self.builder.check(&woven)?;
            println!("checked {} at once, {:.0} s", left.len(), began.elapsed().as_secs_f64());
            if blamed.is_empty() {
                break;
            }
            for id in blamed.mutants {
                if let Some(mutant) = left.remove(&id) {
                    self.record(mutant, Outcome::Unviable, "it does not compile")?;
                }
            }
            for id in blamed.functions {
                alone.extend(left.remove(&id));
            }
        }
        let began = Instant::now();
        let programs = self.builder.programs()?.context("what was checked could not be built")?;
        println!("built {} into one, {:.0} s", left.len(), began.elapsed().as_secs_f64());
        let trial = Trial::new(&programs, self.args.histories, self.args.again)?;
        for (id, mutant) in left {
            if Instant::now() > self.end {
                println!("time is up; the next run goes on here");
                break;
            }
            let (outcome, by) = trial.of(mutant, id)?;
            self.record(mutant, outcome, &by)?;
        }
        Ok(alone)
    }

    /// Builds and tries one after the other.
    fn alone(&mut self, mutants: &[&Mutant]) -> Result<()> {
        let mut trial: Option<Trial> = None;
        for mutant in mutants {
            if Instant::now() > self.end {
                break;
            }
            if trial.is_none() {
                self.builder.restore()?;
                let programs = self.builder.programs()?.context("the core as it is could not be built")?;
                trial = Some(Trial::new(&programs, self.args.histories, self.args.again)?);
            }
            self.builder.change(mutant)?;
            let (outcome, by) = match (self.builder.programs()?, &trial) {
                (Some(programs), Some(trial)) => trial.with(&programs).of(mutant, 0)?,
                _ => (Outcome::Unviable, "it does not compile".to_owned()),
            };
            self.record(mutant, outcome, &by)?;
        }
        self.builder.restore()
    }

    fn record(&mut self, mutant: &Mutant, outcome: Outcome, by: &str) -> Result<()> {
        self.done += 1;
        if outcome == Outcome::Missed || self.done.is_multiple_of(50) {
            println!("{} of {}: {} {}", self.done, self.of, outcome.name(), mutant.name);
        }
        self.state.record(mutant, outcome, by)
    }
}

/// What the compiler did not like.
#[derive(Debug, Default)]
struct Blamed {
    /// These changes.
    mutants: BTreeSet<u32>,
    /// The functions of these, as they are woven.
    functions: BTreeSet<u32>,
}

impl Blamed {
    fn is_empty(&self) -> bool {
        self.mutants.is_empty() && self.functions.is_empty()
    }
}
