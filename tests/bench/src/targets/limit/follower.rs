//! Takes frames, writes them into a map, and says how far it is.

use std::net::SocketAddr;

use bytes::BytesMut;
use clap::Args;
use hashbrown::HashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Pair, take_frame};

/// Where.
#[derive(Args)]
pub struct Place {
    /// Where it listens.
    address: SocketAddr,
}

/// Serves one leader after the other, until it is killed.
///
/// # Errors
/// If the port cannot be had.
pub async fn serve(place: Place) -> anyhow::Result<()> {
    let listener = TcpListener::bind(place.address).await?;
    let mut map = HashMap::new();
    loop {
        let (stream, _) = listener.accept().await?;
        // Its leader is gone; the next one may come.
        let _ = follow(stream, &mut map).await;
    }
}

async fn follow(mut stream: TcpStream, map: &mut HashMap<bytes::Bytes, bytes::Bytes>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(1 << 20);
    loop {
        let mut acked = None;
        while let Some((last, pairs)) = take_frame(&mut buffer) {
            map.extend(pairs.into_iter().map(|Pair { key, value }| (key, value)));
            acked = Some(last);
        }
        if let Some(last) = acked {
            stream.write_all(&last.to_le_bytes()).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
