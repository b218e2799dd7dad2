//! Reading and writing, by redhac's names.

use std::fmt::Debug;
use std::time::Duration;

use rauthy_client::{AckLevel as Level, Error, PutOptions};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::{AckLevel, CacheConfig, CacheError};

/// How often a write is tried again for which there is no room at the moment, after growing pauses.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(2);

/// What redhac asked of the task behind a cache. Nobody answers these here; the type is there for its name.
#[derive(Debug)]
pub enum CacheReq {
    /// Read a key.
    Get {
        /// Which.
        entry: String,
        /// Where the answer goes.
        resp: flume::Sender<Option<Vec<u8>>>,
    },
    /// Store a value.
    Put {
        /// Under which key.
        entry: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Remove a key.
    Del {
        /// Which.
        entry: String,
    },
    /// Remove everything.
    Reset,
}

/// Reads a value as its bytes ([`crate::cache_get!`] reads it as its type): from this member, which holds everything, and no older than
/// what this process has written. `remote_lookup`: what this member does not have is read linearizably, so that the answer
/// "not there" is no older than the question either.
///
/// # Errors
/// If it cannot be known what stands there: without a quorum, or before the cluster was started.
pub async fn cache_get_value(
    cache_name: String,
    entry: String,
    cache_config: &CacheConfig,
    remote_lookup: bool,
) -> Result<Option<Vec<u8>>, CacheError> {
    cache_config.declared(&cache_name)?;
    let backend = cache_config.backend().await?;
    let found = match backend.get(&cache_name, &entry).await {
        Ok(None) if remote_lookup && cache_config.shared.cluster => {
            backend.get_linearizable(&cache_name, &entry).await
        }
        other => other,
    };
    found.map_err(|e| CacheError::of(&e))
}

/// Reads the bytes of [`cache_get_value`] as a value.
///
/// # Errors
/// If they are none of this type.
#[allow(clippy::unused_async, reason = "that is redhac's signature")]
pub async fn cache_get_from<'a, T>(value: &'a [u8]) -> Result<Option<T>, CacheError>
where
    T: Debug + Deserialize<'a>,
{
    let found = bincode::deserialize::<T>(value);
    found.map(Some).map_err(|e| CacheError::new(format!("Error deserializing cache result: {e:?}")))
}

/// Stores a value at once: it is seen on this member when this returns, and reaches the others a moment later, over the
/// leader (level Direct). It is lost if this member or the leader fails before.
///
/// # Errors
/// If this member has no quorum.
pub async fn cache_put<T>(
    cache_name: String,
    entry: String,
    cache_config: &CacheConfig,
    value: &T,
) -> Result<(), CacheError>
where
    T: Debug + Serialize,
{
    let value = bincode::serialize(value)?;
    write(cache_config, &cache_name, direct(cache_config), Write::Put(&entry, value)).await
}

/// Stores a value over the leader, and returns when it is as safe as `ack_level` says. Without `HA_MODE=true` it is
/// [`cache_put`].
///
/// # Errors
/// If there is no quorum, or if it is not known whether the value is stored; the words say which.
pub async fn cache_insert<T>(
    cache_name: String,
    entry: String,
    cache_config: &CacheConfig,
    value: &T,
    ack_level: AckLevel,
) -> Result<(), CacheError>
where
    T: Debug + Serialize,
{
    let value = bincode::serialize(value)?;
    write(cache_config, &cache_name, over_leader(cache_config, ack_level), Write::Put(&entry, value)).await
}

/// Removes a key at once, as [`cache_put`] stores.
///
/// # Errors
/// If this member has no quorum: then nothing is removed. (In redhac that is `Ok`; `REDHAC_COMPAT=ok-without-quorum`
/// brings that back.)
pub async fn cache_del(
    cache_name: String,
    entry: String,
    cache_config: &CacheConfig,
) -> Result<(), CacheError> {
    let done = write(cache_config, &cache_name, direct(cache_config), Write::Delete(&entry)).await;
    forgiven(cache_config, done)
}

/// Removes a key over the leader, and returns when that is as safe as `ack_level` says. Without `HA_MODE=true` it is
/// [`cache_del`].
///
/// # Errors
/// If there is no quorum, or if it is not known whether the key is removed; the words say which.
pub async fn cache_remove(
    cache_name: String,
    entry: String,
    cache_config: &CacheConfig,
    ack_level: AckLevel,
) -> Result<(), CacheError> {
    write(cache_config, &cache_name, over_leader(cache_config, ack_level), Write::Delete(&entry)).await
}

/// Removes all values of all caches of this application: on every member. (In redhac on this one only, which leaves the
/// members with different values.)
///
/// # Errors
/// If there is no quorum, as [`cache_del`].
pub async fn clear_caches(cache_config: &CacheConfig) -> Result<(), CacheError> {
    for name in cache_config.names() {
        let done = write(cache_config, &name, Level::Quorum, Write::Clear).await;
        forgiven(cache_config, done)?;
    }
    Ok(())
}

fn forgiven(config: &CacheConfig, done: Result<(), CacheError>) -> Result<(), CacheError> {
    match done {
        Err(error) if config.compat().ok_without_quorum && error.error.starts_with("QuorumHealth::Bad") => {
            Ok(())
        }
        other => other,
    }
}

/// Whoever is alone knows at once.
fn direct(config: &CacheConfig) -> Level {
    if config.shared.cluster || config.has_agent() { Level::Direct } else { Level::Quorum }
}

fn over_leader(config: &CacheConfig, level: AckLevel) -> Level {
    if config.shared.cluster { level.into() } else { direct(config) }
}

enum Write<'a> {
    Put(&'a str, Vec<u8>),
    Delete(&'a str),
    Clear,
}

async fn write(config: &CacheConfig, name: &str, level: Level, write: Write<'_>) -> Result<(), CacheError> {
    let declared = config.declared(name)?;
    let backend = config.backend().await?;
    let options = PutOptions { ttl: declared.lifespan, ack: level, ..PutOptions::default() };
    let mut tries = 0;
    loop {
        let done = match config.tell(backend, name).await {
            Ok(()) => attempt(backend, name, options, &write).await,
            Err(error) => Err(error),
        };
        tries += 1;
        match done {
            Ok(()) => return Ok(()),
            // Nothing was written in both cases. A generation that was not told yet has no level Direct; and a small cache
            // has no room while more is written at a time than it holds.
            Err(Error::Level(_)) if tries < TRIES => config.forgotten(name),
            Err(Error::Limit(_)) if tries < TRIES => tokio::time::sleep(PAUSE * tries).await,
            Err(error) => return Err(CacheError::of(&error)),
        }
    }
}

async fn attempt(backend: &Backend, name: &str, options: PutOptions, write: &Write<'_>) -> Result<(), Error> {
    match write {
        Write::Put(key, value) => backend.put(name, key, value.clone(), options).await,
        Write::Delete(key) => backend.delete(name, key, options.ack).await,
        Write::Clear => backend.clear(name).await,
    }
}
