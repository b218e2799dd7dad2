//! Sends what is written to its followers in batches, and answers when one of two has it: itself included, a majority.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use hashbrown::HashMap;
use rauthy_load::{Outcome, Target, What, value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};

use super::super::keys;
use super::{Pair, put_frame};

/// Writes of one frame, at most.
const BATCH: usize = 512;
/// A follower that is not there after this long does not come.
const CONNECT: Duration = Duration::from_secs(10);

/// Who follows.
#[derive(Args)]
pub struct Place {
    /// The followers' addresses.
    followers: Vec<SocketAddr>,
}

type Write = (Pair, oneshot::Sender<()>);

#[derive(Clone)]
struct Leader {
    writes: mpsc::Sender<Write>,
    keys: Arc<Vec<Bytes>>,
    value: Bytes,
}

impl Target for Leader {
    async fn leads(&self) -> bool {
        true
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        if what != What::Put {
            return Err("the limit has no such operation".into());
        }
        let (done, wait) = oneshot::channel();
        let pair = Pair { key: self.keys[number].clone(), value: self.value.clone() };
        self.writes.send((pair, done)).await.map_err(|_| "the leader has ended")?;
        wait.await.map_err(|_| "the followers are gone".into())
    }
}

/// Runs a leader until stdin ends.
///
/// # Errors
/// If a follower is not there.
pub async fn run(place: Place) -> anyhow::Result<()> {
    let (acked, acks) = mpsc::channel(1024);
    let mut followers = Vec::new();
    for (number, address) in place.followers.iter().enumerate() {
        let stream = tokio::time::timeout(CONNECT, connect(*address)).await?;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let (frames, mut waiting) = mpsc::channel::<Bytes>(64);
        followers.push(frames);
        tokio::spawn(async move {
            while let Some(frame) = waiting.recv().await {
                if write.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(listen(read, number, acked.clone()));
    }
    drop(acked);
    let (writes, waiting) = mpsc::channel(8192);
    tokio::spawn(lead(followers, waiting, acks));
    rauthy_load::serve(Leader { writes, keys: Arc::new(keys()), value: value().into() }).await?;
    Ok(())
}

async fn connect(address: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn listen(mut read: OwnedReadHalf, number: usize, acked: mpsc::Sender<(usize, u64)>) {
    let mut last = [0; 8];
    while read.read_exact(&mut last).await.is_ok() {
        if acked.send((number, u64::from_le_bytes(last))).await.is_err() {
            return;
        }
    }
}

async fn lead(
    followers: Vec<mpsc::Sender<Bytes>>,
    mut waiting: mpsc::Receiver<Write>,
    mut acks: mpsc::Receiver<(usize, u64)>,
) {
    let mut map = HashMap::new();
    let mut log: VecDeque<(u64, Write)> = VecDeque::new();
    let (mut last, mut acked) = (0, vec![0; followers.len()]);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            ack = acks.recv() => {
                let Some((number, upto)) = ack else { return };
                acked[number] = upto;
                while let Ok((number, upto)) = acks.try_recv() {
                    acked[number] = upto;
                }
                let majority = acked.iter().copied().max().unwrap_or(last);
                while log.front().is_some_and(|(number, _)| *number <= majority) {
                    let Some((_, (pair, done))) = log.pop_front() else { break };
                    map.insert(pair.key, pair.value);
                    let _ = done.send(());
                }
            }
            got = waiting.recv_many(&mut batch, BATCH) => {
                if got == 0 {
                    return;
                }
                let pairs: Vec<_> = batch.iter().map(|(pair, _): &Write| pair.clone()).collect();
                for write in batch.drain(..) {
                    last += 1;
                    log.push_back((last, write));
                }
                let mut frame = BytesMut::new();
                put_frame(&mut frame, last, &pairs);
                let frame = frame.freeze();
                for follower in &followers {
                    if follower.send(frame.clone()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
