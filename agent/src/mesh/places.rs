//! How many places one address may hold among those that strangers share, so that one of them cannot hold them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What this host itself may hold: behind the proxy of a service mesh every peer comes from there. Nine members, three
/// streams each, and the ones that take their place.
const LOOPBACK: usize = 9 * 3 * 2;

/// Who holds how many. Only those who hold one are listed, so it is as bounded as the places are in all.
#[derive(Debug)]
pub(super) struct Places {
    each: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// One address may hold so many.
    pub fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { each, held: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for this address, until it is dropped; `None`: it holds as many as it may.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let most = if address.is_loopback() { self.each.max(LOOPBACK) } else { self.each };
        let mut all = self.held();
        let held = all.get(&address).copied().unwrap_or(0);
        if held >= most {
            return None;
        }
        all.insert(address, held + 1);
        Some(Place { address, places: self.clone() })
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.held();
        match all.get_mut(&self.address) {
            Some(held) if *held > 1 => *held -= 1,
            _ => {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gives_it_back() {
        let places = Places::new(2);
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut held: Vec<Place> = (0..2).map(|_| places.take(one).unwrap()).collect();
        assert!(places.take(one).is_none());
        assert!(places.take("::ffff:10.0.0.1".parse().unwrap()).is_none(), "the same one in other words");
        held.push(places.take(other).unwrap());
        held.remove(0);
        held.push(places.take(one).unwrap());
        held.clear();
        assert!(places.held().is_empty(), "nobody is remembered who holds nothing");
    }

    #[test]
    fn all_peers_may_come_through_a_proxy_on_this_host() {
        let places = Places::new(2);
        let proxy = "127.0.0.6".parse().unwrap();
        let held: Vec<Place> = (0..LOOPBACK).map_while(|_| places.take(proxy)).collect();
        assert_eq!(held.len(), 54);
        assert!(places.take(proxy).is_none());
    }
}
