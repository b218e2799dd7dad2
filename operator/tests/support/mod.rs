//! An API server in memory: enough of one for the operator's own requests. It counts writes, and can fail from a
//! given write on, which is how an operator is killed in the middle of something.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod faults;
pub mod world;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use rauthy_operator::agents::{Agents, ByPodAddress};
use rauthy_operator::controller::{Backoff, delay, failed};
use rauthy_operator::crd::RauthyCluster;
use rauthy_operator::metrics::Metrics;
use rauthy_operator::reconcile::credentials::keep::Kept;
use rauthy_operator::reconcile::events::Publisher;
use rauthy_operator::reconcile::monitors::Monitors;
use rauthy_operator::reconcile::validate::Environment;
use rauthy_operator::reconcile::{Context, Error, reconcile};
use rauthy_operator::throttle::{Throttle, ThrottleLayer};
use serde_json::{Value, json};
use tower::Layer;

use self::faults::{Fault, Gate};

/// What the server holds, by path.
#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    versions: u64,
    /// Every write, as `VERB path`.
    writes: Vec<String>,
    /// Writes that are still answered; after them each gets `failure`.
    writes_left: Option<usize>,
    failure: u16,
    /// Writes to paths that contain this get that answer.
    refused: Option<(&'static str, u16)>,
    /// Whether requests get no answer.
    hangs: bool,
    /// The next request that fails.
    fault: Option<Fault>,
}

/// The server.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

pub const CLUSTER: &str = "/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/rauthy";
pub const TOKEN: &str = "/api/v1/namespaces/idm/secrets/rauthy-cache-auth";
pub const CA: &str = "/api/v1/namespaces/idm/secrets/rauthy-ca";
pub const TLS: &str = "/api/v1/namespaces/idm/secrets/rauthy-tls";
pub const HOSTS: &str = "/api/v1/namespaces/idm/configmaps/rauthy-hosts";
pub const STATEFULSET: &str = "/apis/apps/v1/namespaces/idm/statefulsets/rauthy";
pub const PODS: &str = "/api/v1/namespaces/idm/pods";
pub const PDB: &str = "/apis/policy/v1/namespaces/idm/poddisruptionbudgets/rauthy";

impl Api {
    /// A server with the RauthyCluster `idm/rauthy` of this spec.
    pub fn with(spec: Value) -> Self {
        let api = Self::default();
        api.put(
            CLUSTER,
            json!({
                "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster",
                "metadata": { "name": "rauthy", "namespace": "idm", "uid": "uid-1", "generation": 1 },
                "spec": spec,
            }),
        );
        api
    }

    /// Replaces the RauthyCluster by a new one of the same name; what belonged to the old one stays.
    pub fn create_again(&self, uid: &str, spec: Value) {
        let mut cluster = self.get(CLUSTER).unwrap();
        cluster["metadata"]["uid"] = json!(uid);
        cluster["spec"] = spec;
        cluster.as_object_mut().unwrap().remove("status");
        self.put(CLUSTER, cluster);
    }

    /// Puts an object there, as a user would.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.versions += 1;
        object["metadata"]["resourceVersion"] = json!(state.versions.to_string());
        state.objects.insert(path.to_owned(), object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub fn remove(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.remove(path)
    }

    /// Changes the spec, as a user would.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut cluster = self.get(CLUSTER).unwrap();
        change(&mut cluster["spec"]);
        let generation = cluster["metadata"]["generation"].as_i64().unwrap();
        cluster["metadata"]["generation"] = json!(generation + 1);
        self.put(CLUSTER, cluster);
    }

    /// Annotates the RauthyCluster, as a user would.
    pub fn annotate(&self, key: &str, value: &str) {
        let mut cluster = self.get(CLUSTER).unwrap();
        cluster["metadata"]["annotations"][key] = json!(value);
        self.put(CLUSTER, cluster);
    }

    pub fn cluster(&self) -> RauthyCluster {
        serde_json::from_value(self.get(CLUSTER).unwrap()).unwrap()
    }

    /// Status of a condition and its reason.
    pub fn condition(&self, kind: &str) -> (String, String, String) {
        let status = self.cluster().status.expect("a status");
        let condition = status.conditions.iter().find(|c| c.type_ == kind).expect("the condition").clone();
        (condition.status, condition.reason, condition.message)
    }

    /// Paths of everything but events and the cluster itself.
    pub fn owned(&self) -> BTreeMap<String, Value> {
        let state = self.0.lock().unwrap();
        let owned = state.objects.iter().filter(|(path, _)| *path != CLUSTER && !path.contains("/events"));
        owned.map(|(path, object)| (path.clone(), object.clone())).collect()
    }

    /// A number that grows with every write.
    pub fn version(&self) -> u64 {
        self.0.lock().unwrap().versions
    }

    /// The objects at these paths.
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        state.objects.iter().filter(|(path, _)| wanted(path)).map(|(_, object)| object.clone()).collect()
    }

    /// Everything, by path.
    pub fn all(&self) -> BTreeMap<String, Value> {
        self.0.lock().unwrap().objects.clone()
    }

    /// Reasons and notes of the events.
    pub fn events(&self) -> Vec<(String, String)> {
        let state = self.0.lock().unwrap();
        let events = state.objects.iter().filter(|(path, _)| path.contains("/events"));
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        events.map(|(_, event)| (text(event, "reason"), text(event, "note"))).collect()
    }

    /// Writes since the last call, as `VERB path`; events left out.
    pub fn writes(&self) -> Vec<String> {
        let mut writes = std::mem::take(&mut self.0.lock().unwrap().writes);
        writes.retain(|write| !write.contains("/events"));
        writes
    }

    /// Answers `writes` more writes, then fails with `failure`; none: never fails again.
    pub fn fail_after(&self, writes: Option<usize>, failure: u16) {
        let mut state = self.0.lock().unwrap();
        (state.writes_left, state.failure) = (writes, failure);
    }

    /// Refuses writes to paths that contain `path`; none: refuses nothing.
    pub fn refuse(&self, refused: Option<(&'static str, u16)>) {
        self.0.lock().unwrap().refused = refused;
    }

    /// Answers nothing from now on.
    pub fn hang(&self) {
        self.0.lock().unwrap().hangs = true;
    }

    /// Answers requests that come from now on.
    pub fn answer_again(&self) {
        self.0.lock().unwrap().hangs = false;
    }

    /// One request fails in this way; events are not counted.
    pub fn fail_once(&self, fault: Fault) {
        self.0.lock().unwrap().fault = Some(fault);
    }

    /// Whether it has failed since.
    pub fn has_failed(&self) -> bool {
        self.0.lock().unwrap().fault.is_none()
    }

    /// Stops failing.
    pub fn heal(&self) {
        self.0.lock().unwrap().fault = None;
    }

    pub fn client(&self) -> Client {
        self.client_through(Gate::default(), Arc::default())
    }

    /// A client whose requests pass this gate, and that notes how long it is to wait.
    pub fn client_through(&self, gate: Gate, throttle: Arc<Throttle>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (api, gate) = (api.clone(), gate.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                if head.method != Method::GET && !head.uri.path().contains("/events") {
                    gate.pass(&format!("{} {}", head.method, head.uri.path())).await;
                }
                if api.0.lock().unwrap().hangs {
                    std::future::pending::<()>().await;
                }
                let fault = api.due(head.uri.path());
                let (code, value) = match fault {
                    Some(fault) => failure(StatusCode::from_u16(fault.code).unwrap()),
                    None => api.answer(&head.method, head.uri.path(), &body),
                };
                let mut answer = Response::builder().status(code);
                if let Some(seconds) = fault.and_then(|fault| fault.retry_after) {
                    answer = answer.header("Retry-After", seconds);
                }
                let answer = answer.body(Body::from(value.to_string().into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        Client::new(ThrottleLayer(throttle).layer(service), "default")
    }

    fn due(&self, path: &str) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        if path.contains("/events") {
            return None;
        }
        let fault = state.fault?;
        state.fault = fault.after.checked_sub(1).map(|after| Fault { after, ..fault });
        (fault.after == 0).then_some(fault)
    }

    /// One request's answer.
    pub fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        if method == Method::GET {
            return match state.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None if path.ends_with("/pods") => {
                    let pods = state.objects.iter().filter(|(key, _)| key.starts_with(&format!("{path}/")));
                    let items: Vec<_> = pods.map(|(_, pod)| pod.clone()).collect();
                    (
                        StatusCode::OK,
                        json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items }),
                    )
                }
                None => failure(StatusCode::NOT_FOUND),
            };
        }
        if let Some((_, code)) = state.refused.filter(|(refused, _)| path.contains(refused)) {
            return failure(StatusCode::from_u16(code).unwrap());
        }
        if !path.contains("/events") {
            if state.writes_left == Some(0) {
                return failure(StatusCode::from_u16(state.failure).unwrap());
            }
            state.writes_left = state.writes_left.map(|left| left - 1);
        }
        state.writes.push(format!("{method} {path}"));
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        state.versions += 1;
        let version = state.versions;
        match *method {
            Method::POST => {
                let path = format!("{path}/{}", value["metadata"]["name"].as_str().unwrap());
                if state.objects.contains_key(&path) {
                    return failure(StatusCode::CONFLICT);
                }
                (StatusCode::CREATED, store(&mut state.objects, path, json!({}), value, version))
            }
            Method::PATCH => {
                let (whole, applied) = (!path.ends_with("/status"), value["kind"].is_string());
                let path = path.trim_end_matches("/status").to_owned();
                let meant = value["metadata"]["resourceVersion"].clone();
                match state.objects.get(&path).cloned() {
                    // Only an apply makes an object.
                    None if !(whole && applied) => failure(StatusCode::NOT_FOUND),
                    Some(old) if !meant.is_null() && meant != old["metadata"]["resourceVersion"] => {
                        failure(StatusCode::CONFLICT)
                    }
                    None if !meant.is_null() => failure(StatusCode::CONFLICT),
                    old => {
                        let old = old.unwrap_or_else(|| json!({}));
                        (StatusCode::OK, store(&mut state.objects, path, old, value, version))
                    }
                }
            }
            Method::PUT => match state.objects.get(path).cloned() {
                None => failure(StatusCode::NOT_FOUND),
                Some(old) if old["metadata"]["resourceVersion"] != value["metadata"]["resourceVersion"] => {
                    failure(StatusCode::CONFLICT)
                }
                Some(_) => {
                    let mut value = value;
                    value["metadata"]["resourceVersion"] = json!(version.to_string());
                    state.objects.insert(path.to_owned(), value.clone());
                    (StatusCode::OK, value)
                }
            },
            Method::DELETE => {
                let meant = &value["preconditions"];
                let differs = |object: &Value| {
                    let other = |key: &str| !meant[key].is_null() && meant[key] != object["metadata"][key];
                    other("uid") || other("resourceVersion")
                };
                match state.objects.get(path) {
                    None => failure(StatusCode::NOT_FOUND),
                    Some(object) if differs(object) => failure(StatusCode::CONFLICT),
                    Some(_) => {
                        state.objects.remove(path);
                        (StatusCode::OK, json!({ "kind": "Status", "status": "Success" }))
                    }
                }
            }
            _ => failure(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Server-side apply, as far as one manager needs it: what it names is set. The status is replaced.
fn store(objects: &mut BTreeMap<String, Value>, path: String, old: Value, new: Value, version: u64) -> Value {
    let mut object = old.clone();
    let status = new["status"].as_object();
    let one = status.filter(|status| status.len() == 1).and_then(|status| status.get("conditions"));
    match one.and_then(Value::as_array) {
        // Conditions are known by their types: another manager sets one of them.
        Some(some) => {
            let mut all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.retain(|old| some.iter().all(|new| new["type"] != old["type"]));
            object["status"]["conditions"] = Value::Array([all, some.clone()].concat());
        }
        None => {
            if status.is_some() {
                object["status"] = Value::Null;
            }
            merge(&mut object, &new);
        }
    }
    if object != old {
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{version}"));
        }
    }
    objects.insert(path, object.clone());
    object
}

fn merge(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}

fn failure(code: StatusCode) -> (StatusCode, Value) {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::FORBIDDEN => "Forbidden",
        _ => "InternalError",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": format!("the server says {reason}"),
    });
    (code, status)
}

/// An operator: what one process keeps between rounds.
pub struct Operator {
    api: Api,
    context: Arc<Context>,
}

impl Operator {
    /// A freshly started operator.
    pub fn start(api: &Api) -> Self {
        Self::with_image(api, "agent:1")
    }

    pub fn with_image(api: &Api, image: &str) -> Self {
        Self::with_all(api, image, Box::new(ByPodAddress))
    }

    /// One that reaches agents in this way.
    pub fn with_agents(api: &Api, agents: Box<dyn Agents>) -> Self {
        Self::with_all(api, "agent:1", agents)
    }

    /// One with this default image that reaches agents in this way.
    pub fn with_all(api: &Api, image: &str, agents: Box<dyn Agents>) -> Self {
        Self::through(api, Gate::default(), image, agents)
    }

    /// One whose requests pass this gate.
    pub fn through(api: &Api, gate: Gate, image: &str, agents: Box<dyn Agents>) -> Self {
        let throttle = Arc::<Throttle>::default();
        let client = api.client_through(gate, throttle.clone());
        Self { api: api.clone(), context: Arc::new(Context { throttle, ..context(client, image, agents) }) }
    }

    /// What its controller needs, reaching the server by this client.
    pub fn context(client: Client, agents: Box<dyn Agents>) -> Arc<Context> {
        Arc::new(context(client, "agent:1", agents))
    }

    /// One round with the cluster as it is on the server.
    pub async fn round(&self) -> Result<Action, Error> {
        self.round_seeing(self.api.cluster()).await
    }

    /// One round of an operator whose watch has seen this last.
    pub async fn round_seeing(&self, cluster: RauthyCluster) -> Result<Action, Error> {
        reconcile(Arc::new(DeserializeGuard(Ok(cluster))), self.context.clone()).await
    }

    /// What follows on a round that ended early.
    pub fn after(&self, error: &Error) -> Action {
        failed(Arc::new(DeserializeGuard(Ok(self.api.cluster()))), error, self.context.clone())
    }

    /// How long is waited after a failure.
    pub fn delay(&self) -> Duration {
        delay(&self.context, "idm", "rauthy")
    }

    /// Rounds until one writes nothing.
    pub async fn settle(&self) {
        let mut last = Vec::new();
        for _ in 0..10 {
            self.api.writes();
            self.round().await.expect("a round");
            last = self.api.writes();
            if last.is_empty() {
                return;
            }
        }
        panic!("ten rounds, and the last one still wrote {last:?}");
    }
}

fn context(client: Client, image: &str, agents: Box<dyn Agents>) -> Context {
    Context {
        client: client.clone(),
        environment: Environment { agent_image: Some(image.to_owned()), ..Environment::default() },
        publisher: Publisher::new(client, "test".to_owned()),
        agents,
        monitors: Monitors::default(),
        metrics: Metrics::default(),
        backoff: Backoff::default(),
        kept: Kept::default(),
        throttle: Arc::default(),
    }
}
