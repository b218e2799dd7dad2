//! Three agents, what their volumes show, and who is let in by whom.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use rauthy_operator::agents::{Access, AgentError, Agents, Report};
use rauthy_operator::names::Names;
use rauthy_operator::reconcile::credentials::tokens;
use rauthy_operator::reconcile::credentials::x509::{
    Authority, Ca, accepted, authorities, field, leaf, paired,
};
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest};
use rauthy_proto::cache::{ConfigurationStatus, Credentials, NodeStatus, Role};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::support::{Api, Operator, PODS, STATEFULSET, TLS, TOKEN};

/// Rounds that a rotation may take.
const ROUNDS: usize = 40;

/// What one agent uses.
#[derive(Clone)]
pub struct Uses {
    pub chain: String,
    pub bundle: Vec<Authority>,
    pub tokens: Vec<String>,
}

impl Uses {
    pub fn of(api: &Api) -> Self {
        let secret = |path: &str| -> Secret { serde_json::from_value(api.get(path).expect(path)).unwrap() };
        let (tls, token) = (secret(TLS), secret(TOKEN));
        let tokens = tokens::read(&token).expect("a token");
        Self {
            chain: field(&tls, "tls.crt").unwrap().to_owned(),
            bundle: authorities(field(&tls, "ca.crt").unwrap()).unwrap(),
            tokens: tokens.iter().map(|token| token.expose_secret().to_owned()).collect(),
        }
    }

    fn accepts(&self, other: &Self, ordinal: usize) -> Result<(), String> {
        let host = format!("rauthy-{ordinal}.rauthy");
        accepted(&other.chain, &self.bundle, &[host], Timestamp::now())?;
        let shared = self.tokens.iter().any(|token| other.tokens.contains(token));
        if shared { Ok(()) } else { Err("no token in common".to_owned()) }
    }

    fn said(&self) -> Credentials {
        Credentials {
            certificate: leaf(&self.chain).unwrap().name,
            authorities: self.bundle.iter().map(|one| one.name.clone()).collect(),
            tokens: self.tokens.iter().map(|t| rauthy_proto::credentials::token_id(t.as_bytes())).collect(),
        }
    }
}

/// Three agents.
#[derive(Clone)]
pub struct World {
    pub api: Api,
    pub agents: Arc<Mutex<BTreeMap<usize, Uses>>>,
    /// Their volumes stay as they are.
    pub stuck: Arc<Mutex<BTreeSet<usize>>>,
    /// They do not answer.
    pub silent: Arc<Mutex<BTreeSet<usize>>>,
}

fn ordinal(pod: &Pod) -> usize {
    pod.metadata.name.as_ref().unwrap().trim_start_matches("rauthy-").parse().unwrap()
}

impl World {
    pub async fn running(spec: Value) -> Self {
        let world = Self::asked(spec);
        world.operator().settle().await;
        world.start();
        world.operator().settle().await;
        world.api.writes();
        world
    }

    pub fn asked(spec: Value) -> Self {
        let (agents, stuck, silent) = Default::default();
        Self { api: Api::with(spec), agents, stuck, silent }
    }

    /// The pods of the StatefulSet appear.
    pub fn start(&self) {
        for ordinal in 0..3 {
            self.pod(ordinal);
            self.agents.lock().unwrap().insert(ordinal, Uses::of(&self.api));
        }
    }

    fn pod(&self, ordinal: usize) {
        let name = format!("rauthy-{ordinal}");
        let set = self.api.get(STATEFULSET).expect("the StatefulSet");
        let annotations = &set["spec"]["template"]["metadata"]["annotations"];
        let running = json!({ "name": "agent", "image": "x", "imageID": "x", "ready": true, "restartCount": 0,
            "state": { "running": {} } });
        self.api.put(
            &format!("{PODS}/{name}"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "namespace": "idm", "annotations": annotations },
                "status": {
                    "podIP": "127.0.0.1", "containerStatuses": [running],
                    "conditions": [{ "type": "Ready", "status": "True" }],
                },
            }),
        );
    }

    pub fn operator(&self) -> Operator {
        Operator::with_agents(&self.api, Box::new(self.clone()))
    }

    /// One agent after the other reads what its volume shows, and after each all still open streams to all.
    pub fn volumes(&self) {
        let now = Uses::of(&self.api);
        for ordinal in 0..3 {
            if self.stuck.lock().unwrap().contains(&ordinal) {
                continue;
            }
            if let Some(uses) = self.agents.lock().unwrap().get_mut(&ordinal) {
                *uses = now.clone();
            }
            self.judge();
        }
        self.judge();
    }

    fn judge(&self) {
        let agents = self.agents.lock().unwrap();
        for (one, a) in agents.iter() {
            for (other, b) in agents.iter() {
                a.accepts(b, *other)
                    .unwrap_or_else(|why| panic!("rauthy-{one} refuses rauthy-{other}: {why}"));
            }
        }
    }

    pub fn tell(&self, annotations: Value) {
        let path = "/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/rauthy";
        let mut cluster = self.api.get(path).unwrap();
        cluster["metadata"]["annotations"] = annotations;
        self.api.put(path, cluster);
    }

    pub fn renew(&self, what: &str) {
        self.tell(json!({ "rauthy.dev/renew": what }));
    }

    /// Rounds until nothing is on its way; what pods mount then.
    pub async fn rest(&self, operator: &Operator) -> Uses {
        for _ in 0..ROUNDS {
            self.api.writes();
            operator.round().await.expect("a round");
            self.volumes();
            let secrets = self.api.writes().iter().any(|write| write.contains("/secrets"));
            if !secrets && self.api.condition("Progressing").1 != "Rotating" {
                return Uses::of(&self.api);
            }
        }
        panic!("no rest after {ROUNDS} rounds: {:?} {:?}", self.tls(), self.api.condition("Progressing"));
    }

    pub fn tls(&self) -> (String, String, String) {
        self.api.condition("TLSReady")
    }
}

impl Agents for World {
    fn ask<'a>(&'a self, access: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>> {
        Box::pin(async move {
            let tls = access.tls.as_ref().expect("a certificate");
            let mine = || {
                let (chain, key) = (field(tls, "tls.crt")?.to_owned(), field(tls, "tls.key")?);
                let bundle = authorities(field(tls, "ca.crt")?)?;
                let tokens = access.tokens.iter().map(|token| token.expose_secret().to_owned()).collect();
                paired(&chain, key).then_some(Uses { chain, bundle, tokens })
            };
            // Somebody edited it.
            let Some(mine) = mine().filter(|mine| mine.accepts(mine, 0).is_ok()) else {
                let silent = |pod: &Pod| Report {
                    pod: pod.metadata.name.clone().unwrap(),
                    answer: Err("no TLS".to_owned()),
                };
                return pods.iter().map(silent).collect();
            };
            let report = |pod: &Pod| {
                let (name, ordinal) = (pod.metadata.name.clone().unwrap(), ordinal(pod));
                let agents = self.agents.lock().unwrap();
                let Some(uses) =
                    agents.get(&ordinal).filter(|_| !self.silent.lock().unwrap().contains(&ordinal))
                else {
                    return Report { pod: name, answer: Err("no answer within 2 s".to_owned()) };
                };
                let both = mine.accepts(uses, ordinal).and_then(|()| uses.accepts(&mine, ordinal));
                both.unwrap_or_else(|why| panic!("the operator and {name}: {why}"));
                let node = NodeStatus {
                    slot: format!("{name}.rauthy:8000"),
                    role: if ordinal == 0 { Role::Leader } else { Role::Follower }.into(),
                    generation: "g1".to_owned(),
                    term: 2,
                    leader: "rauthy-0.rauthy:8000".to_owned(),
                    ready: true,
                    configuration: Some(ConfigurationStatus {
                        now: (0..3).map(|ordinal| format!("rauthy-{ordinal}.rauthy:8000")).collect(),
                        ..ConfigurationStatus::default()
                    }),
                    credentials: Some(uses.said()),
                    ..NodeStatus::default()
                };
                Report { pod: name, answer: Ok(node) }
            };
            pods.iter().map(report).collect()
        })
    }

    fn set_size<'a>(
        &'a self,
        _: &'a Access,
        _: &'a Pod,
        _: SetSizeRequest,
    ) -> BoxFuture<'a, Result<SetSizeReply, AgentError>> {
        Box::pin(async move { panic!("nobody asked for another size") })
    }

    fn transfer<'a>(&'a self, _: &'a Access, _: &'a Pod) -> BoxFuture<'a, Result<bool, AgentError>> {
        Box::pin(async move { panic!("nobody asked for another leader") })
    }
}

/// A Secret with a certificate of this authority, as a user or cert-manager would make it.
pub fn secret(path: &str, ca: &Ca) -> Value {
    let (chain, key) = ca.issue(&Names::new("idm", "rauthy"), Timestamp::now()).unwrap();
    let data = json!({ "tls.crt": chain, "tls.key": key, "ca.crt": ca.authority.pem });
    let name = path.rsplit('/').next().unwrap();
    let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": "idm",
        "labels": { "app.kubernetes.io/managed-by": "rauthy-operator" } } });
    secret["data"] = data.as_object().unwrap().iter().map(|(k, v)| (k.clone(), base64(v))).collect();
    secret
}

pub fn base64(text: &Value) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_str().unwrap().as_bytes().to_vec())).unwrap()
}

pub fn authority() -> Ca {
    Ca::new(&Names::new("idm", "rauthy"), Timestamp::now()).unwrap()
}
