//! The agent's socket, for clients elsewhere: they ask through the application of a pod as the application itself would.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where it listens, on all addresses of the pod.
pub const PORT: u16 = 8082;

/// Joins each connection with one of its own to the agent at `target` (as `RAUTHY_CACHE_SOCKET` says it), until this is
/// dropped.
pub async fn serve(listener: TcpListener, target: String) {
    loop {
        // A connection that ended before it was accepted is the client's affair.
        if let Ok((client, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                // Whoever waits at the other end sees that it ends.
                let _ = join(client, &target).await;
            });
        }
    }
}

async fn join(mut client: TcpStream, target: &str) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    match target.strip_prefix("unix://") {
        Some(path) => {
            copy_bidirectional(&mut client, &mut UnixStream::connect(path).await?).await?;
        }
        None => {
            let mut agent = TcpStream::connect(target.trim_start_matches("http://")).await?;
            agent.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut agent).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn what_is_said_arrives_and_an_end_is_seen_at_the_other_end() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("rauthy-probe-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("agent.sock");
        let agent = UnixListener::bind(&path)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, format!("unix://{}", path.display())));

        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"ask").await?;
        let (mut served, _) = agent.accept().await?;
        let mut heard = [0; 3];
        served.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"ask");
        served.write_all(b"answer").await?;
        drop(served);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert_eq!(answer, "answer");

        drop(agent);
        std::fs::remove_dir_all(&folder)?;
        let mut client = TcpStream::connect(address).await?;
        assert_eq!(client.read(&mut heard).await.unwrap_or(0), 0, "nobody is there, and nothing is said");
        Ok(())
    }
}
