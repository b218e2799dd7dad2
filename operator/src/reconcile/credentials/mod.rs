//! What secures the links between members: the certificate, the authorities behind it, the token. Each is replaced while
//! the members serve, without a restart and without a refused link. Pure but for the randomness of keys and tokens, which
//! are drawn only where one is missing or due.
//!
//! ```text
//! target      where it comes from                installed     what pods mount
//! `<name>-ca`, our own authority        ┐
//! a user's Secret                       ├──────▶ `<name>-tls`         tls.crt tls.key ca.crt
//! cert-manager's Secret                 ┘
//! a user's Secret, or made here         ───────▶ `<name>-cache-auth`  token (more than one while it is replaced)
//! ```
//!
//! Each round takes at most one step from what it observes, and the agents say what they use ([`members`]), so nothing is
//! taken away before everybody can do without it. Secrets are written by compare-and-swap.
//!
//! * [`install`]: certificates step by step · [`tokens`]: the token · [`source`]: what others made
//! * [`keep`]: the token in memory, against its loss · [`steps`]: what each is called
//! * [`renew`]: the user's request · [`cert_manager`]: its `Certificate` · [`x509`]: certificates as such

pub mod cert_manager;
pub mod install;
pub mod keep;
pub mod members;
pub mod renew;
pub mod source;
pub mod steps;
mod token;
pub mod tokens;
pub mod x509;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DynamicObject;
use rauthy_proto::cache::Credentials;

use self::install::{Move, Stage, State};
use self::renew::{Kind, Request};
use self::source::Source;
use self::x509::{Authority, Ca, Leaf, accepted, authorities, bundle, field};
use super::build::{BuildError, metadata};
use super::dereference::Observed;
use super::validate::Validated;
use crate::crd::TlsMode;
use crate::names::{CERT_MANAGER, RENEWED, STEPPED};

/// The Secrets as they shall be.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The token.
    pub token: Option<Secret>,
    /// Our own authority; none: there shall be none.
    pub ca: Option<Secret>,
    /// The certificate; none: there is none yet, or none is wanted.
    pub tls: Option<Secret>,
    /// What cert-manager is asked for; none: nothing.
    pub certificate: Option<DynamicObject>,
    /// What cert-manager was asked for before is to be removed.
    pub withdrawn: bool,
    /// How it stands.
    pub progress: Progress,
}

/// How it stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What members shall use; none: not known.
    pub wanted: Option<Credentials>,
    /// When the Secrets of that were last written, as far as is known, in seconds since 1970.
    pub written: i64,
    /// What is waited for.
    pub waiting: Vec<String>,
    /// When the last step was taken, in seconds since 1970.
    pub since: i64,
    /// Why the certificate that is wanted cannot be had; the one in use stays.
    pub certificate: Option<String>,
    /// Why the token that is wanted cannot be had; the one in use stays.
    pub token: Option<String>,
    /// What is wrong with a request to renew something.
    pub request: Option<String>,
    /// Steps of this round, in words: what happened, and why somebody may want to know.
    pub steps: Vec<(&'static str, String)>,
    /// Pods have all that they mount.
    pub complete: bool,
}

impl Progress {
    /// Whether something is on its way.
    #[must_use]
    pub fn moving(&self) -> bool {
        !self.waiting.is_empty() || !self.steps.is_empty()
    }
}

/// What is to be written.
///
/// # Errors
/// The CA's Secret is damaged, or a key cannot be made.
pub fn decide(cluster: &Validated, observed: &Observed, now: Timestamp) -> Result<Decision, BuildError> {
    let mut decision = Decision::default();
    let request = match cluster.renew.as_deref().map(renew::read) {
        Some(Ok(request)) => Some(request),
        Some(Err(wrong)) => {
            decision.progress.request = Some(wrong);
            None
        }
        None => None,
    };
    let request = request.as_ref();
    token::decide(cluster, observed, request, now, &mut decision)?;
    if cluster.tls() {
        certificate(cluster, observed, request, now, &mut decision)?;
    }
    let progress = &mut decision.progress;
    progress.complete = !cluster.tls() || decision.tls.is_some();
    let tokens = decision.token.as_ref().and_then(tokens::read).map(|tokens| tokens::ids(&tokens));
    let (certificate, authorities) = decision.tls.as_ref().and_then(x509::names).unwrap_or_default();
    progress.wanted = tokens.map(|tokens| Credentials { certificate, authorities, tokens });
    let stepped = [&decision.tls, &decision.token].into_iter().flatten();
    let stepped = stepped.filter_map(|secret| secret.annotations().get(STEPPED)?.parse().ok());
    progress.since = stepped.max().unwrap_or(0);
    let tls = observed.tls.as_ref().filter(|_| cluster.tls());
    progress.written = observed.token.iter().chain(tls).filter_map(written).max().unwrap_or(0);
    Ok(decision)
}

/// When an object was last written, by whomever; none if it does not say.
fn written(secret: &Secret) -> Option<i64> {
    let by = secret.managed_fields().iter().filter_map(|by| by.time.as_ref());
    by.chain(secret.metadata.creation_timestamp.as_ref()).map(|time| time.0.as_second()).max()
}

/// What pods mount now.
struct Installed<'s> {
    chain: &'s str,
    bundle: Vec<Authority>,
    leaf: Leaf,
}

impl<'s> Installed<'s> {
    /// None if it is damaged.
    fn read(secret: &'s Secret) -> Option<Self> {
        let chain = field(secret, "tls.crt")?;
        let leaf = x509::inspect(secret)?;
        Some(Self { chain, bundle: authorities(field(secret, "ca.crt")?)?, leaf })
    }
}

/// Where the certificate comes from.
enum Target {
    Own(Ca),
    Given(Source),
}

impl Target {
    fn authorities(&self) -> &[Authority] {
        match self {
            Self::Own(ca) => std::slice::from_ref(&ca.authority),
            Self::Given(source) => &source.authorities,
        }
    }

    /// Whether what is installed is what would be installed.
    fn is(&self, installed: &Installed<'_>, cluster: &Validated, now: Timestamp) -> bool {
        match self {
            Self::Own(ca) => issued_by(ca, installed, cluster, now),
            Self::Given(source) => source.leaf.name == installed.leaf.name,
        }
    }
}

/// Whether a certificate is of this authority, names everybody, and is not due.
fn issued_by(ca: &Ca, installed: &Installed<'_>, cluster: &Validated, now: Timestamp) -> bool {
    let (leaf, hosts) = (&installed.leaf, cluster.names.certificate_hosts());
    let one = hosts.get(..1).unwrap_or_default();
    now < leaf.renew_at()
        && hosts.iter().all(|host| leaf.hosts.contains(host))
        && accepted(installed.chain, std::slice::from_ref(&ca.authority), one, now).is_ok()
}

fn certificate(
    cluster: &Validated,
    observed: &Observed,
    request: Option<&Request>,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<(), BuildError> {
    let installed = observed.tls.as_ref().and_then(Installed::read);
    let useless = installed
        .as_ref()
        .is_none_or(|installed| accepted(installed.chain, &installed.bundle, &[], now).is_err());
    let renews = observed.tls.as_ref().and_then(|secret| renew::wanted(request, Kind::Certificates, secret));
    let own = cluster.spec.tls.mode == TlsMode::Managed;
    if !own && request.is_some_and(|request| request.kind != Kind::Token) {
        decision.progress.request = Some(match cluster.spec.tls.mode {
            TlsMode::CertManager => format!(
                "rauthy.dev/renew: cert-manager makes the certificate; `cmctl renew {}` renews it",
                cluster.names.certificate()
            ),
            _ => "rauthy.dev/renew: the certificate is yours; put another one into the Secret of spec.tls.secret"
                .to_owned(),
        });
    }
    if cluster.spec.tls.mode == TlsMode::CertManager {
        decision.certificate = cert_manager::build(cluster);
    }
    let target = if own {
        // One change at a time: what is on its way ends first.
        let free = |ca: &Ca| {
            useless
                || installed.as_ref().is_some_and(|installed| {
                    installed.bundle.iter().all(|one| one.name == ca.authority.name)
                        && issued_by(ca, installed, cluster, now)
                })
        };
        Target::Own(own_ca(cluster, observed, request, free, now, decision)?)
    } else {
        let (what, advice) = match cluster.spec.tls.mode {
            TlsMode::CertManager => {
                (cluster.names.issued(), Some(cert_manager::why_not(observed.certificate.as_ref())))
            }
            _ => (cluster.spec.tls.secret_name().unwrap_or_default().to_owned(), None),
        };
        match source::read(observed.source.as_ref(), &cluster.names, now) {
            Ok(source) => Target::Given(source),
            Err(error) => {
                let advice = advice.map(|advice| format!(" ({advice})")).unwrap_or_default();
                decision.progress.certificate = Some(format!("the Secret `{what}`: {error}{advice}"));
                // What is in use stays, and so does what it comes from.
                decision.ca = observed.ca.clone();
                decision.tls = observed.tls.as_ref().filter(|_| installed.is_some()).map(|secret| {
                    let data = secret.data.clone().unwrap_or_default();
                    let annotations = marked(cluster, kept(secret, request, Kind::Certificates));
                    write(cluster, cluster.names.tls(), TLS, data, annotations)
                });
                return Ok(());
            }
        }
    };
    let state = State {
        bundle: installed.as_ref().map(|installed| installed.bundle.as_slice()).unwrap_or_default(),
        target: target.authorities(),
        shown: installed.as_ref().map(|installed| installed.leaf.name.as_str()).unwrap_or_default(),
        switched: installed
            .as_ref()
            .is_some_and(|installed| target.is(installed, cluster, now) && !(own && renews.is_some())),
        useless,
    };
    let next = install::next(&state, &cluster.members);
    let rests = next == Move::Rest;
    let secret = observed.tls.as_ref();
    let mut annotations = secret.map(|secret| kept(secret, request, Kind::Certificates)).unwrap_or_default();
    annotations = marked(cluster, annotations);
    let progress = &mut decision.progress;
    let present = || secret.and_then(|secret| secret.data.clone()).unwrap_or_default();
    let data = match next {
        Move::Rest => present(),
        Move::Wait(stage, who) => {
            let what = match stage {
                Stage::Trusting => "accept the new authority",
                Stage::Dropping => "show the new certificate",
            };
            progress.waiting.push(format!("{} to {what}", who.join(", ")));
            present()
        }
        Move::Accept(all) => {
            annotations.insert(STEPPED.to_owned(), now.as_second().to_string());
            progress.steps.push(if all.len() >= state.bundle.len() {
                (
                    steps::AUTHORITY_ADDED,
                    "members are told to accept a new authority beside the old one".to_owned(),
                )
            } else {
                (
                    steps::AUTHORITY_DROPPED,
                    "every member shows a certificate of the new authority; the old one is dropped"
                        .to_owned(),
                )
            });
            let mut data = present();
            data.insert("ca.crt".to_owned(), ByteString(bundle(&all).into_bytes()));
            data
        }
        Move::Switch(all) => {
            if let Some(done) = renews.filter(|_| own) {
                annotations.insert(RENEWED.to_owned(), done.to_owned());
            }
            if installed.is_some() {
                annotations.insert(STEPPED.to_owned(), now.as_second().to_string());
                progress.steps.push((
                    steps::CERTIFICATE_REPLACED,
                    "members are told to show a new certificate".to_owned(),
                ));
            }
            let (chain, key) = match &target {
                Target::Own(ca) => ca.issue(&cluster.names, now)?,
                Target::Given(source) => (source.chain.clone(), source.key.clone()),
            };
            let fields = [("tls.crt", chain), ("tls.key", key), ("ca.crt", bundle(&all))];
            fields.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
        }
    };
    if rests && cluster.spec.tls.mode != TlsMode::CertManager {
        decision.withdrawn = annotations.get(CERT_MANAGER).is_some_and(|asked| asked == "true");
        if decision.withdrawn {
            annotations.insert(CERT_MANAGER.to_owned(), "false".to_owned());
        }
    }
    if !own && !rests {
        // Still accepted: it goes when nothing of it is in use.
        decision.ca = observed.ca.clone();
    }
    decision.tls = Some(write(cluster, cluster.names.tls(), TLS, data, annotations));
    Ok(())
}

const TLS: &str = "kubernetes.io/tls";

/// Our own authority, as it is or a new one.
fn own_ca(
    cluster: &Validated,
    observed: &Observed,
    request: Option<&Request>,
    free: impl Fn(&Ca) -> bool,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<Ca, BuildError> {
    let name = cluster.names.ca();
    let held = |ca: &Ca, annotations| {
        let fields = [("tls.crt", ca.authority.pem.clone()), ("tls.key", ca.key())];
        let fields = fields.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
        write(cluster, name.clone(), TLS, fields.collect(), annotations)
    };
    let Some(secret) = &observed.ca else {
        let ca = Ca::new(&cluster.names, now)?;
        decision.ca = Some(held(&ca, BTreeMap::new()));
        return Ok(ca);
    };
    let ca = Ca::load(secret).map_err(|error| BuildError::Ca(name.clone(), error))?;
    let renewing = renew::wanted(request, Kind::Ca, secret);
    if !((renewing.is_some() || ca.due(now)) && free(&ca)) {
        let data = secret.data.clone().unwrap_or_default();
        decision.ca = Some(write(cluster, name.clone(), TLS, data, kept(secret, request, Kind::Ca)));
        return Ok(ca);
    }
    let new = Ca::new(&cluster.names, now)?;
    let mut annotations = kept(secret, request, Kind::Ca);
    if let Some(done) = renewing {
        annotations.insert(RENEWED.to_owned(), done.to_owned());
    }
    let why = if renewing.is_some() { "as asked for" } else { "its time is nearly over" };
    decision
        .progress
        .steps
        .push((steps::AUTHORITY_RENEWED, format!("the cluster has a new authority ({why})")));
    decision.ca = Some(held(&new, annotations));
    Ok(new)
}

/// The operator's own annotations of a Secret that is written again. What was done by request is forgotten when it is
/// not asked for any more; nothing is added to what an earlier version of the operator wrote.
fn kept(secret: &Secret, request: Option<&Request>, kind: Kind) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for key in [STEPPED, CERT_MANAGER] {
        kept.extend(secret.annotations().get(key).map(|value| (key.to_owned(), value.clone())));
    }
    if let Some(done) = renew::done(secret) {
        let still = request.is_some_and(|request| request.kind == kind);
        kept.insert(RENEWED.to_owned(), if still { done.clone() } else { String::new() });
    }
    kept
}

/// Remembers that cert-manager was asked, so that it can be told when nothing is wanted any more.
fn marked(cluster: &Validated, mut annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if cluster.spec.tls.mode == TlsMode::CertManager {
        annotations.insert(CERT_MANAGER.to_owned(), "true".to_owned());
    }
    annotations
}

fn write(
    cluster: &Validated,
    name: String,
    kind: &str,
    data: BTreeMap<String, ByteString>,
    annotations: BTreeMap<String, String>,
) -> Secret {
    let mut metadata = metadata(cluster, name);
    metadata.annotations.get_or_insert_default().extend(annotations);
    Secret { metadata, type_: Some(kind.to_owned()), data: Some(data), ..Secret::default() }
}
