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

/// `helm -n rauthy-operator ARGS`, which must succeed; its output.
///
/// # Errors
/// If it fails, with what it said.
pub async fn helm(args: &[&str]) -> anyhow::Result<String> {
    must("helm", &[&["-n", OPERATOR_NAMESPACE], args].concat()).await
}

/// Path of something in the repository.
///
/// # Errors
/// If the tests were not started by scripts/e2e.
pub fn path(inside: &str) -> anyhow::Result<String> {
    Ok(format!("{}/{inside}", variable("E2E_ROOT")?))
}

/// Installs a chart of the operator with the image under test, or upgrades to it, and waits until it is ready.
///
/// # Errors
/// If the operator does not become ready.
pub async fn install(chart: &str, values: &[&str]) -> anyhow::Result<()> {
    // The operator's own pods have to pass the strictest of Kubernetes' own standards, too.
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {OPERATOR_NAMESPACE}\n  \
         labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
    );
    let made = said("kubectl", &["apply", "--server-side", "-f", "-"], &namespace).await?;
    if !made.ok {
        bail!("the namespace of the operator: {}", made.err);
    }
    let image = variable("E2E_IMAGE")?;
    let (repository, tag) = image.rsplit_once(':').context("E2E_IMAGE has no tag")?;
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let args = ["upgrade", "--install", "rauthy-operator", chart, "--set", &repository, "--set-string", &tag];
    let wait = ["--wait", "--timeout", "120s"];
    helm(&[&args[..], values, &wait[..]].concat()).await?;
    Ok(())
}

/// Installs the chart as the README says, once for all tests; the second time there is nothing to do.
///
/// # Errors
/// If the operator does not become ready.
pub async fn helm_install() -> anyhow::Result<()> {
    static ONCE: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    let mut done = ONCE.lock().await;
    if !*done && !said("helm", &["-n", OPERATOR_NAMESPACE, "status", "rauthy-operator"], "").await?.ok {
        install(&path("charts/rauthy-operator")?, &[]).await?;
    }
    *done = true;
    Ok(())
}
