//! `bench-hiqlite NUMBER RAFT-PORT API-PORT…`: member NUMBER (from 0) of a hiqlite cluster on loopback, caches only and in
//! memory, with a pair of ports for each member.

use hiqlite::macros::CacheVariants;
use hiqlite::{Client, Node, NodeConfig};
use rauthy_load::{Outcome, Target, What, key, value};

#[derive(Debug, CacheVariants)]
enum Cache {
    Bench,
}

#[derive(Clone)]
struct Member {
    client: Client,
    value: Vec<u8>,
}

impl Target for Member {
    async fn leads(&self) -> bool {
        self.client.is_leader_cache().await
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        match what {
            What::Put => {
                self.client.put(Cache::Bench, key(number), &self.value, None).await.map_err(|e| e.to_string())
            }
            What::Get => {
                let found: Option<Vec<u8>> =
                    self.client.get(Cache::Bench, key(number)).await.map_err(|e| e.to_string())?;
                if found.is_some() { Ok(()) } else { Err("not there".into()) }
            }
            What::PutLeader | What::PutDirect | What::BareBorrowed | What::BareCloned => {
                Err("hiqlite has no such operation".into())
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let number: u64 = arguments.next().ok_or("which member?")?.parse()?;
    let ports: Vec<String> = arguments.collect();
    let address = |port: &String| format!("127.0.0.1:{port}");
    let nodes = ports
        .chunks_exact(2)
        .zip(1..)
        .map(|(pair, id)| Node { id, addr_raft: address(&pair[0]), addr_api: address(&pair[1]) })
        .collect();
    let folder = tempfile::tempdir()?;
    let config = NodeConfig {
        node_id: number + 1,
        nodes,
        data_dir: folder.path().to_string_lossy().into_owned().into(),
        cache_storage_disk: false,
        raft_config: NodeConfig::default_raft_config(100_000),
        secret_raft: "0123456789abcdef".into(),
        secret_api: "0123456789abcdef".into(),
        ..Default::default()
    };
    let client = hiqlite::start_node_with_cache::<Cache>(config).await?;
    client.wait_until_healthy_cache().await;
    rauthy_load::serve(Member { client, value: value() }).await?;
    drop(folder);
    // Its graceful stop waits for ten seconds.
    std::process::exit(0);
}
