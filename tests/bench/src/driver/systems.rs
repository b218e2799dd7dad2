//! What is compared, and how each of it is started: three members (or so many as are asked for) on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::Programs;
use super::agents::certificates;
use super::ports;
use super::process::{Process, Worker, cpu};

/// A cluster has a leader within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// The cache of this repository, embedded; no TLS.
    Ours,
    /// The same with TLS between the members.
    OursTls,
    /// hiqlite, embedded.
    Hiqlite,
    /// redhac, embedded.
    Redhac,
    /// etcd, embedded in its leader; no fsync, on tmpfs.
    Etcd,
    /// Redis with two replicas, `WAIT 1`.
    Redis,
    /// Frames over TCP and a majority's acks.
    Limit,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ours, Self::OursTls, Self::Hiqlite, Self::Redhac, Self::Etcd, Self::Redis, Self::Limit];

    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursTls => "ours, TLS",
            Self::Hiqlite => "hiqlite",
            Self::Redhac => "redhac",
            Self::Etcd => "etcd",
            Self::Redis => "Redis",
            Self::Limit => "limit",
        }
    }

    /// Whether a member that does not lead takes writes.
    #[must_use]
    pub fn has_followers(self) -> bool {
        !matches!(self, Self::Redis | Self::Limit)
    }

    /// Whether members read in their own process.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Ours | Self::Hiqlite | Self::Redhac)
    }

    /// Whether there are the levels Leader and Direct.
    #[must_use]
    pub fn has_levels(self) -> bool {
        matches!(self, Self::Ours | Self::Redhac)
    }

    /// Why it cannot be measured here, if so.
    #[must_use]
    pub fn missing(self, programs: &Programs) -> Option<&'static str> {
        let there = match self {
            Self::Ours | Self::OursTls | Self::Limit => true,
            Self::Hiqlite => programs.hiqlite.is_some(),
            Self::Redhac => programs.redhac.is_some(),
            Self::Etcd => programs.etcd.is_some(),
            Self::Redis => programs.redis.is_some(),
        };
        (!there).then_some("its program could not be built or had")
    }
}

/// A system that runs. All of its processes end when it is dropped.
pub struct Cluster {
    /// Those that take commands: the members, or a client.
    pub workers: Vec<Worker>,
    /// Which of them leads.
    pub leader: usize,
    /// Where the primary listens, of Redis.
    pub address: Option<SocketAddr>,
    others: Vec<Process>,
    folder: TempDir,
}

impl Cluster {
    /// Starts so many members, and waits until one of them leads.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn start(system: System, members: usize, programs: &Programs) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rauthy-bench-").tempdir()?;
        let mut cluster = Self { workers: Vec::new(), leader: 0, address: None, others: Vec::new(), folder };
        let path = cluster.folder.path().to_owned();
        match system {
            System::Redis => cluster.start_redis(members, programs, &path).await?,
            System::Limit => cluster.start_limit(members, programs, &path)?,
            _ => cluster.start_members(system, members, programs, &path)?,
        }
        for worker in &mut cluster.workers {
            worker.ready().await?;
        }
        cluster.find_leader().await?;
        Ok(cluster)
    }

    fn start_members(
        &mut self,
        system: System,
        members: usize,
        programs: &Programs,
        folder: &Path,
    ) -> anyhow::Result<()> {
        // hiqlite and etcd want two ports for each.
        let of_each = if matches!(system, System::Hiqlite | System::Etcd) { 2 } else { 1 };
        let ports = ports::free(members * of_each)?;
        if system == System::OursTls {
            certificates(folder, "127.0.0.1")?;
        }
        for number in 0..members {
            let mut command = match system {
                System::Hiqlite => Command::new(programs.hiqlite.as_ref().context("no hiqlite")?),
                System::Redhac => {
                    let hosts: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
                    let mut command = Command::new(programs.redhac.as_ref().context("no redhac")?);
                    command.envs([
                        ("HA_MODE", "true"),
                        ("HA_HOSTS", &hosts.join(", ")),
                        ("CACHE_AUTH_TOKEN", "bench-token-0123456789"),
                        ("CACHE_TLS", "false"),
                    ]);
                    command
                }
                System::Etcd => Command::new(programs.etcd.as_ref().context("no etcd")?),
                System::Ours | System::OursTls | System::Redis | System::Limit => {
                    let mut command = Command::new(&programs.bench);
                    command.arg("node");
                    if system == System::OursTls {
                        command.arg("--tls").arg(folder);
                    }
                    command
                }
            };
            command.arg(number.to_string()).args(ports.iter().map(u16::to_string));
            self.workers.push(Worker::start(command, &folder.join(format!("{number}.log")))?);
        }
        Ok(())
    }

    fn start_limit(&mut self, members: usize, programs: &Programs, folder: &Path) -> anyhow::Result<()> {
        let mut leader = Command::new(&programs.bench);
        leader.arg("limit");
        for port in ports::free(members - 1)? {
            let mut follower = Command::new(&programs.bench);
            follower.arg("limit-follower").arg(format!("127.0.0.1:{port}"));
            leader.arg(format!("127.0.0.1:{port}"));
            self.others.push(Process::start(follower, &folder.join(format!("{port}.log")))?);
        }
        self.workers.push(Worker::start(leader, &folder.join("leader.log"))?);
        Ok(())
    }

    async fn start_redis(
        &mut self,
        members: usize,
        programs: &Programs,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let ports = ports::free(members)?;
        let primary = ports[0];
        self.address = Some(SocketAddr::from(([127, 0, 0, 1], primary)));
        for port in &ports {
            let data = folder.join(port.to_string());
            std::fs::create_dir(&data)?;
            let mut server = Command::new(programs.redis.as_ref().context("no redis-server")?);
            server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&data);
            // In memory, as everything here; a replica is filled without a file in between.
            server.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync", "yes"]);
            server.args(["--repl-diskless-sync-delay", "0", "--loglevel", "warning"]);
            if *port != primary {
                server.args(["--replicaof", &format!("127.0.0.1 {primary}")]);
            }
            self.others.push(Process::start(server, &folder.join(format!("{port}.log")))?);
        }
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", primary)).await.is_err() {
            anyhow::ensure!(Instant::now() < end, "Redis does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        let mut client = Command::new(&programs.bench);
        client.arg("redis").arg(format!("127.0.0.1:{primary}")).arg((members - 1).to_string());
        self.workers.push(Worker::start(client, &folder.join("client.log"))?);
        Ok(())
    }

    async fn find_leader(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            for number in 0..self.workers.len() {
                if self.workers[number].leads().await? {
                    self.leader = number;
                    return Ok(());
                }
            }
            anyhow::ensure!(Instant::now() < end, "nobody leads");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The member that leads.
    pub fn leader(&mut self) -> &mut Worker {
        let leader = self.leader;
        &mut self.workers[leader]
    }

    /// A member that does not.
    pub fn follower(&mut self) -> &mut Worker {
        let follower = (self.leader + 1) % self.workers.len();
        &mut self.workers[follower]
    }

    /// The leader and a follower, for what goes on at both at a time.
    ///
    /// # Errors
    /// If there is one member.
    pub fn both(&mut self) -> anyhow::Result<(&mut Worker, &mut Worker)> {
        let follower = (self.leader + 1) % self.workers.len();
        let [leader, follower] = self.workers.get_disjoint_mut([self.leader, follower])?;
        Ok((leader, follower))
    }

    /// Seconds of processor time that all processes have used.
    ///
    /// # Errors
    /// If one of them has ended.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let workers = self.workers.iter().map(Worker::pid);
        workers.chain(self.others.iter().map(Process::pid)).map(|pid| cpu(pid?)).sum()
    }

    /// The processes that are no workers: the servers of Redis, first the primary.
    #[must_use]
    pub fn servers(&self) -> &[Process] {
        &self.others
    }

    /// Ends all, and waits until they are gone.
    pub async fn stop(mut self) {
        for worker in &mut self.workers {
            worker.kill().await;
        }
        for other in &mut self.others {
            other.kill().await;
        }
    }
}
