//! A member with the cache of this repository inside, as an application embeds it.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use rauthy_agent::config::{Pair, TlsFiles};
use rauthy_agent::embedded::{AckLevel, Cache, Config, Limits, PutOptions};
use rauthy_load::{Outcome, Target, What, value};

use super::bare::Bare;
use super::keys;

const CACHE: &str = "bench";
/// Level Direct is possible only in a cache that is declared for it.
const DIRECT: &str = "direct";

/// Which member.
#[derive(Args)]
pub struct Place {
    /// Its number, from 0.
    number: usize,
    /// The port of each member.
    ports: Vec<u16>,
    /// A folder with ca.pem, node.pem and node.key; without one there is no TLS.
    #[arg(long)]
    tls: Option<std::path::PathBuf>,
}

#[derive(Clone)]
struct Member {
    cache: Cache,
    keys: Arc<Vec<Bytes>>,
    value: Bytes,
    bare: Arc<OnceLock<Bare>>,
}

impl Member {
    fn bare(&self) -> &Bare {
        self.bare.get_or_init(|| Bare::new(&self.keys, &self.value))
    }
}

fn there<T>(found: Option<T>) -> Outcome {
    found.map(|found| drop(black_box(found))).ok_or_else(|| "not there".into())
}

impl Target for Member {
    async fn leads(&self) -> bool {
        let status = self.cache.status().await;
        status.ready && status.leader == status.slot
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        let (cache, ack) = match what {
            What::Put => (CACHE, AckLevel::Quorum),
            What::PutLeader => (CACHE, AckLevel::Leader),
            What::PutDirect => (DIRECT, AckLevel::Direct),
            What::Get | What::BareBorrowed | What::BareCloned => {
                return self.read_here(what, number).unwrap_or_else(|| Err("no such read".into()));
            }
        };
        let options = PutOptions { ack, ..PutOptions::default() };
        let written = self.cache.put(cache, self.keys[number].clone(), self.value.clone(), options).await;
        written.map(drop).map_err(|e| e.to_string())
    }

    fn read_here(&self, what: What, number: usize) -> Option<Outcome> {
        let key = &self.keys[number];
        match what {
            What::Get => Some(self.cache.get(CACHE, key).map_err(|e| e.to_string()).and_then(there)),
            What::BareBorrowed => Some(there(self.bare().borrowed(key))),
            What::BareCloned => Some(there(self.bare().cloned(key))),
            What::Put | What::PutLeader | What::PutDirect => None,
        }
    }
}

/// Runs a member until stdin ends.
///
/// # Errors
/// If it does not start or does not get ready.
pub async fn run(place: Place) -> anyhow::Result<()> {
    let scheme = if place.tls.is_some() { "https" } else { "http" };
    let me = place.ports.get(place.number).context("no port for this member")?;
    let members = place.ports.iter().map(|port| format!("{scheme}://127.0.0.1:{port}"));
    let mut config = Config::builder()
        .cluster(members)
        .me(&format!("127.0.0.1:{me}"))
        .token("the token that all of them share")
        .max_bytes(1 << 30);
    config = match place.tls {
        None => config.without_tls(),
        Some(folder) => {
            let pair = Pair { cert: folder.join("node.pem"), key: folder.join("node.key") };
            let ca = folder.join("ca.pem");
            config.tls(&TlsFiles {
                server: pair.clone(),
                client: Some(pair),
                ca_server: ca.clone(),
                ca_client: Some(ca),
                validate_domain: None,
            })
        }
    };
    let cache = Cache::start(config.build()?).await?;
    cache.ready(Duration::from_secs(30)).await?;
    let limits = Limits { direct: true, ..Limits::default() };
    cache.declare::<()>(DIRECT, limits).await?;
    let member = Member { cache, keys: Arc::new(keys()), value: value().into(), bare: Arc::default() };
    rauthy_load::serve(member).await?;
    Ok(())
}
