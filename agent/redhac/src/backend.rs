//! Where the values are: in a node of this process, or behind the socket of an agent.

use std::time::Duration;

use rauthy_agent::embedded::{Cache, Config};
use rauthy_client::{AckLevel, Client, Error, Limits, PutOptions};

/// A single node is ready after milliseconds.
const SINGLE_READY: Duration = Duration::from_secs(10);

/// Both keep a session: what this process has written, it reads.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Embedded(Cache),
    Agent(Box<Client>),
}

impl Backend {
    pub fn embedded(cache: &Cache) -> Self {
        Self::Embedded(cache.session())
    }

    /// What an agent serves on this address.
    pub fn agent(address: &str) -> Result<Self, String> {
        Client::new(address).map(|client| Self::Agent(Box::new(client.session()))).map_err(|e| e.to_string())
    }

    /// A node that is alone.
    pub async fn single() -> Result<Self, String> {
        let config = Config::builder().or_environment().single().build().map_err(|e| e.to_string())?;
        let cache = Cache::start(config).await.map_err(|e| e.to_string())?;
        cache.ready(SINGLE_READY).await.map_err(|e| e.to_string())?;
        Ok(Self::embedded(&cache))
    }

    /// Reads what this member has; nothing older than what this process has written or read.
    pub async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.get_once(cache, key).await {
            // What was seen is gone, and known to be: that is an answer for a cache whose users expect no session.
            Err(Error::Gap) => self.get_once(cache, key).await,
            other => other,
        }
    }

    async fn get_once(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Embedded(node) => {
                let found = match node.get(cache, key) {
                    Err(Error::Syncing) => node.read(cache, key).await,
                    other => other,
                };
                Ok(found?.map(|value| value.to_vec()))
            }
            Self::Agent(client) => {
                Ok(client.get(cache, key.to_owned()).await?.map(|found| found.value.into()))
            }
        }
    }

    /// Reads what stands at this moment.
    pub async fn get_linearizable(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Embedded(node) => Ok(node.get_linearizable(cache, key).await?.map(|value| value.to_vec())),
            Self::Agent(client) => {
                Ok(client.get_linearizable(cache, key.to_owned()).await?.map(|found| found.value.into()))
            }
        }
    }

    pub async fn put(
        &self,
        cache: &str,
        key: &str,
        value: Vec<u8>,
        options: PutOptions,
    ) -> Result<(), Error> {
        let key = key.to_owned();
        match self {
            Self::Embedded(node) => node.put(cache, key, value, options).await.map(|_| ()),
            Self::Agent(client) => client.put(cache, key, value, options).await.map(|_| ()),
        }
    }

    pub async fn delete(&self, cache: &str, key: &str, level: AckLevel) -> Result<(), Error> {
        let key = key.to_owned();
        match self {
            Self::Embedded(node) => node.delete(cache, key, level).await.map(|_| ()),
            Self::Agent(client) => client.delete(cache, key, level).await.map(|_| ()),
        }
    }

    pub async fn clear(&self, cache: &str) -> Result<(), Error> {
        match self {
            Self::Embedded(node) => node.clear(cache, AckLevel::Quorum).await.map(|_| ()),
            Self::Agent(client) => client.clear(cache, AckLevel::Quorum).await.map(|_| ()),
        }
    }

    pub async fn declare(&self, cache: &str, limits: Limits) -> Result<(), Error> {
        match self {
            Self::Embedded(node) => node.limit(cache, limits).await,
            Self::Agent(client) => client.declare(cache, limits).await,
        }
    }
}
