//! The probe in one pod: the application that talks to the agent beside it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rauthy_probe::{Answer, Outcome};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::eventually;

/// The cache that all tests write to.
const CACHE: &str = "e2e";
/// Longer than any call of the probe may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a read lease of a member is, unless somebody sets it.
const LEASE: Duration = Duration::from_secs(1);

/// The probe of one pod.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// The pod's address.
    pub ip: IpAddr,
}

impl App {
    /// Puts at level Quorum, and demands that it is acknowledged.
    ///
    /// # Errors
    /// If it is not.
    pub async fn put(self, key: &str, value: &str) -> anyhow::Result<()> {
        let answer = self.try_put(key, value, 5000).await?;
        ensure!(answer.outcome == Outcome::Ok, "put {key}={value} through {}: {answer:?}", self.ip);
        Ok(())
    }

    /// Puts at level Quorum within `deadline_ms`; the answer, whatever it is.
    ///
    /// # Errors
    /// If the probe does not answer.
    pub async fn try_put(self, key: &str, value: &str, deadline_ms: u64) -> anyhow::Result<Answer> {
        self.json("POST", &format!("/put?cache={CACHE}&key={key}&value={value}&deadline_ms={deadline_ms}"))
            .await
    }

    /// Reads; the answer, whatever it is.
    ///
    /// # Errors
    /// If the probe does not answer.
    pub async fn try_get(self, key: &str) -> anyhow::Result<Answer> {
        self.json("GET", &format!("/get?cache={CACHE}&key={key}")).await
    }

    /// Reads, and demands a truthful answer: the value, or `None` for a miss.
    ///
    /// # Errors
    /// If there is none.
    pub async fn get(self, key: &str) -> anyhow::Result<Option<String>> {
        let answer = self.try_get(key).await?;
        ensure!(answer.outcome == Outcome::Ok, "get {key} through {}: {answer:?}", self.ip);
        Ok(answer.value)
    }

    /// Demands that a read answers `expected`: within a lease, for a local read may be that far behind what others, or
    /// this client in another call, were told.
    ///
    /// # Errors
    /// If it answers anything else.
    pub async fn holds(self, key: &str, expected: Option<&str>) -> anyhow::Result<()> {
        eventually(&format!("{key} through {} is {expected:?}", self.ip), LEASE, async || {
            let value = self.get(key).await?;
            ensure!(value.as_deref() == expected, "{value:?}");
            anyhow::Ok(())
        })
        .await
    }

    /// Stores `prefix-0` to `prefix-(count-1)`, `size` bytes each.
    ///
    /// # Errors
    /// If one is not acknowledged.
    pub async fn fill(self, prefix: &str, count: u64, size: u64) -> anyhow::Result<()> {
        let path = format!("/fill?cache={CACHE}&prefix={prefix}&count={count}&size={size}");
        let answer: Answer = self.json("POST", &path).await?;
        ensure!(answer.outcome == Outcome::Ok, "filling stopped at {:?}: {answer:?}", answer.version);
        Ok(())
    }

    /// Demands that all that [`App::fill`] stored is there.
    ///
    /// # Errors
    /// The first that is not.
    pub async fn holds_filling(self, prefix: &str, count: u64) -> anyhow::Result<()> {
        let path = format!("/get-all?cache={CACHE}&prefix={prefix}&count={count}");
        let answers: Vec<Answer> = self.json("GET", &path).await?;
        ensure!(u64::try_from(answers.len())? == count, "{} of {count} answers", answers.len());
        for (i, answer) in answers.iter().enumerate() {
            let there = answer.value.as_deref().is_some_and(|v| v.trim_end_matches('.') == i.to_string());
            ensure!(there, "{prefix}-{i} through {}: {answer:?}", self.ip);
        }
        Ok(())
    }

    /// Whether the agent itself says that it is seated, caught up and leased (its `/readyz`).
    ///
    /// # Errors
    /// What it says else.
    pub async fn agent_ready(self) -> anyhow::Result<()> {
        let (code, body) = http(self.ip, 8081, "GET", "/readyz").await?;
        ensure!(code == 200, "/readyz says {code}: {body}");
        Ok(())
    }

    async fn json<T: DeserializeOwned>(self, method: &str, path: &str) -> anyhow::Result<T> {
        let (code, body) = http(self.ip, 8080, method, path).await?;
        if code != 200 {
            bail!("{method} {path} at {}: {code} {body}", self.ip);
        }
        serde_json::from_str(&body).with_context(|| format!("{method} {path}: {body}"))
    }
}

/// One HTTP/1.1 request without a body, on a connection of its own: status code and body.
///
/// # Errors
/// If the server is not reached, or answers no HTTP.
pub async fn http(ip: IpAddr, port: u16, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect((ip, port)).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {ip}:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .with_context(|| format!("{method} {path} at {ip}:{port}: no answer within {TIMEOUT:?}"))?
        .with_context(|| format!("{method} {path} at {ip}:{port}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok()).context("an answer without a code")?;
    Ok((code, body.to_owned()))
}
