//! A network of its own: one namespace with a bridge, one for each node.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::switch::Switch;

/// What all names begin with; the id of the process follows.
const PREFIX: &str = "rauthy-test-";

/// Which addresses the nodes of a network have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4: 10.77.0.n.
    #[default]
    Four,
    /// IPv6 and nothing else, not even 127.0.0.1: fd77::n.
    Six,
    /// Both, and each node also has a name, `node-n.test`, which stands for both of its addresses.
    Both,
}

/// A network with nodes 1 to n, at 10.77.0.1 to 10.77.0.n or as its [`Family`] says. It is gone when this is dropped.
pub struct Net {
    hub: String,
    nodes: Vec<String>,
    family: Family,
    /// In place of the bridge, where there is a delay.
    switch: Option<Switch>,
}

impl Net {
    /// Makes it.
    ///
    /// # Panics
    /// Without root, without iproute2, or if the kernel has no namespaces.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self::of(Family::Four, nodes)
    }

    /// Makes one whose nodes have these addresses.
    ///
    /// # Panics
    /// As [`Self::new`]; also if there is to be IPv6 and this kernel has none.
    #[must_use]
    pub fn of(family: Family, nodes: usize) -> Self {
        assert!(
            family == Family::Four || Path::new("/proc/sys/net/ipv6").exists(),
            "this kernel has no IPv6, so nothing can be said of agents that use it: load the module `ipv6`, or boot \
             without ipv6.disable=1"
        );
        let (mut net, base) = Self::empty(family);
        let hub = net.hub.clone();
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "br0", "up"]);
        for number in 1..=nodes {
            let (node, port) = (net.add(&base, number), port(number));
            ip(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &node]);
            ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"]);
            up(&node, family, number);
        }
        if family == Family::Both {
            net.name_nodes();
        }
        net
    }

    /// Makes one in which every packet between two nodes is on its way for so long. It has no links that can be cut.
    ///
    /// # Panics
    /// As [`Self::new`]; also without /dev/net/tun.
    #[must_use]
    pub fn delayed(nodes: usize, delay: Duration) -> Self {
        let (mut net, base) = Self::empty(Family::Four);
        let (switch, devices) = Switch::start(nodes, delay);
        net.switch = Some(switch);
        for (number, device) in (1..).zip(devices) {
            let node = net.add(&base, number);
            ip(&["link", "set", &device, "netns", &node, "name", "eth0"]);
            up(&node, Family::Four, number);
        }
        net
    }

    fn empty(family: Family) -> (Self, String) {
        require();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let base = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        (Self { hub: format!("{base}-hub"), nodes: Vec::new(), family, switch: None }, base)
    }

    /// The namespace of one more node.
    fn add(&mut self, base: &str, number: usize) -> String {
        let node = format!("{base}-{number}");
        ip(&["netns", "add", &node]);
        self.nodes.push(node.clone());
        node
    }

    /// The IPv4 address of node `number` (from 1).
    #[must_use]
    pub fn address(number: usize) -> String {
        format!("10.77.0.{number}")
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn address6(number: usize) -> String {
        format!("fd77::{number:x}")
    }

    /// How node `number` is called by others: an address (of IPv6 without brackets), or a name.
    #[must_use]
    pub fn host(family: Family, number: usize) -> String {
        match family {
            Family::Four => Self::address(number),
            Family::Six => Self::address6(number),
            Family::Both => format!("node-{number}.test"),
        }
    }

    /// This host, as one node calls itself.
    #[must_use]
    pub fn loopback(&self) -> &'static str {
        if self.family == Family::Six { "::1" } else { "127.0.0.1" }
    }

    /// Writes the names of all nodes where `ip netns exec` takes a namespace's own /etc/hosts from.
    fn name_nodes(&self) {
        let both = |n| {
            [Self::address6(n), Self::address(n)].map(|at| format!("{at} {}\n", Self::host(self.family, n)))
        };
        let names: String = (1..=self.nodes.len()).flat_map(both).collect();
        for node in &self.nodes {
            let folder = own_files(node);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("hosts"), format!("127.0.0.1 localhost\n::1 localhost\n{names}"))
                .unwrap();
        }
    }

    /// A command that runs inside the namespace of a node, under the process id that it is given.
    #[must_use]
    pub fn command(&self, number: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.nodes[number - 1]]).arg(program);
        command
    }

    /// More addresses for a node: a network and the first and last of its hosts, as in `10.77.0.:100-199`.
    ///
    /// # Panics
    /// If they make no sense.
    pub fn add_addresses(&self, number: usize, sources: &str) {
        let (network, hosts) = sources.rsplit_once(':').unwrap();
        let (first, last) = hosts.split_once('-').unwrap();
        let (length, flag) = if network.contains(':') { (64, "nodad") } else { (24, "") };
        let lines: String = (first.parse::<usize>().unwrap()..=last.parse().unwrap())
            .map(|host| format!("addr add {network}{host}/{length} dev eth0 {flag}\n"))
            .collect();
        let mut child = Command::new("ip")
            .args(["-n", &self.nodes[number - 1], "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("ip was there a moment ago");
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "addresses {sources} for node {number}");
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

    /// What node `from` sends to node `to` is lost, silently; the other way is as before.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        let rules = format!(
            "table bridge cut {{ chain forward {{ type filter hook forward priority 0; \
             iifname {} oifname {} drop; }}; }}",
            port(from),
            port(to)
        );
        self.nft(&rules);
    }

    /// The link between two nodes is cut, both ways; to others both have theirs.
    pub fn cut_link(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// What is sent over IPv6 between any two nodes is lost, silently; IPv4 is as before.
    pub fn lose_ipv6(&self) {
        self.nft("table bridge six { chain forward { type filter hook forward priority 0; ether type ip6 drop; }; }");
    }

    /// Undoes [`Self::cut_one_way`] and [`Self::cut_link`].
    pub fn heal_links(&self) {
        self.nft("delete table bridge cut");
    }

    fn nft(&self, rules: &str) {
        let arguments = ["netns", "exec", &self.hub, "nft", rules];
        let output = Command::new("ip").args(arguments).output().expect("ip was there a moment ago");
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = "is the program `nft` there (`apt-get install nftables`), and nf_tables for bridges in the kernel?";
        assert!(output.status.success(), "nft {rules}: {} ({hint})", said.trim());
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            remove(name);
        }
    }
}

fn up(node: &str, family: Family, number: usize) {
    ip(&["-n", node, "link", "set", "lo", "up"]);
    ip(&["-n", node, "link", "set", "eth0", "up"]);
    if family == Family::Six {
        ip(&["-n", node, "addr", "del", "127.0.0.1/8", "dev", "lo"]);
    } else {
        ip(&["-n", node, "addr", "add", &format!("{}/24", Net::address(number)), "dev", "eth0"]);
    }
    if family != Family::Four {
        // Nobody else has it, so that nobody has to be asked first.
        ip(&["-n", node, "addr", "add", &format!("{}/64", Net::address6(number)), "dev", "eth0", "nodad"]);
    }
}

/// Files that `ip netns exec` shows in place of those in /etc.
fn own_files(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
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
    let _ = std::fs::remove_dir_all(own_files(name));
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
        dial_to(net, &Net::address(2))
    }

    fn dial_to(net: &Net, host: &str) -> String {
        let dial = format!("exec 3<>/dev/tcp/{host}/1");
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

    /// It is answered that nobody listens: at the first try, unless the machine stands still for all the time of it.
    fn answers(net: &Net) -> bool {
        (0..5).any(|_| dial(net).contains("refused"))
    }

    /// A cut of one way from 2 to 1 loses the answer, one from 1 to 2 the question; others are as before.
    #[test]
    fn one_way_of_a_link_can_be_cut() {
        let net = Net::new(3);
        for (from, to) in [(2, 1), (1, 2)] {
            net.cut_one_way(from, to);
            assert_eq!(dial(&net), "silence", "{from} to {to}");
            net.heal_links();
            assert!(answers(&net), "{}", dial(&net));
        }
        net.cut_link(1, 3);
        assert!(answers(&net), "{}", dial(&net));
    }

    #[test]
    fn each_family_has_its_addresses_and_no_others() {
        let net = Net::of(Family::Six, 2);
        assert!(dial_to(&net, &Net::address6(2)).contains("refused"), "{}", dial_to(&net, &Net::address6(2)));
        assert!(dial(&net).contains("unreachable"), "{}", dial(&net));
        assert!(dial_to(&net, "127.0.0.1").contains("unreachable"), "{}", dial_to(&net, "127.0.0.1"));
        let net = Net::of(Family::Both, 2);
        let hosts = [Net::address6(2), Net::address(2), Net::host(Family::Both, 2)];
        assert!(hosts.iter().all(|host| dial_to(&net, host).contains("refused")));
        net.lose_ipv6();
        assert_eq!(dial_to(&net, &hosts[0]), "silence");
        assert!(dial_to(&net, &hosts[1]).contains("refused"));
        let files = own_files(&net.nodes[0]);
        assert!(files.exists());
        drop(net);
        assert!(!files.exists());
    }

    #[test]
    fn a_delay_is_one_of_each_packet() {
        let net = Net::delayed(2, Duration::from_millis(150));
        // The first one also asks for the address.
        assert!(dial(&net).contains("refused"), "{}", dial(&net));
        let asked = std::time::Instant::now();
        assert!(dial(&net).contains("refused"), "{}", dial(&net));
        let took = asked.elapsed();
        assert!(took >= Duration::from_millis(300), "there and back: {took:?}");
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
