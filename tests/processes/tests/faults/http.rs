//! Strangers on the port of probes and metrics: whoever reaches it may ask, but not hold it.

use std::process::Stdio;

use rauthy_processes::{Cluster, Net, PATIENCE, Setup, eventually, prlimit};

/// File descriptors that the agent may have: few, so that what thousands of connections would do to any agent, some
/// hundreds do to this one.
const FILES: usize = 320;
/// Slow connections; each begins a request, and then says a byte now and then.
const CONNECTIONS: &str = "700";
/// Addresses that the strangers have.
const SOURCES: &str = "10.77.0.:100-149";

fn files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The mesh goes on accepting and dialling, probes are answered to others, and whoever is slow is thrown out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_requests_take_nothing_from_the_mesh() {
    let mut cluster = Cluster::start(Setup { strangers: 1, ..Setup::default() }).await;
    cluster.net.add_addresses(4, SOURCES);
    let leader = cluster.leader().await;
    let pid = cluster.node(leader).pid();
    prlimit(pid, "nofile", FILES);
    let target = format!("{}:8081", Net::address(leader));
    let mut strangers = cluster.net.command(4, env!("CARGO_BIN_EXE_stranger").as_ref());
    let mut strangers =
        strangers.args(["http", &target, CONNECTIONS, "30", SOURCES]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the strangers hold connections", PATIENCE, async || match files(pid) {
        open if open > 128 => Ok(()),
        open => Err(format!("{open} files are open")),
    })
    .await;
    // From where no stranger is, the port is open.
    let back = cluster.others(leader)[0];
    for (from, host) in [(leader, "127.0.0.1".to_owned()), (back, Net::address(leader))] {
        let (status, body) = cluster.http_of(from, &host, "readyz");
        assert_eq!((status, body.trim()), (200, "ready"), "from node {from}");
    }
    // The leader lets a member in, which dials it and is dialled by it.
    cluster.node_mut(back).kill();
    cluster.node_mut(back).start();
    cluster.all_ready().await;
    cluster.put(back, "key", "value").await;
    let most = files(pid);
    assert!(most < FILES - 20, "{most} of {FILES} files are open");
    let what = "the connections have an end, and the files do not run out before";
    eventually(what, PATIENCE, async || {
        assert!(files(pid) < FILES - 20, "{} of {FILES} files are open", files(pid));
        match strangers.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err("the strangers are still there".into()),
        }
    })
    .await;
    let output = strangers.wait_with_output().unwrap();
    let did = String::from_utf8(output.stdout).unwrap();
    println!("{}; {most} files were open", did.trim());
    let words: Vec<_> = did.split_whitespace().collect();
    let number =
        |word: &str| words.iter().position(|w| *w == word).and_then(|at| words[at + 1].parse::<usize>().ok());
    assert!(number("connections") > Some(200), "{did}");
    assert_eq!(number("connections"), number("thrown-out"), "{did}");
    assert_eq!(cluster.leader().await, leader, "nothing was elected for it");
}
