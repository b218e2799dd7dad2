//! Files that are read again when they change: the token, and the host list.
//!
//! A changed token is in use for every handshake from then on; streams that stand are not touched. A changed host list
//! is given to the core: it says who may found a generation and confirms a change of size; who counts in the present
//! generation, the log says. New members are dialled and let in at once, those that are gone when the log leaves them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rauthy_core::HostList;
use tokio_util::sync::CancellationToken;

use super::handle::Handle;
use super::metrics::Metrics;
use crate::config::{ConfigError, Tokens, hosts};
use crate::mesh::Me;
use crate::tls::Tls;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(3);

/// Watches the token file.
pub(super) async fn token(path: PathBuf, me: Arc<Me>, stop: CancellationToken) {
    let mut last = None;
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        let name = "CACHE_AUTH_TOKEN_FILE";
        match read(name, &path).await.and_then(|text| Tokens::parse(name, &text)) {
            Ok(tokens) => {
                last = None;
                if me.set_tokens(tokens) {
                    tracing::info!("a new token is in use for every handshake from now on");
                }
            }
            Err(error) => {
                if last.as_ref() != Some(&error) {
                    tracing::error!(%error, "the changed token cannot be used, the old one stays in use");
                }
                last = Some(error);
            }
        }
    }
}

/// Watches the host list.
pub(super) async fn host_list(path: PathBuf, mut known: HostList, handle: Handle, stop: CancellationToken) {
    let mut last = None;
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        let name = "HA_HOSTS_FILE";
        match read(name, &path).await.and_then(|text| hosts::from_json(name, &text)) {
            Ok(list) => {
                last = None;
                if list == known {
                    continue;
                }
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
            Err(error) => {
                if last.as_ref() != Some(&error) {
                    tracing::error!(%error, "the changed host list cannot be used");
                }
                last = Some(error);
            }
        }
    }
}

/// Counts down to the end of the certificates.
pub(super) async fn expiry(tls: Arc<Tls>, metrics: Arc<Metrics>, stop: CancellationToken) {
    loop {
        metrics.certificate_expires.set(tls.expires_in_s());
        if stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
            return;
        }
    }
}

async fn read(name: &'static str, path: &Path) -> Result<String, ConfigError> {
    tokio::fs::read_to_string(path).await.map_err(|e| ConfigError::File {
        name,
        path: path.to_owned(),
        why: e.to_string(),
    })
}
