//! Whether a change is noticed, by what is quickest first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::list::Mutant;
use crate::state::Outcome;

/// Histories that are tried before anything else.
const FIRST: u64 = 8;
/// The program with the core's unit tests.
const UNITS: &str = "rauthy_core";
/// Unit tests that take longer than all others together: threads that read while one writes, and random histories.
const SLOW: [&str; 2] = ["a_reader_never", "store::tests::snapshot"];

/// One program with its environment, and how long it may take.
#[derive(Clone, Debug)]
struct Step {
    name: String,
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    limit: Duration,
}

/// What a mutant must outlive.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    programs: BTreeMap<String, PathBuf>,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
enum End {
    Passed,
    Failed,
    Late,
}

impl Trial {
    /// Runs everything without a change, which says how long it may take with one; what fails is left out.
    pub(crate) fn new(programs: &BTreeMap<String, PathBuf>, histories: u64, again: bool) -> Result<Self> {
        let few = FIRST.min(histories);
        let step = |name: String, program: &str| Step {
            name,
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            limit: Duration::from_secs(600),
        };
        let between = |from: u64, to: u64| vec![("FROM", from.to_string()), ("HISTORIES", to.to_string())];
        let quick = SLOW.iter().flat_map(|name| ["--skip", name]).map(str::to_owned).collect();
        let units = [
            Step { arguments: quick, ..step("the core's quick unit tests".to_owned(), UNITS) },
            Step {
                arguments: SLOW.map(str::to_owned).to_vec(),
                ..step("the core's slow unit tests".to_owned(), UNITS)
            },
        ];
        let first =
            Step { environment: between(0, few), ..step(format!("the first {few} histories"), "histories") };
        let more = Step {
            environment: between(few, histories),
            ..step(format!("histories up to {histories}"), "histories")
        };
        let stories = step("the simulator's stories".to_owned(), "stories");
        let [quick, slow] = units;
        let steps = if again {
            vec![quick, slow, first, stories, more] // there may be new unit tests
        } else {
            vec![first, quick, stories, slow, more]
        };
        let mut trial = Self { programs: programs.clone(), steps: Vec::new() };
        for mut step in steps {
            let began = Instant::now();
            let end = trial.run(&step, 0)?;
            let took = began.elapsed();
            println!("{}: {end:?}, {:.1} s", step.name, took.as_secs_f64());
            step.limit = Duration::from_secs(3) + took * 5;
            // What fails anyway notices nothing.
            if end == End::Passed {
                trial.steps.push(step);
            }
        }
        ensure!(!trial.steps.is_empty(), "everything fails without a change");
        Ok(trial)
    }

    /// The same with other programs.
    pub(crate) fn with(&self, programs: &BTreeMap<String, PathBuf>) -> Self {
        Self { programs: programs.clone(), steps: self.steps.clone() }
    }

    /// What became of a mutant, and who noticed it.
    pub(crate) fn of(&self, mutant: &Mutant, id: u32) -> Result<(Outcome, String)> {
        // The protocol's rules are what histories are about, the rest has its unit tests.
        let unit = |step: &&Step| step.program == UNITS;
        let (units, others): (Vec<&Step>, Vec<&Step>) = self.steps.iter().partition(unit);
        let steps: Vec<&Step> = if mutant.file.contains("/node/") {
            self.steps.iter().collect()
        } else {
            units.into_iter().chain(others).collect()
        };
        for step in steps {
            match self.run(step, id)? {
                End::Passed => {}
                End::Failed => return Ok((Outcome::Caught, step.name.clone())),
                End::Late => return Ok((Outcome::Timeout, step.name.clone())),
            }
        }
        Ok((Outcome::Missed, String::new()))
    }

    fn run(&self, step: &Step, id: u32) -> Result<End> {
        let program = self.programs.get(&step.program).with_context(|| step.program.clone())?;
        let mut child = Command::new(program)
            .args(&step.arguments)
            .envs(step.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .env("MUTANT", id.to_string())
            .env("RUST_BACKTRACE", "0")
            .current_dir(program.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if status.success() { End::Passed } else { End::Failed });
            }
            // Of the processor's time, so that a busy machine makes nobody late; who only waits is late as well.
            let late = began.elapsed() > step.limit
                && (began.elapsed() > step.limit * 10 || processor_time(child.id()) > step.limit);
            if late {
                child.kill()?;
                child.wait()?;
                return Ok(End::Late);
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// What a process has used of the processor; none where the system does not say.
fn processor_time(process: u32) -> Duration {
    /// Of a second, on every Linux (`sysconf(_SC_CLK_TCK)`).
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    TICK * fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_grows_with_work() {
        let before = processor_time(std::process::id());
        let mut n = 1_u64;
        // Ends when it was noticed, and never where it is not.
        while processor_time(std::process::id()) <= before {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            std::hint::black_box(n);
        }
    }
}
