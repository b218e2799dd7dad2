//! Values by serde.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rauthy_client::{AckLevel, Condition, Error, PutOptions, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cache, Limits};

/// One cache whose values are of type `T`, in the form of [`codec`] (so that [`rauthy_client`] reads them, too). Cheap to
/// clone.
pub struct Typed<T> {
    cache: Cache,
    name: Arc<str>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), name: self.name.clone(), of: PhantomData }
    }
}

impl<T> std::fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Typed").field("name", &self.name).field("of", &std::any::type_name::<T>()).finish()
    }
}

impl Cache {
    /// The cache of this name, as it is declared already or with no limits of its own.
    #[must_use]
    pub fn typed<T>(&self, name: &str) -> Typed<T> {
        Typed { cache: self.clone(), name: name.into(), of: PhantomData }
    }

    /// The cache of this name, declared to hold what `limits` say; the last word counts. What is in it already stays.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub async fn declare<T>(&self, name: &str, limits: Limits) -> Result<Typed<T>, Error> {
        self.limit(name, limits).await?;
        Ok(self.typed(name))
    }
}

impl<T> Typed<T> {
    /// The name of the cache.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes a key, committed by a quorum; says whether it was there.
    ///
    /// # Errors
    /// As [`Cache::delete`].
    pub async fn delete(&self, key: &str) -> Result<bool, Error> {
        self.cache.delete(&self.name, key.to_owned(), AckLevel::Quorum).await
    }

    /// Removes all values; says how many there were.
    ///
    /// # Errors
    /// As [`Cache::clear`].
    pub async fn clear(&self) -> Result<u64, Error> {
        self.cache.clear(&self.name, AckLevel::Quorum).await
    }
}

impl<T: Serialize> Typed<T> {
    /// Stores a value, committed by a quorum. It lives as long as the cache is declared to keep it.
    ///
    /// # Errors
    /// As [`Cache::put`]; [`Error::Codec`] if the value has no form.
    pub async fn put(&self, key: &str, value: &T) -> Result<u64, Error> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Stores a value for so long, committed by a quorum.
    ///
    /// # Errors
    /// As [`Typed::put`].
    pub async fn put_for(&self, key: &str, value: &T, ttl: Duration) -> Result<u64, Error> {
        self.put_with(key, value, PutOptions { ttl: Some(ttl), ..PutOptions::default() }).await
    }

    /// Stores a value with a time to live, an ack level and a deadline of its own.
    ///
    /// # Errors
    /// As [`Typed::put`].
    pub async fn put_with(&self, key: &str, value: &T, options: PutOptions) -> Result<u64, Error> {
        self.cache.put(&self.name, key.to_owned(), codec::encode(value)?, options).await
    }

    /// Stores a value if a condition holds, in one linearizable step.
    ///
    /// # Errors
    /// As [`Typed::put`]; [`Error::Version`] if it does not hold.
    pub async fn put_if(
        &self,
        key: &str,
        value: &T,
        condition: Condition,
        options: PutOptions,
    ) -> Result<u64, Error> {
        self.cache.put_if(&self.name, key.to_owned(), codec::encode(value)?, condition, options).await
    }
}

impl<T: DeserializeOwned> Typed<T> {
    /// Reads a key from this node's replica: at once, on this thread.
    ///
    /// # Errors
    /// As [`Cache::get`]; [`Error::Codec`] if something else is stored there.
    pub fn get(&self, key: &str) -> Result<Option<T>, Error> {
        self.cache.get(&self.name, key)?.map(|value| codec::decode(&value)).transpose()
    }

    /// As [`Typed::get`], and waits while this node is catching up with what the session has seen.
    ///
    /// # Errors
    /// As [`Cache::read`]; [`Error::Codec`] if something else is stored there.
    pub async fn read(&self, key: &str) -> Result<Option<T>, Error> {
        self.cache.read(&self.name, key).await?.map(|value| codec::decode(&value)).transpose()
    }

    /// Reads what stands at this moment.
    ///
    /// # Errors
    /// As [`Cache::get_linearizable`]; [`Error::Codec`] if something else is stored there.
    pub async fn get_linearizable(&self, key: &str) -> Result<Option<T>, Error> {
        self.cache.get_linearizable(&self.name, key).await?.map(|value| codec::decode(&value)).transpose()
    }

    /// Gets and removes a value in one linearizable step: of all who take it, one gets it.
    ///
    /// # Errors
    /// As [`Cache::take`]; [`Error::Codec`] if it was something else: it is gone all the same.
    pub async fn take(&self, key: &str) -> Result<Option<T>, Error> {
        let taken = self.cache.take(&self.name, key.to_owned(), AckLevel::Quorum).await?;
        taken.map(|value| codec::decode(&value)).transpose()
    }
}
