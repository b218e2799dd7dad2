//! Several agents that are to become one cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rauthy_agent::dev::certificates::{self, Files};
use rauthy_client::{AckLevel, Error, NodeStatus, PutOptions, Role};
use rauthy_recorder::{Load, Recorder};
use tempfile::TempDir;

use crate::net::{Family, Net};
use crate::node::{Node, program};
use crate::wait::eventually;

/// Port of the mesh, the same on every node.
const PORT: u16 = 8443;
/// A cluster of three stands after about 2 s (the quarantine of 1 s, then an election); this is patience for a
/// machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What kind of cluster.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many nodes.
    pub nodes: usize,
    /// TLS between them.
    pub tls: bool,
    /// How many more namespaces there are, in which no node runs; their numbers follow those of the nodes.
    pub strangers: usize,
    /// CACHE_INVALIDATE_AFTER.
    pub invalidate_after: Duration,
    /// Which addresses the nodes have.
    pub family: Family,
    /// How long a packet is on its way from one node to another; only with IPv4.
    pub delay: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            nodes: 3,
            tls: true,
            strangers: 0,
            invalidate_after: Duration::from_secs(10),
            family: Family::Four,
            delay: Duration::ZERO,
        }
    }
}

/// What was elected so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elections {
    /// The highest term of any node.
    pub term: u64,
    /// How often a node stood for election, of all nodes together.
    pub candidacies: u64,
    /// Slot of the leader.
    pub leader: String,
}

/// The nodes, their network and their folder. Dropped in this order: processes, namespaces, files.
pub struct Cluster {
    nodes: Vec<Node>,
    /// Their network.
    pub net: Net,
    folder: TempDir,
}

impl Cluster {
    /// Makes everything, starts nothing.
    #[must_use]
    pub fn prepare(setup: Setup) -> Self {
        let namespaces = setup.nodes + setup.strangers;
        let net = match setup.delay {
            Duration::ZERO => Net::of(setup.family, namespaces),
            delay => Net::delayed(namespaces, delay),
        };
        let folder = tempfile::Builder::new().prefix("rauthy-test-").tempdir().unwrap();
        let scheme = if setup.tls { "https" } else { "http" };
        let slot = |number| match setup.family {
            Family::Six => format!("[{}]:{PORT}", Net::address6(number)),
            family => format!("{}:{PORT}", Net::host(family, number)),
        };
        let hosts: Vec<_> = (1..=setup.nodes).map(|n| format!("{scheme}://{}", slot(n))).collect();
        let mut cluster = Self { nodes: Vec::new(), net, folder };
        let tls = setup.tls.then(|| cluster.authority("tls", setup.nodes));
        for number in 1..=setup.nodes {
            let mut environment = BTreeMap::from([
                ("HA_MODE", "true".to_owned()),
                ("HA_HOSTS", hosts.join(",")),
                ("HOSTNAME_OVERWRITE", slot(number)),
                ("CACHE_AUTH_TOKEN", "the token that all of them share".to_owned()),
                ("CACHE_TLS", setup.tls.to_string()),
                ("CACHE_INVALIDATE_AFTER", format!("{}ms", setup.invalidate_after.as_millis())),
                ("AGENT_HTTP", ":8081".to_owned()),
                ("LOG_LEVEL", std::env::var("LOG_LEVEL").unwrap_or_else(|_| "info".into())),
            ]);
            if let Some(files) = &tls {
                certify(&mut environment, files);
            }
            let path = cluster.folder.path().join(format!("node-{number}.sock"));
            environment.insert("CACHE_LISTEN", format!("unix://{}", path.display()));
            let enter = cluster.net.command(number, &program());
            let node = Node::new(number, slot(number), cluster.folder.path(), environment, &enter);
            cluster.nodes.push(node);
        }
        cluster
    }

    /// Makes everything, starts all nodes, and waits until each is ready.
    pub async fn start(setup: Setup) -> Self {
        let mut cluster = Self::prepare(setup);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.all_ready().await;
        cluster
    }

    /// Certificates of another authority for all addresses of this network.
    #[must_use]
    pub fn authority(&self, name: &str, nodes: usize) -> Files {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let every = |n| [Net::address(n), Net::address6(n), Net::host(Family::Both, n)];
        let names: Vec<_> = (1..=nodes).flat_map(every).collect();
        certificates::generate(&folder, &names).unwrap()
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A second process of a node, told the same, that is to live in another namespace; its socket is its own.
    #[must_use]
    pub fn double(&self, of: usize, namespace: usize) -> Node {
        let first = self.node(of);
        let mut environment = first.environment.clone();
        let path = self.folder.path().join(format!("node-{namespace}.sock"));
        environment.insert("CACHE_LISTEN", format!("unix://{}", path.display()));
        let enter = self.net.command(namespace, &program());
        Node::new(namespace, first.slot.clone(), self.folder.path(), environment, &enter)
    }

    /// Where `ctl` of the agent is.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        program()
    }

    /// Node `number`, from 1.
    #[must_use]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// Node `number`, to be started or ended.
    pub fn node_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// Starts clients at every node, which write down what they are told, and waits until each node has done something
    /// for them: what is broken then is broken for all of them.
    pub async fn record(&self, load: Load) -> Recorder {
        let nodes = self.nodes().map(|node| (node.number.to_string(), node.target.clone()));
        let recorder = Recorder::start(nodes, load);
        recorder.written(2, PATIENCE).await;
        recorder
    }

    /// All of them.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The numbers of all nodes but this one.
    #[must_use]
    pub fn others(&self, number: usize) -> Vec<usize> {
        (1..=self.nodes.len()).filter(|n| *n != number).collect()
    }

    /// Waits until every node is ready, and gives their views.
    pub async fn all_ready(&self) -> Vec<NodeStatus> {
        let all: Vec<_> = (1..=self.nodes.len()).collect();
        self.ready(&all).await
    }

    /// Waits until these nodes are ready and agree on a leader, and gives their views.
    pub async fn ready(&self, numbers: &[usize]) -> Vec<NodeStatus> {
        eventually(&format!("nodes {numbers:?} ready"), PATIENCE, async || {
            let mut views = Vec::new();
            for number in numbers {
                let view = self.node(*number).status().await?;
                if !view.ready {
                    return Err(format!("node {number} is not ready: {}", view.not_ready_reason));
                }
                views.push(view);
            }
            let agree =
                views.windows(2).all(|w| w[0].leader == w[1].leader && w[0].generation == w[1].generation);
            if agree && !views.iter().any(|v| v.leader.is_empty()) {
                Ok(views)
            } else {
                Err(views.iter().map(brief).collect())
            }
        })
        .await
    }

    /// The number of the node that leads, as one of these nodes says of itself.
    pub async fn leader_among(&self, numbers: &[usize]) -> usize {
        eventually(&format!("a leader among {numbers:?}"), PATIENCE, async || {
            let mut seen = String::new();
            for number in numbers {
                match self.node(*number).status().await {
                    Ok(view) if view.ready && view.role() == Role::Leader => return Ok(*number),
                    Ok(view) => seen += &brief(&view),
                    Err(error) => seen += &error,
                }
            }
            Err(seen)
        })
        .await
    }

    /// The number of the node that leads.
    pub async fn leader(&self) -> usize {
        let all: Vec<_> = (1..=self.nodes.len()).collect();
        self.leader_among(&all).await
    }

    /// Stores a value at level Quorum through a node, which must succeed.
    pub async fn put(&self, through: usize, key: &str, value: &str) {
        let key = key.to_owned();
        let result = self
            .node(through)
            .client()
            .put("test", key.clone(), value.to_owned(), PutOptions::default())
            .await;
        assert!(result.is_ok(), "put {key} through node {through}: {result:?}");
    }

    /// Reads a key at a node.
    ///
    /// # Errors
    /// As the client says.
    pub async fn get(&self, at: usize, key: &str) -> Result<Option<String>, Error> {
        let found = self.node(at).client().get("test", key.to_owned()).await?;
        Ok(found.map(|f| String::from_utf8_lossy(&f.value).into_owned()))
    }

    /// Waits until a node reads this value.
    pub async fn reads(&self, at: usize, key: &str, value: &str) {
        eventually(&format!("node {at} reads {key}={value}"), PATIENCE, async || {
            match self.get(at, key).await {
                Ok(Some(found)) if found == value => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Asks a node for a read, a put and a delete, all of which must fail for want of a quorum.
    ///
    /// # Errors
    /// What happened instead.
    pub async fn refuses(&self, at: usize, key: &str) -> Result<(), String> {
        let client = self.node(at).client();
        let read = client.get("test", key.to_owned()).await;
        if read != Err(Error::NoQuorum) {
            return Err(format!("read: {read:?}"));
        }
        let put = client.put("test", "refused", "x", PutOptions::default()).await;
        if put != Err(Error::NoQuorum) {
            return Err(format!("put: {put:?}"));
        }
        let delete = client.delete("test", "refused", AckLevel::Quorum).await;
        if delete != Err(Error::NoQuorum) {
            return Err(format!("delete: {delete:?}"));
        }
        Ok(())
    }

    /// Asks a node over HTTP, from inside its namespace, and gives status code and body.
    ///
    /// # Panics
    /// If it gives no answer at all.
    #[must_use]
    pub fn http(&self, at: usize, path: &str) -> (u16, String) {
        self.http_of(at, self.net.loopback(), path)
    }

    /// Asks `host` over HTTP, from inside the namespace of a node, and gives status code and body.
    ///
    /// # Panics
    /// If it gives no answer at all.
    #[must_use]
    pub fn http_of(&self, at: usize, host: &str, path: &str) -> (u16, String) {
        let answer = self.asking(at, host, path)();
        answer.unwrap_or_else(|said| panic!("{host} answers nothing to /{path} of node {at}: {said}"))
    }

    /// What asks for this path of a node's own HTTP port, as often as it is called, on whatever thread: status code and
    /// body, or what happened instead of an answer.
    pub fn asks(
        &self,
        at: usize,
        path: &str,
    ) -> impl FnMut() -> Result<(u16, String), String> + Send + use<> {
        self.asking(at, self.net.loopback(), path)
    }

    fn asking(
        &self,
        at: usize,
        host: &str,
        path: &str,
    ) -> impl FnMut() -> Result<(u16, String), String> + Send + use<> {
        let request = format!(
            "exec 3<>/dev/tcp/{host}/8081 && \
             printf 'GET /{path} HTTP/1.1\\r\\nHost: agent\\r\\nConnection: close\\r\\n\\r\\n' >&3 && \
             exec timeout 10 cat <&3"
        );
        let mut command = self.net.command(at, "bash".as_ref());
        command.args(["-c", &request]);
        move || {
            let output = command.output().map_err(|error| error.to_string())?;
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{output:?}"))?;
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            Ok((status.ok_or_else(|| head.to_owned())?, body.to_owned()))
        }
    }

    /// What was elected so far; waits until all nodes are ready.
    pub async fn elections(&self) -> Elections {
        let views = self.all_ready().await;
        Elections {
            term: views.iter().map(|v| v.term).max().unwrap_or_default(),
            candidacies: views.iter().map(|v| v.elections).sum(),
            leader: views[0].leader.clone(),
        }
    }

    /// Waits until all nodes hold the same bytes.
    pub async fn same_data(&self) {
        eventually("the same data everywhere", PATIENCE, async || {
            let mut digests = Vec::new();
            for node in &self.nodes {
                let view = node.status().await?;
                digests.push((view.applied, view.digest));
            }
            if digests.windows(2).all(|w| w[0] == w[1]) { Ok(()) } else { Err(format!("{digests:?}")) }
        })
        .await;
    }
}

/// Points a node at certificates.
pub fn certify(environment: &mut BTreeMap<&'static str, String>, files: &Files) {
    for (name, path) in [
        ("CACHE_TLS_SERVER_CERT", &files.cert),
        ("CACHE_TLS_SERVER_KEY", &files.key),
        ("CACHE_TLS_CLIENT_CERT", &files.cert),
        ("CACHE_TLS_CLIENT_KEY", &files.key),
        ("CACHE_TLS_CA_SERVER", &files.ca),
        ("CACHE_TLS_CA_CLIENT", &files.ca),
    ] {
        environment.insert(name, path.display().to_string());
    }
}

fn brief(view: &NodeStatus) -> String {
    format!(
        "[{} {:?} term {} leader {} generation {} ready {} {}] ",
        view.slot,
        view.role(),
        view.term,
        view.leader,
        view.generation,
        view.ready,
        view.not_ready_reason
    )
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &mut self.nodes {
            let log = node.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            let state = node.state();
            eprintln!("── node {} ({}), {state}:\n{tail}", node.number, node.slot);
        }
    }
}
