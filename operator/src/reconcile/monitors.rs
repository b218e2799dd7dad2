//! ServiceMonitors exist only where the Prometheus Operator is installed. Whether it is, is asked once in a while, and the
//! answer counts for all clusters.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::{Client, Resource};

use super::build::service_monitor::ServiceMonitor;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(300);

/// Whether the API server has the kind, as last heard.
#[derive(Debug, Default)]
pub struct Monitors {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Monitors {
    /// Whether the API server has the kind. A failure means no, for now: nothing depends on it.
    pub async fn served(&self, client: &Client) -> bool {
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, served)) = known.filter(|(asked, _)| asked.elapsed() < FRESH) {
            return served;
        }
        let served = match client.list_api_group_resources(&ServiceMonitor::api_version(&())).await {
            Ok(list) => list.resources.iter().any(|resource| resource.name == ServiceMonitor::plural(&())),
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => {
                tracing::debug!(%error, "whether there are ServiceMonitors is not known");
                return false;
            }
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), served));
        served
    }
}
