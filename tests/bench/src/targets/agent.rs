//! The cache through an agent's socket, as an application without it inside uses it.

use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use rauthy_client::{AckLevel, Client, Limits, PutOptions, Role};
use rauthy_load::{Outcome, Target, What, value};

use super::keys;

const CACHE: &str = "bench";
const DIRECT: &str = "direct";

/// Which agent, and how.
#[derive(Args)]
pub struct Place {
    /// `unix:///path` or `http://127.0.0.1:port`.
    target: String,
    /// All calls over one stream, instead of a gRPC call each.
    #[arg(long)]
    pipelined: bool,
}

#[derive(Clone)]
struct Application {
    client: Client,
    keys: Arc<Vec<Bytes>>,
    value: Bytes,
}

impl Target for Application {
    async fn leads(&self) -> bool {
        self.client.status().await.is_ok_and(|status| status.ready && status.role() == Role::Leader)
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        let key = self.keys[number].clone();
        let (cache, ack) = match what {
            What::Put => (CACHE, AckLevel::Quorum),
            What::PutLeader => (CACHE, AckLevel::Leader),
            What::PutDirect => (DIRECT, AckLevel::Direct),
            What::Get => {
                let found = self.client.get(CACHE, key).await.map_err(|e| e.to_string())?;
                return found.map(drop).ok_or_else(|| "not there".into());
            }
            What::BareBorrowed | What::BareCloned => return Err("a client has no such operation".into()),
        };
        let options = PutOptions { ack, ..PutOptions::default() };
        self.client.put(cache, key, self.value.clone(), options).await.map(drop).map_err(|e| e.to_string())
    }
}

/// Runs an application until stdin ends.
///
/// # Errors
/// If the address is none, or nothing can be declared.
pub async fn run(place: Place) -> anyhow::Result<()> {
    let mut client = Client::new(&place.target)?;
    if place.pipelined {
        client = client.pipelined();
    }
    client.declare(DIRECT, Limits { direct: true, ..Limits::default() }).await?;
    let application = Application { client, keys: Arc::new(keys()), value: value().into() };
    rauthy_load::serve(application).await?;
    Ok(())
}
