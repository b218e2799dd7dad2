//! A certificate authority for an hour of trying things out, and one certificate for all nodes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Longer than anybody tries things out in one go.
const VALID: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// They could not be made.
    #[error("certificates cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A file could not be written.
    #[error("{path} cannot be written: {why}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate of the authority.
    pub ca: PathBuf,
    /// Certificate of the nodes, for servers and clients alike.
    pub cert: PathBuf,
    /// Its private key, mode 0600.
    pub key: PathBuf,
}

/// Makes an authority and a certificate for `names` (host names or IP addresses), and writes them into `folder`. The
/// authority's own key is not kept.
///
/// # Errors
/// If a name cannot stand in a certificate or a file cannot be written.
pub fn generate(folder: &Path, names: &[String]) -> Result<Files, CertificateError> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "rauthy-agent dev");
    authority.not_after = (SystemTime::now() + VALID).into();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_cert = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.not_after = (SystemTime::now() + VALID).into();
    leaf.distinguished_name.push(DnType::CommonName, "rauthy-agent dev node");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &issuer)?;

    let files =
        Files { ca: folder.join("ca.pem"), cert: folder.join("node.pem"), key: folder.join("node.key") };
    write(&files.ca, &authority_cert.pem(), 0o644)?;
    write(&files.cert, &leaf.pem(), 0o644)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    Ok(files)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|why| CertificateError::Write { path: path.to_owned(), why })
}
