//! How often strangers may knock: what a TLS handshake costs is paid before anybody has proven anything.
//!
//! ```text
//! Pace ── buckets: origin ─▶ knocks left (a token bucket)      all: one bucket for all unknown origins together
//! ```
//!
//! Token buckets (Turner 1986): each origin may knock [`BURST`] times at once and [`PER_SECOND`] times a second from
//! then on. Addresses of peers are not slowed down by the bucket that all strangers share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::room;

/// Connections of one origin at once.
const BURST: f64 = 64.0;
/// Connections of one origin in a second. A peer redials its three streams every 0.2 to 2 s.
const PER_SECOND: f64 = 32.0;
/// This host has more: behind the proxy of a service mesh all peers come from there, and so do agents side by side.
const LOOPBACK: f64 = 4.0;
/// All unknown origins together have this many times as much as one.
const ALL: f64 = 4.0;
/// Origins that are remembered.
const ORIGINS: usize = 1024;

#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Instant,
    times: f64,
}

impl Bucket {
    fn new(times: f64, now: Instant) -> Self {
        Self { left: BURST * times, since: now, times }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * PER_SECOND * self.times).min(BURST * self.times);
        self.since = now;
    }

    fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[derive(Debug)]
struct Buckets {
    each: HashMap<IpAddr, Bucket>,
    all: Bucket,
}

/// Who knocked how often lately.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Buckets>);

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Buckets { each: HashMap::new(), all: Bucket::new(ALL, Instant::now()) }))
    }
}

impl Pace {
    /// Whether one more connection of this address is looked at now. `known`: a peer was there lately.
    pub fn allows(&self, address: IpAddr, known: bool, now: Instant) -> bool {
        // A peer does not share the bucket of those who have addresses in the same network.
        let origin = if known { address.to_canonical() } else { room::origin(address) };
        let times = if origin.is_loopback() { LOOPBACK } else { 1.0 };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { each, all } = &mut *buckets;
        if each.len() >= ORIGINS && !each.contains_key(&origin) {
            // Who has not come for so long that its bucket is full again is as good as new.
            each.retain(|_, bucket| {
                bucket.fill(now);
                bucket.left < BURST * bucket.times
            });
        }
        let free = known || origin.is_loopback();
        if each.len() < ORIGINS || each.contains_key(&origin) {
            each.entry(origin).or_insert_with(|| Bucket::new(times, now)).take(now) && (free || all.take(now))
        } else {
            // More origins than can be told apart: the bucket of all is what bounds them.
            free || all.take(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits((10 << 24) + n))
    }

    fn knocks(pace: &Pace, from: IpAddr, known: bool, now: Instant) -> usize {
        (0..10_000).take_while(|_| pace.allows(from, known, now)).count()
    }

    #[test]
    fn an_origin_is_slowed_down_and_the_others_are_not() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(knocks(&pace, ip(1), false, now), 64);
        assert_eq!(knocks(&pace, ip(2), false, now), 64);
        assert_eq!(knocks(&pace, ip(1), false, now + Duration::from_secs(1)), 32);
        assert_eq!(knocks(&pace, ip(1), false, now + Duration::from_secs(3600)), 64);
        assert_eq!(knocks(&pace, "127.0.0.1".parse().unwrap(), false, now), 256);
    }

    #[test]
    fn strangers_in_the_network_of_a_peer_do_not_slow_it_down() {
        let (pace, now) = (Pace::default(), Instant::now());
        let (stranger, peer) = ("fd77::1".parse().unwrap(), "fd77::2".parse().unwrap());
        assert_eq!(knocks(&pace, stranger, false, now), 64);
        assert!(!pace.allows("fd77::3".parse().unwrap(), false, now), "one network, one bucket");
        assert_eq!(knocks(&pace, peer, true, now), 64, "a known address has one of its own");
    }

    #[test]
    fn many_origins_slow_each_other_down_but_not_a_peer() {
        let (pace, now) = (Pace::default(), Instant::now());
        let all: usize = (0..100_000).filter(|n| pace.allows(ip(*n), false, now)).count();
        assert_eq!(all, 256);
        assert!(pace.0.lock().unwrap().each.len() <= ORIGINS);
        assert!(!pace.allows(ip(1 << 20), false, now));
        assert!(pace.allows(ip(1 << 20), true, now), "a known address does not share their bucket");
        let later = now + Duration::from_secs(60);
        assert!(pace.allows(ip(1 << 20), false, later));
        assert_eq!(pace.0.lock().unwrap().each.len(), 1, "the others are forgotten");
    }
}
