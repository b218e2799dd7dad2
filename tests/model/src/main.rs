//! The models on the command line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use rauthy_model::catalogue::{Check, Size, checks};
use rauthy_model::lists::{Lists, Plan, Rule, Variant};
use rauthy_model::search::{Limits, Report, Walks, can_always_finish, exhaust, walk};
use rauthy_model::seats;
use rauthy_model::slots::bit;

const EXAMPLES: &str = "Examples:
  rauthy-model run                                          what `make test` checks
  rauthy-model run --full --threads 2 --progress            everything; takes an hour
  rauthy-model run --full lists\\ 3\\>5                       checks with this in their name
  rauthy-model story genesis-of-one-list                    how a variant breaks, step by step
  rauthy-model lists '3>1' --variant unconfirmed --story    a plan of your own
  rauthy-model lists '3>(5)>4' --walks 10000                3 slots; 5, taken back; then 4";

/// Searches models of the consensus protocol for histories that break it.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names the checks and what is expected of them.
    List,
    /// Runs checks; fails if one finds something else than expected.
    Run {
        /// Those with this in their name; left out: all.
        part: Option<String>,
        /// The large ones too.
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Tells the counterexample of a check.
    Story {
        /// The first one with this in its name that breaks.
        part: String,
    },
    /// Searches a plan of host lists under the rule or a variant.
    Lists(ListsArgs),
    /// Searches seat swaps and a change of size inside one generation.
    Seats(SeatsArgs),
}

#[derive(Args)]
struct Bounds {
    /// Threads that search.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Stop after so many million states (a million takes 40 MB and more).
    #[arg(long, default_value_t = 200)]
    millions: usize,
    /// Say on standard error how far it is.
    #[arg(long)]
    progress: bool,
}

#[derive(Args)]
struct ListsArgs {
    /// Sizes or ranges of slots, a change taken back in brackets: 3>5, 0-3>2-5, 3>(5)>4.
    plan: Plan,
    /// Switches that are turned, with commas between.
    #[arg(long = "variant", value_delimiter = ',', value_parser = variant)]
    variants: Vec<Variant>,
    /// Slots whose pods never start.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..8))]
    vacant: Vec<u8>,
    /// So many random walks instead of everything.
    #[arg(long)]
    walks: Option<u64>,
    /// Steps in each walk.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Where the walks begin to differ.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Look for states from which the last list is out of reach.
    #[arg(long, conflicts_with = "walks")]
    finish: bool,
    /// Tell the counterexample.
    #[arg(long)]
    story: bool,
    #[command(flatten)]
    bounds: Bounds,
}

#[derive(Args)]
struct SeatsArgs {
    /// Slots before the change of size.
    #[arg(default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    before: u8,
    /// Slots after it; left out: no change.
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    after: Option<u8>,
    /// Switches that are turned, with commas between.
    #[arg(long = "variant", value_delimiter = ',', value_parser = seats_variant)]
    variants: Vec<seats::Variant>,
    /// Restarts of all slots together.
    #[arg(long, default_value_t = 1)]
    restarts: usize,
    /// The highest term.
    #[arg(long, default_value_t = 3)]
    terms: u8,
    /// Entries of a log.
    #[arg(long, default_value_t = 5)]
    entries: u8,
    /// Leaders append other entries too.
    #[arg(long)]
    writes: bool,
    /// So many random walks instead of everything.
    #[arg(long)]
    walks: Option<u64>,
    /// Tell the counterexample.
    #[arg(long)]
    story: bool,
    #[command(flatten)]
    bounds: Bounds,
}

fn seats_variant(word: &str) -> Result<seats::Variant, String> {
    let words: Vec<_> = seats::Variant::ALL.iter().map(|v| v.word()).collect();
    seats::Variant::named(word).ok_or_else(|| format!("known are {}", words.join(", ")))
}

fn variant(word: &str) -> Result<Variant, String> {
    let words: Vec<_> = Variant::ALL.iter().map(|v| v.word()).collect();
    Variant::named(word).ok_or_else(|| format!("known are {}", words.join(", ")))
}

impl From<&Bounds> for Limits {
    fn from(bounds: &Bounds) -> Self {
        let states = bounds.millions.saturating_mul(1_000_000);
        Self { states, threads: bounds.threads, progress: bounds.progress }
    }
}

fn main() -> ExitCode {
    match act(Cli::parse().command, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was as expected.
fn act(command: Command, out: &mut impl Write) -> io::Result<bool> {
    let all = checks().map_err(io::Error::other)?;
    match command {
        Command::List => {
            for Check { size, expected, name, .. } in &all {
                writeln!(out, "{:5}  {:13}  {name}", format!("{size:?}"), expected.to_string())?;
            }
            Ok(true)
        }
        Command::Run { part, full, bounds } => {
            let part = part.unwrap_or_default();
            let wanted = |check: &&Check| (full || check.size == Size::Small) && check.name.contains(&part);
            run(all.iter().filter(wanted), &bounds, out)
        }
        Command::Story { part } => {
            let Some(check) = all.iter().find(|c| c.breaks() && c.name.contains(&part)) else {
                writeln!(out, "no check with `{part}` in its name is expected to break")?;
                return Ok(false);
            };
            let report = check.run(Limits::states(50_000_000));
            writeln!(out, "{}: {report}", check.name)?;
            if let Some(story) = report.story() {
                write!(out, "{story}")?;
            }
            Ok(report.story().is_some())
        }
        Command::Lists(args) => show(&search_lists(&args), args.story, out),
        Command::Seats(args) => show(&search_seats(&args), args.story, out),
    }
}

fn show(report: &Report, story: bool, out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "{report}")?;
    for (feature, count) in &report.features {
        writeln!(out, "  {count:>12}  {feature}")?;
    }
    if story && let Some(story) = report.story() {
        write!(out, "{story}")?;
    }
    Ok(true)
}

fn run<'a>(
    checks: impl Iterator<Item = &'a Check>,
    bounds: &Bounds,
    out: &mut impl Write,
) -> io::Result<bool> {
    let began = Instant::now();
    let (mut done, mut failed) = (0, 0);
    for check in checks {
        if bounds.progress {
            eprintln!("{} ...", check.name);
        }
        let report = check.run(bounds.into());
        let agrees = check.agrees(&report);
        writeln!(out, "{:6} {}: {report}", if agrees { "ok" } else { "FAILED" }, check.name)?;
        if !agrees {
            failed += 1;
            writeln!(out, "       expected: {}", check.expected)?;
            if let Some(story) = report.story() {
                write!(out, "{story}")?;
            }
        }
        out.flush()?;
        done += 1;
    }
    writeln!(out, "{done} checks, {failed} failed, {} s", began.elapsed().as_secs())?;
    Ok(failed == 0 && done > 0)
}

fn search_lists(args: &ListsArgs) -> Report {
    let vacant = args.vacant.iter().fold(0, |set, slot| set | bit(usize::from(*slot)));
    let model = Lists::with_vacant(args.plan.clone(), Rule::with(&args.variants), vacant);
    let limits = Limits::from(&args.bounds);
    match args.walks {
        Some(walks) => walk(&model, Walks { walks, steps: args.steps, seed: args.seed }),
        None if args.finish => can_always_finish(&model, limits),
        None => exhaust(&model, limits),
    }
}

fn search_seats(args: &SeatsArgs) -> Report {
    let SeatsArgs { before, after, restarts, terms, entries, writes, .. } = *args;
    let sizes = (usize::from(before), usize::from(after.unwrap_or(before)));
    let bounds = seats::Bounds { restarts, terms, entries, writes };
    let model = seats::Seats::new(sizes, seats::Rule::with(&args.variants), bounds);
    match args.walks {
        Some(walks) => walk(&model, Walks { walks, steps: 200, seed: 1 }),
        None => exhaust(&model, Limits::from(&args.bounds)),
    }
}
