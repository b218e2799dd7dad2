//! Runs histories, one again, or as many as a time allows.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, Parser, Subcommand};
use rauthy_core::testing::Mutant;
use rauthy_simulator::{Mix, Options, Report, Story, run};

/// Drives the consensus core under virtual time.
#[derive(Parser)]
#[command(after_help = "Examples:
  rauthy-simulator run --seeds 300
  rauthy-simulator replay --seed 7 --nodes 3
  rauthy-simulator story restart
  rauthy-simulator run --seeds 300 --mutant OneStepSwap
  rauthy-simulator soak --minutes 30 --threads 2")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone, Copy)]
struct What {
    /// Seconds with faults in each history.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Which faults; left out: all of them, every third history with changes of size.
    #[arg(long)]
    mix: Option<Mix>,
    /// A rule of the protocol to leave out, to see that it is missed.
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
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
        /// Slots; left out: 1, 3, 4, 5 and 7 in turn.
        #[arg(long)]
        nodes: Option<usize>,
        #[command(flatten)]
        what: What,
    },
    /// Runs one seed and prints everything that happens in it.
    Replay {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// Slots.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        #[command(flatten)]
        what: What,
    },
    /// Tells a short history with chosen faults.
    Story {
        /// Which.
        story: Story,
    },
    /// Runs seeds from a random one on until the time is over.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// How many histories at a time.
        #[arg(long, default_value_t = 2)]
        threads: u64,
        /// The first seed; left out: a random one, which is printed.
        #[arg(long)]
        from: Option<u64>,
        #[command(flatten)]
        what: What,
    },
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let all = || Mutant::ALL.into_iter().map(|m| format!("{m:?}"));
    let found = Mutant::ALL.into_iter().find(|m| format!("{m:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        format!("there is none of that name; there are {}", all().collect::<Vec<_>>().join(", "))
    })
}

/// The history of this seed, where nothing else is asked for.
fn options(seed: u64, nodes: Option<usize>, what: What) -> Options {
    let nodes = nodes.unwrap_or([3, 5, 1, 4, 3, 7, 3, 5][seed as usize % 8]);
    let mix = what.mix.unwrap_or(if seed % 3 == 2 { Mix::Resizing } else { Mix::Any });
    Options { mutant: what.mutant, ..Options::new(seed, nodes, what.seconds, mix) }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Replay { seed, nodes, what } => {
            match run(&Options { live: true, ..options(seed, Some(nodes), what) }) {
                Ok(report) => {
                    println!("{report:#?}");
                    ExitCode::SUCCESS
                }
                Err(failure) => {
                    eprintln!("{}", failure.message);
                    ExitCode::FAILURE
                }
            }
        }
        Command::Story { story } => match story.tell() {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(message) => {
                eprintln!("{message}");
                ExitCode::FAILURE
            }
        },
        Command::Run { seeds, from, nodes, what } => {
            let began = Instant::now();
            let mut total = Report::default();
            for seed in from..from + seeds {
                match run(&options(seed, nodes, what)) {
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
            print!("{}", total.table(began.elapsed()));
            ExitCode::SUCCESS
        }
        Command::Soak { minutes, threads, from, what } => {
            let from = from.unwrap_or_else(random_seed);
            soak(Duration::from_secs(minutes * 60), threads.max(1), from, what)
        }
    }
}

/// Different each time; the first seed of a run that goes on where none has been.
fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn soak(time: Duration, threads: u64, from: u64, what: What) -> ExitCode {
    println!("from seed {from}, for {} minutes, {threads} at a time", time.as_secs() / 60);
    let began = Instant::now();
    let one = |thread: u64| {
        let mut total = Report::default();
        let mut seed = from + thread;
        let mut said = Instant::now();
        while began.elapsed() < time {
            match run(&options(seed, None, what)) {
                Ok(report) => total.add(&report),
                Err(failure) => return Err(failure),
            }
            seed += threads;
            if thread == 0 && said.elapsed() > Duration::from_secs(30) {
                said = Instant::now();
                println!("{:>5} s: {} seeds so far, nothing lost", began.elapsed().as_secs(), (seed - from));
            }
        }
        Ok(total)
    };
    let one = &one;
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut total = Report::default();
    for result in results {
        match result {
            Ok(Ok(report)) => total.add(&report),
            Ok(Err(failure)) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
            Err(_) => {
                eprintln!("a thread panicked, see above");
                return ExitCode::FAILURE;
            }
        }
    }
    print!("{}", total.table(began.elapsed()));
    ExitCode::SUCCESS
}
