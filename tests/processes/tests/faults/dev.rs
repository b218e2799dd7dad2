//! `rauthy-agent dev`, used as its own output tells to.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rauthy_processes::{Net, PATIENCE, eventually, program};

struct Dev {
    child: Child,
    log: PathBuf,
}

impl Dev {
    /// In a namespace of its own, so that its ports are free.
    fn start(net: &Net, folder: &Path, arguments: &[&str]) -> Self {
        let log = folder.join("dev.log");
        let file = File::create(&log).unwrap();
        let child = net
            .command(1, &program())
            .arg("dev")
            .args(arguments)
            .env("TMPDIR", folder)
            // Settings of another agent must not reach these.
            .env("HA_HOSTS", "nonsense")
            .env("CACHE_LISTEN", "nonsense")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn says(&self, text: &str) -> String {
        eventually(&format!("\"{text}\" on the terminal"), 2 * PATIENCE, async || {
            let log = self.log();
            let line = log.lines().find(|l| l.contains(text)).map(str::to_owned);
            line.ok_or_else(|| log.lines().rev().take(20).collect::<Vec<_>>().join("\n"))
        })
        .await
    }

    async fn ends(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let child = &mut self.child;
        let status = eventually("the end of dev after Ctrl-C", Duration::from_secs(20), async || {
            child.try_wait().map_err(|e| e.to_string())?.ok_or_else(|| "it runs".to_owned())
        })
        .await;
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Runs a line that was printed, and gives what it says.
fn typed(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_in_one_terminal() {
    let net = Net::new(1);
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&net, folder.path(), &["--nodes", "3"]);
    dev.says("3 nodes are ready, localhost:").await;
    let status = typed(&dev.says(" status").await);
    assert!(status.contains("3 of 3 members connected"), "{status}");
    typed(&dev.says(" put greetings hello world").await);
    let get = dev.says(" get greetings hello").await;
    eventually("the value at the last node", PATIENCE, async || {
        let output = Command::new("sh").args(["-c", &get]).output().unwrap();
        if output.stdout == b"world" { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    let kill = dev.says("  kill -9 ").await;
    typed(kill.split('#').next().unwrap());
    dev.says("starts again in").await;
    dev.says(" leads now.").await;
    assert_eq!(typed(&get), "world", "the value outlives the leader");
    let before: BTreeSet<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before.len(), 2, "its log and its folder: {before:?}");
    dev.ends().await;
    let after: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(after, ["dev.log"], "something is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_without_tls_and_wrong_numbers() {
    let net = Net::new(1);
    let folder = tempfile::tempdir().unwrap();
    let mut dev =
        Dev::start(&net, folder.path(), &["--nodes", "1", "--tls", "false", "--base-port", "20000"]);
    dev.says("The node is ready: localhost:20001").await;
    let same = net.command(1, &program()).args(["dev", "--base-port", "20000"]).output().unwrap();
    let why = String::from_utf8_lossy(&same.stderr);
    assert!(same.status.code() == Some(1) && why.contains("port 20001 is taken"), "{same:?}");
    let status = typed(&dev.says(" status").await);
    assert!(status.contains("TLS is off"), "{status}");
    dev.ends().await;
    for wrong in [["--nodes", "0"], ["--nodes", "10"], ["--base-port", "80"]] {
        let output = Command::new(program()).arg("dev").args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
