//! [`CacheConfig`]: the caches of an application, and where their values are.

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cached::Cached;
use rauthy_client::{Error, SOCKET_VARIABLE};
use tokio::sync::{OnceCell, watch};
use tokio::task::AbortHandle;

use crate::backend::Backend;
use crate::compat::Compat;
use crate::declared::Declared;
use crate::{CacheError, QuorumHealthState};

/// The caches of an application, and where their values are. Clones are the same caches.
///
/// With `HA_MODE=true` it is given to [`crate::start_cluster`] before anything is read or written. Without, a single node
/// begins in this process with the first call. Where `RAUTHY_CACHE_SOCKET` is set, there is no node in this process: the
/// agent on that socket has the values.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// The health of the cluster; `None` unless `HA_MODE=true`.
    pub rx_health_state: watch::Receiver<Option<QuorumHealthState>>,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// `HA_MODE=true`.
    pub cluster: bool,
    /// Where the agent is; `None`: the cache is embedded.
    socket: Option<String>,
    compat: Compat,
    caches: Mutex<BTreeMap<String, Entry>>,
    pub backend: OnceCell<Backend>,
    /// Tasks that end with [`CacheConfig::shutdown`].
    pub tasks: Mutex<Vec<AbortHandle>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    declared: Declared,
    /// The present generation of the cache was told.
    told: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CacheConfig {
    /// The sender is for [`crate::start_cluster`], which tells the health with it. Reads `HA_MODE`, `RAUTHY_CACHE_SOCKET`
    /// and `REDHAC_COMPAT` from the environment.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "that is redhac's signature")]
    pub fn new() -> (watch::Sender<Option<QuorumHealthState>>, Self) {
        let set = |name| env::var(name).ok().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let cluster = set("HA_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("true"));
        // `start_cluster` refuses what is wrong here.
        let compat = Compat::from_env().unwrap_or_else(|error| {
            tracing::error!("{error}");
            Compat::default()
        });
        let (tell, rx_health_state) = watch::channel(cluster.then(QuorumHealthState::default));
        let shared = Shared {
            cluster,
            socket: set(SOCKET_VARIABLE),
            compat,
            caches: Mutex::default(),
            backend: OnceCell::new(),
            tasks: Mutex::default(),
        };
        (tell, Self { rx_health_state, shared: Arc::new(shared) })
    }

    /// Adds a cache. Of `cache` only the size and the lifespan count: every member declares the cache so, and the last word
    /// counts. `buffer` has no meaning here, there is no channel.
    pub fn spawn_cache<C: Cached<String, Vec<u8>> + Send + 'static>(
        &mut self,
        cache_name: String,
        cache: C,
        buffer: Option<usize>,
    ) {
        let _ = buffer;
        let declared = Declared::of(&cache_name, &cache);
        locked(&self.shared.caches).insert(cache_name, Entry { declared, told: false });
    }

    /// Leaves the cluster in order: hands the leadership over, and closes all streams; 5 s at most. Values stay with the
    /// other members. Without `HA_MODE=true` it does nothing, as in redhac.
    ///
    /// # Errors
    /// None; redhac's signature has one.
    pub async fn shutdown(&self) -> Result<(), CacheError> {
        if self.shared.cluster {
            if let Some(Backend::Embedded(cache)) = self.shared.backend.get() {
                cache.shutdown().await;
            }
            locked(&self.shared.tasks).drain(..).for_each(|task| task.abort());
        }
        Ok(())
    }

    pub(crate) fn compat(&self) -> Compat {
        self.shared.compat
    }

    /// Whether the values are behind a socket, where there are more members than this process knows of.
    pub(crate) fn has_agent(&self) -> bool {
        self.shared.socket.is_some()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        locked(&self.shared.caches).keys().cloned().collect()
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        locked(&self.shared.caches).contains_key(name)
    }

    pub(crate) fn declared(&self, name: &str) -> Result<Declared, CacheError> {
        let found = locked(&self.shared.caches).get(name).map(|entry| entry.declared);
        found.ok_or_else(|| CacheError::no_cache(name))
    }

    /// Where the values are; begins what may begin by itself.
    pub(crate) async fn backend(&self) -> Result<&Backend, CacheError> {
        let shared = &self.shared;
        if let Some(backend) = shared.backend.get() {
            return Ok(backend);
        }
        let begin = async || match &shared.socket {
            Some(address) => Backend::agent(address),
            None if shared.cluster => {
                Err("QuorumHealth::Bad - cannot operate the HA cache: start_cluster was not called".into())
            }
            None => Backend::single().await,
        };
        shared.backend.get_or_try_init(begin).await.map_err(CacheError::new)
    }

    /// Declares a cache, unless this generation was told.
    pub(crate) async fn tell(&self, backend: &Backend, name: &str) -> Result<(), Error> {
        let entry = locked(&self.shared.caches).get(name).copied();
        let Some(Entry { declared, told: false }) = entry else { return Ok(()) };
        backend.declare(name, declared.limits()).await?;
        self.told(name, true);
        Ok(())
    }

    /// A new generation of the cache knows nothing of what was declared.
    pub(crate) fn forgotten(&self, name: &str) {
        self.told(name, false);
    }

    fn told(&self, name: &str, told: bool) {
        if let Some(entry) = locked(&self.shared.caches).get_mut(name) {
            entry.told = told;
        }
    }
}
