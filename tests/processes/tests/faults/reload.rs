//! The files of running processes change, as mounted Secrets and ConfigMaps do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rauthy_processes::{Cluster, Load, OneSession, OneWatch, PATIENCE, Setup, always, eventually};
use rauthy_proto::credentials::token_id;

use crate::election::enough;
use crate::volume::publish;

const OLD: &str = "the-old-token-0123456789";
const NEW: &str = "the-new-token-0123456789";

/// One version of what all nodes mount.
struct Version<'a> {
    number: u32,
    tokens: &'a [&'a str],
    /// Folders with an authority each.
    trusts: &'a [&'a Path],
    /// The folder with the certificate that is shown.
    shows: &'a Path,
    /// Of the host list.
    epoch: u32,
}

/// A cluster whose nodes read everything from one volume.
struct Mounted {
    cluster: Cluster,
    volume: PathBuf,
    folders: [PathBuf; 2],
}

impl Mounted {
    /// Prepared, with two sets of certificates; nothing is mounted yet.
    fn new() -> Self {
        let mut cluster = Cluster::prepare(Setup::default());
        let volume = cluster.folder().join("volume");
        let folders = ["old", "new"].map(|name| {
            let _files = cluster.authority(name, 3);
            cluster.folder().join(name)
        });
        for number in 1..=3 {
            let environment = &mut cluster.node_mut(number).environment;
            environment.retain(|name, _| !["HA_HOSTS", "CACHE_AUTH_TOKEN"].contains(name));
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
                environment.insert(name, volume.join(file).display().to_string());
            }
        }
        Self { cluster, volume, folders }
    }

    fn publish(&self, version: &Version<'_>) {
        publish(&self.volume, version.number, |folder| {
            let authority = |of: &&Path| std::fs::read_to_string(of.join("ca.pem")).unwrap();
            let authorities: Vec<_> = version.trusts.iter().map(authority).collect();
            std::fs::write(folder.join("ca.pem"), authorities.concat()).unwrap();
            for file in ["node.pem", "node.key"] {
                std::fs::copy(version.shows.join(file), folder.join(file)).unwrap();
            }
            std::fs::write(folder.join("token"), version.tokens.join("\n")).unwrap();
            let hosts: Vec<_> = self.cluster.nodes().map(|node| format!("https://{}", node.slot)).collect();
            let list = serde_json::json!({ "epoch": version.epoch, "now": hosts, "next": null });
            std::fs::write(folder.join("hosts"), list.to_string()).unwrap();
        });
    }

    /// Waits until every node uses this version.
    async fn uses(&self, version: &Version<'_>) {
        let tokens: Vec<_> = version.tokens.iter().map(|token| token_id(token.as_bytes())).collect();
        eventually(&format!("version {} in use everywhere", version.number), PATIENCE, async || {
            for node in self.cluster.nodes() {
                let view = node.status().await?;
                let known = view.credentials.clone().unwrap_or_default();
                let right = known.tokens == tokens
                    && known.authorities.len() == version.trusts.len()
                    && view.host_epoch == u64::from(version.epoch);
                if !right {
                    return Err(format!("node {}: epoch {}, {known:?}", node.number, view.host_epoch));
                }
            }
            Ok(())
        })
        .await;
    }

    /// The certificates that the nodes show.
    async fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for node in self.cluster.nodes() {
            shown.push(node.status().await.unwrap().credentials.unwrap_or_default().certificate);
        }
        shown
    }

    /// How often links came up, by node and peer.
    fn links(&self) -> Vec<String> {
        let counts = |number| {
            let (_, metrics) = self.cluster.http(number, "metrics");
            let lines = metrics.lines().filter(|line| line.starts_with("rauthy_links_opened_total"));
            lines.map(|line| format!("{number} {line}")).collect::<Vec<_>>()
        };
        (1..=3).flat_map(counts).collect()
    }
}

/// Host list, token, certificate and authority are replaced in two steps, while clients of every node hold a session and
/// watch: no stream falls, none of clients and none between the members, and what is mounted last is what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_replaced_and_no_stream_falls() {
    let mut mounted = Mounted::new();
    let [old, new] = mounted.folders.clone();
    let (old, new) = (old.as_path(), new.as_path());
    mounted.publish(&Version { number: 1, tokens: &[OLD], trusts: &[old], shows: old, epoch: 1 });
    for number in 1..=3 {
        mounted.cluster.node_mut(number).start();
    }
    mounted.cluster.all_ready().await;
    let (links, shown) = (mounted.links(), mounted.shown().await);
    assert_eq!(links.len(), 6, "{links:?}");
    let recorder = mounted.cluster.record(Load { each: 1, ..Load::default() }).await;
    let (mut sessions, mut watches) = (Vec::new(), Vec::new());
    for node in mounted.cluster.nodes() {
        watches.push(OneWatch::open(&node.target, "session").await);
    }
    for node in mounted.cluster.nodes() {
        sessions.push(OneSession::open(&node.target, &format!("session {}", node.number)).await);
    }

    let both = Version { number: 2, tokens: &[NEW, OLD], trusts: &[old, new], shows: new, epoch: 2 };
    mounted.publish(&both);
    mounted.uses(&both).await;
    let last = Version { number: 3, tokens: &[NEW], trusts: &[new], shows: new, epoch: 3 };
    mounted.publish(&last);
    mounted.uses(&last).await;
    let now = mounted.shown().await;
    assert!(now.iter().zip(&shown).all(|(now, before)| now != before), "{now:?}");

    // They go on, all of them, and are the same streams as before.
    let then: Vec<_> = sessions.iter().map(OneSession::answered).collect();
    eventually("every session goes on", PATIENCE, async || {
        let more = sessions.iter().zip(&then).map(|(session, then)| session.answered() - then);
        enough(more.min().unwrap(), 50)
    })
    .await;
    assert_eq!(mounted.links(), links, "a link fell");
    assert!(watches.iter().all(OneWatch::is_open), "a watch fell");
    let client = mounted.cluster.node(1).client().clone().with_deadline(PATIENCE);
    let mut written = 0;
    for session in sessions {
        assert!(session.is_open(), "a session fell");
        let said = session.close().await;
        assert!(said.ended.is_none() && said.answers.len() as u64 == said.sent, "{said:?}");
        said.check(&client).await.unwrap();
        written += said.answers.len();
    }
    for watch in &watches {
        eventually("the watch has seen all of it", PATIENCE, async || {
            enough(watch.seen().len() as u64, written as u64)
        })
        .await;
        assert_eq!(watch.seen().len(), written, "something else was seen");
    }
    recorder.stop(PATIENCE).await.unwrap().holds("files were replaced", 60);

    // Who begins now with what is mounted is let in; with what was, it is not.
    mounted.cluster.node_mut(3).kill();
    mounted.cluster.node_mut(3).start();
    mounted.cluster.all_ready().await;
    mounted.cluster.node_mut(3).kill();
    let environment = &mut mounted.cluster.node_mut(3).environment;
    environment.remove("CACHE_AUTH_TOKEN_FILE");
    environment.insert("CACHE_AUTH_TOKEN", OLD.to_owned());
    mounted.cluster.node_mut(3).start();
    eventually("the old token is refused", PATIENCE, async || {
        let view = mounted.cluster.node(3).status().await?;
        let refused = view.members.iter().filter(|m| m.link_error.contains("WRONG_TOKEN")).count();
        if refused == 2 && !view.ready { Ok(()) } else { Err(format!("{view:?}")) }
    })
    .await;
}

/// HA_HOSTS_MIN_EPOCH: with a list that is older nothing is founded. A list that goes back is not used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_host_list_is_refused() {
    let mut mounted = Mounted::new();
    let old = mounted.folders[0].clone();
    let trusts = [old.as_path()];
    let version = |number, epoch| Version { number, tokens: &[OLD], trusts: &trusts, shows: &old, epoch };
    mounted.publish(&version(1, 4));
    for number in 1..=3 {
        let node = mounted.cluster.node_mut(number);
        node.environment.insert("HA_HOSTS_MIN_EPOCH", "5".to_owned());
        node.start();
    }
    let says = "HA_HOSTS_MIN_EPOCH";
    eventually("all of them meet, and say why nothing comes of it", PATIENCE, async || {
        for node in mounted.cluster.nodes() {
            let view = node.status().await?;
            let met = view.members.iter().filter(|member| !member.me && member.connected).count();
            if met != 2 || !view.not_ready_reason.contains(says) {
                return Err(format!("{view:?}"));
            }
        }
        Ok(())
    })
    .await;
    // Twice as long as a cluster takes to be founded.
    always("nobody founds", Duration::from_secs(5), async || {
        for node in mounted.cluster.nodes() {
            let view = node.status().await?;
            if view.ready || !view.generation.is_empty() {
                return Err(format!("{view:?}"));
            }
        }
        Ok(())
    })
    .await;
    let status = mounted.cluster.http(1, "readyz");
    assert!(status.0 == 503 && status.1.contains(says), "{status:?}");

    mounted.publish(&version(2, 5));
    let before = mounted.cluster.all_ready().await;
    mounted.cluster.put(1, "key", "value").await;
    mounted.publish(&version(3, 4));
    let log = "the host list has changed in a way that it must not";
    eventually("all of them say that they do not use it", PATIENCE, async || {
        let missing: Vec<_> = mounted.cluster.nodes().filter(|node| !node.log().contains(log)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} have not", missing.len())) }
    })
    .await;
    let after = mounted.cluster.all_ready().await;
    assert!(after.iter().all(|view| view.host_epoch == 5), "{after:?}");
    assert_eq!(after[0].generation, before[0].generation);
    mounted.cluster.reads(2, "key", "value").await;
}
