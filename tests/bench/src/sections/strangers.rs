//! Strangers who know no token open bad connections and streams at the leader and at a follower, as fast as they can, while
//! an application writes at a fixed rate: what its writes pay for that.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rauthy_load::{Load, What};
use tokio::process::Command;
use tokio::time::{Duration, sleep};

use super::{RATE, name};
use crate::driver::{Agents, Plan, Process, Programs, SOURCES, Worker};
use crate::results::Results;

/// More than come in the time that they have.
const CONNECTIONS: usize = 10_000_000;
/// Connections a second that both members together must see at least: fewer are no flood, and say nothing.
const FLOOD: f64 = 500.0;
/// Without a session of their own the scheduler would take what they use off the share that the members have with all that
/// this program started; with one, they have what is left of the processors.
const APART: &str = "{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 19 \"$@\"";
/// What counts is what goes on while all of them are at work.
const BEGIN: Duration = Duration::from_millis(500);

/// Measures it once without TLS between the members, and once with it.
///
/// # Errors
/// If something does not start or stops to answer, or nobody came.
pub async fn visit(
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    for (case, tls) in [("without TLS", false), ("with TLS", true)] {
        let mut agents = Agents::start_apart(tls, 3, programs, "128Mi").await?;
        let done = measure(&mut agents, case, round, plan, programs, results).await;
        agents.stop().await;
        done.context(case)?;
    }
    Ok(())
}

async fn measure(
    agents: &mut Agents,
    case: &str,
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    let leader = agents.leader().await?;
    let mut command = Command::new(&programs.bench);
    command.arg("agent").arg(agents.target(leader)).arg("--pipelined");
    let mut application = Worker::start(command, &agents.folder().join("application.log"))?;
    application.ready().await?;
    // One in a hundred of them must be many.
    let load = Load { millis: plan.millis * 4, ..plan.paced(What::Put, RATE) };
    let undisturbed = application.load(load).await?;

    let long = BEGIN + Duration::from_millis(load.warm + load.millis);
    let mut groups = Vec::new();
    for target in [leader, (leader + 1) % agents.len()] {
        let log = agents.folder().join(format!("strangers-{target}.log"));
        groups.push((let_loose(agents, target, long, programs, &log)?, log));
    }
    sleep(BEGIN).await;
    let disturbed = application.load(load).await?;
    let (mut connections, mut streams) = (0.0, 0.0);
    for (mut group, log) in groups {
        group.ended().await?;
        let said = fs::read_to_string(log)?;
        let number = |word: &str| {
            let mut words = said.split_whitespace().skip_while(|w| *w != word).skip(1);
            words
                .next()
                .and_then(|n| n.parse::<f64>().ok())
                .with_context(|| format!("strangers said: {said}"))
        };
        connections += number("connections")?;
        streams += number("streams")?;
    }
    let seconds = whole_seconds(long) as f64;
    let came = connections / seconds;
    anyhow::ensure!(came >= FLOOD, "only {came:.0} strangers a second: the machine has no time for them");
    results.load(round, name::STRANGERS, case, "undisturbed", &undisturbed);
    results.load(round, name::STRANGERS, case, "strangers", &disturbed);
    results.add(round, name::STRANGERS, case, "strangers", "connections per s", came);
    results.add(round, name::STRANGERS, case, "strangers", "streams per s", streams / seconds);
    application.kill().await;
    Ok(())
}

/// They count whole seconds.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + 1
}

/// Their own processor time is not what is measured.
fn let_loose(
    agents: &Agents,
    target: usize,
    long: Duration,
    programs: &Programs,
    log: &Path,
) -> anyhow::Result<Process> {
    let stranger = programs.stranger.as_ref().context("no strangers: set BENCH_STRANGER")?;
    let mut command = agents.command(Path::new("setsid"))?;
    command.args(["sh", "-c", APART, "sh"]).arg(stranger);
    command.args(["mesh", agents.slot(target), &CONNECTIONS.to_string()]);
    command.args([&whole_seconds(long).to_string(), SOURCES]).args(agents.authority());
    Process::start(command, log)
}
