//! What the nodes are told. Pure.

use std::path::{Path, PathBuf};

use super::certificates::Files;

/// Ports for probes and metrics begin this far above those of the mesh.
const HTTP_OFFSET: u16 = 100;

/// One node to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Counted from 1.
    pub number: u16,
    /// Its slot.
    pub slot: String,
    /// Its socket.
    pub socket: PathBuf,
    /// Port for the other nodes.
    pub mesh: u16,
    /// Port for probes and metrics.
    pub http: u16,
    /// Its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Node {
    /// The address of its socket.
    pub(super) fn target(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// All nodes. `tls` names the certificates; without it the mesh is plain.
pub(super) fn nodes(
    count: u16,
    base_port: u16,
    folder: &Path,
    token: &Path,
    tls: Option<&Files>,
) -> Vec<Node> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let slot = |number| format!("localhost:{}", base_port + number);
    let hosts: Vec<_> = (1..=count).map(|n| format!("{scheme}://{}", slot(n))).collect();
    let hosts = hosts.join(",");
    let node = |number| {
        let socket = folder.join(format!("node-{number}.sock"));
        let http = base_port + HTTP_OFFSET + number;
        let mut environment = vec![
            ("HA_MODE", "true".to_owned()),
            ("HA_HOSTS", hosts.clone()),
            ("HOSTNAME_OVERWRITE", slot(number)),
            ("CACHE_CLUSTER_NAME", "dev".to_owned()),
            ("CACHE_AUTH_TOKEN_FILE", token.display().to_string()),
            ("CACHE_LISTEN", format!("unix://{}", socket.display())),
            ("AGENT_HTTP", format!("127.0.0.1:{http}")),
            ("CACHE_TLS", tls.is_some().to_string()),
        ];
        if let Some(files) = tls {
            let (ca, cert, key) = (&files.ca, &files.cert, &files.key);
            for (name, path) in [
                ("CACHE_TLS_SERVER_CERT", cert),
                ("CACHE_TLS_SERVER_KEY", key),
                ("CACHE_TLS_CLIENT_CERT", cert),
                ("CACHE_TLS_CLIENT_KEY", key),
                ("CACHE_TLS_CA_SERVER", ca),
                ("CACHE_TLS_CA_CLIENT", ca),
            ] {
                environment.push((name, path.display().to_string()));
            }
        }
        Node { number, slot: slot(number), socket, mesh: base_port + number, http, environment }
    };
    (1..=count).map(node).collect()
}

/// What to type next, once all nodes are ready. `program` is the agent as the user called it.
pub(super) fn next_steps(
    program: &str,
    nodes: &[Node],
    leader: &str,
    pid: Option<u32>,
    folder: &Path,
) -> String {
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else { return String::new() };
    let ctl = |node: &Node, rest: &str| format!("  {program} ctl --socket {} {rest}\n", node.target());
    let mut text = match nodes.len() {
        1 => format!("\nThe node is ready: {leader}. In another terminal:\n\n"),
        n => format!("\n{n} nodes are ready, {leader} leads. In another terminal:\n\n"),
    };
    text += &ctl(first, "status");
    text += &ctl(first, "put greetings hello world");
    text += &ctl(last, "get greetings hello");
    if let Some(pid) = pid.filter(|_| nodes.len() > 2) {
        text += &format!("  kill -9 {pid}    # the leader: another one takes over, the value stays\n");
        text += &format!("  curl -s http://127.0.0.1:{}/metrics\n\n", last.http);
        text += "A node that ends is started again, as Kubernetes would. ";
    } else {
        text += &format!("  curl -s http://127.0.0.1:{}/metrics\n\n", last.http);
    }
    text += &format!("Ctrl-C ends all and removes {}\n", folder.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
        node.environment.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn every_node_has_its_own_place_and_the_same_list() {
        let nodes = nodes(3, 18000, Path::new("/d"), Path::new("/d/token"), None);
        assert_eq!(nodes.len(), 3);
        for node in &nodes {
            assert_eq!(
                value(node, "HA_HOSTS"),
                Some("http://localhost:18001,http://localhost:18002,http://localhost:18003")
            );
            assert_eq!(value(node, "CACHE_TLS"), Some("false"));
            assert_eq!(value(node, "CACHE_TLS_SERVER_CERT"), None);
        }
        assert_eq!(value(&nodes[1], "HOSTNAME_OVERWRITE"), Some("localhost:18002"));
        assert_eq!(value(&nodes[2], "CACHE_LISTEN"), Some("unix:///d/node-3.sock"));
        assert_eq!(value(&nodes[2], "AGENT_HTTP"), Some("127.0.0.1:18103"));
    }

    #[test]
    fn what_to_type_names_the_sockets() {
        let nodes = nodes(3, 18000, Path::new("/d"), Path::new("/d/token"), None);
        let text = next_steps("rauthy-agent", &nodes, "localhost:18002", Some(77), Path::new("/d"));
        for part in [
            "3 nodes are ready, localhost:18002 leads.",
            "rauthy-agent ctl --socket unix:///d/node-1.sock put greetings hello world",
            "rauthy-agent ctl --socket unix:///d/node-3.sock get greetings hello",
            "kill -9 77",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
