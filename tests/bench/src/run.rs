//! All of it, in rounds: everything is measured once before anything is measured twice.

use std::future::Future;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::driver::{Plan, Programs, System};
use crate::report::{self, Machine};
use crate::results::Results;
use crate::sections::{faults, join, members, peers, resources, socket, strangers};

/// What is measured, and where the report goes.
#[derive(Args)]
pub struct Options {
    /// Less of everything, in a few minutes.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// Parts, separated by commas: the names of systems (ours, hiqlite, …), writes (all of them), socket, strangers,
    /// members, idle, memory (with join), faults. All unless given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Folder of the report.
    #[arg(long, default_value = "docs/bench")]
    out: PathBuf,
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(part))
    }

    fn wants_system(&self, system: System) -> bool {
        self.wants(system.name()) || self.wants("writes")
    }

    /// Nothing is measured of what nobody knows, and that is said before anything is.
    fn known(&self) -> anyhow::Result<()> {
        let systems = System::ALL.map(System::name);
        let known =
            |only: &String| systems.iter().chain(&PARTS).any(|known| only.eq_ignore_ascii_case(known));
        let strange = self.only.iter().find(|only| !known(only));
        let strange =
            strange.map(|only| format!("{only}: known are {} and {}", systems.join(", "), PARTS.join(", ")));
        strange.map_or(Ok(()), |strange| Err(anyhow::Error::msg(strange)))
    }
}

/// What is measured beside the systems.
const PARTS: [&str; 7] = ["writes", "socket", "strangers", "members", "idle", "memory", "faults"];

/// A part that fails is a note in the report, and the others go on.
async fn part(what: String, begun: Instant, run: impl Future<Output = anyhow::Result<()>>) -> Option<String> {
    eprintln!("[bench {:4}s] {what}", begun.elapsed().as_secs());
    let error = run.await.err()?;
    eprintln!("[bench {:4}s] {what}: {error:#}", begun.elapsed().as_secs());
    Some(format!("{what}: {error:#}"))
}

/// Measures, and writes the report.
///
/// # Errors
/// If a part is not known, or the report cannot be written.
pub async fn run(options: Options) -> anyhow::Result<()> {
    options.known()?;
    let (plan, programs) = (Plan::new(options.quick, options.rounds), Programs::from_env()?);
    let (mut results, mut machine, begun) = (Results::default(), Machine::look().await, Instant::now());
    let mut failed = Vec::new();
    for system in System::ALL {
        if let Some(why) = system.missing(&programs) {
            failed.push(format!("{}: not measured, {why}", system.name()));
        }
    }
    for round in 0..plan.rounds {
        let of = format!("round {} of {}", round + 1, plan.rounds);
        // Nobody is always the first.
        let mut systems = System::ALL;
        systems.rotate_left(round % System::ALL.len());
        for system in systems {
            if options.wants_system(system) && system.missing(&programs).is_none() {
                let visit = peers::visit(system, round, &plan, &programs, &mut results);
                failed.extend(part(format!("{of}: {}", system.name()), begun, visit).await);
            }
        }
        if options.wants("socket") {
            let visit = socket::visit(round, &plan, &programs, &mut results);
            failed.extend(part(format!("{of}: sockets of agents"), begun, visit).await);
        }
        if options.wants("strangers") {
            let visit = strangers::visit(round, &plan, &programs, &mut results);
            failed.extend(part(format!("{of}: strangers by the thousand"), begun, visit).await);
        }
        if options.wants("members") {
            let visit = members::visit(round, &plan, &programs, &mut results);
            failed.extend(part(format!("{of}: 3 to 9 members"), begun, visit).await);
        }
        if options.wants("idle") {
            let visit = resources::idle(round, &plan, &programs, &mut results);
            failed.extend(part(format!("{of}: idle agents"), begun, visit).await);
        }
        if options.wants("memory") {
            let visit = join::visit(round, &plan, &programs, &mut results);
            failed.extend(part(format!("{of}: a million entries, and a join"), begun, visit).await);
            if programs.redis.is_some() {
                let visit = resources::redis_memory(round, &programs, &mut results);
                failed.extend(part(format!("{of}: a million entries in Redis"), begun, visit).await);
            }
        }
    }
    if options.wants("faults") {
        let visit = faults::visit(&plan, &programs, &mut results);
        failed.extend(part("leaders that are killed and stopped".into(), begun, visit).await);
    }
    machine.done();
    results.notes.extend(failed);
    report::write(&options.out, &plan, &machine, &results)?;
    println!("{}", report::summary(&results));
    eprintln!(
        "[bench {:4}s] the report: {}",
        begun.elapsed().as_secs(),
        options.out.join("README.md").display()
    );
    Ok(())
}
