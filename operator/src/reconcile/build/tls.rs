//! The cluster's own CA and the one certificate that all members share: a cluster is one trust domain, and which
//! slot a peer is, the token's handshake proves. Keys are drawn only where something is missing or due.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::{BuildError, metadata};
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::Validated;

const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3652);
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Clocks of members may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What has to be written; nothing where all is good.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// A new CA, to be created only.
    pub ca: Option<Secret>,
    /// A new certificate.
    pub leaf: Option<Secret>,
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Hosts that it names.
    pub hosts: Vec<String>,
}

impl Leaf {
    /// When it is to be renewed: after two thirds of its time.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before + SignedDuration::from_secs(life.as_secs() / 3 * 2)
    }
}

/// Reads the certificate in the Secret `<name>-tls`.
#[must_use]
pub fn inspect(secret: &Secret) -> Option<Leaf> {
    let pem = field(secret, "tls.crt")?;
    field(secret, "tls.key").and_then(|key| KeyPair::from_pem(key).ok())?;
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    let certificate: X509Certificate<'_> = pem.parse_x509().ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let hosts = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        _ => None,
    });
    let validity = certificate.validity();
    Some(Leaf {
        not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        hosts: hosts.collect(),
    })
}

/// The certificates that have to be made.
///
/// # Errors
/// The CA's Secret is damaged, or a key cannot be made.
pub fn build(cluster: &Validated, observed: &Observed, now: Timestamp) -> Result<Certificates, BuildError> {
    if !cluster.tls() {
        return Ok(Certificates::default());
    }
    let (key, pem, ca) = match &observed.ca {
        Some(secret) => {
            let (key, pem) = load_ca(secret).map_err(|error| BuildError::Ca(cluster.names.ca(), error))?;
            (key, pem, None)
        }
        None => {
            let (key, pem) = new_ca(cluster, now)?;
            let ca =
                secret(cluster, cluster.names.ca(), &[("tls.crt", &pem), ("tls.key", &key.serialize_pem())]);
            (key, pem, Some(ca))
        }
    };
    let trusted = observed.tls.as_ref().and_then(|leaf| field(leaf, "ca.crt")).unwrap_or_default();
    let usable = observed.tls.as_ref().and_then(inspect).is_some_and(|leaf| {
        let names = cluster.names.certificate_hosts();
        now < leaf.renew_at() && now >= leaf.not_before && names.iter().all(|name| leaf.hosts.contains(name))
    });
    if usable && trusted.contains(pem.trim()) {
        return Ok(Certificates { ca, leaf: None });
    }
    // While a lost CA is replaced, members that still show the old certificate stay trusted.
    let bundle = match trusted.contains(pem.trim()) {
        true => trusted.to_owned(),
        false => format!("{pem}{trusted}"),
    };
    let (leaf_key, leaf_pem) = new_leaf(cluster, key, &pem, now)?;
    let leaf = secret(
        cluster,
        cluster.names.tls(),
        &[("tls.crt", &leaf_pem), ("tls.key", &leaf_key.serialize_pem()), ("ca.crt", &bundle)],
    );
    Ok(Certificates { ca, leaf: Some(leaf) })
}

fn new_ca(cluster: &Validated, now: Timestamp) -> Result<(KeyPair, String), BuildError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("CA of RauthyCluster {}", cluster.names.cluster_id()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, now, CA_LIFE)?;
    let pem = params.self_signed(&key)?.pem();
    Ok((key, pem))
}

fn load_ca(secret: &Secret) -> Result<(KeyPair, String), String> {
    let pem = field(secret, "tls.crt").ok_or("tls.crt is missing")?;
    let key = field(secret, "tls.key").ok_or("tls.key is missing")?;
    // The parser's own words could quote the key.
    let key = KeyPair::from_pem(key).map_err(|_| "tls.key is not a private key")?;
    let parsed = Pem::iter_from_buffer(pem.as_bytes()).next().and_then(Result::ok);
    let parsed = parsed.ok_or("tls.crt is not a certificate")?;
    let certificate = parsed.parse_x509().map_err(|_| "tls.crt is not a certificate")?;
    if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err("tls.crt and tls.key do not belong together".to_owned());
    }
    Ok((key, pem.to_owned()))
}

fn new_leaf(
    cluster: &Validated,
    ca_key: KeyPair,
    ca_pem: &str,
    now: Timestamp,
) -> Result<(KeyPair, String), BuildError> {
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(cluster.names.certificate_hosts())?;
    params.distinguished_name.push(DnType::CommonName, cluster.names.cluster.clone());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, LEAF_LIFE)?;
    let pem = params.signed_by(&key, &issuer)?.pem();
    Ok((key, pem))
}

fn validity(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) -> Result<(), BuildError> {
    let at = |time: Timestamp| {
        OffsetDateTime::from_unix_timestamp(time.as_second())
            .map_err(|error| BuildError::Clock(error.to_string()))
    };
    let end = now.checked_add(life).map_err(|error| BuildError::Clock(error.to_string()))?;
    params.not_before = at(now - SKEW)?;
    params.not_after = at(end)?;
    Ok(())
}

fn secret(cluster: &Validated, name: String, fields: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<_, _> =
        fields.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
    Secret {
        metadata: metadata(cluster, name),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// A text in a Secret.
#[must_use]
pub fn field<'s>(secret: &'s Secret, key: &str) -> Option<&'s str> {
    secret.data.as_ref()?.get(key).and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
}
