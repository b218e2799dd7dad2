//! A network of its own: one namespace with a bridge, one for each node.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all names begin with; the id of the process follows.
const PREFIX: &str = "rauthy-test-";

/// A network with nodes 1 to n, at 10.77.0.1 to 10.77.0.n. It is gone when this is dropped.
pub struct Net {
    hub: String,
    nodes: Vec<String>,
}

impl Net {
    /// Makes it.
    ///
    /// # Panics
    /// Without root, without iproute2, or if the kernel has no namespaces.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        require();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let base = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut net = Self { hub: format!("{base}-hub"), nodes: Vec::new() };
        let hub = net.hub.clone();
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "br0", "up"]);
        for number in 1..=nodes {
            let node = format!("{base}-{number}");
            let port = port(number);
            ip(&["netns", "add", &node]);
            net.nodes.push(node.clone());
            ip(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &node]);
            ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"]);
            ip(&["-n", &node, "addr", "add", &format!("{}/24", Self::address(number)), "dev", "eth0"]);
            ip(&["-n", &node, "link", "set", "lo", "up"]);
            ip(&["-n", &node, "link", "set", "eth0", "up"]);
        }
        net
    }

    /// Where node `number` (from 1) is.
    #[must_use]
    pub fn address(number: usize) -> String {
        format!("10.77.0.{number}")
    }

    /// A command that runs inside the namespace of a node, under the process id that it is given.
    #[must_use]
    pub fn command(&self, number: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.nodes[number - 1]]).arg(program);
        command
    }

    /// Node `number` reaches nobody and nobody reaches it. Nobody is told: its link stays up, and the frames end in
    /// the namespace of the bridge.
    pub fn cut(&self, number: usize) {
        ip(&["-n", &self.hub, "link", "set", &port(number), "nomaster"]);
    }

    /// Undoes [`Self::cut`].
    pub fn heal(&self, number: usize) {
        ip(&["-n", &self.hub, "link", "set", &port(number), "master", "br0"]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            remove(name);
        }
    }
}

fn port(number: usize) -> String {
    format!("n{number}")
}

/// What only root can do, and what a killed run left behind: once for all tests of this process.
fn require() {
    static ONCE: Once = Once::new();
    let uid = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = uid.lines().find_map(|l| l.strip_prefix("Uid:")).is_some_and(|l| {
        // Real, effective, saved, file system.
        l.split_whitespace().nth(1) == Some("0")
    });
    assert!(root, "these tests make network namespaces and need root: run `sudo make test`");
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|s| s.success()),
        "these tests need the program `ip`: run `apt-get install iproute2`, or `make test`, which installs it"
    );
    ONCE.call_once(remove_stale);
}

fn remove_stale() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten().filter_map(|n| n.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner else { continue };
        if !Path::new("/proc").join(owner).exists() {
            remove(&name);
        }
    }
}

/// Ends what runs in a namespace and removes it.
fn remove(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).stderr(Stdio::null()).output();
    if let Ok(pids) = pids {
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip was there a moment ago");
    assert!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a connection from node 1 to node 2, where nobody listens.
    fn dial(net: &Net) -> String {
        let dial = format!("exec 3<>/dev/tcp/{}/1", Net::address(2));
        let output = net
            .command(1, "timeout".as_ref())
            .args(["1", "bash", "-c", &dial])
            .output()
            .expect("bash and timeout");
        match output.status.code() {
            Some(124) => "silence".into(),
            _ => String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[test]
    fn a_cut_is_silent_and_heals_and_nothing_stays() {
        let net = Net::new(2);
        assert!(dial(&net).contains("refused"), "{}", dial(&net));
        net.cut(2);
        assert_eq!(dial(&net), "silence");
        net.heal(2);
        assert!(dial(&net).contains("refused"), "{}", dial(&net));
        let names: Vec<_> =
            net.nodes.iter().chain([&net.hub]).map(|n| Path::new("/run/netns").join(n)).collect();
        assert!(names.iter().all(|n| n.exists()));
        drop(net);
        assert!(!names.iter().any(|n| n.exists()), "{names:?}");
    }
}
