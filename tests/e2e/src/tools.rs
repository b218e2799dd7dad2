//! kubectl and helm, as a user calls them, and what the runner says about this run.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "rauthy-operator";

/// A variable that scripts/e2e sets.
///
/// # Errors
/// If it is missing: the tests were not started by scripts/e2e.
pub fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set: these tests need a real Kubernetes; run `make e2e`"))
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// It ended with code 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a program and returns what it said, whatever its exit code.
///
/// # Errors
/// If it cannot be started.
pub async fn said(program: &str, args: &[&str], input: &str) -> anyhow::Result<Said> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()).await; // it may read nothing
    }
    let output = child.wait_with_output().await?;
    Ok(Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn must(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let said = said(program, args, "").await?;
    if !said.ok {
        bail!("{program} {} failed: {}{}", args.join(" "), said.out, said.err);
    }
    Ok(said.out)
}

/// `kubectl ARGS`, which must succeed; its output.
///
/// # Errors
/// If it fails, with what it said.
pub async fn kubectl(args: &[&str]) -> anyhow::Result<String> {
    must("kubectl", args).await
}

/// Installs the chart as the README says, once for all tests; the second time helm has nothing to do.
///
/// # Errors
/// If the operator does not become ready.
pub async fn helm_install() -> anyhow::Result<()> {
    static ONCE: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    let mut done = ONCE.lock().await;
    if *done {
        return Ok(());
    }
    let (root, image) = (variable("E2E_ROOT")?, variable("E2E_IMAGE")?);
    let (repository, tag) = image.rsplit_once(':').context("E2E_IMAGE has no tag")?;
    let there = said("helm", &["-n", OPERATOR_NAMESPACE, "status", "rauthy-operator"], "").await?;
    if !there.ok {
        let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
        let chart = format!("{root}/charts/rauthy-operator");
        let args = ["-n", OPERATOR_NAMESPACE, "install", "rauthy-operator", &chart, "--create-namespace"];
        let values = ["--set", &repository, "--set-string", &tag, "--wait", "--timeout", "120s"];
        must("helm", &[&args[..], &values[..]].concat()).await?;
    }
    *done = true;
    Ok(())
}
