//! The pod of an application that has the cache inside (`engine: Embedded`): all variables and the certificate files,
//! and no agent.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Secret, SecretKeySelector};
use sha2::{Digest, Sha256};

use super::containers::{TLS_FOLDER, certificates, container, hosts, port, value};
use super::template::mount;
use crate::crd::spec::AppSpec;
use crate::names::TOKEN_KEY;
use crate::reconcile::validate::Validated;

/// The application's container. The variables are redhac's; those that only our own `redhac` knows do not disturb it.
pub(super) fn app(cluster: &Validated, app: &AppSpec) -> Container {
    let mut env = vec![
        value("HA_MODE", "true"),
        hosts(cluster),
        token(cluster),
        value("CACHE_CLUSTER_NAME", &cluster.names.cluster_id()),
        value("CACHE_INVALIDATE_AFTER", &cluster.spec.cache.invalidate_after),
        value("CACHE_MAX_BYTES", &cluster.max_bytes.to_string()),
        value("CACHE_TLS", if cluster.tls() { "true" } else { "false" }),
    ];
    env.extend(certificates(cluster));
    let mut mounts = Vec::new();
    if cluster.tls() {
        // redhac looks for one and the same name in each member's certificate: all members share one.
        env.push(value("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", &cluster.names.host(0)));
        mounts.push(mount("tls", TLS_FOLDER, true));
    }
    env.extend(app.env.iter().cloned());
    let mesh = std::iter::once(port("mesh", cluster.spec.cache.port));
    let ports = mesh.chain(app.ports.iter().map(|given| port(&given.name, given.container_port))).collect();
    container(app, env, mounts, ports)
}

fn token(cluster: &Validated) -> EnvVar {
    EnvVar {
        name: "CACHE_AUTH_TOKEN".to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: cluster.names.token(),
                key: TOKEN_KEY.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// What pods have to be started again for, since nothing in them reads a changed file: the public part of the
/// certificate.
pub fn fingerprint(certificate: &Secret) -> String {
    let part = |key: &str| certificate.data.as_ref().and_then(|data| data.get(key));
    let digest = ["tls.crt", "ca.crt"]
        .into_iter()
        .filter_map(part)
        .fold(Sha256::new(), |digest, part| digest.chain_update(&part.0));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
