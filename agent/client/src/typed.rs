//! Typed values: what serde can write, as JSON (see [`codec`](crate::codec)).

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AckLevel, Client, Condition, Error, Limits, PutOptions, Watch, WatchOptions, codec};

/// One cache with values of one type; made by [`Client::cache`].
///
/// ```no_run
/// # async fn example(client: rauthy_client::Client) -> Result<(), rauthy_client::Error> {
/// use std::time::Duration;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Session {
///     user: String,
///     mfa: bool,
/// }
///
/// let sessions = client.cache::<Session>("sessions").with_ttl(Duration::from_secs(3600));
/// sessions.put("a cookie", &Session { user: "alice".into(), mfa: true }).await?;
/// if let Some(session) = sessions.get("a cookie").await? {
///     println!("{}", session.user);
/// }
/// // Of all who take it, one gets it.
/// let last = sessions.take("a cookie").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cache<T> {
    client: Client,
    name: Arc<str>,
    options: PutOptions,
    values: PhantomData<fn() -> T>,
}

/// A value that was read, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<T> {
    /// The value.
    pub value: T,
    /// See [`Value::version`](crate::Value::version); for [`Condition::Version`].
    pub version: u64,
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        let Self { client, name, options, .. } = self;
        Self { client: client.clone(), name: name.clone(), options: *options, values: PhantomData }
    }
}

impl Client {
    /// The cache `name` with values of type `T`. Nothing is sent.
    #[must_use]
    pub fn cache<T>(&self, name: &str) -> Cache<T> {
        let options = PutOptions::default();
        Cache { client: self.clone(), name: name.into(), options, values: PhantomData }
    }
}

impl<T> Cache<T> {
    /// The same cache with a time to live for the values that are put from now on.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// The same cache with another level for writes; [`AckLevel::Quorum`] by default.
    #[must_use]
    pub fn with_ack(mut self, ack: AckLevel) -> Self {
        self.options.ack = ack;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what it may hold; see [`Client::declare`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn declare(&self, limits: Limits) -> Result<(), Error> {
        self.client.declare(&self.name, limits).await
    }

    /// Removes a value; see [`Client::delete`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.client.delete(&self.name, bytes(&key), self.options.ack).await
    }

    /// Removes all values; see [`Client::clear`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear(&self) -> Result<u64, Error> {
        self.client.clear(&self.name, self.options.ack).await
    }

    /// What changes in it from now on; see [`Client::watch`]. [`codec::decode`] reads the values.
    ///
    /// # Errors
    /// See [`Client::watch`].
    pub async fn watch(&self) -> Result<Watch, Error> {
        let options = WatchOptions { cache: self.name.to_string(), values: true, ..WatchOptions::default() };
        self.client.watch(options).await
    }
}

impl<T: Serialize> Cache<T> {
    /// Stores a value and returns its version; see [`Client::put`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put(&self, key: impl AsRef<[u8]>, value: &T) -> Result<u64, Error> {
        self.client.put(&self.name, bytes(&key), codec::encode(value)?, self.options).await
    }

    /// Stores a value if a condition holds; see [`Client::put_if`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_if(&self, key: impl AsRef<[u8]>, value: &T, condition: Condition) -> Result<u64, Error> {
        self.client.put_if(&self.name, bytes(&key), codec::encode(value)?, condition, self.options).await
    }
}

impl<T: DeserializeOwned> Cache<T> {
    /// Reads a value; see [`Client::get`].
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Codec`] if something else is stored.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        Ok(self.get_versioned(key).await?.map(|typed| typed.value))
    }

    /// Reads a value with its version, for [`Cache::put_if`].
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_versioned(&self, key: impl AsRef<[u8]>) -> Result<Option<Typed<T>>, Error> {
        let found = self.client.get(&self.name, bytes(&key)).await?;
        found
            .map(|found| Ok(Typed { value: codec::decode(&found.value)?, version: found.version }))
            .transpose()
    }

    /// Reads what stands at this moment; see [`Client::get_linearizable`].
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_linearizable(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        let found = self.client.get_linearizable(&self.name, bytes(&key)).await?;
        found.map(|found| codec::decode(&found.value)).transpose()
    }

    /// Gets and removes a value in one step; see [`Client::take`].
    ///
    /// # Errors
    /// As [`Cache::get`]; what could not be read is removed nevertheless.
    pub async fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        let found = self.client.take(&self.name, bytes(&key), self.options.ack).await?;
        found.map(|found| codec::decode(&found)).transpose()
    }
}

fn bytes(key: &impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(key.as_ref())
}
