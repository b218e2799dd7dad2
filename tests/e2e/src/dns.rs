//! One question to the cluster's DNS, to see what its cache says and for how long.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::net::UdpSocket;

/// An address record, as the cache holds it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The address.
    pub address: Ipv4Addr,
    /// Seconds that the cache will go on to say so.
    pub ttl: u32,
}

/// Asks the resolver of this network for the addresses of `name`. Empty: there is no such name.
///
/// # Errors
/// If there is no answer, or one that cannot be understood.
pub async fn ask(name: &str) -> anyhow::Result<Vec<Record>> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(resolver()?).await?;
    socket.send(&question(name)).await?;
    let mut answer = [0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(3), socket.recv(&mut answer)).await??;
    records(answer.get(..length).unwrap_or_default())
}

fn resolver() -> anyhow::Result<SocketAddr> {
    let file = std::fs::read_to_string("/etc/resolv.conf")?;
    let server =
        file.lines().find_map(|l| l.strip_prefix("nameserver ")).context("no nameserver in resolv.conf")?;
    Ok(SocketAddr::new(server.trim().parse::<IpAddr>()?, 53))
}

/// RFC 1035: a header with "recursion desired" and one question of type A, class IN.
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0x52, 0x41, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

fn records(answer: &[u8]) -> anyhow::Result<Vec<Record>> {
    let mut reader = Reader { bytes: answer, at: 4 };
    let (questions, answers) = (reader.number(2)?, reader.number(2)?);
    reader.at = 12;
    for _ in 0..questions {
        reader.skip_name()?;
        reader.number(4)?;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        reader.skip_name()?;
        let kind = reader.number(2)?;
        reader.number(2)?;
        let ttl = reader.number(4)?;
        let length = reader.number(2)?;
        if kind == 1 && length == 4 {
            records.push(Record { address: Ipv4Addr::from(reader.number(4)?), ttl });
        } else {
            reader.at += usize::try_from(length)?;
        }
    }
    Ok(records)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A big-endian number of up to 4 bytes.
    fn number(&mut self, bytes: usize) -> anyhow::Result<u32> {
        let slice = self.bytes.get(self.at..self.at + bytes).context("the answer is cut off")?;
        self.at += bytes;
        Ok(slice.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    fn skip_name(&mut self) -> anyhow::Result<()> {
        loop {
            let length = self.number(1)?;
            match length {
                0 => return Ok(()),
                // A pointer to a name that stood before.
                192.. => {
                    self.number(1)?;
                    return Ok(());
                }
                _ => {
                    ensure!(length < 64, "a label of {length} bytes");
                    self.at += usize::try_from(length)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_ttl() {
        let mut packet = question("a.bc");
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 27, 0, 4, 198, 18, 65, 3]);
        let record = Record { address: Ipv4Addr::new(198, 18, 65, 3), ttl: 27 };
        assert_eq!(records(&packet).unwrap(), [record]);
        assert!(records(&packet[..packet.len() - 1]).is_err());
    }
}
