//! The two Services: one that gives the members their names, one for clients.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::names::HTTP_PORT;
use crate::reconcile::validate::Validated;

/// The members' names. Addresses are published before a member is ready, for it gets ready by talking to the
/// others.
#[must_use]
pub fn headless(cluster: &Validated) -> Service {
    Service {
        metadata: metadata(cluster, cluster.names.cluster.clone()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(cluster.names.selector()),
            ports: Some(vec![port("mesh", cluster.spec.cache.port)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// For clients: the application's ports, and the agents' probes and metrics.
#[must_use]
pub fn client(cluster: &Validated) -> Service {
    let app = cluster.spec.rauthy.iter().flat_map(|app| &app.ports);
    let agent = (!cluster.embedded()).then(|| port("http-agent", HTTP_PORT));
    let mut ports: Vec<_> =
        agent.into_iter().chain(app.map(|given| port(&given.name, given.container_port))).collect();
    if ports.is_empty() {
        // A Service needs a port.
        ports.push(port("mesh", cluster.spec.cache.port));
    }
    Service {
        metadata: metadata(cluster, cluster.names.client_service()),
        spec: Some(ServiceSpec {
            selector: Some(cluster.names.selector()),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
