//! What `examples/` shows for hosts without Kubernetes, carried out without docker and without systemd: the environment,
//! command, files and user of each service, on a host of its own with its own name. It must become a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rauthy_agent::config::variables::VARIABLES;
use rauthy_client::{Client, PutOptions};
use rauthy_processes::{Net, PATIENCE, eventually, program};
use serde_yaml::Value;

/// User and group of the image.
const USER: u32 = 10001;
/// Where the program is seen on each host.
const PROGRAM: &str = "/run/program";

/// Makes a host of the namespaces that it finds itself in: its name, its own /etc and /run, the files and the folder
/// that it is shown, and an unprivileged user. Arguments: name, list of hosts, program, files, folder of the socket and
/// where it belongs, user; then what is to be run.
const ENTER: &str = r#"
hostname "$1"; hosts=$2; program=$3; files=$4; socket=$5; at=$6; user=$7; shift 7
names=$(mktemp); switch=$(mktemp)
cp "$hosts" "$names"; cp /etc/nsswitch.conf "$switch" 2>/dev/null || true
shown=$(mktemp -d); cp -a "$files"/. "$shown"
mount -t tmpfs tmpfs /mnt; mkdir /mnt/socket; mount --bind "$socket" /mnt/socket
touch /mnt/program; mount --bind "$program" /mnt/program
mount -t tmpfs -o mode=755 tmpfs /etc; mount -t tmpfs -o mode=755 tmpfs /run
cp "$names" /etc/hosts; cp "$switch" /etc/nsswitch.conf; chmod 644 /etc/hosts /etc/nsswitch.conf
cp -a "$shown"/. /; rm -r "$names" "$switch" "$shown"
touch /run/program; mount --bind /mnt/program /run/program
mkdir -p "$at"; mount --bind /mnt/socket "$at"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"#;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// One member as its example has it.
struct Member {
    hostname: String,
    environment: BTreeMap<String, String>,
    /// After the program.
    arguments: Vec<String>,
    /// Path there, and the file here.
    files: Vec<(String, PathBuf)>,
    /// The folder of its socket.
    socket: String,
}

/// An agent that ends with the test.
struct Running {
    child: Child,
    log: PathBuf,
    client: Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(net: &Net, number: usize, member: &Member, names: &Path, folder: &Path) -> Running {
    let own = |name: &str| folder.join(format!("{name}-{number}"));
    let (files, socket, log) = (own("files"), own("socket"), own("log"));
    for (there, here) in &member.files {
        let target = files.join(there.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // With the mode and owner that it has here.
        let copied = Command::new("cp").arg("-a").arg(here).arg(&target).status().unwrap();
        assert!(copied.success(), "{} is not there", here.display());
    }
    std::fs::create_dir_all(&files).unwrap();
    std::fs::create_dir(&socket).unwrap();
    std::fs::set_permissions(&socket, Permissions::from_mode(0o750)).unwrap();
    chown(&socket, Some(USER), Some(USER)).unwrap();
    let output = std::fs::File::create(&log).unwrap();
    let mut command = net.command(number, Path::new("unshare"));
    command.args(["--mount", "--propagation", "private", "--uts", "sh", "-euc", ENTER, "sh"]);
    command.arg(&member.hostname).arg(names).arg(program()).arg(&files).arg(&socket).arg(&member.socket);
    command.arg(USER.to_string()).args(["env", "-i"]);
    command.args(member.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let child = command
        .arg(PROGRAM)
        .args(&member.arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let target = format!("unix://{}", socket.join("cache.sock").display());
    let client = Client::new(&target).unwrap().with_deadline(PATIENCE);
    Running { child, log, client }
}

/// Starts them and waits until they are one cluster, which keeps what is written to it.
async fn become_a_cluster(members: &[Member], folder: &Path) {
    let net = Net::new(members.len());
    let lines: Vec<_> =
        members.iter().enumerate().map(|(n, m)| format!("{} {}", Net::address(n + 1), m.hostname)).collect();
    let names = folder.join("hosts");
    std::fs::write(&names, format!("127.0.0.1 localhost\n::1 localhost\n{}\n", lines.join("\n"))).unwrap();
    let running: Vec<_> =
        members.iter().enumerate().map(|(n, member)| start(&net, n + 1, member, &names, folder)).collect();
    let mut leaders = BTreeSet::new();
    for (number, agent) in running.iter().enumerate() {
        let what = format!("member {} of {lines:?} is ready", number + 1);
        let status = eventually(&what, PATIENCE, async || {
            let log = || std::fs::read_to_string(&agent.log).unwrap_or_default();
            match agent.client.clone().without_retries().status().await {
                Ok(status) if status.ready => Ok(status),
                Ok(status) => Err(format!("{}; it logged:\n{}", status.not_ready_reason, log())),
                Err(error) => Err(format!("{error}; it logged:\n{}", log())),
            }
        })
        .await;
        assert_eq!(status.members.len(), members.len(), "{status:?}");
        leaders.insert(status.leader);
    }
    assert_eq!(leaders.len(), 1, "{leaders:?}");
    let (first, last) = (&running[0].client.clone().session(), &running[members.len() - 1].client);
    first.put("c", "k", "v", PutOptions::default()).await.unwrap();
    assert_eq!(last.get_linearizable("c", "k").await.unwrap().unwrap().value, "v");
}

/// A token and certificates, by the script that the examples name.
fn secrets(folder: &Path, hosts: &[&str]) -> PathBuf {
    let made = folder.join("secrets");
    let output = Command::new(examples().join("make-secrets.sh")).arg(&made).args(hosts).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Done again it changes nothing.
    let read = || {
        std::fs::read_dir(&made)
            .unwrap()
            .map(|f| std::fs::read(f.unwrap().path()).unwrap())
            .collect::<BTreeSet<_>>()
    };
    let before = read();
    let again = Command::new(examples().join("make-secrets.sh")).arg(&made).args(hosts).output().unwrap();
    assert!(again.status.success() && before == read());
    made
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text, and compose wants one")).to_owned()
}

fn list(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap_or_else(|| panic!("{value:?} is no list")).iter().map(text).collect()
}

fn known<'a>(names: impl Iterator<Item = &'a String>) {
    for name in names {
        assert!(VARIABLES.iter().any(|v| v.name == name), "the agent knows no {name}");
    }
}

#[tokio::test]
async fn the_compose_file_becomes_a_cluster() {
    let folder = tempfile::Builder::new().prefix("rauthy-test-").tempdir().unwrap();
    let file = std::fs::read_to_string(examples().join("compose/compose.yaml")).unwrap();
    let mut compose: Value = serde_yaml::from_str(&file).unwrap();
    compose.apply_merge().unwrap();
    let services = compose["services"].as_mapping().unwrap();
    let names: Vec<_> = services.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    let made = secrets(folder.path(), &names);

    let member = |(name, service): (&Value, &Value)| {
        let environment: BTreeMap<_, _> =
            service["environment"].as_mapping().unwrap().iter().map(|(k, v)| (text(k), text(v))).collect();
        known(environment.keys());
        let files = service["secrets"].as_sequence().unwrap().iter().map(|secret| {
            let (source, target) = match secret.as_str() {
                Some(name) => (name.to_owned(), name.to_owned()),
                None => (text(&secret["source"]), text(&secret["target"])),
            };
            let path = text(&compose["secrets"][source.as_str()]["file"]);
            (format!("/run/secrets/{target}"), made.join(path.strip_prefix("secrets/").unwrap()))
        });
        let command = list(&service["command"]);
        assert_eq!(command[0], "/rauthy-agent", "where the image has it");
        let volume = list(&service["volumes"]).remove(0);
        let (volume, socket) = volume.split_once(':').unwrap();
        let options = text(&compose["volumes"][volume]["driver_opts"]["o"]);
        assert!(options.contains(&format!("uid={USER},gid={USER},mode=0750")), "{options}");
        Member {
            // As docker has it, a name that says nothing, but other containers find it by that of the service.
            hostname: text(name),
            environment,
            arguments: command[1..].to_vec(),
            files: files.collect(),
            socket: socket.to_owned(),
        }
    };
    let members: Vec<_> = services.iter().map(member).collect();
    let me: BTreeSet<_> = members.iter().map(|m| m.environment["HOSTNAME_OVERWRITE"].clone()).collect();
    assert_eq!(me.len(), 3, "each is another one: {me:?}");
    become_a_cluster(&members, folder.path()).await;
}

/// A file of `NAME=value` lines, as systemd reads it.
fn environment_file(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_systemd_unit_becomes_a_cluster() {
    let folder = tempfile::Builder::new().prefix("rauthy-test-").tempdir().unwrap();
    let environment = environment_file(&examples().join("systemd/rauthy-agent.env"));
    known(environment.keys());
    let unit = std::fs::read_to_string(examples().join("systemd/rauthy-agent.service")).unwrap();
    let setting = |name: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in the unit"))
    };
    assert_eq!(setting("EnvironmentFile"), "/etc/rauthy/agent.env");
    assert_eq!(setting("RestartPreventExitStatus"), "78");
    let mut command = setting("ExecStart").split_whitespace().map(str::to_owned);
    assert_eq!(command.next().unwrap(), "/usr/local/bin/rauthy-agent");
    let arguments: Vec<_> = command.collect();
    let runtime = format!("/run/{}", setting("RuntimeDirectory"));

    let hosts = ["host-1.example.com", "host-2.example.com", "host-3.example.com"];
    let made = secrets(folder.path(), &hosts);
    let member = |host: &&str| Member {
        // A host's own name is what "me" is found by.
        hostname: (*host).to_owned(),
        environment: environment.clone(),
        arguments: arguments.clone(),
        files: vec![
            ("/etc/rauthy/token".into(), made.join("token")),
            ("/etc/rauthy/tls/ca.pem".into(), made.join("ca.pem")),
            ("/etc/rauthy/tls/agent.pem".into(), made.join(format!("{host}.pem"))),
            ("/etc/rauthy/tls/agent.key".into(), made.join(format!("{host}.key"))),
        ],
        socket: runtime.clone(),
    };
    become_a_cluster(&hosts.iter().map(member).collect::<Vec<_>>(), folder.path()).await;
}

/// By systemd itself: it knows every line of the unit.
#[test]
fn systemd_understands_the_unit() {
    assert!(
        Command::new("systemd-analyze").arg("--version").output().is_ok_and(|o| o.status.success()),
        "systemd-analyze is missing, without which nobody knows whether the unit is one; `make test` installs it, by \
         hand: apt-get install --no-install-recommends --no-remove systemd"
    );
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(examples().join("systemd/rauthy-agent.service")).unwrap();
    let copy = folder.path().join("rauthy-agent.service");
    // The program must be there.
    let unit = unit.replace("/usr/local/bin/rauthy-agent", &program().to_string_lossy());
    std::fs::write(&copy, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let about: Vec<_> = said.lines().filter(|line| line.contains("rauthy-agent.service")).collect();
    assert!(output.status.success() && about.is_empty(), "{said}");
}
