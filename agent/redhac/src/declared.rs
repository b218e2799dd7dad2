//! What an application declares with a type of the crate `cached`, as limits of a replicated cache.

use std::any::Any;
use std::time::Duration;

use cached::{Cached, TimedCache, TimedSizedCache};
use rauthy_client::{Limits, limits};

/// One declared cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Values, at most; the one that was written longest ago makes room.
    size: Option<u64>,
    /// How long a value lives after it was written.
    pub lifespan: Option<Duration>,
}

impl Declared {
    /// Reads size and lifespan; the values that `cache` may hold already are not taken over.
    pub fn of<C: Cached<String, Vec<u8>> + 'static>(name: &str, cache: &C) -> Self {
        let any = cache as &dyn Any;
        let refreshes = any.downcast_ref::<TimedCache<String, Vec<u8>>>().is_some_and(TimedCache::refresh)
            || any.downcast_ref::<TimedSizedCache<String, Vec<u8>>>().is_some_and(TimedSizedCache::refresh);
        if refreshes {
            tracing::warn!(
                "cache {name}: a value's lifespan counts from when it was written, reads do not extend it"
            );
        }
        let size = cache.cache_capacity().map(|size| (size.max(1) as u64).min(limits::COUNT));
        // Less than a second is none for `cached`, and none is possible here.
        let lifespan = cache.cache_lifespan().map(|seconds| Duration::from_secs(seconds.max(1)));
        Self { size, lifespan: lifespan.map(|lifespan| lifespan.min(limits::TTL)) }
    }

    /// Direct: `cache_put` and `cache_del` go past the leader.
    pub fn limits(self) -> Limits {
        Limits {
            entries: self.size,
            bytes: None,
            ttl: self.lifespan,
            evict: self.size.is_some(),
            direct: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use cached::{SizedCache, UnboundCache};

    use super::*;

    #[test]
    fn size_and_lifespan_are_taken_over() {
        let limits = |declared: Declared| {
            let limits = declared.limits();
            assert!(limits.direct && limits.evict == limits.entries.is_some());
            (limits.entries, limits.ttl.map(|ttl| ttl.as_secs()))
        };
        assert_eq!(limits(Declared::of("c", &SizedCache::with_size(16))), (Some(16), None));
        assert_eq!(limits(Declared::of("c", &TimedCache::with_lifespan(60))), (None, Some(60)));
        assert_eq!(
            limits(Declared::of("c", &TimedCache::with_lifespan_and_refresh(60, true))),
            (None, Some(60))
        );
        let both = TimedSizedCache::with_size_and_lifespan(2, 1);
        assert_eq!(limits(Declared::of("c", &both)), (Some(2), Some(1)));
        assert_eq!(limits(Declared::of("c", &UnboundCache::new())), (None, None));
        let ages = Declared::of("c", &TimedCache::with_lifespan(u64::MAX));
        assert_eq!(ages.lifespan, Some(limits::TTL));
    }
}
