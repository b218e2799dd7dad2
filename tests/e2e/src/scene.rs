//! A namespace with a `RauthyCluster`, and looks at it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::FutureExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::app::App;
use crate::freeze::Frozen;
use crate::tools::{helm_install, kubectl, said, variable};
use crate::wait::eventually;

/// Name of the cluster in each scene, as in examples/minimal.yaml.
pub const CLUSTER: &str = "rauthy";
/// From the start of the last container to Available.
pub const AVAILABLE_WITHIN: Duration = Duration::from_secs(60);
/// For what Kubernetes itself does, on two busy cores: scheduling, starting, ending.
pub const KUBERNETES: Duration = Duration::from_secs(120);
/// For what the operator does when nothing stands in its way.
pub const OPERATOR: Duration = Duration::from_secs(60);

/// One test's namespace.
#[derive(Clone)]
pub struct Scene {
    /// The namespace.
    pub namespace: String,
    /// Of the whole cluster.
    pub client: Client,
}

/// Plays one test in a namespace of its own with the operator installed. A failure shows what stood in the
/// namespace; a success removes it.
///
/// # Errors
/// Whatever the test says.
pub async fn play(slug: &str, test: impl AsyncFnOnce(&Scene) -> anyhow::Result<()>) -> anyhow::Result<()> {
    variable("E2E_ROOT")?;
    helm_install().await?;
    play_without_operator(slug, test).await
}

/// The same for a test that installs the operator itself.
///
/// # Errors
/// Whatever the test says.
pub async fn play_without_operator(
    slug: &str,
    test: impl AsyncFnOnce(&Scene) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    let scene = Scene::new(slug).await?;
    let result = std::panic::AssertUnwindSafe(test(&scene)).catch_unwind().await;
    if !matches!(result, Ok(Ok(()))) {
        scene.show().await;
    }
    println!("{slug}: {:.0} s", began.elapsed().as_secs_f32());
    match result {
        Ok(Ok(())) => scene.remove().await,
        Ok(Err(error)) => Err(error),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Scene {
    async fn new(slug: &str) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // another test may have been first
        let scene = Self { namespace: format!("e2e-{slug}"), client: Client::try_default().await? };
        scene.begin().await?;
        Ok(scene)
    }

    async fn begin(&self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(&self.namespace).await?.is_some() {
            self.remove().await?; // of an earlier run on a cluster that was kept
            self.removed().await?;
        }
        // The pods have to pass the strictest of Kubernetes' own standards.
        let namespace = json!({"metadata": {"name": self.namespace, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted"}}});
        namespaces.create(&Default::default(), &serde_json::from_value(namespace)?).await?;
        Ok(())
    }

    /// Another namespace beside this one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn beside(&self, suffix: &str) -> anyhow::Result<Self> {
        let scene = Self { namespace: format!("{}-{suffix}", self.namespace), client: self.client.clone() };
        scene.begin().await?;
        Ok(scene)
    }

    /// Deletes the namespace, as `play` does at the end.
    ///
    /// # Errors
    /// The API server's.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the namespace is gone.
    ///
    /// # Errors
    /// What holds it.
    pub async fn removed(&self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        eventually("the namespace is gone", KUBERNETES, async || {
            match namespaces.get_opt(&self.namespace).await? {
                None => Ok(()),
                Some(namespace) => bail!("{:?}", namespace.status),
            }
        })
        .await
    }

    /// What somebody would look at who has to find out why the test failed.
    async fn show(&self) {
        let n = self.namespace.as_str();
        let looks: [&[&str]; 5] = [
            &["-n", n, "get", "rauthyclusters,pods,statefulsets", "-o", "wide"],
            &["-n", n, "get", "rauthyclusters", "-o", "yaml", "--show-managed-fields=false"],
            &["-n", n, "get", "events", "--sort-by=.lastTimestamp"],
            &["-n", n, "logs", "-l", "app.kubernetes.io/name=rauthy", "-c", "agent", "--prefix", "--tail=60"],
            &["-n", crate::tools::OPERATOR_NAMESPACE, "logs", "deployment/rauthy-operator", "--tail=40"],
        ];
        for args in looks {
            if let Ok(said) = said("kubectl", args, "").await {
                eprintln!("--- kubectl {}\n{}{}", args.join(" "), said.out, said.err);
            }
        }
    }

    /// A namespaced kind of this scene.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The RauthyClusters, as the API server gives them.
    #[must_use]
    pub fn clusters(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("rauthy.dev", "v1alpha1", "RauthyCluster");
        let resource = ApiResource::from_gvk_with_plural(&kind, "rauthyclusters");
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// `kubectl -n NAMESPACE ARGS`, which must succeed.
    ///
    /// # Errors
    /// What it said.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        kubectl(&[&["-n", self.namespace.as_str()], args].concat()).await
    }

    /// Applies a RauthyCluster with this spec. Errors are those of the API server.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn apply(&self, spec: Value) -> anyhow::Result<()> {
        let object = json!({"apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster",
            "metadata": {"name": CLUSTER}, "spec": spec});
        let params = PatchParams::apply("e2e").force();
        self.clusters().patch(CLUSTER, &params, &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Three members without an application, and waits until they are Available.
    ///
    /// # Errors
    /// If they are not in time.
    pub async fn with_agents(&self) -> anyhow::Result<()> {
        self.apply(json!({"replicas": 3})).await?;
        self.available(3).await
    }

    /// Three members with the probe beside each agent, and waits until they are Available.
    ///
    /// # Errors
    /// If they are not in time.
    pub async fn with_app(&self, more: Value) -> anyhow::Result<()> {
        let mut spec = json!({"replicas": 3, "rauthy": {
            "image": variable("E2E_PROBE_IMAGE")?,
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
            // Without, it would be left waiting where processors are scarce, and its clients with it.
            "resources": {"requests": {"cpu": "50m", "memory": "16Mi"}},
        }});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        self.apply(spec).await?;
        self.available(3).await
    }

    /// The status of the cluster; an empty object before the operator has written one.
    ///
    /// # Errors
    /// The API server's.
    pub async fn status(&self) -> anyhow::Result<Value> {
        Ok(self.clusters().get(CLUSTER).await?.data["status"].clone())
    }

    /// Waits for a condition to be as said, and returns it.
    ///
    /// # Errors
    /// The status as last seen.
    pub async fn condition(&self, name: &str, status: &str, within: Duration) -> anyhow::Result<Value> {
        eventually(&format!("condition {name}={status}"), within, async || {
            let all = self.status().await?;
            let found =
                all["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == name).cloned();
            found.filter(|c| c["status"] == status).with_context(|| brief(&all))
        })
        .await
    }

    /// Waits until the cluster is Available with `size` members that all serve.
    ///
    /// # Errors
    /// The status as last seen.
    pub async fn available(&self, size: usize) -> anyhow::Result<()> {
        self.condition("Available", "True", KUBERNETES + AVAILABLE_WITHIN).await?;
        eventually("all members are ready", OPERATOR, async || {
            let status = self.status().await?;
            ensure!(status["ready"] == format!("{size}/{size}"), "{}", brief(&status));
            self.leader().await
        })
        .await?;
        Ok(())
    }

    /// The pod that leads, as the status says.
    ///
    /// # Errors
    /// If it names none.
    pub async fn leader(&self) -> anyhow::Result<String> {
        let status = self.status().await?;
        let leader = status["leader"].as_str().filter(|l| !l.is_empty());
        leader.map(str::to_owned).with_context(|| format!("no leader: {}", brief(&status)))
    }

    /// What the status says of the member in this pod.
    ///
    /// # Errors
    /// If it says nothing.
    pub async fn member(&self, pod: &str) -> anyhow::Result<Value> {
        let status = self.status().await?;
        let members = status["members"].as_array().into_iter().flatten();
        members
            .clone()
            .find(|m| m["pod"] == pod)
            .cloned()
            .with_context(|| format!("no {pod}: {}", brief(&status)))
    }

    /// A pod.
    ///
    /// # Errors
    /// If there is none.
    pub async fn pod(&self, name: &str) -> anyhow::Result<Pod> {
        Ok(self.api::<Pod>().get(name).await?)
    }

    /// The three pods' names.
    #[must_use]
    pub fn pods(&self) -> [String; 3] {
        [0, 1, 2].map(|n| format!("{CLUSTER}-{n}"))
    }

    /// The pods but one.
    #[must_use]
    pub fn others(&self, pod: &str) -> Vec<String> {
        self.pods().into_iter().filter(|p| p != pod).collect()
    }

    /// The application in a pod.
    ///
    /// # Errors
    /// If the pod has no address.
    pub async fn app(&self, pod: &str) -> anyhow::Result<App> {
        Ok(App { ip: ip(&self.pod(pod).await?)? })
    }

    /// `rauthy-agent ctl ARGS` in a pod, which must succeed.
    ///
    /// # Errors
    /// What it said.
    pub async fn ctl(&self, pod: &str, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl(&[&["exec", pod, "-c", "agent", "--", "/rauthy-agent", "ctl"], args].concat()).await
    }

    /// How the agent in a pod sees the cluster.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn view(&self, pod: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.ctl(pod, &["status", "-o", "json"]).await?)?)
    }

    /// Deletes a pod and waits for its successor's agent to run; the successor.
    ///
    /// # Errors
    /// If none comes.
    pub async fn replace(&self, pod: &str) -> anyhow::Result<Pod> {
        let old = self.pod(pod).await?.uid();
        self.api::<Pod>().delete(pod, &DeleteParams::default()).await?;
        eventually(&format!("a new {pod} runs"), KUBERNETES, async || {
            let new = self.pod(pod).await?;
            ensure!(new.uid() != old, "the old one is still there");
            started(&new)?;
            ip(&new)?;
            anyhow::Ok(new)
        })
        .await
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// Its conditions as last seen.
    pub async fn ready(&self, pod: &str, within: Duration) -> anyhow::Result<Pod> {
        eventually(&format!("{pod} is Ready"), within, async || {
            let pod = self.pod(pod).await?;
            ensure!(is_ready(&pod), "{:?}", pod.status.and_then(|s| s.conditions));
            Ok(pod)
        })
        .await
    }

    /// Stops the agent of a pod, as a machine that hangs.
    ///
    /// # Errors
    /// If it is not found.
    pub async fn freeze(&self, pod: &str) -> anyhow::Result<Frozen> {
        let pod = self.pod(pod).await?;
        Frozen::container(container_id(agent(&pod)?)?)
    }

    /// Pauses the operator for this cluster and changes the environment of the agents in the StatefulSet, as
    /// somebody would who knows better; a pod gets it when it is replaced. For clusters without an application.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn tamper(&self, env: Value) -> anyhow::Result<()> {
        let pause = json!({"spec": {"paused": true}});
        self.clusters().patch(CLUSTER, &PatchParams::default(), &Patch::Merge(&pause)).await?;
        self.condition("Paused", "True", OPERATOR).await?;
        let template = json!({"spec": {"containers": [{"name": "agent", "env": env}]}});
        let patch = Patch::Strategic(json!({"spec": {"template": template}}));
        self.api::<StatefulSet>().patch(CLUSTER, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// A key of a Secret.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn secret(&self, name: &str, key: &str) -> anyhow::Result<Vec<u8>> {
        let secret = self.api::<Secret>().get(name).await?;
        Ok(secret.data.unwrap_or_default().remove(key).with_context(|| format!("{name} has no key {key}"))?.0)
    }

    /// Waits for an event about an object of this scene whose text holds all `parts`; its text.
    ///
    /// # Errors
    /// The events as last seen.
    pub async fn event(&self, parts: &[&str], within: Duration) -> anyhow::Result<String> {
        let events: Api<k8s_openapi::api::events::v1::Event> = self.api();
        eventually(&format!("an event with {parts:?}"), within, async || {
            let all = events.list(&ListParams::default()).await?.items;
            let texts: Vec<_> = all
                .iter()
                .filter(|e| e.regarding.as_ref().is_some_and(|r| r.kind.as_deref() == Some("RauthyCluster")))
                .map(|e| {
                    format!("{}: {}", e.reason.as_deref().unwrap_or(""), e.note.as_deref().unwrap_or(""))
                })
                .collect();
            let found = texts.iter().find(|t| parts.iter().all(|p| t.contains(p))).cloned();
            found.with_context(|| format!("{texts:#?}"))
        })
        .await
    }
}

/// A pod's address.
///
/// # Errors
/// If it has none yet.
pub fn ip(pod: &Pod) -> anyhow::Result<IpAddr> {
    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).context("the pod has no address")?;
    Ok(ip.parse()?)
}

/// The status of a pod's agent: a native sidecar, or the only container.
///
/// # Errors
/// If it has none yet.
pub fn agent(pod: &Pod) -> anyhow::Result<&ContainerStatus> {
    let status = pod.status.as_ref().context("the pod has no status")?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.into_iter().find(|c| c.name == "agent").context("the pod has no agent that was started")
}

/// The id of a container, as its cgroup names it.
///
/// # Errors
/// If it was never started.
pub fn container_id(status: &ContainerStatus) -> anyhow::Result<&str> {
    let id = status.container_id.as_deref().context("the container was never started")?;
    Ok(id.rsplit('/').next().unwrap_or(id))
}

/// When a pod's agent was started.
///
/// # Errors
/// If it does not run.
pub fn started(pod: &Pod) -> anyhow::Result<Timestamp> {
    let state = agent(pod)?.state.clone().unwrap_or_default();
    let time = state.running.as_ref().and_then(|r| r.started_at.clone());
    Ok(time.with_context(|| format!("the agent does not run: {state:?}"))?.0)
}

/// Whether Kubernetes calls a pod Ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.clone().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A status in one line.
#[must_use]
pub fn brief(status: &Value) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> =
        conditions.map(|c| format!("{}={} {}", c["type"], c["status"], c["message"])).collect();
    let members = status["members"].as_array().into_iter().flatten();
    let members: Vec<_> = members.map(|m| format!("{} {} {}", m["pod"], m["role"], m["message"])).collect();
    format!(
        "ready {}, leader {}, {}, {}",
        status["ready"],
        status["leader"],
        members.join(", "),
        conditions.join(", ")
    )
}
