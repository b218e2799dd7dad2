//! Operators that end themselves at chosen places (operator/src/failpoint.rs), once at each. Kubernetes starts them again.

use std::collections::BTreeSet;

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::freeze;
use crate::operators::{operator_containers, operators};
use crate::scene::{KUBERNETES, OPERATOR, Scene};
use crate::tools::OPERATOR_NAMESPACE;
use crate::wait::eventually;

/// Where they remember at which places they have ended: a volume that outlives the container.
const FOLDER: &str = "/failpoints";
/// Who owns these fields of the Deployment; the others are helm's.
const MANAGER: &str = "e2e-failpoints";

/// Operators that are about to end.
pub struct Armed {
    client: Client,
    places: BTreeSet<String>,
}

impl Armed {
    /// Plays a test with all operators ending at each of these places once, and has them as they were before, however the
    /// test ends.
    ///
    /// # Errors
    /// Whatever the test says.
    pub async fn at(
        scene: &Scene,
        places: &[&str],
        test: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let armed =
            Self { client: scene.client.clone(), places: places.iter().map(|&p| p.to_owned()).collect() };
        let container = json!({
            "name": "operator",
            "env": [{"name": "FAILPOINT", "value": format!("{}:{FOLDER}", places.join(","))}],
            "volumeMounts": [{"name": "failpoints", "mountPath": FOLDER}],
        });
        let pod = json!({"containers": [container], "volumes": [{"name": "failpoints", "emptyDir": {}}]});
        let result = match armed.have(json!({"template": {"spec": pod}})).await {
            Ok(()) => test(&armed).await,
            Err(error) => Err(error),
        };
        // What is not applied any more is taken away.
        let restored = armed.have(Value::Null).await;
        result.and(restored)
    }

    /// Applies a part of the Deployment's spec, and waits until all its pods are of it.
    async fn have(&self, spec: Value) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let mut part =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rauthy-operator"}});
        if !spec.is_null() {
            part["spec"] = spec;
        }
        let params = PatchParams::apply(MANAGER);
        let written = deployments.patch("rauthy-operator", &params, &Patch::Apply(&part)).await?;
        eventually("all operators are of the new template", KUBERNETES, async || {
            let status = deployments.get("rauthy-operator").await?.status.unwrap_or_default();
            let all = written.spec.as_ref().and_then(|spec| spec.replicas);
            ensure!(
                status.observed_generation >= written.metadata.generation
                    && status.updated_replicas == all
                    && status.replicas == all
                    && status.available_replicas == all,
                "{status:?}"
            );
            // Those before do their work until they are gone, and would pass a place as if it were none.
            let names = operators(&self.client).await?.iter().map(|pod| pod.name_any()).collect::<Vec<_>>();
            ensure!(
                i32::try_from(names.len()).ok() == all,
                "operators of before are there as well: {names:?}"
            );
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until operators have ended at all of the places.
    ///
    /// # Errors
    /// At which they have not.
    pub async fn all_passed(&self) -> anyhow::Result<()> {
        let mut passed = BTreeSet::new();
        eventually("an operator has ended at each place", OPERATOR, async || {
            // Each replica remembers its own; one that has just ended shows nothing.
            for folder in self.folders().await? {
                let Ok(files) = std::fs::read_dir(folder) else { continue };
                passed.extend(files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()));
            }
            let missing: Vec<_> = self.places.difference(&passed).collect();
            ensure!(missing.is_empty(), "no operator has ended at {missing:?}, but at {passed:?}");
            anyhow::Ok(())
        })
        .await?;
        println!("an operator ended at each of {passed:?}");
        Ok(())
    }

    /// From now on operators end once more at each place.
    ///
    /// # Errors
    /// If the memory of one cannot be emptied.
    pub async fn again(&self) -> anyhow::Result<()> {
        eventually("all operators run and have forgotten", OPERATOR, async || {
            let folders = self.folders().await?;
            ensure!(folders.len() == 2, "{folders:?}");
            for folder in folders {
                for file in std::fs::read_dir(folder)? {
                    std::fs::remove_file(file?.path())?;
                }
            }
            anyhow::Ok(())
        })
        .await
    }

    async fn folders(&self) -> anyhow::Result<Vec<std::path::PathBuf>> {
        let containers = operator_containers(&self.client).await?;
        let roots = containers.iter().filter_map(|id| freeze::root(id).ok());
        Ok(roots.map(|root| root.join(FOLDER.trim_start_matches('/'))).collect())
    }
}
