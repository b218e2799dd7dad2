//! Certificates of an authority of the tests' own: what a user brings, and what cert-manager would.

use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::scene::CLUSTER;

/// Most members that a cluster can have.
const SLOTS: usize = 9;

/// Somebody who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let (pem, text) = (params.self_signed(&key)?.pem(), key.serialize_pem());
        Ok(Self { issuer: Issuer::new(params, key), pem, key: text })
    }

    /// A certificate for these hosts, and its key.
    ///
    /// # Errors
    /// If a name is none.
    pub fn issue(&self, hosts: Vec<String>) -> anyhow::Result<(String, String)> {
        let mut params = CertificateParams::new(hosts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// A Secret with such a certificate.
    ///
    /// # Errors
    /// If a name is none.
    pub fn secret(&self, name: &str, hosts: Vec<String>) -> anyhow::Result<Secret> {
        let (certificate, key) = self.issue(hosts)?;
        Ok(serde_json::from_value(json!({
            "metadata": {"name": name},
            "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": self.pem},
        }))?)
    }
}

/// The hosts by which the members of the scene's cluster, as many as there can be, dial each other.
#[must_use]
pub fn hosts() -> Vec<String> {
    (0..SLOTS).map(|ordinal| format!("{CLUSTER}-{ordinal}.{CLUSTER}")).collect()
}

/// The same in all forms that there are.
#[must_use]
pub fn hosts_in(namespace: &str) -> Vec<String> {
    let forms = |host: String| {
        let long = format!("{host}.{namespace}");
        [host, long.clone(), format!("{long}.svc"), format!("{long}.svc.cluster.local")]
    };
    hosts().into_iter().flat_map(forms).collect()
}
