//! Files that are read again when they change: the token, the host list, the certificates.
//!
//! A changed token is in use for every handshake from then on, changed certificates for every connection; streams that
//! stand are not touched. A changed host list is given to the core: it says who may found a generation and confirms a
//! change of size; who counts in the present generation, the log says. New members are dialled and let in at once, those
//! that are gone when the log leaves them.
//!
//! What cannot be used is said once, and in a metric for as long as it stays; what was read before stays in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rauthy_core::HostList;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::handle::Handle;
use super::metrics::Metrics;
use crate::config::{ConfigError, Tokens, hosts};
use crate::mesh::Me;
use crate::tls::{Look, Tls};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(3);
/// A file that has changed must stay as it is for this long before it is used: it could be half written.
const SETTLE: Duration = Duration::from_millis(200);
/// Neither a token nor a host list has a reason to be larger, in bytes.
const LARGEST: u64 = 64 << 10;

/// A file of text, and what was last thought of it.
struct Watched {
    name: &'static str,
    label: &'static str,
    path: PathBuf,
    metrics: Arc<Metrics>,
    text: Option<String>,
    error: Option<ConfigError>,
}

impl Watched {
    fn new(name: &'static str, label: &'static str, path: PathBuf, metrics: Arc<Metrics>) -> Self {
        metrics.stale(label, false);
        Self { name, label, path, metrics, text: None, error: None }
    }

    /// What it holds, if that is new and can be used.
    async fn changed<T>(
        &mut self,
        parse: impl Fn(&'static str, &str) -> Result<T, ConfigError>,
    ) -> Option<T> {
        let found = match self.read().await {
            Ok(text) if self.text.as_ref() == Some(&text) => return None,
            Ok(text) => {
                tokio::time::sleep(SETTLE).await;
                match self.read().await {
                    Ok(again) if again == text => {
                        let parsed = parse(self.name, &text);
                        self.text = Some(text);
                        parsed
                    }
                    // It is being written: the next look will see what becomes of it.
                    _ => return None,
                }
            }
            Err(error) => {
                self.text = None;
                Err(error)
            }
        };
        self.metrics.stale(self.label, found.is_err());
        match found {
            Ok(found) => {
                self.error = None;
                Some(found)
            }
            Err(error) => {
                if self.error.as_ref() != Some(&error) {
                    tracing::error!(%error, "a changed file cannot be used, what it held before stays in use");
                }
                self.error = Some(error);
                None
            }
        }
    }

    async fn read(&self) -> Result<String, ConfigError> {
        read(&self.path).await.map_err(|e| ConfigError::File {
            name: self.name,
            path: self.path.clone(),
            why: e.to_string(),
        })
    }
}

async fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_string(&mut text).await?;
    if read as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

/// Watches the token file.
pub(super) async fn token(path: PathBuf, me: Arc<Me>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut file = Watched::new("CACHE_AUTH_TOKEN_FILE", "token", path, metrics);
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        if let Some(tokens) = file.changed(Tokens::parse).await
            && me.set_tokens(tokens)
        {
            tracing::info!("a new token is in use for every handshake from now on");
        }
    }
}

/// Watches the host list.
pub(super) async fn host_list(
    path: PathBuf,
    mut known: HostList,
    handle: Handle,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut file = Watched::new("HA_HOSTS_FILE", "hosts", path, metrics);
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        let Some(list) = file.changed(hosts::from_json).await.filter(|list| *list != known) else { continue };
        let slots: Vec<String> = list.slots().iter().map(ToString::to_string).collect();
        let (epoch, members, before) = (list.epoch, slots.join(" "), known.epoch);
        if epoch > before {
            tracing::info!(epoch, members, "the host list has changed");
        } else {
            let why = "its epoch has not grown";
            tracing::warn!(
                epoch,
                before,
                members,
                why,
                "the host list has changed in a way that it must not"
            );
        }
        known = list.clone();
        handle.set_hosts(list).await;
    }
}

/// Watches the certificates, and counts down to their end.
pub(super) async fn certificates(tls: Arc<Tls>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let label = "certificates";
    metrics.stale(label, false);
    metrics.certificate_expires.set(tls.expires_in_s());
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        let looked = tls.clone();
        match tokio::task::spawn_blocking(move || looked.look()).await {
            Ok(Look::Reloaded) => {
                metrics.stale(label, false);
                let expires_in_s = tls.expires_in_s();
                tracing::info!(expires_in_s, "new certificates are in use for every connection from now on");
            }
            Ok(Look::Refused(error)) => {
                metrics.stale(label, true);
                tracing::error!(%error, "changed certificates cannot be used, the old ones stay in use");
            }
            Ok(Look::Same) | Err(_) => {}
        }
        metrics.certificate_expires.set(tls.expires_in_s());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";

    #[tokio::test]
    async fn only_what_is_new_whole_and_usable_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let metrics = Arc::<Metrics>::default();
        let mut file = Watched::new("CACHE_AUTH_TOKEN_FILE", "token", path.clone(), metrics.clone());
        let label = super::super::metrics::FileLabel { file: "token" };
        let stale = || metrics.stale_files.get_or_create(&label).get();
        std::fs::write(&path, ONE).unwrap();
        assert!(file.changed(Tokens::parse).await.is_some());
        assert!(file.changed(Tokens::parse).await.is_none(), "it is the same");
        for wrong in ["", "too short", &format!("{ONE}\n").repeat(5), &"x".repeat(70_000)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(file.changed(Tokens::parse).await.is_none());
            assert_eq!(stale(), 1);
        }
        let said = file.error.clone().unwrap().to_string();
        assert!(said.contains("65536 bytes") && !said.contains("xxx"), "{said}");
        std::fs::remove_file(&path).unwrap();
        assert!(file.changed(Tokens::parse).await.is_none());
        assert_eq!(stale(), 1);
        // Back as it was: good again.
        std::fs::write(&path, ONE).unwrap();
        assert!(file.changed(Tokens::parse).await.is_some());
        assert_eq!(stale(), 0);
        // Half of it first: only the whole is taken.
        let whole = format!("{ONE}{ONE}");
        std::fs::write(&path, &whole[..20]).unwrap();
        let writer = async {
            tokio::time::sleep(SETTLE / 2).await;
            std::fs::write(&path, &whole).unwrap();
        };
        let (early, ()) = tokio::join!(file.changed(Tokens::parse), writer);
        assert!(early.is_none(), "half a token");
        let tokens = file.changed(Tokens::parse).await.unwrap();
        assert!(tokens.same(&Tokens::parse("T", &whole).unwrap()));
    }
}
