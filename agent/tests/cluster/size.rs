//! The size changes while the cache is in use: the host list in its file, new agents, `SetSize`, and back.

use std::path::Path;
use std::time::Duration;

use rauthy_core::{SizeChange, SizeProgress, SizeRefusal, Slot};
use tokio::time::Instant;

use super::support::*;

/// Writes the list as a swap of a volume does: whole, by a new name.
fn write_list(path: &Path, epoch: u64, now: &[Slot], next: Option<&[Slot]>) {
    let urls = |slots: &[Slot]| slots.iter().map(|s| format!("https://{s}")).collect::<Vec<_>>();
    let list = serde_json::json!({ "epoch": epoch, "now": urls(now), "next": next.map(urls) });
    let new = path.with_extension("new");
    std::fs::write(&new, list.to_string()).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Asks every node that runs, again and again, as the operator does, until one says that it is done.
async fn set_size(cluster: &Cluster, change: &SizeChange) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut answers = Vec::new();
        for node in (0..cluster.nodes.len()).filter(|n| cluster.nodes[*n].is_some()) {
            let answer = cluster.handle(node).set_size(change.clone()).await;
            if answer == Ok(SizeProgress::Done) {
                return;
            }
            answers.push(answer);
        }
        assert!(Instant::now() < deadline, "not done: {answers:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_become_five_and_three_again_while_values_stay() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.json");
    let mut cluster = Cluster::new(5, None);
    cluster.env.remove("HA_HOSTS");
    cluster.env.insert("HA_HOSTS_FILE".into(), file.display().to_string());
    let slots: Vec<Slot> = cluster.ports.iter().map(|port| Slot::new(&format!("localhost:{port}"))).collect();
    let three = &slots[..3];
    write_list(&file, 0, three, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    cluster.put(0, "k", "v").await.unwrap();

    let grow = SizeChange { epoch: 1, now: three.to_vec(), next: Some(slots.clone()) };
    let early = cluster.handle(leader).set_size(grow.clone()).await;
    assert!(matches!(early, Err(SizeRefusal::Unconfirmed { confirmed: 0, .. })), "{early:?}");
    write_list(&file, 1, three, Some(&slots));
    for node in 3..5 {
        cluster.start(node).await;
    }
    set_size(&cluster, &grow).await;
    write_list(&file, 2, &slots, None);
    for node in 0..5 {
        cluster.until(node, "one of five", |s| s.ready && s.members.len() == 5 && s.host_epoch == 2).await;
        cluster.reads(node, "k", "v").await;
    }
    // Two of five may go.
    cluster.stop(0).await;
    cluster.stop(1).await;
    let deadline = Instant::now() + DEADLINE;
    while let Err(refusal) = cluster.put(4, "k", "w").await {
        assert!(Instant::now() < deadline, "{refusal:?}");
    }
    for node in 0..2 {
        cluster.start(node).await;
        cluster.until(node, "back", |s| s.ready).await;
    }

    let last = &slots[2..];
    let shrink = SizeChange { epoch: 3, now: slots.clone(), next: Some(last.to_vec()) };
    write_list(&file, 3, &slots, Some(last));
    set_size(&cluster, &shrink).await;
    write_list(&file, 4, last, None);
    for node in 0..2 {
        cluster.stop(node).await;
    }
    for node in 2..5 {
        let of_three = |s: &rauthy_proto::cache::NodeStatus| {
            let configured = s.configuration.as_ref().is_some_and(|c| c.now.len() == 3 && c.next.is_empty());
            s.ready && s.members.len() == 3 && s.host_epoch == 4 && configured
        };
        let status = cluster.until(node, "one of three", of_three).await;
        assert_eq!(status.wipes, 0);
        cluster.reads(node, "k", "w").await;
        let links = cluster.handle(node).metrics().encode().await.unwrap();
        assert!(!links.contains(slots[0].as_str()), "who left is no peer: {links}");
    }
}
