//! Where strangers wait until they have proven who they are: few at a time, and none keeps the others out.
//!
//! ```text
//! Room ── waiting: number of arrival ─▶ (origin, known?, a token that sends it away)
//! ```
//!
//! There is always room for one more. Who comes when all places of its origin are taken takes that of the oldest of
//! these; when all places of the room are, the oldest of an origin with many makes room, else the oldest of all. A peer
//! proves itself within milliseconds, so strangers would have to come by the hundred in that time to send it away.
//! Refusing the newest instead would let them close the door by just standing in it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// What this host itself may hold: behind the proxy of a service mesh every peer comes from there. Nine members, three
/// streams each, and the ones that take their place.
const LOOPBACK: usize = 9 * 3 * 2;
/// Who holds no more than this does not lose a place for it.
const MODEST: usize = 8;

/// Addresses that count as one: a host has a whole /64 of IPv6 addresses to choose from.
pub(super) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

/// The waiting room.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    each: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// How many of each origin wait; none is listed that has none.
    held: HashMap<IpAddr, usize>,
    strangers: usize,
}

#[derive(Debug)]
struct Waiting {
    origin: IpAddr,
    known: bool,
    away: CancellationToken,
}

impl Inside {
    fn leave(&mut self, number: u64) -> Option<Waiting> {
        let one = self.waiting.remove(&number)?;
        self.strangers -= usize::from(!one.known);
        match self.held.get_mut(&one.origin) {
            Some(held) if *held > 1 => *held -= 1,
            _ => {
                self.held.remove(&one.origin);
            }
        }
        Some(one)
    }

    /// The oldest stranger among those of the origins that hold the most.
    fn dispensable(&self) -> Option<u64> {
        let strangers = || self.waiting.iter().filter(|(_, one)| !one.known);
        let held = |one: &Waiting| self.held.get(&one.origin).copied().unwrap_or(0).max(MODEST);
        let most = strangers().map(|(_, one)| held(one)).max()?;
        strangers().find(|(_, one)| held(one) == most).map(|(number, _)| *number)
    }
}

impl Room {
    /// `most` places for strangers, of which one origin may hold `each`.
    pub fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { most, each, inside: Mutex::default() })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, until it is dropped. `known`: a peer was at this address lately, so that it has its share whoever else
    /// comes, from the same network too. Second: from where somebody was sent away for it.
    pub fn enter(self: &Arc<Self>, address: IpAddr, known: bool) -> (Place, Option<IpAddr>) {
        let origin = if known { address.to_canonical() } else { origin(address) };
        let share = if origin.is_loopback() { self.each.max(LOOPBACK) } else { self.each };
        let mut inside = self.inside();
        let number = inside.next;
        inside.next += 1;
        let held = inside.held.get(&origin).copied().unwrap_or(0);
        let goes = if held >= share {
            inside.waiting.iter().find(|(_, one)| one.origin == origin).map(|(number, _)| *number)
        } else if !known && inside.strangers >= self.most {
            inside.dispensable()
        } else {
            None
        };
        let gone = goes.and_then(|number| inside.leave(number));
        let away = CancellationToken::new();
        *inside.held.entry(origin).or_default() += 1;
        inside.strangers += usize::from(!known);
        inside.waiting.insert(number, Waiting { origin, known, away: away.clone() });
        drop(inside);
        let gone = gone.map(|one| {
            one.away.cancel();
            one.origin
        });
        (Place { number, room: self.clone(), away }, gone)
    }
}

/// One place in the room.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    room: Arc<Room>,
    away: CancellationToken,
}

impl Place {
    /// Cancelled when another one needs the place.
    pub fn away(&self) -> &CancellationToken {
        &self.away
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inside().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn away(places: &[Place]) -> Vec<usize> {
        let gone = places.iter().enumerate().filter(|(_, place)| place.away().is_cancelled());
        gone.map(|(n, _)| n).collect()
    }

    #[test]
    fn each_origin_has_its_share_and_gives_it_back() {
        let room = Room::new(100, 2);
        let mut places: Vec<_> = (0..2).map(|_| room.enter(ip("10.0.0.1"), false).0).collect();
        places.push(room.enter(ip("10.0.0.2"), false).0);
        assert_eq!(away(&places).len(), 0);
        let (place, gone) = room.enter(ip("::ffff:10.0.0.1"), true);
        assert_eq!(
            gone,
            Some(ip("10.0.0.1")),
            "the same one in other words; known or not, its share is all it has"
        );
        places.push(place);
        assert_eq!(away(&places), [0], "its own oldest");
        places.clear();
        let inside = room.inside();
        assert!(
            inside.waiting.is_empty() && inside.held.is_empty(),
            "nobody is remembered who holds nothing"
        );
        assert_eq!(inside.strangers, 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin() {
        let room = Room::new(100, 2);
        let places: Vec<_> = (1..=3).map(|n| room.enter(ip(&format!("2001:db8::{n}")), false).0).collect();
        assert_eq!(away(&places), [0]);
        assert_eq!(room.enter(ip("2001:db8:0:1::1"), false).1, None, "another network");
        assert_eq!(room.enter(ip("2001:db8::4"), true).1, None, "a peer there has a share of its own");
        assert_ne!(origin(ip("::1")), origin(ip("::2")), "this host is not a network");
    }

    #[test]
    fn who_holds_much_makes_room_and_known_addresses_lose_nothing() {
        let room = Room::new(12, 10);
        let mut places = vec![room.enter(ip("10.0.0.1"), false).0, room.enter(ip("10.0.0.9"), true).0];
        places.extend((0..10).map(|_| room.enter(ip("10.0.0.2"), false).0));
        places.push(room.enter(ip("10.0.0.3"), false).0);
        assert_eq!(away(&places).len(), 0);
        places.push(room.enter(ip("10.0.0.4"), false).0);
        assert_eq!(away(&places), [2], "not the oldest of all, but of those that hold the most");
        // Many addresses with little each: then it is the oldest, which had the most time.
        let room = Room::new(3, 10);
        let mut places = vec![room.enter(ip("10.0.0.9"), true).0];
        places.extend((1..=4).map(|n| room.enter(ip(&format!("10.0.1.{n}")), false).0));
        assert_eq!(away(&places), [1]);
        places.push(room.enter(ip("10.0.0.8"), true).0);
        assert_eq!(away(&places), [1], "a known address needs no place of a stranger");
    }

    #[test]
    fn all_peers_may_come_through_a_proxy_on_this_host() {
        let room = Room::new(100, 2);
        let places: Vec<_> = (0..LOOPBACK).map(|_| room.enter(ip("127.0.0.6"), false).0).collect();
        assert_eq!((places.len(), away(&places)), (54, vec![]));
        assert!(room.enter(ip("127.0.0.6"), false).1.is_some());
    }
}
