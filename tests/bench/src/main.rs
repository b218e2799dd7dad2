//! `rauthy-bench run` measures the cache beside its peers; the other commands are the programs that it loads.

#![forbid(unsafe_code)]

mod driver;
mod report;
mod results;
mod run;
mod sections;
mod targets;

use clap::{Parser, Subcommand};
use targets::{agent, limit, node, redis, unary};

/// Measures the cache beside what a user would pick instead. `make bench` builds what it needs.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and writes the report.
    Run(run::Options),
    /// A member with the cache inside.
    Node(node::Place),
    /// An application that uses an agent's socket.
    Agent(agent::Place),
    /// A leader of the limit.
    Limit(limit::Place),
    /// A follower of the limit.
    LimitFollower(limit::FollowerPlace),
    /// A client of Redis.
    Redis(redis::Place),
    /// A gRPC service that does nothing.
    Unary(unary::Place),
    /// A caller of it.
    UnaryCaller(unary::Place),
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    // The limit has nothing to do in parallel: one thread is its best case.
    let runtime = match command {
        Command::Limit(_) | Command::LimitFollower(_) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?
        }
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Run(options) => run::run(options).await,
            Command::Node(place) => node::run(place).await,
            Command::Agent(place) => agent::run(place).await,
            Command::Limit(place) => limit::run(place).await,
            Command::LimitFollower(place) => limit::serve(place).await,
            Command::Redis(place) => redis::run(place).await,
            Command::Unary(place) => unary::serve(place).await,
            Command::UnaryCaller(place) => unary::run(place).await,
        }
    });
    runtime.shutdown_background();
    ended
}
