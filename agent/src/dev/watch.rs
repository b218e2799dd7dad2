//! Looks at the nodes through their sockets and says what a user wants to know.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rauthy_client::{Client, NodeStatus, Role};
use tokio::time::{Instant, interval};

use super::plan::{self, Node};
use super::say;

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(250);
/// After this long without a cluster, say what is missing.
const LATE: Duration = Duration::from_secs(20);

/// Runs until it is dropped.
pub(super) async fn run(nodes: &[Arc<Node>], pids: &[Arc<AtomicU32>], folder: &Path) {
    let clients: Vec<_> = nodes
        .iter()
        .filter_map(|n| Client::new(&n.target()).ok())
        .map(|c| c.with_deadline(Duration::from_secs(1)).without_retries())
        .collect();
    let program = std::env::args().next().unwrap_or_else(|| "rauthy-agent".into());
    let mut ticks = interval(INTERVAL);
    let mut announced: Option<String> = None;
    let mut complain_at = Instant::now() + LATE;
    loop {
        ticks.tick().await;
        let seen = futures::future::join_all(clients.iter().map(Client::status)).await;
        let leader = leader(seen.iter().flatten());
        let all_ready = seen.iter().all(|s| s.as_ref().is_ok_and(|s| s.ready));
        match (&announced, leader) {
            (None, Some(leader)) if all_ready => {
                let nodes: Vec<Node> = nodes.iter().map(|n| Node::clone(n)).collect();
                let pid = nodes.iter().position(|n| n.slot == leader).and_then(|i| pids.get(i));
                let pid = pid.map(|p| p.load(Ordering::Relaxed)).filter(|p| *p > 0);
                say(&plan::next_steps(&program, &nodes, &leader, pid, folder));
                announced = Some(leader);
            }
            (Some(before), Some(leader)) if *before != leader => {
                say(&format!("\n{leader} leads now.\n"));
                announced = Some(leader);
            }
            (None, _) if Instant::now() >= complain_at => {
                complain_at = Instant::now() + LATE;
                for (node, status) in nodes.iter().zip(&seen) {
                    match status {
                        Ok(status) if status.ready => {}
                        Ok(status) => {
                            say(&format!("node {} is not ready: {}", node.number, status.not_ready_reason))
                        }
                        Err(error) => say(&format!("node {} does not answer: {error}", node.number)),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Who leads: of several that believe it, the one with the newest term.
fn leader<'a>(seen: impl Iterator<Item = &'a NodeStatus>) -> Option<String> {
    seen.filter(|s| s.role() == Role::Leader && s.ready).max_by_key(|s| s.term).map(|s| s.slot.clone())
}
