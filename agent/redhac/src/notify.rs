//! What changes, as the application is told.

use std::time::Duration;

use rauthy_agent::embedded::{Changed, Removal, Watched, Watcher};
use rauthy_client::{Change, Client, Removal as Gone, Watch, WatchOptions};
use tokio::sync::mpsc;

use crate::{AckLevel, CacheConfig};

/// Before an agent is asked again for its changes.
const PAUSE: Duration = Duration::from_secs(1);

/// A key changed, on whichever member.
pub struct CacheNotify {
    /// In which cache.
    pub cache_name: String,
    /// Which key.
    pub entry: String,
    /// How.
    pub method: CacheMethod,
}

/// How a key changed. Only [`CacheMethod::Put`] and [`CacheMethod::Del`] are told: what was asked for in which way is not
/// part of the log. Values that ended or made room are not told.
pub enum CacheMethod {
    /// A value was stored.
    Put,
    /// Not used here.
    Insert(AckLevel),
    /// The key was removed.
    Del,
    /// Not used here.
    Remove(AckLevel),
}

/// Where notifications go.
pub(crate) struct Listener {
    pub config: CacheConfig,
    pub tell: mpsc::Sender<CacheNotify>,
}

impl Listener {
    /// Tells a change of a cache that the application declared. As in redhac, what finds the channel full is dropped.
    /// `false`: nobody listens any more.
    fn told(&self, cache: &str, key: &[u8], method: CacheMethod) -> bool {
        if !self.config.knows(cache) {
            return true;
        }
        let entry = String::from_utf8_lossy(key).into_owned();
        match self.tell.try_send(CacheNotify { cache_name: cache.to_owned(), entry, method }) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::debug!("nobody takes a notification: it is dropped");
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Tells what changes on the node in this process, until it stops.
    pub async fn follow_node(self, mut watcher: Watcher) {
        while let Some(watched) = watcher.next().await {
            let changes = match watched {
                Watched::Changes(changes, _) => changes,
                Watched::Missed(_) => {
                    missed();
                    continue;
                }
                Watched::At(_) | Watched::Gone => continue,
            };
            for change in changes {
                let (key, method) = match &change.change {
                    Changed::Put { key, .. } => (key, CacheMethod::Put),
                    Changed::Removed { key, why: Removal::Deleted | Removal::Taken } => {
                        (key, CacheMethod::Del)
                    }
                    Changed::Removed { .. } | Changed::Cleared => continue,
                };
                if !self.told(&change.cache, key, method) {
                    return;
                }
            }
        }
    }

    /// Tells what changes in the agent, for as long as somebody listens.
    pub async fn follow_agent(self, client: Client) {
        while !self.tell.is_closed() {
            match client.watch(WatchOptions::default()).await {
                Ok(watch) => {
                    if !self.follow_watch(watch).await {
                        return;
                    }
                }
                Err(error) => tracing::debug!("changes are not notified yet: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow_watch(&self, mut watch: Watch) -> bool {
        loop {
            let (cache, key, method) = match watch.next().await {
                None => return true,
                Some(Err(error)) => {
                    tracing::warn!("changes are not notified for a moment: {error}");
                    return true;
                }
                Some(Ok(event)) => match event.change {
                    Change::Put { cache, key, .. } => (cache, key, CacheMethod::Put),
                    Change::Removed { cache, key, why: Gone::Deleted | Gone::Taken } => {
                        (cache, key, CacheMethod::Del)
                    }
                    Change::Gap => {
                        missed();
                        continue;
                    }
                    _ => continue,
                },
            };
            if !self.told(&cache, &key, method) {
                return false;
            }
        }
    }
}

fn missed() {
    tracing::warn!("more has changed in the cache than can be told: some notifications are lost");
}
