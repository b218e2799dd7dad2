//! Agents as processes, each with its socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rauthy_client::{Client, NodeStatus, Role};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::net::{self, Net};
use super::process::Process;
use super::{Programs, ports};

/// A cluster stands within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a node is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(10);
/// The authority that [`certificates`] makes.
const CA: &str = "ca.pem";

/// Certificates for whoever listens at this address.
///
/// # Errors
/// If they cannot be made.
pub fn certificates(folder: &Path, address: &str) -> anyhow::Result<()> {
    rauthy_agent::dev::certificates::generate(folder, &[address.to_owned()])?;
    Ok(())
}

/// Agents that are to become one cluster.
pub struct Agents {
    program: PathBuf,
    hosts: String,
    slots: Vec<String>,
    http: Vec<u16>,
    processes: Vec<Option<Process>>,
    folder: TempDir,
    bytes: &'static str,
    tls: bool,
    net: Option<Net>,
}

impl Agents {
    /// Starts so many agents, and waits until all are ready. `bytes`: what each may hold.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn start(members: usize, programs: &Programs, bytes: &'static str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rauthy-bench-").tempdir()?;
        Self::start_in(folder, None, false, members, programs, bytes).await
    }

    /// The same in a network of their own, with TLS between them or without. There are no client certificates: whoever knows
    /// the authority gets through TLS, as strangers are to who shall get as far as they can.
    ///
    /// # Errors
    /// As [`Agents::start`], and if there is no such network.
    pub async fn start_apart(
        tls: bool,
        members: usize,
        programs: &Programs,
        bytes: &'static str,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rauthy-bench-").tempdir()?;
        let net = Net::start(folder.path()).await?;
        Self::start_in(folder, Some(net), tls, members, programs, bytes).await
    }

    async fn start_in(
        folder: TempDir,
        net: Option<Net>,
        tls: bool,
        members: usize,
        programs: &Programs,
        bytes: &'static str,
    ) -> anyhow::Result<Self> {
        let address = if net.is_some() { net::ADDRESS } else { "127.0.0.1" };
        let ports = ports::free(members * 2)?;
        let (mesh, http) = ports.split_at(members);
        let slots: Vec<_> = mesh.iter().map(|port| format!("{address}:{port}")).collect();
        let scheme = if tls { "https" } else { "http" };
        let hosts: Vec<_> = slots.iter().map(|slot| format!("{scheme}://{slot}")).collect();
        let mut agents = Self {
            program: programs.agent.clone().context("no agent: set RAUTHY_AGENT")?,
            hosts: hosts.join(","),
            slots,
            http: http.to_vec(),
            processes: (0..members).map(|_| None).collect(),
            folder,
            bytes,
            tls,
            net,
        };
        if tls {
            certificates(agents.folder(), address)?;
        }
        for number in 0..members {
            agents.run(number)?;
        }
        for number in 0..members {
            agents.ready(number).await?;
        }
        Ok(agents)
    }

    /// Starts an agent that does not run.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn run(&mut self, number: usize) -> anyhow::Result<()> {
        let mut command = self.command(&self.program)?;
        command.arg("run").env_clear().envs([
            ("HA_MODE", "true"),
            ("HA_HOSTS", &self.hosts),
            ("HOSTNAME_OVERWRITE", &self.slots[number]),
            ("CACHE_AUTH_TOKEN", "the token that all of them share"),
            ("CACHE_TLS", &self.tls.to_string()),
            ("CACHE_MAX_BYTES", self.bytes),
            ("CACHE_LISTEN", &self.target(number)),
            ("AGENT_HTTP", &format!("127.0.0.1:{}", self.http[number])),
            ("LOG_LEVEL", "warn"),
        ]);
        if self.tls {
            for (name, file) in [
                ("CACHE_TLS_SERVER_CERT", "node.pem"),
                ("CACHE_TLS_SERVER_KEY", "node.key"),
                ("CACHE_TLS_CA_SERVER", CA),
            ] {
                command.env(name, self.folder().join(file));
            }
        }
        let log = self.folder.path().join(format!("{number}.log"));
        self.processes[number] = Some(Process::start(command, &log)?);
        Ok(())
    }

    /// A program in their network.
    ///
    /// # Errors
    /// If the network is gone.
    pub fn command(&self, program: &Path) -> anyhow::Result<Command> {
        self.net.as_ref().map_or_else(|| Ok(Command::new(program)), |net| net.command(program))
    }

    /// Where an agent listens for the others.
    #[must_use]
    pub fn slot(&self, number: usize) -> &str {
        &self.slots[number]
    }

    /// The authority's certificate, where there is TLS.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.tls.then(|| self.folder().join(CA))
    }

    /// The address of an agent's socket.
    #[must_use]
    pub fn target(&self, number: usize) -> String {
        format!("unix://{}", self.folder.path().join(format!("{number}.sock")).display())
    }

    /// A client of an agent.
    ///
    /// # Errors
    /// Never for these addresses.
    pub fn client(&self, number: usize) -> anyhow::Result<Client> {
        Ok(Client::new(&self.target(number))?)
    }

    /// How an agent sees the cluster; `None`: it does not answer.
    pub async fn status(&self, number: usize) -> Option<NodeStatus> {
        let client = self.client(number).ok()?.with_deadline(Duration::from_secs(1)).without_retries();
        client.status().await.ok()
    }

    /// Waits until an agent is ready.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn ready(&self, number: usize) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut seen = None;
        while Instant::now() < end {
            seen = self.status(number).await;
            if seen.as_ref().is_some_and(|status| status.ready) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        anyhow::bail!("agent {number} does not get ready: {:?}", seen.map(|s| s.not_ready_reason))
    }

    /// The number of the agent that leads.
    ///
    /// # Errors
    /// If none does.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            for number in 0..self.processes.len() {
                let status = self.status(number).await;
                if status.is_some_and(|status| status.ready && status.role() == Role::Leader) {
                    return Ok(number);
                }
            }
            sleep(LOOK).await;
        }
        anyhow::bail!("no agent leads")
    }

    /// An agent's process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn process(&mut self, number: usize) -> anyhow::Result<&mut Process> {
        self.processes[number].as_mut().context("that agent does not run")
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// A place for the files of whoever measures them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends all, and waits until they are gone.
    pub async fn stop(mut self) {
        for process in self.processes.iter_mut().flatten() {
            process.kill().await;
        }
    }
}
