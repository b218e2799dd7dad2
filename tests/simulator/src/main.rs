//! Runs histories, or one again.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use rauthy_simulator::faults::KINDS;
use rauthy_simulator::{Mix, Options, Report, run};

/// Drives the consensus core under virtual time.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  rauthy-simulator run --seeds 300\n  rauthy-simulator replay --seed 7 --nodes 3"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs many seeds and reports what happened in them.
    Run {
        /// How many.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Seconds with faults in each.
        #[arg(long, default_value_t = 40)]
        seconds: u64,
        /// Slots; left out: 1, 3, 4, 5 and 7 in turn.
        #[arg(long)]
        nodes: Option<usize>,
        /// Nothing but rolling restarts.
        #[arg(long)]
        rolling: bool,
    },
    /// Runs one seed and prints everything that happens in it.
    Replay {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// Slots.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Seconds with faults.
        #[arg(long, default_value_t = 40)]
        seconds: u64,
        /// Nothing but rolling restarts.
        #[arg(long)]
        rolling: bool,
    },
}

fn mix(rolling: bool) -> Mix {
    if rolling { Mix::Rolling } else { Mix::Any }
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Replay { seed, nodes, seconds, rolling } => {
            match run(&Options { seed, nodes, seconds, live: true, mix: mix(rolling) }) {
                Ok(report) => println!("{report:#?}"),
                Err(failure) => {
                    eprintln!("{}", failure.message);
                    return ExitCode::FAILURE;
                }
            }
        }
        Command::Run { seeds, from, seconds, nodes, rolling } => {
            let began = Instant::now();
            let mut total = Report::default();
            for seed in from..from + seeds {
                let nodes = nodes.unwrap_or([3, 5, 1, 4, 3, 7, 3, 5][seed as usize % 8]);
                match run(&Options { seed, nodes, seconds, live: false, mix: mix(rolling) }) {
                    Ok(report) => total.add(&report),
                    Err(failure) => {
                        eprintln!("{failure}");
                        return ExitCode::FAILURE;
                    }
                }
                if (seed + 1 - from).is_multiple_of(100) {
                    println!("{} seeds, {:.1} s", seed + 1 - from, began.elapsed().as_secs_f64());
                }
            }
            let faults: Vec<String> =
                KINDS.iter().zip(total.faults).map(|(k, n)| format!("{k} {n}")).collect();
            println!(
                "{seeds} seeds, {:.1} virtual hours in {:.1} s\nfaults: {}\n{} elections, {} generations, {} seat swaps, {} \
                 snapshots, {} wipes, {} entries, {} messages\nwrites: {} ok, {} unknown, {} no quorum, {} limit; reads: {} ok, {} \
                 refused; quorum-acknowledged values lost: 0",
                total.time as f64 / 3.6e9,
                began.elapsed().as_secs_f64(),
                faults.join(", "),
                total.elections,
                total.generations,
                total.swaps,
                total.snapshots,
                total.wipes,
                total.entries,
                total.messages,
                total.writes[0],
                total.writes[1],
                total.writes[2],
                total.writes[3],
                total.reads.0,
                total.reads.1,
            );
        }
    }
    ExitCode::SUCCESS
}
