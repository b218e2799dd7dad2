//! `fuzz`: runs the targets for some minutes, or with single inputs. scripts/fuzz compiles it so that it sees which
//! branches are taken.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use rauthy_fuzz::corpus::{Corpus, found};
use rauthy_fuzz::coverage::Coverage;
use rauthy_fuzz::run::{Fuzzer, Tally, once};
use rauthy_fuzz::{Target, targets};

/// Feeds the decoders of the agent with damaged messages.
#[derive(Parser)]
#[command(name = "fuzz")]
struct Cli {
    /// How long, for all targets together.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Where randomness begins; chosen and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only targets with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Where inputs are kept.
    #[arg(long, default_value = "target/fuzz")]
    folder: PathBuf,
    /// Run these inputs, and nothing else; --only says with which target.
    inputs: Vec<PathBuf>,
}

/// Every target gets this long at a time, so that a fault in any is found early.
const SLICE: Duration = Duration::from_secs(5);

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut all = targets::all()?;
    all.retain(|target| target.name().contains(&cli.only));
    if all.is_empty() {
        let names: Vec<_> = targets::all()?.iter().map(|t| t.name()).collect();
        bail!("no target has \"{}\" in its name; these are there: {}", cli.only, names.join(" "));
    }
    if cli.inputs.is_empty() { fuzz(&cli, &all) } else { replay(&cli.inputs, &all) }
}

fn replay(inputs: &[PathBuf], all: &[Box<dyn Target>]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in inputs {
        let input = std::fs::read(path).with_context(|| path.display().to_string())?;
        for target in all {
            match once(target.as_ref(), &input, &mut Tally::default()) {
                Ok(true) => println!("{}: understood", target.name()),
                Ok(false) => println!("{}: refused", target.name()),
                Err(what) => {
                    println!("{}: {what}", target.name());
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    Ok(code)
}

fn fuzz(cli: &Cli, all: &[Box<dyn Target>]) -> anyhow::Result<ExitCode> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = cli.seed.unwrap_or(clock.as_secs());
    let end = Instant::now() + Duration::from_secs_f64(cli.minutes.max(0.0) * 60.0);
    println!("seed {seed}, {} targets, {} minutes", all.len(), cli.minutes);
    match Coverage::all() {
        0 => println!("compiled without coverage: run scripts/fuzz to have it"),
        n => println!("{n} branches are compiled in, those of all targets together and more"),
    }
    let mut fuzzers = Vec::new();
    let mut faults = 0;
    for target in all {
        let corpus = Corpus::load(&cli.folder.join("corpus").join(target.name()))?;
        match Fuzzer::new(target.as_ref(), seed, corpus) {
            Ok(fuzzer) => fuzzers.push((target.name(), fuzzer)),
            Err(fault) => {
                faults += 1;
                report(&cli.folder, target.name(), &fault.what, &fault.input)?;
            }
        }
    }
    let slice = SLICE.min(Duration::from_secs_f64(cli.minutes * 60.0 / all.len() as f64));
    'all: while !fuzzers.is_empty() {
        let mut broken = Vec::new();
        for (at, (name, fuzzer)) in fuzzers.iter_mut().enumerate() {
            let until = Instant::now() + slice;
            if let Err(fault) = fuzzer.run_until(|_| Instant::now() >= until) {
                faults += 1;
                report(&cli.folder, name, &fault.what, &fault.input)?;
                broken.push(at);
            }
            let t = &fuzzer.tally;
            println!(
                "{name:<16} {:>10} runs, {:>6} branches, {:>5} kept",
                t.runs,
                fuzzer.branches(),
                fuzzer.corpus()
            );
            if Instant::now() >= end && at + 1 == all.len() {
                break 'all;
            }
        }
        for at in broken.into_iter().rev() {
            fuzzers.remove(at);
        }
        if Instant::now() >= end {
            break;
        }
    }
    summary(&fuzzers);
    println!("{faults} faults found");
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(folder: &Path, target: &str, what: &str, input: &[u8]) -> anyhow::Result<()> {
    let path = found(&folder.join("found"), target, input)?;
    println!("{target}: FAULT: {what}");
    println!("  once more: scripts/fuzz --only {target} {}", path.display());
    Ok(())
}

fn summary(fuzzers: &[(&str, Fuzzer<'_>)]) {
    println!();
    println!(
        "target                 runs   runs/s  understood  branches    kept  bytes allocated per byte, at most"
    );
    for (name, fuzzer) in fuzzers {
        let t = &fuzzer.tally;
        println!(
            "{name:<16} {:>10} {:>8.0} {:>10.0}% {:>9} {:>7}  {:.0}",
            t.runs,
            t.runs as f64 / t.took.as_secs_f64().max(0.001),
            100.0 * t.understood as f64 / t.runs.max(1) as f64,
            fuzzer.branches(),
            fuzzer.corpus(),
            t.factor
        );
    }
}
