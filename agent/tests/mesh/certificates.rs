//! Certificates that change while the mesh runs.

use std::path::{Path, PathBuf};

use rauthy_agent::config::{Pair, TlsFiles};
use rauthy_agent::tls::Look;

use super::support::*;

/// One folder that holds what is in use: `ca.pem` (one authority or several), `node.pem`, `node.key`.
struct Folder(PathBuf);

impl Folder {
    fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> TlsFiles {
        let pair = Pair { cert: self.0.join("node.pem"), key: self.0.join("node.key") };
        TlsFiles {
            server: pair.clone(),
            client: Some(pair),
            ca_server: self.0.join("ca.pem"),
            ca_client: Some(self.0.join("ca.pem")),
            validate_domain: None,
        }
    }

    /// Trusts the authorities of these, in this order.
    fn trust(&self, of: &[&Path]) {
        let all: Vec<_> = of.iter().map(|f| std::fs::read_to_string(f.join("ca.pem")).unwrap()).collect();
        std::fs::write(self.0.join("ca.pem"), all.concat()).unwrap();
    }

    /// Shows the certificate of this one.
    fn show(&self, of: &Path) {
        for file in ["node.pem", "node.key"] {
            std::fs::copy(of.join(file), self.0.join(file)).unwrap();
        }
    }
}

fn look(node: &Node) -> Look {
    node.tls.as_ref().unwrap().look()
}

/// From one authority to another as it is done by hand or by cert-manager: trust both, show the new, trust the new
/// alone; on one member after the other. No stream falls, and at each step a member that restarts comes back.
#[tokio::test]
async fn an_authority_is_replaced_without_a_dropped_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    tls(&old);
    tls(&new);
    let (a, b, c) = {
        let (a, b) = two();
        (a, b, rauthy_core::Slot::new(&format!("127.0.0.1:{}", port())))
    };
    let slots = vec![a.clone(), b.clone(), c.clone()];
    let folders = ["a", "b"].map(|name| Folder::new(dir.path().join(name)));
    for folder in &folders {
        folder.trust(&[&old]);
        folder.show(&old);
    }
    let spec = |slot, files| Spec { tls: Some(files), slots: slots.clone(), ..Spec::new(slot, [&a, &b]) };
    let nodes = [spec(&a, folders[0].files()).start(), spec(&b, folders[1].files()).start()];
    nodes[0].connected(&b).await;
    nodes[1].connected(&a).await;
    let third = Folder::new(dir.path().join("c"));
    let mut boot = 2;
    let mut restarted = async |trusts: &[&Path], shows: &Path, joins: bool| {
        third.trust(trusts);
        third.show(shows);
        boot += 1;
        let node = Spec { boot, ..spec(&c, third.files()) }.start();
        for (peer, at) in [(&a, &nodes[0]), (&b, &nodes[1])] {
            if joins {
                node.connected(peer).await;
                at.connected(&c).await;
            } else {
                node.link_error(peer, "TLS").await;
                assert!(!at.board.link(&c).connected);
            }
        }
        node.mesh.stop();
        node.mesh.stopped().await;
    };
    restarted(&[&new], &new, false).await;
    for (folder, node) in folders.iter().zip(&nodes) {
        folder.trust(&[&old, &new]);
        assert_eq!(look(node), Look::Reloaded);
    }
    restarted(&[&old], &old, true).await;
    restarted(&[&old, &new], &new, true).await;
    for (folder, node) in folders.iter().zip(&nodes) {
        // A certificate whose key is not there yet changes nothing.
        std::fs::copy(new.join("node.pem"), folder.0.join("node.pem")).unwrap();
        assert!(matches!(look(node), Look::Refused(_)));
    }
    restarted(&[&old], &old, true).await;
    for (folder, node) in folders.iter().zip(&nodes) {
        folder.show(&new);
        assert_eq!(look(node), Look::Reloaded);
    }
    restarted(&[&old, &new], &old, true).await;
    restarted(&[&new], &new, true).await;
    for (folder, node) in folders.iter().zip(&nodes) {
        folder.trust(&[&new]);
        assert_eq!(look(node), Look::Reloaded);
    }
    restarted(&[&old, &new], &old, false).await;
    restarted(&[&new], &new, true).await;
    assert_eq!((nodes[0].opened(&b), nodes[1].opened(&a)), (1, 1), "the stream between them never fell");
}
