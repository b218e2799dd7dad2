//! Certificates that are read again when their files change, without a restart and without a dropped stream.
//!
//! ```text
//! files ──poll──▶ Contents ──build──▶ Loaded { server, client } ──▶ every NEW connection
//!                    │ bad: the old one stays, one log line
//! ```
//!
//! A connection keeps what it was opened with; only its successors see new certificates and authorities.

mod error;
mod files;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rauthy_proto::credentials::fingerprint;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::{Pair, TlsFiles};
pub use error::TlsError;
use files::{Contents, PairText};

/// The present certificates.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    loaded: RwLock<Arc<Loaded>>,
    /// Fingerprint of what was looked at last, good or bad.
    seen: AtomicU64,
}

#[derive(Debug)]
struct Loaded {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// Seconds since 1970 at which the first of the own certificates ends.
    expires_at: i64,
    /// Names of the server's certificate, and of the authorities that both sides accept.
    names: (String, Vec<String>),
}

/// What a look at the files found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Same,
    /// New certificates are in use.
    Reloaded,
    /// Something new that cannot be used; the old certificates stay in use.
    Refused(TlsError),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read or used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let loaded = RwLock::new(Arc::new(build(&files, &contents)?));
        Ok(Self { files, loaded, seen: AtomicU64::new(contents.fingerprint()) })
    }

    /// For a connection that is accepted now.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.loaded().server.clone()
    }

    /// For a connection that is dialled now.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.loaded().client.clone()
    }

    /// The name that the certificate of `host` must hold.
    ///
    /// # Errors
    /// If it is no name or address.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.files.validate_domain.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
    }

    /// Seconds until the first of the own certificates ends; negative when it has.
    #[must_use]
    pub fn expires_in_s(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.loaded().expires_at.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// Names of the certificate that is shown and of the authorities that are accepted, on both sides, as of one
    /// moment.
    #[must_use]
    pub fn names(&self) -> (String, Vec<String>) {
        self.loaded().names.clone()
    }

    /// Looks at the files once; reads them on this thread.
    pub fn look(&self) -> Look {
        // The folder may be swapped, and the old one removed, between two files: then the new one has them all.
        let contents = match Contents::read(&self.files).or_else(|_| Contents::read(&self.files)) {
            Ok(contents) => contents,
            // A file that cannot be read has no fingerprint; 0 keeps the log from repeating it.
            Err(error) => {
                return if self.seen.swap(0, Ordering::Relaxed) == 0 {
                    Look::Same
                } else {
                    Look::Refused(error)
                };
            }
        };
        let fingerprint = contents.fingerprint();
        if self.seen.swap(fingerprint, Ordering::Relaxed) == fingerprint {
            return Look::Same;
        }
        match build(&self.files, &contents) {
            Ok(loaded) => {
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                Look::Reloaded
            }
            Err(error) => Look::Refused(error),
        }
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Only TLS 1.3, whose exporter binds the handshake of the mesh to the connection; no resumption, so that an
/// authority that was dropped is asked no more.
fn build(files: &TlsFiles, contents: &Contents) -> Result<Loaded, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pair_error = |pair: &Pair, why: String| TlsError::Pair {
        side: if std::ptr::eq(pair, &files.server) { "SERVER" } else { "CLIENT" },
        cert: pair.cert.clone(),
        key: pair.key.clone(),
        why,
    };

    let (chain, key) =
        pair(("CACHE_TLS_SERVER_CERT", "CACHE_TLS_SERVER_KEY"), &files.server, &contents.server)?;
    let mut expires_at = end_of(&chain);
    let shown = chain.first().map(|leaf| fingerprint(leaf)).unwrap_or_default();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| pair_error(&files.server, e.to_string()))?;
    let server = match (&files.ca_client, &contents.ca_client) {
        (Some(path), Some(pem)) => server.with_client_cert_verifier(verifier(path, pem, &provider)?),
        _ => server.with_no_client_auth(),
    };
    let mut server =
        server.with_single_cert(chain, key).map_err(|e| pair_error(&files.server, e.to_string()))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    server.send_tls13_tickets = 0;

    let roots = roots("CACHE_TLS_CA_SERVER", &files.ca_server, &contents.ca_server)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| pair_error(&files.server, e.to_string()))?
        .with_root_certificates(roots);
    let mut client = match (&files.client, &contents.client) {
        (Some(paths), Some(text)) => {
            let (chain, key) = pair(("CACHE_TLS_CLIENT_CERT", "CACHE_TLS_CLIENT_KEY"), paths, text)?;
            expires_at = expires_at.min(end_of(&chain));
            client.with_client_auth_cert(chain, key).map_err(|e| pair_error(paths, e.to_string()))?
        }
        _ => client.with_no_client_auth(),
    };
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.resumption = Resumption::disabled();
    let names = (shown, accepted(files, contents)?);
    Ok(Loaded { server: Arc::new(server), client: Arc::new(client), expires_at, names })
}

/// Names of the authorities that are accepted as a server's and as a client's.
fn accepted(files: &TlsFiles, contents: &Contents) -> Result<Vec<String>, TlsError> {
    let names = |name, path, pem| -> Result<Vec<String>, TlsError> {
        Ok(files::certificates(name, path, pem)?.iter().map(|authority| fingerprint(authority)).collect())
    };
    let mut accepted = names("CACHE_TLS_CA_SERVER", &files.ca_server, &contents.ca_server)?;
    if let (Some(path), Some(pem)) = (&files.ca_client, &contents.ca_client) {
        let clients = names("CACHE_TLS_CA_CLIENT", path, pem)?;
        accepted.retain(|name| clients.contains(name));
    }
    Ok(accepted)
}

type Identity = (Vec<CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>);

fn pair(names: (&'static str, &'static str), paths: &Pair, text: &PairText) -> Result<Identity, TlsError> {
    Ok((files::certificates(names.0, &paths.cert, &text.cert)?, files::key(names.1, &paths.key, &text.key)?))
}

fn roots(name: &'static str, path: &std::path::Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(name, path, pem)? {
        roots.add(certificate).map_err(|e| TlsError::Authority {
            name,
            path: path.to_owned(),
            why: e.to_string(),
        })?;
    }
    Ok(roots)
}

fn verifier(
    path: &std::path::Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let name = "CACHE_TLS_CA_CLIENT";
    let roots = Arc::new(roots(name, path, pem)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|e| TlsError::Authority { name, path: path.to_owned(), why: e.to_string() })
}

/// When the leaf of a chain ends, in seconds since 1970.
fn end_of(chain: &[CertificateDer<'_>]) -> i64 {
    chain
        .first()
        .and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok())
        .map_or(0, |(_, leaf)| leaf.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests;
