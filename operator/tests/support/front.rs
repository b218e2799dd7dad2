//! What stands before the objects in a real API server: lists and watches across namespaces, and an authorizer. It counts what
//! is asked.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Api;

/// A right: group, resource, verb.
pub type Right = (String, String, String);

/// What a path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    group: String,
    version: String,
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
    status: bool,
}

impl Target {
    /// `/api/v1/…` or `/apis/GROUP/VERSION/…`, with or without a namespace.
    fn of(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').peekable();
        let group = match parts.next()? {
            "api" => String::new(),
            "apis" => parts.next()?.to_owned(),
            _ => return None,
        };
        let version = parts.next()?.to_owned();
        let mut namespace = None;
        if parts.peek() == Some(&"namespaces") {
            parts.next();
            namespace = Some(parts.next()?.to_owned());
        }
        let resource = parts.next()?.to_owned();
        let name = parts.next().map(str::to_owned);
        Some(Self { group, version, resource, namespace, name, status: parts.next() == Some("status") })
    }

    /// Whether an object at this path belongs to this list.
    fn lists(&self, path: &str) -> bool {
        Self::of(path).is_some_and(|object| {
            object.name.is_some()
                && (object.group, object.version, object.resource)
                    == (self.group.clone(), self.version.clone(), self.resource.clone())
                && (self.namespace.is_none() || self.namespace == object.namespace)
        })
    }

    fn right(&self, verb: &str) -> Right {
        let resource = if self.status { format!("{}/status", self.resource) } else { self.resource.clone() };
        (self.group.clone(), resource, verb.to_owned())
    }
}

struct Watcher {
    target: Target,
    labels: Vec<(String, String)>,
    events: UnboundedSender<Bytes>,
}

#[derive(Default)]
struct State {
    watchers: Vec<Watcher>,
    /// What is allowed; none: everything.
    rights: Option<BTreeSet<Right>>,
    denied: BTreeSet<Right>,
    calls: BTreeMap<Right, usize>,
    /// Lists and watches over all namespaces.
    wide: BTreeMap<Right, usize>,
}

/// The server with all that.
#[derive(Clone, Default)]
pub struct Front {
    pub api: Api,
    state: Arc<Mutex<State>>,
}

impl Front {
    /// In front of these objects; `rights`: what is allowed, none: everything.
    pub fn of(api: Api, rights: Option<BTreeSet<Right>>) -> Self {
        Self { api, state: Arc::new(Mutex::new(State { rights, ..State::default() })) }
    }

    /// How often was asked for what, since the last call.
    pub fn calls(&self) -> BTreeMap<Right, usize> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// How often was listed or watched over all namespaces, since the last call.
    pub fn wide(&self) -> BTreeMap<Right, usize> {
        std::mem::take(&mut self.state.lock().unwrap().wide)
    }

    /// What was refused.
    pub fn denied(&self) -> BTreeSet<Right> {
        self.state.lock().unwrap().denied.clone()
    }

    pub fn client(&self) -> Client {
        let front = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let front = front.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                Ok::<_, Infallible>(front.serve(&head.method, &head.uri, &head.headers, &body))
            }
        });
        Client::new(service, "default")
    }

    /// One request's answer.
    pub fn serve(
        &self,
        method: &Method,
        uri: &http::Uri,
        headers: &http::HeaderMap,
        body: &[u8],
    ) -> Response<Answer> {
        let query = uri.query().unwrap_or_default();
        let watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let Some(target) = Target::of(uri.path()) else { return self.plain(method, uri.path(), body) };
        for verb in self.verbs(method, uri.path(), headers, &target, watch) {
            let right = target.right(verb);
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(right.clone()).or_default() += 1;
            if target.namespace.is_none() && matches!(verb, "list" | "watch") {
                *state.wide.entry(right.clone()).or_default() += 1;
            }
            if state.rights.as_ref().is_some_and(|rights| !rights.contains(&right)) {
                state.denied.insert(right);
                return reply(StatusCode::FORBIDDEN, &status(403, "Forbidden", "the authorizer says no"));
            }
        }
        match (method, &target.name) {
            (&Method::GET, None) if watch => self.watch(target, query),
            (&Method::GET, None) => self.list(&target, query),
            _ => self.plain(method, uri.path(), body),
        }
    }

    /// The verbs that a request needs, as the real authorizer asks for them.
    fn verbs(
        &self,
        method: &Method,
        path: &str,
        headers: &http::HeaderMap,
        target: &Target,
        watch: bool,
    ) -> Vec<&'static str> {
        match *method {
            Method::GET if target.name.is_some() => vec!["get"],
            Method::GET => vec![if watch { "watch" } else { "list" }],
            Method::POST => vec!["create"],
            Method::PUT => vec!["update"],
            Method::DELETE => vec!["delete"],
            Method::PATCH => {
                let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                // An apply that makes the object is a creation as well.
                let makes = kind.is_some_and(|kind| kind.contains("apply"))
                    && self.api.get(path).is_none()
                    && !target.status;
                if makes { vec!["patch", "create"] } else { vec!["patch"] }
            }
            _ => vec!["unknown"],
        }
    }

    fn plain(&self, method: &Method, path: &str, body: &[u8]) -> Response<Answer> {
        let before = if *method == Method::GET { None } else { self.api.get(object_path(path)) };
        let (code, value) = self.api.answer(method, path, body);
        if *method != Method::GET && code.is_success() {
            let path = match *method {
                Method::POST => format!("{path}/{}", value["metadata"]["name"].as_str().unwrap_or_default()),
                _ => object_path(path).to_owned(),
            };
            self.tell(&path, before);
        }
        reply(code, &value)
    }

    /// Tells watchers what became of an object.
    pub fn tell(&self, path: &str, before: Option<Value>) {
        let now = self.api.get(path);
        let (kind, object) = match (&before, &now) {
            (None, Some(now)) => ("ADDED", now),
            (Some(before), Some(now)) if before != now => ("MODIFIED", now),
            (Some(before), None) => ("DELETED", before),
            _ => return,
        };
        let line = Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })));
        let mut state = self.state.lock().unwrap();
        state.watchers.retain(|watcher| {
            let concerned = watcher.target.lists(path) && selected(object, &watcher.labels);
            !concerned || watcher.events.send(line.clone()).is_ok()
        });
    }

    fn list(&self, target: &Target, query: &str) -> Response<Answer> {
        let labels = labels(query);
        let place = format!("/{}/", target.resource);
        let mut items = self.api.select(|path| path.contains(&place) && target.lists(path));
        items.retain(|object| selected(object, &labels));
        let version = items.first().map_or(json!("v1"), |item| item["apiVersion"].clone());
        let list = json!({ "apiVersion": version, "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items });
        reply(StatusCode::OK, &list)
    }

    fn watch(&self, target: Target, query: &str) -> Response<Answer> {
        let (events, receiver) = unbounded_channel();
        self.state.lock().unwrap().watchers.push(Watcher { target, labels: labels(query), events });
        Response::builder().status(StatusCode::OK).body(Answer::Watch(receiver)).unwrap()
    }
}

fn object_path(path: &str) -> &str {
    path.trim_end_matches("/status")
}

/// `labelSelector=a%3Db%2Cc%3Dd`, equality only.
fn labels(query: &str) -> Vec<(String, String)> {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")).unwrap_or_default();
    let text = given.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn selected(object: &Value, labels: &[(String, String)]) -> bool {
    labels.iter().all(|(key, value)| object["metadata"]["labels"][key] == *value)
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

fn reply(code: StatusCode, value: &Value) -> Response<Answer> {
    let body = Answer::Once(Some(Bytes::from(value.to_string())));
    Response::builder().status(code).body(body).unwrap()
}

/// A body: whole, or the events of a watch, which never end.
pub enum Answer {
    Once(Option<Bytes>),
    Watch(UnboundedReceiver<Bytes>),
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Once(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Watch(events) => events.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }
}
