//! The programs of `tests/redhac-compat`, which are run on redhac from crates.io as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// Whether the truth is told where redhac does not tell it.
pub const TRUTHFUL: bool = true;

#[path = "../../../tests/redhac-compat/program/mod.rs"]
mod program;

/// The program of a single process, unchanged, where an agent has the values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_process_with_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("cache.sock").display());
    let config = rauthy_agent::embedded::Config::builder().single().listen(&socket).build().unwrap();
    let agent = rauthy_agent::embedded::Cache::start(config).await.unwrap();
    agent.ready(program::support::DEADLINE).await.unwrap();
    let run = move || program::support::in_own_process("single::alone", &[("RAUTHY_CACHE_SOCKET", &socket)]);
    tokio::task::spawn_blocking(run).await.unwrap();
    assert!(agent.get("sized", "never there").unwrap().is_none());
    agent.shutdown().await;
}
