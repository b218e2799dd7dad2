//! What the service accepts. Client and agent use the same numbers, so that a request that the client lets pass is
//! never refused for its size.

use std::time::Duration;

/// Longest name of a cache, in bytes. The shortest is one.
pub const CACHE_NAME: usize = 64;
/// Longest key, in bytes. The shortest is one.
pub const KEY: usize = 64 << 10;
/// Longest value, in bytes. The shortest is none.
pub const VALUE: usize = 1 << 20;
/// Longest time to live: a hundred years. Log time counts microseconds, and this stays far from its end.
pub const TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Greatest number of values or bytes that a cache can be limited to.
pub const COUNT: u64 = 1 << 60;
/// Longest message. Above the sum of the others, so that what is a little too long is refused with its name.
pub const MESSAGE: usize = 2 << 20;
/// How long a call may take when the caller does not say.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// What is wrong with the name of a cache, if anything.
#[must_use]
pub fn check_cache(cache: &str) -> Option<String> {
    (cache.is_empty() || cache.len() > CACHE_NAME)
        .then(|| format!("the cache name has {} bytes; 1 to {CACHE_NAME} are allowed", cache.len()))
}

/// What is wrong with a key, if anything.
#[must_use]
pub fn check_key(key: &[u8]) -> Option<String> {
    (key.is_empty() || key.len() > KEY)
        .then(|| format!("the key has {} bytes; 1 to {KEY} are allowed", key.len()))
}

/// What is wrong with a value, if anything.
#[must_use]
pub fn check_value(value: &[u8]) -> Option<String> {
    (value.len() > VALUE).then(|| format!("the value has {} bytes; at most {VALUE} are allowed", value.len()))
}

/// What is wrong with a time to live, if anything.
#[must_use]
pub fn check_ttl(ttl: Duration) -> Option<String> {
    (ttl > TTL || ttl < Duration::from_millis(1))
        .then(|| format!("the time to live is {ttl:?}; 1 ms to {} days are allowed", TTL.as_secs() / 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_where_they_are_documented() {
        assert!(check_cache("").is_some());
        assert!(check_cache(&"x".repeat(64)).is_none());
        assert!(check_cache(&"x".repeat(65)).is_some());
        assert!(check_key(b"").is_some());
        assert!(check_key(&[0; 64 << 10]).is_none());
        assert!(check_key(&[0; (64 << 10) + 1]).is_some());
        assert!(check_value(b"").is_none());
        assert!(check_value(&[0; 1 << 20]).is_none());
        assert!(check_value(&[0; (1 << 20) + 1]).is_some());
        assert!(check_ttl(Duration::ZERO).is_some());
        assert!(check_ttl(Duration::from_millis(1)).is_none());
        assert!(check_ttl(TTL + Duration::from_millis(1)).is_some());
    }
}
