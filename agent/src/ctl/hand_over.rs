//! `ctl transfer`: asks the agent to give the leadership away, and waits until it has.

use std::time::Duration;

use rauthy_client::{Client, Error, NodeStatus, Role};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::Outcome;

/// How long to wait for another node to lead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Name of the agent's process.
const PROGRAM: &str = "rauthy-agent";
/// How often to look.
const INTERVAL: Duration = Duration::from_millis(50);

pub(super) async fn run(client: &Client, pid: i32, json: bool) -> Result<Outcome, Error> {
    let before = client.status().await?;
    if before.role() != Role::Leader {
        return Ok(report(json, &before, false, "this node does not lead, there is nothing to hand over"));
    }
    if before.members.len() < 2 {
        return Ok(report(json, &before, false, "this node is the only member, nobody can take over"));
    }
    signal(pid)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = client.status().await?;
        if now.role() != Role::Leader {
            return Ok(report(json, &now, true, "the leadership is handed over"));
        }
        if Instant::now() >= deadline {
            let note = "this node still leads after 5 s: nobody caught up was there to take over; \
                        see `rauthy-agent ctl status`";
            return Ok(report(json, &now, false, note).refused());
        }
        sleep(INTERVAL).await;
    }
}

fn signal(pid: i32) -> Result<(), Error> {
    let process = Pid::from_raw(pid)
        .filter(|_| pid > 0)
        .ok_or_else(|| Error::Invalid(format!("--pid {pid}: a process id is a number above 0")))?;
    // To any other program this signal is deadly.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if !name.is_empty() && name.trim_end() != PROGRAM {
        return Err(Error::Invalid(format!(
            "--pid {pid}: that process is \"{}\", not {PROGRAM}; give the process id of the agent",
            name.trim_end()
        )));
    }
    kill_process(process, Signal::USR1).map_err(|e| {
        Error::Invalid(format!(
            "--pid {pid}: SIGUSR1 cannot be sent ({e}); is this the process id of the agent?"
        ))
    })
}

fn report(json: bool, status: &NodeStatus, handed_over: bool, words: &str) -> Outcome {
    let leader = (!status.leader.is_empty()).then_some(&status.leader);
    if json {
        Outcome::json(&serde_json::json!({ "handed_over": handed_over, "leader": leader, "message": words }))
    } else {
        match leader {
            Some(leader) if *leader != status.slot => Outcome::done(format!("{words}; {leader} leads\n")),
            _ => Outcome::done(format!("{words}\n")),
        }
    }
}
