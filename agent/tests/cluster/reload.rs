//! The files of running agents change, as mounted Secrets and ConfigMaps do, and no stream falls for it.

use std::path::Path;

use rauthy_agent::dev::certificates;
use rauthy_proto::cache::Credentials;
use rauthy_proto::credentials::{fingerprint, token_id};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;

use super::support::*;
use super::volume::publish;

const OLD: &str = "the-old-token-0123456789";
const NEW: &str = "the-new-token-0123456789";

/// One number of the metrics of a node.
async fn metric(cluster: &Cluster, node: usize, line: &str) -> Option<String> {
    let text = cluster.handle(node).metrics().encode().await.unwrap();
    text.lines().find_map(|l| l.strip_prefix(line).map(|n| n.trim().to_owned()))
}

async fn metric_is(cluster: &Cluster, line: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    for node in 0..2 {
        loop {
            let found = metric(cluster, node, line).await.unwrap_or_default();
            if wanted(&found) {
                break;
            }
            assert!(Instant::now() < deadline, "node {node}: {line} {found}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Waits until the first two nodes say that they show this certificate, and accept these authorities and tokens.
async fn names(cluster: &Cluster, shows: &Path, trusts: &[&Path], tokens: &[&str]) {
    let name = |file: std::path::PathBuf| {
        let der = CertificateDer::from_pem_slice(&std::fs::read(file).unwrap()).unwrap();
        fingerprint(&der)
    };
    let wanted = Credentials {
        certificate: name(shows.join("node.pem")),
        authorities: trusts.iter().map(|folder| name(folder.join("ca.pem"))).collect(),
        tokens: tokens.iter().map(|token| token_id(token.as_bytes())).collect(),
    };
    for node in 0..2 {
        cluster.until(node, "uses the new files", |s| s.credentials.as_ref() == Some(&wanted)).await;
    }
}

/// How often links came up at the first two nodes.
async fn opened(cluster: &Cluster) -> Vec<String> {
    let mut all = Vec::new();
    for (node, peer) in [(0, 1), (1, 0)] {
        let line = format!("rauthy_links_opened_total{{peer=\"localhost:{}\"}}", cluster.ports[peer]);
        all.push(metric(cluster, node, &line).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_change_under_running_agents() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("secret");
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    for folder in [&old, &new] {
        std::fs::create_dir_all(folder).unwrap();
        certificates::generate(folder, &["localhost".into()]).unwrap();
    }
    let mut cluster = Cluster::new(3, None);
    let ports = cluster.ports.clone();
    // What one version of the volume holds.
    let publish = |version: u32, tokens: &str, trusts: &[&Path], shows: &Path, key: &Path, epoch: u32| {
        publish(&volume, version, |folder| {
            let cas: Vec<_> =
                trusts.iter().map(|f| std::fs::read_to_string(f.join("ca.pem")).unwrap()).collect();
            std::fs::write(folder.join("ca.pem"), cas.concat()).unwrap();
            std::fs::copy(shows.join("node.pem"), folder.join("node.pem")).unwrap();
            std::fs::copy(key.join("node.key"), folder.join("node.key")).unwrap();
            std::fs::write(folder.join("token"), tokens).unwrap();
            let hosts: Vec<_> = ports.iter().map(|port| format!("https://localhost:{port}")).collect();
            let list = serde_json::json!({ "epoch": epoch, "now": hosts, "next": null });
            std::fs::write(folder.join("hosts"), list.to_string()).unwrap();
        });
    };
    publish(1, OLD, &[&old], &old, &old, 1);
    for name in ["CACHE_AUTH_TOKEN", "HA_HOSTS"] {
        cluster.env.remove(name);
    }
    for (name, file) in [
        ("CACHE_AUTH_TOKEN_FILE", "token"),
        ("HA_HOSTS_FILE", "hosts"),
        ("CACHE_TLS_SERVER_CERT", "node.pem"),
        ("CACHE_TLS_CLIENT_CERT", "node.pem"),
        ("CACHE_TLS_SERVER_KEY", "node.key"),
        ("CACHE_TLS_CLIENT_KEY", "node.key"),
        ("CACHE_TLS_CA_SERVER", "ca.pem"),
        ("CACHE_TLS_CA_CLIENT", "ca.pem"),
    ] {
        cluster.env.insert(name.into(), volume.join(file).display().to_string());
    }
    cluster.env.insert("CACHE_TLS".into(), "true".into());
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    cluster.put(0, "before", "x").await.unwrap();
    let links = opened(&cluster).await;

    // Nothing of this can be used: the old stays, and it is said.
    publish(2, "short", &[&old], &new, &old, 1);
    for file in ["token", "certificates"] {
        metric_is(&cluster, &format!("rauthy_stale_files{{file=\"{file}\"}}"), |n| n == "1").await;
    }
    // Both tokens and both authorities, then only the new ones.
    publish(3, &format!("{NEW}\n{OLD}\n"), &[&old, &new], &new, &new, 2);
    for file in ["token", "certificates"] {
        metric_is(&cluster, &format!("rauthy_stale_files{{file=\"{file}\"}}"), |n| n == "0").await;
    }
    metric_is(&cluster, "rauthy_host_list_epoch", |n| n == "2").await;
    names(&cluster, &new, &[&old, &new], &[NEW, OLD]).await;
    publish(4, NEW, &[&new], &new, &new, 3);
    metric_is(&cluster, "rauthy_host_list_epoch", |n| n == "3").await;
    names(&cluster, &new, &[&new], &[NEW]).await;
    cluster.put(1, "after", "y").await.unwrap();

    // One that comes back with the old ones is not let in, by the running ones; with the new ones it is.
    cluster.stop(2).await;
    let present = cluster.env.clone();
    std::fs::write(old.join("token"), OLD).unwrap();
    cluster.env.insert("CACHE_AUTH_TOKEN_FILE".into(), old.join("token").display().to_string());
    cluster.start(2).await;
    let lonely = cluster
        .until(2, "refused", |s| {
            s.members.iter().filter(|m| m.link_error.contains("WRONG_TOKEN")).count() == 2
        })
        .await;
    assert!(!lonely.ready, "{lonely:?}");
    cluster.stop(2).await;
    cluster.env = present;
    cluster.start(2).await;
    cluster.until(2, "ready", |s| s.ready).await;
    for key in ["before", "after"] {
        cluster.reads(2, key, if key == "before" { "x" } else { "y" }).await;
    }
    assert_eq!(opened(&cluster).await, links, "the links of the others never fell");
}
