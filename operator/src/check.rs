//! Whether an operator that was installed can do its work: what `helm test` runs. Only looks, changes nothing.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::crd::{RauthyCluster, served};
use crate::reconcile::apply::explain;

/// Between two looks at the Lease.
const PAUSE: Duration = Duration::from_millis(500);
/// A replica that acts renews its Lease well within this time.
const RENEWED: Duration = Duration::from_secs(30);

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// Namespace of the Lease.
    pub namespace: &'p str,
    /// Name of the Lease.
    pub lease: &'p str,
    /// Namespaces that are watched; empty: all.
    pub watched: &'p [String],
}

/// What is found good, and what is not, each a line for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is as it should be.
    pub good: Vec<String>,
    /// What is not, and what to do about it.
    pub bad: Vec<String>,
}

/// Looks at the CustomResourceDefinition, whether RauthyClusters can be read, and whether a replica acts.
pub async fn check(client: &Client, place: Place<'_>) -> Findings {
    let mut findings = Findings::default();
    let mut note = |found: Result<String, String>| match found {
        Ok(text) => findings.good.push(text),
        Err(text) => findings.bad.push(text),
    };
    note(definition(client).await);
    if place.watched.is_empty() {
        note(clusters(Api::all(client.clone()), "all namespaces").await);
    }
    for namespace in place.watched {
        note(clusters(Api::namespaced(client.clone(), namespace), namespace).await);
    }
    note(acting(Api::namespaced(client.clone(), place.namespace), place.lease).await);
    findings
}

async fn definition(client: &Client) -> Result<String, String> {
    match served::missing_fields(client.clone()).await {
        Ok(missing) if missing.is_empty() => {
            Ok("the CustomResourceDefinition has every field that the operator knows".to_owned())
        }
        Ok(missing) => Err(format!(
            "the CustomResourceDefinition is older than the operator and lacks {}; install crds/rauthyclusters.yaml",
            missing.join(", ")
        )),
        Err(error) => Err(format!("the CustomResourceDefinition cannot be read: {}", explain(&error))),
    }
}

async fn clusters(api: Api<RauthyCluster>, place: &str) -> Result<String, String> {
    match api.list_metadata(&ListParams::default()).await {
        Ok(list) => Ok(format!("RauthyClusters of {place}: {}", list.items.len())),
        Err(error) => Err(format!("the RauthyClusters of {place} cannot be read: {}", explain(&error))),
    }
}

/// A Lease that is renewed before our eyes: clocks of two machines are not compared.
async fn acting(api: Api<Lease>, name: &str) -> Result<String, String> {
    let look = async || {
        let lease =
            api.get(name).await.map_err(|error| format!("the Lease `{name}`: {}", explain(&error)))?;
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        Ok::<_, String>((holder.ok_or_else(|| format!("nobody holds the Lease `{name}`"))?, spec.renew_time))
    };
    let first = look().await;
    let renewed = async {
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = look().await;
            if let (Ok((holder, _)), true) = (&now, now != first) {
                return holder.clone();
            }
        }
    };
    match (tokio::time::timeout(RENEWED, renewed).await, first) {
        (Ok(holder), _) => Ok(format!("{holder} acts")),
        (Err(_), Err(error)) => Err(error),
        (Err(_), Ok((holder, _))) => Err(format!(
            "{holder} holds the Lease `{name}` and has not renewed it for {} s; does its pod run?",
            RENEWED.as_secs()
        )),
    }
}
