//! A child process: what it uses, and its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rauthy_load::{Answer, Command as Ask, Load, Measured};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Everything but a load is answered within this time.
const PATIENCE: Duration = Duration::from_secs(90);
/// Clock ticks a second of `/proc/*/stat`, on every Linux that there is.
const TICKS: f64 = 100.0;

/// A child, killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let out = fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("a process has ended, see {}", self.log.display()))
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn terminate(&self) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.pid()?.to_string()]).status().await?;
        anyhow::ensure!(sent.success(), "SIGTERM cannot be sent");
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        timeout(PATIENCE, self.child.wait()).await.context("a process does not end")??;
        Ok(())
    }
}

/// Seconds of processor time that a process has used.
///
/// # Errors
/// If there is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces and brackets; the numbers begin behind the last bracket.
    let numbers = stat.rsplit_once(')').context("an unknown /proc/*/stat")?.1;
    let ticks = numbers.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}

/// The same to a nanosecond, of the threads that still run.
///
/// # Errors
/// If there is no such process.
pub fn cpu_exactly(pid: u32) -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedule = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += schedule.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default();
    }
    Ok(nanos / 1e9)
}

/// Bytes of memory that a process has in use.
///
/// # Errors
/// If there is no such process.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// A child that takes commands.
pub struct Worker {
    child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Worker {
    /// Starts it; it is ready later, see [`Worker::ready`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let errors = fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let ask = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self { child, ask, answers, log: log.to_owned() })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it ends or that takes too long.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        match self.answer(PATIENCE).await? {
            Answer::Ready => Ok(()),
            other => bail!("an answer without a question: {other:?}"),
        }
    }

    async fn answer(&mut self, patience: Duration) -> anyhow::Result<Answer> {
        let see = || format!("see {}", self.log.display());
        loop {
            let line = timeout(patience, self.answers.next_line()).await.with_context(see)??;
            let line = line.with_context(|| format!("a program ended, {}", see()))?;
            // Some libraries log to stdout.
            if let Ok(answer) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }

    async fn ask(&mut self, ask: Ask, patience: Duration) -> anyhow::Result<Answer> {
        let mut line = serde_json::to_vec(&ask)?;
        line.push(b'\n');
        self.ask.write_all(&line).await?;
        match self.answer(patience).await? {
            Answer::Failed { why } => bail!("{ask:?}: {why}"),
            answer => Ok(answer),
        }
    }

    /// Whether it leads.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn leads(&mut self) -> anyhow::Result<bool> {
        match self.ask(Ask::Role, PATIENCE).await? {
            Answer::Role { leads } => Ok(leads),
            other => bail!("another answer: {other:?}"),
        }
    }

    /// Writes all keys.
    ///
    /// # Errors
    /// If one cannot be written.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        self.ask(Ask::Fill, PATIENCE).await.map(drop)
    }

    /// Carries out a load.
    ///
    /// # Errors
    /// If it cannot be, or nothing succeeded.
    pub async fn load(&mut self, load: Load) -> anyhow::Result<Measured> {
        self.measure(Ask::Load(load), load).await
    }

    /// Reads on threads.
    ///
    /// # Errors
    /// As [`Worker::load`].
    pub async fn read(&mut self, load: Load) -> anyhow::Result<Measured> {
        self.measure(Ask::Read(load), load).await
    }

    async fn measure(&mut self, ask: Ask, load: Load) -> anyhow::Result<Measured> {
        match self.ask(ask, PATIENCE + Duration::from_millis(load.warm + load.millis)).await? {
            Answer::Measured(measured) if measured.done == 0 => {
                bail!(
                    "nothing succeeded: {}",
                    measured.why.unwrap_or_else(|| "not one was begun and answered while it counted".into())
                )
            }
            Answer::Measured(measured) => Ok(measured),
            other => bail!("another answer: {other:?}"),
        }
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("a program has ended, see {}", self.log.display()))
    }

    /// Ends it, and waits until it is gone.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }
}
