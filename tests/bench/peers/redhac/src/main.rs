//! `bench-redhac NUMBER PORT…`: member NUMBER (from 0) of a redhac cluster on these ports of loopback. Redhac itself is
//! told by its environment: HA_MODE, HA_HOSTS, CACHE_AUTH_TOKEN, CACHE_TLS.

use std::time::Duration;

use rauthy_load::{Outcome, Target, What, key, value};
use redhac::quorum::{QuorumHealth, QuorumState};
use redhac::{AckLevel, CacheConfig, SizedCache, cache_get, cache_get_from, cache_get_value, cache_insert, cache_put};

const CACHE: &str = "bench";

#[derive(Clone)]
struct Member {
    config: CacheConfig,
    value: Vec<u8>,
}

impl Member {
    /// Whether it leads, once it sees all others and a leader.
    fn stands(&self, others: usize) -> Option<bool> {
        let health = self.config.rx_health_state.borrow();
        let health = health.as_ref()?;
        let all = health.health == QuorumHealth::Good && health.connected_hosts == others;
        match health.state {
            QuorumState::Leader if all => Some(true),
            QuorumState::Follower if all => Some(false),
            _ => None,
        }
    }
}

impl Target for Member {
    async fn leads(&self) -> bool {
        matches!(self.config.rx_health_state.borrow().as_ref().map(|h| &h.state), Some(QuorumState::Leader))
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        let (cache, key) = (CACHE.to_string(), key(number));
        let level = match what {
            What::Get => {
                let found: Option<Vec<u8>> =
                    async { cache_get!(Vec<u8>, cache, key, &self.config, false).await }
                        .await
                        .map_err(|e: redhac::CacheError| e.to_string())?;
                return if found.is_some() { Ok(()) } else { Err("not there".into()) };
            }
            What::PutDirect => {
                return cache_put(cache, key, &self.config, &self.value).await.map_err(|e| e.to_string());
            }
            What::Put => AckLevel::Quorum,
            What::PutLeader => AckLevel::Leader,
            What::BareBorrowed | What::BareCloned => return Err("redhac has no such operation".into()),
        };
        cache_insert(cache, key, &self.config, &self.value, level).await.map(|_| ()).map_err(|e| e.to_string())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let number: usize = arguments.next().ok_or("which member?")?.parse()?;
    let ports: Vec<String> = arguments.collect();
    let me = ports.get(number).ok_or("no port for this member")?;
    let (told, mut config) = CacheConfig::new();
    config.spawn_cache(CACHE.to_string(), SizedCache::<String, Vec<u8>>::with_size(200_000), None);
    redhac::start_cluster(told, &mut config, None, Some(format!("127.0.0.1:{me}"))).await?;
    let member = Member { config, value: value() };
    while member.stands(ports.len() - 1).is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rauthy_load::serve(member).await?;
    std::process::exit(0);
}
