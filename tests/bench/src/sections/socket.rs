//! Agents as processes, and an application that uses the leader's socket; beside it a gRPC service on such a socket that
//! does nothing.

use std::path::Path;

use anyhow::Context;
use rauthy_load::What;
use tokio::process::Command;

use super::name;
use crate::driver::{Agents, Plan, Process, Programs, Worker};
use crate::results::Results;

/// Measures it once.
///
/// # Errors
/// If something does not start or stops to answer.
pub async fn visit(
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    let agents = Agents::start(3, programs, "512Mi").await?;
    let leader = agents.leader().await?;
    let application = |pipelined: bool, of: usize| -> anyhow::Result<Worker> {
        let mut command = Command::new(&programs.bench);
        command.arg("agent").arg(agents.target(of)).args(pipelined.then_some("--pipelined"));
        Worker::start(command, &agents.folder().join("application.log"))
    };
    let mut unary = application(false, leader)?;
    unary.ready().await?;
    unary.fill().await?;
    for tasks in [1, 64] {
        let seen = unary.load(plan.closed(What::Get, tasks)).await?;
        results.load(round, name::SOCKET_GET, tasks, "unary", &seen);
        let seen = bare(agents.folder(), tasks, plan, programs).await?;
        results.load(round, name::SOCKET_GET, tasks, "bare unary", &seen);
        let seen = unary.load(plan.closed(What::Put, tasks)).await?;
        results.load(round, name::SOCKET_PUT, tasks, "unary", &seen);
    }
    unary.kill().await;
    let mut pipelined = application(true, leader)?;
    pipelined.ready().await?;
    for tasks in [1, 64, 256, 1024] {
        let seen = pipelined.load(plan.closed(What::Get, tasks)).await?;
        results.load(round, name::SOCKET_GET, tasks, "Session", &seen);
    }
    for tasks in [1, 64, 512] {
        let seen = pipelined.load(plan.closed(What::Put, tasks)).await?;
        results.load(round, name::SOCKET_PUT, tasks, "Session", &seen);
    }
    pipelined.kill().await;
    agents.stop().await;
    Ok(())
}

async fn bare(
    folder: &Path,
    tasks: usize,
    plan: &Plan,
    programs: &Programs,
) -> anyhow::Result<rauthy_load::Measured> {
    let socket = folder.join(format!("bare-{tasks}.sock"));
    let mut server = Command::new(&programs.bench);
    server.arg("unary").arg(&socket);
    let mut server = Process::start(server, &folder.join("bare.log"))?;
    for _ in 0..500 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    anyhow::ensure!(socket.exists(), "the bare service does not listen");
    let mut caller = Command::new(&programs.bench);
    caller.arg("unary-caller").arg(&socket);
    let mut caller = Worker::start(caller, &folder.join("bare.log"))?;
    caller.ready().await.context("the caller of the bare service")?;
    let seen = caller.load(plan.closed(What::Get, tasks)).await;
    caller.kill().await;
    server.kill().await;
    seen
}
