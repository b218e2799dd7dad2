//! Redis: a primary with replicas, as a quorum write is done there: `SET`, then `WAIT 1` on the same connection, sent
//! together. `WAIT` holds up its connection, so that every task has one of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use rauthy_load::{Outcome, Target, What, key, value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Where.
#[derive(Args)]
pub struct Place {
    /// The primary.
    address: SocketAddr,
    /// How many replicas it has.
    replicas: usize,
}

type Connection = BufStream<TcpStream>;

/// Hands out connections, and makes them when there is none to spare.
#[derive(Clone)]
struct Primary {
    address: SocketAddr,
    replicas: usize,
    spare: Arc<Mutex<Vec<Connection>>>,
    value: Arc<Vec<u8>>,
}

impl Primary {
    async fn connection(&self) -> std::io::Result<Connection> {
        if let Some(spare) = self.spare.lock().await.pop() {
            return Ok(spare);
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(BufStream::new(stream))
    }

    /// How many replicas follow: those that are still being filled acknowledge nothing.
    async fn following(&self) -> std::io::Result<usize> {
        let mut connection = self.connection().await?;
        let mut out = Vec::new();
        command(&mut out, &[b"INFO", b"replication"]);
        connection.write_all(&out).await?;
        connection.flush().await?;
        let info = bulk(&mut connection).await?.unwrap_or_default();
        self.spare.lock().await.push(connection);
        Ok(String::from_utf8_lossy(&info).matches("state=online").count())
    }

    async fn ask(&self, what: What, number: usize) -> std::io::Result<bool> {
        let mut connection = self.connection().await?;
        let key = key(number);
        let mut out = Vec::with_capacity(256);
        let done = if what == What::Get {
            command(&mut out, &[b"GET", key.as_bytes()]);
            connection.write_all(&out).await?;
            connection.flush().await?;
            bulk(&mut connection).await?.is_some()
        } else {
            command(&mut out, &[b"SET", key.as_bytes(), &self.value]);
            let waits = what == What::Put;
            if waits {
                command(&mut out, &[b"WAIT", b"1", b"1000"]);
            }
            connection.write_all(&out).await?;
            connection.flush().await?;
            let set = line(&mut connection).await? == "+OK";
            set && (!waits || line(&mut connection).await?.strip_prefix(':').is_some_and(|n| n != "0"))
        };
        self.spare.lock().await.push(connection);
        Ok(done)
    }
}

fn command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

async fn line(connection: &mut Connection) -> std::io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// Reads a value; `None`: there is none.
async fn bulk(connection: &mut Connection) -> std::io::Result<Option<Vec<u8>>> {
    let Some(length) = line(connection).await?.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) else {
        return Ok(None);
    };
    let mut value = vec![0; length + 2];
    connection.read_exact(&mut value).await?;
    value.truncate(length);
    Ok(Some(value))
}

impl Target for Primary {
    /// A primary without its replicas leads nobody: each write would wait for them until it is too late.
    async fn leads(&self) -> bool {
        self.following().await.is_ok_and(|following| following >= self.replicas)
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        if !matches!(what, What::Put | What::PutLeader | What::Get) {
            return Err("Redis has no such operation".into());
        }
        match self.ask(what, number).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("refused, or no replica had it in time".into()),
            Err(why) => Err(why.to_string()),
        }
    }
}

/// Runs a client until stdin ends.
///
/// # Errors
/// If stdout is closed.
pub async fn run(place: Place) -> anyhow::Result<()> {
    let Place { address, replicas } = place;
    let primary = Primary { address, replicas, spare: Arc::default(), value: Arc::new(value()) };
    rauthy_load::serve(primary).await?;
    Ok(())
}
