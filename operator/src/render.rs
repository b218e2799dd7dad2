//! What RauthyClusters would get, as text: to look at before they are applied, for GitOps, and for tests. Secrets are named,
//! and their contents left out.

use jiff::Timestamp;
use kube::CustomResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::crd::RauthyCluster;
use crate::reconcile::build::{self, BuildError, Desired};
use crate::reconcile::credentials::Decision;
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::{Environment, Invalid, validate};

/// Most places that are named at once.
const MOST: usize = 10;

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not YAML, or a field has the wrong type.
    #[error("document {0} is not a RauthyCluster: {1}")]
    Parse(usize, serde_yaml::Error),
    /// It has another kind or version.
    #[error("document {0} is a {1}; this operator knows apiVersion rauthy.dev/v1alpha1, kind RauthyCluster")]
    Kind(usize, String),
    /// There is none in it.
    #[error("there is no RauthyCluster in it: {0}")]
    Missing(String),
    /// Fields that do not exist, which the API server would drop.
    #[error("document {0} has fields that a RauthyCluster does not have: {1}")]
    Unknown(usize, String),
    /// A rule of the definition refuses it.
    #[error("document {0}: {1}")]
    Rule(usize, String),
    /// The cluster is wrong.
    #[error("document {0}: {1}")]
    Invalid(usize, Invalid),
    /// An object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An object cannot be shown.
    #[error("an object cannot be written as YAML: {0}")]
    Yaml(serde_yaml::Error),
}

/// The objects of the RauthyClusters in `text` (YAML, one or more documents), as if nothing existed yet, in a cluster that
/// has the Prometheus Operator. Other objects, such as Secrets, are passed over.
///
/// # Errors
/// It holds none, or a wrong one. The first document that is wrong is named, counted from 1.
pub fn render(text: &str, agent_image: &str) -> Result<String, Error> {
    let (mut out, mut others) = (String::new(), Vec::new());
    for (number, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let number = number + 1;
        let value = Value::deserialize(document).map_err(|error| Error::Parse(number, error))?;
        if value.is_null() {
            continue;
        }
        let field = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("nothing");
        let what = format!("{} {}", field("apiVersion"), field("kind"));
        if !field("apiVersion").starts_with("rauthy.dev/") {
            others.push(what);
            continue;
        }
        if what != "rauthy.dev/v1alpha1 RauthyCluster" {
            return Err(Error::Kind(number, what));
        }
        for object in objects(number, &value, agent_image)? {
            out.push_str("---\n");
            out.push_str(&serde_yaml::to_string(&object).map_err(Error::Yaml)?);
        }
    }
    match (out.is_empty(), others.is_empty()) {
        (false, _) => Ok(out),
        (true, true) => Err(Error::Missing("it is empty".to_owned())),
        (true, false) => Err(Error::Missing(others.join(", "))),
    }
}

fn objects(number: usize, value: &Value, agent_image: &str) -> Result<Vec<Value>, Error> {
    let mut unknown = Vec::new();
    // The API server's schema: the types alone would take fields that do not exist.
    let schema = serde_json::to_value(RauthyCluster::crd()).unwrap_or_default();
    let schema = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    strangers(&value["spec"], schema, "spec", &mut unknown);
    if !unknown.is_empty() {
        unknown.truncate(MOST);
        return Err(Error::Unknown(number, unknown.join(", ")));
    }
    // By way of YAML, whose errors name the place.
    let again = serde_yaml::to_string(value).map_err(Error::Yaml)?;
    let mut cluster: RauthyCluster =
        serde_yaml::from_str(&again).map_err(|error| Error::Parse(number, error))?;
    cluster.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    cluster.metadata.uid.get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
    if let Err(errors) = cluster.validate_cel() {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Error::Rule(number, messages.join("; ")));
    }
    let mut observed = Observed { monitors: true, ..Observed::default() };
    if let Some(name) = cluster.spec.auth.as_ref().and_then(|auth| auth.token_secret_name.as_ref()) {
        observed.given_token = Some(placeholder(name));
    }
    let environment = Environment { agent_image: Some(agent_image.to_owned()), ..Environment::default() };
    let validated = validate(&cluster, &observed, &environment, &[])
        .map_err(|invalid| Error::Invalid(number, invalid))?;
    let Desired {
        service_account,
        hosts,
        headless,
        client,
        credentials,
        pdb,
        network_policy,
        monitor,
        statefulset,
    } = build::build(&validated, &observed, Timestamp::now())?;
    let Decision { token, ca, tls, certificate, .. } = credentials;
    let objects = [
        token.as_ref().map(show),
        ca.as_ref().map(show),
        tls.as_ref().map(show),
        certificate.as_ref().map(show),
        Some(show(&service_account)),
        Some(show(&hosts)),
        Some(show(&headless)),
        Some(show(&client)),
        pdb.as_ref().map(show),
        network_policy.as_ref().map(show),
        monitor.as_ref().map(show),
        Some(show(&statefulset)),
    ];
    Ok(objects.into_iter().flatten().collect())
}

/// Fields of `value` that `schema` does not have.
fn strangers(value: &Value, schema: &Value, path: &str, unknown: &mut Vec<String>) {
    match (value, schema) {
        (Value::Array(list), _) => {
            for (number, value) in list.iter().enumerate() {
                strangers(value, &schema["items"], &format!("{path}[{number}]"), unknown);
            }
        }
        (Value::Object(map), Value::Object(schema)) => {
            // Where there are no properties, any are allowed: maps, and what has its own format.
            let Some(properties) = schema.get("properties") else { return };
            for (key, value) in map {
                let path = format!("{path}.{key}");
                match properties.get(key) {
                    Some(schema) => strangers(value, schema, &path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        _ => {}
    }
}

fn show<K: Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if value.get("kind").and_then(Value::as_str) == Some("Secret")
        && let Some(Value::Object(data)) = value.get_mut("data")
    {
        data.values_mut().for_each(|content| *content = json!("(left out)"));
    }
    value
}

/// Stands for a Secret that the user has.
fn placeholder(name: &str) -> k8s_openapi::api::core::v1::Secret {
    let mut secret = k8s_openapi::api::core::v1::Secret::default();
    secret.metadata.name = Some(name.to_owned());
    let token = k8s_openapi::ByteString(vec![b'x'; rauthy_proto::handshake::TOKEN_MIN]);
    secret.data = Some([(crate::names::TOKEN_KEY.to_owned(), token)].into());
    secret
}
