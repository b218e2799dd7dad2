//! Which stream is the link to a peer, for each purpose.
//!
//! An authenticated stream is a link, whoever dialled it. Where both sides dialled at the same moment the stream of the
//! smaller slot wins, on both sides alike; else the newer one does, because a peer dials only when it holds its old
//! link for dead. A link that lost is retired after a moment, so that there is one at any time and nothing that was
//! queued is lost.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rauthy_core::Slot;
use rauthy_proto::mesh::{Frame, Purpose};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::queue::{Dropped, Sender};

/// A process that was heard from within this time lives.
const LIVES: Duration = Duration::from_secs(3);
/// Two streams dialled from different sides within this time are a tie.
const TIE: Duration = Duration::from_secs(5);
/// How long a retired stream stays open.
const RETIRE: Duration = Duration::from_secs(1);

/// One authenticated stream.
#[derive(Debug)]
pub struct Link {
    id: u64,
    boot: Bytes,
    version: u32,
    /// This side dialled it.
    pub mine: bool,
    /// The other end.
    pub remote: Option<SocketAddr>,
    since: Instant,
    heard: Arc<Heard>,
    tx: Sender,
    end: CancellationToken,
}

impl Link {
    /// The version of the format that is spoken on it.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// An authenticated stream that may become a link.
#[derive(Debug)]
pub struct Stream {
    /// The life of the process at the other end.
    pub boot: Bytes,
    /// The version of the format that is spoken on it.
    pub version: u32,
    /// Where frames are put.
    pub tx: Sender,
    /// This side dialled it.
    pub mine: bool,
    /// The other end.
    pub remote: Option<SocketAddr>,
}

/// When something was last heard on a stream.
#[derive(Debug)]
pub struct Heard(Instant, AtomicU64);

impl Default for Heard {
    fn default() -> Self {
        Self(Instant::now(), AtomicU64::new(0))
    }
}

impl Heard {
    /// Something was heard.
    pub fn now(&self) {
        self.1.store(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        self.0.elapsed().saturating_sub(Duration::from_millis(self.1.load(Ordering::Relaxed)))
    }
}

/// What became of a stream that asked to be a link.
#[derive(Debug)]
pub struct Joined {
    /// For [`Links::leave`].
    pub id: u64,
    /// To be told of every frame.
    pub heard: Arc<Heard>,
    /// Ends the stream.
    pub end: CancellationToken,
    /// The streams of an earlier process of this slot ended for it.
    pub replaced_process: bool,
}

/// Another live process already is this slot.
#[derive(Debug, PartialEq, Eq)]
pub struct Duplicate;

/// All links of this process.
#[derive(Debug)]
pub struct Links {
    me: Slot,
    next: AtomicU64,
    map: RwLock<BTreeMap<(Slot, Purpose), Link>>,
    /// Changes whenever a link comes or goes.
    changed: watch::Sender<u64>,
}

type Map = BTreeMap<(Slot, Purpose), Link>;

impl Links {
    /// None yet.
    #[must_use]
    pub fn new(me: Slot) -> Self {
        Self { me, next: AtomicU64::new(1), map: RwLock::default(), changed: watch::Sender::new(0) }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a process other than this one is the slot, and lives.
    #[must_use]
    pub fn duplicate(&self, slot: &Slot, boot: &Bytes) -> bool {
        self.read().iter().any(|((s, _), link)| s == slot && link.boot != boot && link.heard.ago() < LIVES)
    }

    /// An authenticated stream asks to be a link.
    ///
    /// # Errors
    /// If another live process already is this slot.
    pub fn join(&self, slot: &Slot, purpose: Purpose, stream: Stream) -> Result<Joined, Duplicate> {
        let Stream { boot, version, tx, mine, remote } = stream;
        let mut map = self.write();
        if map.iter().any(|((s, _), link)| s == slot && link.boot != boot && link.heard.ago() < LIVES) {
            return Err(Duplicate);
        }
        let before = map.len();
        map.retain(|(s, _), link| {
            let stays = s != slot || link.boot == boot;
            if !stays {
                link.end.cancel();
            }
            stays
        });
        let replaced_process = map.len() < before;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (heard, end) = (Arc::new(Heard::default()), CancellationToken::new());
        let link = Link {
            id,
            boot,
            version,
            mine,
            remote,
            since: Instant::now(),
            heard: heard.clone(),
            tx,
            end: end.clone(),
        };
        let key = (slot.clone(), purpose);
        let loser = match map.get(&key) {
            Some(old) if !replaces(&self.me, slot, mine, old.mine, old.since.elapsed()) => Some(link),
            _ => map.insert(key, link),
        };
        drop(map);
        if let Some(loser) = loser {
            retire(loser);
        }
        self.changed.send_modify(|n| *n += 1);
        Ok(Joined { id, heard, end, replaced_process })
    }

    /// A stream ended. True: it was the link, and there is none now.
    pub fn leave(&self, slot: &Slot, purpose: Purpose, id: u64) -> bool {
        let mut map = self.write();
        let key = (slot.clone(), purpose);
        let was = map.get(&key).is_some_and(|link| link.id == id);
        if was {
            map.remove(&key);
        }
        drop(map);
        if was {
            self.changed.send_modify(|n| *n += 1);
        }
        was
    }

    /// Ends all streams of a slot that is no peer any more.
    pub fn end(&self, slot: &Slot) {
        self.write().retain(|(s, _), link| {
            if s == slot {
                link.end.cancel();
            }
            s != slot
        });
        self.changed.send_modify(|n| *n += 1);
    }

    /// Puts a frame of about `size` bytes into the queue of a link; never waits.
    ///
    /// # Errors
    /// In one word, why it was dropped.
    pub fn send(&self, slot: &Slot, purpose: Purpose, frame: Frame, size: usize) -> Result<(), &'static str> {
        let map = self.read();
        let link = map.get(&(slot.clone(), purpose)).ok_or("no_link")?;
        link.tx.put(frame, size).map_err(|e| match e {
            Dropped::Full => "queue_full",
            Dropped::Ended => "no_link",
        })
    }

    /// Looks at the link, if there is one.
    pub fn with<T>(&self, slot: &Slot, purpose: Purpose, look: impl FnOnce(&Link) -> T) -> Option<T> {
        self.read().get(&(slot.clone(), purpose)).map(look)
    }

    /// Which peers have a link, and at which address. Loopback is left out: it means something else to a peer.
    #[must_use]
    pub fn seen(&self) -> Vec<(Slot, IpAddr)> {
        let map = self.read();
        let control = map.iter().filter(|((_, purpose), _)| *purpose == Purpose::Control);
        let seen =
            control.filter_map(|((slot, _), link)| Some((slot.clone(), link.remote?.ip().to_canonical())));
        seen.filter(|(_, ip)| !ip.is_loopback()).collect()
    }

    /// To be told of changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The peers that there is a link of this purpose to.
    #[must_use]
    pub fn peers(&self, purpose: Purpose) -> Vec<Slot> {
        self.read().keys().filter(|(_, p)| *p == purpose).map(|(slot, _)| slot.clone()).collect()
    }

    /// Ends all streams.
    pub fn clear(&self) {
        for (_, link) in std::mem::take(&mut *self.write()) {
            link.end.cancel();
        }
    }
}

/// Whether a new stream takes the place of one that is `age` old.
fn replaces(me: &Slot, peer: &Slot, new_is_mine: bool, old_is_mine: bool, age: Duration) -> bool {
    let from_smaller = new_is_mine == (me < peer);
    new_is_mine == old_is_mine || age > TIE || from_smaller
}

fn retire(link: Link) {
    tokio::spawn(async move {
        tokio::time::sleep(RETIRE).await;
        link.end.cancel();
        drop(link.tx);
    });
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::super::queue::{Receiver, queue};
    use super::*;

    const A: &str = "a:1";
    const B: &str = "b:1";

    fn boot(n: u8) -> Bytes {
        vec![n; 16].into()
    }

    fn join(links: &Links, boot_n: u8, mine: bool) -> (Result<Joined, Duplicate>, Receiver) {
        let (tx, rx) = queue();
        let stream = Stream { boot: boot(boot_n), version: 3, tx, mine, remote: None };
        (links.join(&Slot::new(B), Purpose::Control, stream), rx)
    }

    #[test]
    fn both_sides_choose_the_same_stream_of_a_tie() {
        let (a, b) = (Slot::new(A), Slot::new(B));
        let young = Duration::from_millis(10);
        // The stream that a dialled replaces, at a and at b, the one that b dialled; and never the other way.
        assert!(replaces(&a, &b, true, false, young) && replaces(&b, &a, false, true, young));
        assert!(!replaces(&a, &b, false, true, young) && !replaces(&b, &a, true, false, young));
        // Whoever dials again holds the old one for dead.
        assert!(replaces(&a, &b, false, false, young) && replaces(&a, &b, false, true, TIE * 2));
    }

    #[tokio::test]
    async fn there_is_a_link_at_any_time_and_the_loser_ends() {
        let links = Links::new(Slot::new(A));
        let (theirs, mut their_rx) = join(&links, 1, false);
        let (mine, mut my_rx) = join(&links, 1, true);
        let (theirs, mine) = (theirs.unwrap(), mine.unwrap());
        links.send(&Slot::new(B), Purpose::Control, Frame::default(), 1).unwrap();
        assert!(my_rx.next().await.is_some());
        let nothing = tokio::time::timeout(Duration::ZERO, their_rx.next()).await;
        assert!(nothing.is_err(), "the loser gets nothing");
        tokio::time::timeout(Duration::from_secs(10), theirs.end.cancelled()).await.unwrap();
        assert!(!links.leave(&Slot::new(B), Purpose::Control, theirs.id), "it was no link any more");
        assert!(links.leave(&Slot::new(B), Purpose::Control, mine.id));
        assert_eq!(links.send(&Slot::new(B), Purpose::Control, Frame::default(), 1), Err("no_link"));
    }

    #[tokio::test]
    async fn a_slot_is_one_live_process() {
        let links = Links::new(Slot::new(A));
        let (first, _rx1) = join(&links, 1, false);
        let first = first.unwrap();
        assert!(links.duplicate(&Slot::new(B), &boot(2)));
        let (second, _rx2) = join(&links, 2, false);
        assert_eq!(second.err(), Some(Duplicate));
        // Silent for long enough: its successor is taken, and what it had ends.
        links.write().values_mut().for_each(|link| {
            link.heard = Arc::new(Heard(Instant::now().checked_sub(LIVES).unwrap(), AtomicU64::new(0)));
        });
        let (third, _rx3) = join(&links, 2, false);
        assert!(third.unwrap().replaced_process);
        assert!(first.end.is_cancelled());
    }
}
