//! Certificates as text, as names, and as what they are worth: read, checked as the agents check them, and made.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use rauthy_proto::credentials::fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::super::build::BuildError;
use crate::names::Names;

const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3652);
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Clocks of members may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Somebody whose certificates members accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its name, see `rauthy_proto::credentials`.
    pub name: String,
    /// Its certificate, in PEM format.
    pub pem: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What a certificate of the members says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its name, see `rauthy_proto::credentials`.
    pub name: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Hosts that it names.
    pub hosts: Vec<String>,
}

impl Leaf {
    /// When one that the operator made is renewed: after two thirds of its time.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before + SignedDuration::from_secs(life.as_secs() / 3 * 2)
    }
}

/// A text in a Secret.
#[must_use]
pub fn field<'s>(secret: &'s Secret, key: &str) -> Option<&'s str> {
    secret.data.as_ref()?.get(key).and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
}

/// The certificates in a text, each once, in its order; none if one of them cannot be read.
#[must_use]
pub fn authorities(text: &str) -> Option<Vec<Authority>> {
    let mut found: Vec<Authority> = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let end = begin + rest.get(begin..)?.find(END)? + END.len();
        let pem = format!("{}\n", rest.get(begin..end)?);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certificate = parse(&der)?;
        let name = fingerprint(&der);
        if found.iter().all(|known| known.name != name) {
            let (not_before, not_after) = times(&certificate)?;
            found.push(Authority { name, not_before, not_after, pem });
        }
        rest = rest.get(end..)?;
    }
    Some(found)
}

/// Authorities as one text.
#[must_use]
pub fn bundle(authorities: &[Authority]) -> String {
    authorities.iter().map(|authority| authority.pem.as_str()).collect()
}

/// Reads the first certificate of a chain.
#[must_use]
pub fn leaf(chain: &str) -> Option<Leaf> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let certificate = parse(&der)?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let hosts = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        _ => None,
    });
    let (not_before, not_after) = times(&certificate)?;
    Some(Leaf { name: fingerprint(&der), not_before, not_after, hosts: hosts.collect() })
}

/// Reads the certificate in a Secret, if it and its key can be used together.
#[must_use]
pub fn inspect(secret: &Secret) -> Option<Leaf> {
    let chain = field(secret, "tls.crt")?;
    paired(chain, field(secret, "tls.key")?).then(|| leaf(chain))?
}

/// Names of the certificate and of the authorities in a Secret.
#[must_use]
pub fn names(secret: &Secret) -> Option<(String, Vec<String>)> {
    let all = authorities(field(secret, "ca.crt")?)?;
    let leaf = leaf(field(secret, "tls.crt")?)?;
    Some((leaf.name, all.into_iter().map(|authority| authority.name).collect()))
}

/// Whether a chain and a key belong together.
#[must_use]
pub fn paired(chain: &str, key: &str) -> bool {
    let (Some(chain), Ok(key)) = (chain_of(chain), PrivateKeyDer::from_pem_slice(key.as_bytes())) else {
        return false;
    };
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).is_ok()
}

/// What an agent would say of a chain as another member's, as server of each of the `hosts` and as client.
///
/// # Errors
/// Why it would be refused.
pub fn accepted(
    chain: &str,
    authorities: &[Authority],
    hosts: &[String],
    now: Timestamp,
) -> Result<(), String> {
    let chain = chain_of(chain).ok_or("it holds no certificate")?;
    let (leaf, between) = chain.split_first().ok_or("it holds no certificate")?;
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let der =
            CertificateDer::from_pem_slice(authority.pem.as_bytes()).map_err(|error| error.to_string())?;
        roots.add(der).map_err(|error| error.to_string())?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    for host in hosts {
        let name = ServerName::try_from(host.as_str()).map_err(|error| format!("{host}: {error}"))?;
        servers.verify_server_cert(leaf, between, &name, &[], now).map_err(|error| error.to_string())?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|error| error.to_string())?;
    clients
        .verify_client_cert(leaf, between, now)
        .map_err(|error| format!("as a client's certificate: {error}"))?;
    Ok(())
}

fn chain_of(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then_some(chain)
}

fn parse<'d>(der: &'d CertificateDer<'_>) -> Option<X509Certificate<'d>> {
    x509_parser::parse_x509_certificate(der).ok().map(|(_, certificate)| certificate)
}

fn times(certificate: &X509Certificate<'_>) -> Option<(Timestamp, Timestamp)> {
    let validity = certificate.validity();
    let at = |time: i64| Timestamp::from_second(time).ok();
    Some((at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?))
}

/// The cluster's own authority and its key.
pub struct Ca {
    key: KeyPair,
    /// Its certificate.
    pub authority: Authority,
}

impl Ca {
    /// A new one.
    ///
    /// # Errors
    /// No key can be made, or the clock is far off.
    pub fn new(names: &Names, now: Timestamp) -> Result<Self, BuildError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // Authorities that follow on each other must not share a name, by which an issuer is looked for.
        let name = format!("CA of RauthyCluster {} ({})", names.cluster_id(), now.as_second());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, now, now.checked_add(CA_LIFE).map_err(clock)?)?;
        let pem = params.self_signed(&key)?.pem();
        let unreadable = || BuildError::Ca(names.ca(), "what was just made cannot be read".to_owned());
        let authority = authorities(&pem).and_then(|mut all| all.pop()).ok_or_else(unreadable)?;
        Ok(Self { key, authority })
    }

    /// Reads the one in the Secret `<name>-ca`.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the key.
    pub fn load(secret: &Secret) -> Result<Self, String> {
        let pem = field(secret, "tls.crt").ok_or("tls.crt is missing")?;
        let text = field(secret, "tls.key").ok_or("tls.key is missing")?;
        // The parser's own words could quote the key.
        let key = KeyPair::from_pem(text).map_err(|_| "tls.key is not a private key")?;
        let authority = authorities(pem).and_then(|all| all.into_iter().next());
        let authority = authority.ok_or("tls.crt is not a certificate")?;
        if !paired(&authority.pem, text) {
            return Err("tls.crt and tls.key do not belong together".to_owned());
        }
        Ok(Self { key, authority })
    }

    /// Its key in PEM format.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Whether its time is so far over that a new one is made: a fifth is left.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> bool {
        let Authority { not_before, not_after, .. } = self.authority;
        let life = not_after.duration_since(not_before).as_secs();
        now >= not_after - SignedDuration::from_secs(life / 5)
    }

    /// A new certificate for the members, and its key, in PEM format.
    ///
    /// # Errors
    /// No key can be made.
    pub fn issue(&self, names: &Names, now: Timestamp) -> Result<(String, String), BuildError> {
        let issuer = Issuer::from_ca_cert_pem(&self.authority.pem, &self.key)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.certificate_hosts())?;
        params.distinguished_name.push(DnType::CommonName, names.cluster.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        // Nothing outlives who vouches for it.
        let end = now.checked_add(LEAF_LIFE).map_err(clock)?.min(self.authority.not_after);
        validity(&mut params, now, end)?;
        let pem = params.signed_by(&key, &issuer)?.pem();
        Ok((pem, key.serialize_pem()))
    }
}

fn validity(params: &mut CertificateParams, now: Timestamp, end: Timestamp) -> Result<(), BuildError> {
    let at = |time: Timestamp| {
        OffsetDateTime::from_unix_timestamp(time.as_second())
            .map_err(|error| BuildError::Clock(error.to_string()))
    };
    params.not_before = at(now - SKEW)?;
    params.not_after = at(end)?;
    Ok(())
}

fn clock(error: jiff::Error) -> BuildError {
    BuildError::Clock(error.to_string())
}
