//! What a RauthyCluster would get, as text: to look at before it is applied, and for tests. Secrets are named, and
//! their contents left out.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::crd::RauthyCluster;
use crate::reconcile::build::{self, BuildError, Desired};
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::{Environment, Invalid, validate};

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no RauthyCluster.
    #[error("this is not a RauthyCluster: {0}")]
    Parse(serde_yaml::Error),
    /// The cluster is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An object cannot be shown.
    #[error("an object cannot be written as YAML: {0}")]
    Yaml(serde_yaml::Error),
}

/// The objects of the RauthyCluster in `text` (YAML), as if nothing existed yet.
///
/// # Errors
/// It is no RauthyCluster, or a wrong one.
pub fn render(text: &str, agent_image: &str) -> Result<String, Error> {
    let mut cluster: RauthyCluster = serde_yaml::from_str(text).map_err(Error::Parse)?;
    cluster.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    cluster.metadata.uid.get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
    if let Err(errors) = cluster.validate_cel() {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Error::Parse(serde::de::Error::custom(messages.join("; "))));
    }
    let mut observed = Observed::default();
    if let Some(name) = cluster.spec.auth.as_ref().and_then(|auth| auth.token_secret_name.as_ref()) {
        observed.token = Some(placeholder(name));
    }
    let environment = Environment { agent_image: Some(agent_image.to_owned()) };
    let validated = validate(&cluster, &observed, &environment)?;
    let Desired { service_account, hosts, headless, client, token, ca, tls, pdb, statefulset } =
        build::build(&validated, &observed, Timestamp::now())?;
    let objects = [
        show(&service_account),
        show(&hosts),
        show(&headless),
        show(&client),
        token.as_ref().map_or(Value::Null, show),
        ca.as_ref().map_or(Value::Null, show),
        tls.as_ref().map_or(Value::Null, show),
        pdb.as_ref().map_or(Value::Null, show),
        show(&statefulset),
    ];
    let mut text = String::new();
    for object in objects.iter().filter(|object| !object.is_null()) {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(object).map_err(Error::Yaml)?);
    }
    Ok(text)
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
