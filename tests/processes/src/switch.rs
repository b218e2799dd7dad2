//! A switch in this process, which delays what it passes on. Few kernels of test machines have netem; all have TAP.
//!
//! ```text
//! port (a TAP device, moved into the namespace of a node) ─▶ reader ─▶ queue of (due, frame), one for each pair ─▶ port
//! ```

use std::collections::HashMap;
use std::sync::mpsc as sync;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tappers::tokio::AsyncTap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Frames on their way between two ports; beyond it they are lost, as in any switch.
const QUEUE: usize = 4096;
/// Of a frame: more than the devices' MTU of 1500 with its header.
const FRAME: usize = 2048;

type Address = [u8; 6];
/// Behind which port an address was seen.
type Learned = Arc<Mutex<HashMap<Address, usize>>>;

/// It works until it is dropped.
pub(crate) struct Switch {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// A switch with so many ports, and the names of their devices, which are in the namespace of this process.
    ///
    /// # Panics
    /// If the devices cannot be made.
    pub fn start(ports: usize, delay: Duration) -> (Self, Vec<String>) {
        let (stop, stopped) = oneshot::channel();
        let (ready, names) = sync::channel();
        // A thread of its own: no test that blocks its runtime delays a frame.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let ports: Vec<_> = (0..ports).map(|_| Arc::new(device())).collect();
                ready.send(ports.iter().map(|port| name(port)).collect()).unwrap();
                let _all = connect(&ports, delay);
                let _ = stopped.await;
            });
        });
        let names = names.recv().expect("the devices of a switch; is there a /dev/net/tun?");
        (Self { stop: Some(stop), thread: Some(thread) }, names)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn device() -> AsyncTap {
    AsyncTap::new().expect("a TAP device; this needs root and /dev/net/tun")
}

fn name(port: &AsyncTap) -> String {
    port.name().unwrap().name().into_string().unwrap()
}

fn connect(ports: &[Arc<AsyncTap>], delay: Duration) -> JoinSet<()> {
    let (learned, mut tasks) = (Learned::default(), JoinSet::new());
    for (from, port) in ports.iter().enumerate() {
        let mut to = Vec::new();
        for (at, other) in ports.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(QUEUE);
            if at != from {
                tasks.spawn(pass_on(receiver, other.clone()));
            }
            to.push((at != from).then_some(sender));
        }
        tasks.spawn(read(from, port.clone(), to, learned.clone(), delay));
    }
    tasks
}

type Frame = (Instant, Vec<u8>);

async fn read(
    from: usize,
    port: Arc<AsyncTap>,
    to: Vec<Option<mpsc::Sender<Frame>>>,
    learned: Learned,
    delay: Duration,
) {
    let mut buffer = [0; FRAME];
    while let Ok(length) = port.recv(&mut buffer).await {
        let due = Instant::now() + delay;
        let frame = &buffer[..length];
        let (Some(target), Some(source)) = (address(frame, 0), address(frame, 6)) else { continue };
        let known = {
            let mut learned = learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.insert(source, from);
            learned.get(&target).copied()
        };
        for (at, queue) in to.iter().enumerate() {
            if let Some(queue) = queue.as_ref().filter(|_| known.is_none_or(|known| known == at)) {
                // A full queue loses the frame.
                let _ = queue.try_send((due, frame.to_vec()));
            }
        }
    }
}

fn address(frame: &[u8], at: usize) -> Option<Address> {
    frame.get(at..at + 6)?.try_into().ok()
}

async fn pass_on(mut queue: mpsc::Receiver<Frame>, port: Arc<AsyncTap>) {
    while let Some((due, frame)) = queue.recv().await {
        sleep_until(due).await;
        // A device that is down takes nothing: the frame is lost.
        let _ = port.send(&frame).await;
    }
}
