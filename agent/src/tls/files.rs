//! Reading certificates from mounted folders.
//!
//! Kubernetes swaps a volume by pointing its `..data` link to a new folder. Files that belong together must come from
//! one such folder, or a certificate is read with the key of its predecessor.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use crate::config::TlsFiles;

/// A bundle of all public authorities has a quarter of this.
const LARGEST: usize = 1 << 20;

/// What the files hold at one moment.
pub(super) struct Contents {
    pub server: PairText,
    pub client: Option<PairText>,
    pub ca_server: Vec<u8>,
    pub ca_client: Option<Vec<u8>>,
}

/// The text of a chain and its key.
#[derive(Hash)]
pub(super) struct PairText {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
}

impl Contents {
    /// Reads all files.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let mut folders = BTreeMap::new();
        let mut read = |name: &'static str, path: &Path| {
            read_small(&resolve(path, &mut folders)).map_err(|e| TlsError::Read {
                name,
                path: path.to_owned(),
                why: e.to_string(),
            })
        };
        Ok(Self {
            server: PairText {
                cert: read("CACHE_TLS_SERVER_CERT", &files.server.cert)?,
                key: read("CACHE_TLS_SERVER_KEY", &files.server.key)?,
            },
            client: match &files.client {
                Some(pair) => Some(PairText {
                    cert: read("CACHE_TLS_CLIENT_CERT", &pair.cert)?,
                    key: read("CACHE_TLS_CLIENT_KEY", &pair.key)?,
                }),
                None => None,
            },
            ca_server: read("CACHE_TLS_CA_SERVER", &files.ca_server)?,
            ca_client: files
                .ca_client
                .as_deref()
                .map(|path| read("CACHE_TLS_CA_CLIENT", path))
                .transpose()?,
        })
    }

    /// Tells whether something changed.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.server, &self.client, &self.ca_server, &self.ca_client).hash(&mut hasher);
        hasher.finish()
    }
}

/// The whole of a file that has no reason to be large.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = LARGEST as u64;
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}

/// The path within the folder that `..data` points to right now, the same folder for all files of one reading.
fn resolve(path: &Path, folders: &mut BTreeMap<PathBuf, Option<PathBuf>>) -> PathBuf {
    let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { return path.to_owned() };
    let folder =
        folders.entry(parent.to_owned()).or_insert_with(|| parent.join("..data").canonicalize().ok());
    folder.as_deref().map_or_else(|| path.to_owned(), |folder| folder.join(file))
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(
    name: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Empty { name, path: path.to_owned(), want: "certificate" }),
    }
}

/// The private key of a PEM file.
pub(super) fn key(name: &'static str, path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    // What the parser found wrong is not repeated: it could quote the file.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::Empty {
        name,
        path: path.to_owned(),
        want: "private key",
    })
}
