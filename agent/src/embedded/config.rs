//! What an embedded cache is told: the variables of the agent, or the same by name.
//!
//! ```text
//! environment ─┐
//! Builder ─────┴─▶ name ─▶ text ──config::Config::from──▶ checked, with the agent's own messages
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::{self, ConfigError, Listen, TlsFiles};

/// Everything that an embedded cache is told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every node is told.
    pub agent: config::Config,
    /// Where other programs of this host reach the cache; none: nowhere.
    pub listen: Vec<Listen>,
    /// Where health and metrics are served; `None`: nowhere.
    pub http: Option<SocketAddr>,
}

impl Config {
    /// Reads the environment, under the names that the agent documents (`rauthy-agent --help`). Other than the agent, it
    /// serves a socket only where `CACHE_LISTEN` is set, and HTTP only where `AGENT_HTTP` is.
    ///
    /// # Errors
    /// At the first value that is missing or wrong; the message names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Builder { environment: true, ..Builder::default() }.build()
    }

    /// Begins with nothing: what is not given has the agent's default, whatever the environment says.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Builds a [`Config`]. What is wrong is said by [`Builder::build`], in terms of the variable that means the same.
#[derive(Clone, Default)]
#[must_use = "nothing is built before `build`"]
pub struct Builder {
    values: BTreeMap<&'static str, String>,
    environment: bool,
}

/// The token is among the values.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("given", &self.values.keys())
            .field("environment", &self.environment)
            .finish()
    }
}

impl Builder {
    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    fn set_path(self, name: &'static str, path: &Path) -> Self {
        self.set(name, path.to_string_lossy())
    }

    /// What is not given is read from the environment.
    pub fn or_environment(mut self) -> Self {
        self.environment = true;
        self
    }

    /// A variable of the agent by its own name, for what has no method here.
    pub fn variable(self, name: &'static str, value: impl Into<String>) -> Self {
        self.set(name, value)
    }

    /// A variable that counts only where nothing else gives it: neither this builder nor, if asked, the environment.
    pub fn or_default(self, (name, value): (&'static str, &str)) -> Self {
        if self.given(name).is_some_and(|given| !given.trim().is_empty()) {
            self
        } else {
            self.set(name, value)
        }
    }

    fn given(&self, name: &str) -> Option<String> {
        let given = self.values.get(name).cloned();
        given.or_else(|| std::env::var(name).ok().filter(|_| self.environment))
    }

    /// A single node, which listens for no others (`HA_MODE=false`).
    pub fn single(self) -> Self {
        self.set("HA_MODE", "false")
    }

    /// One of these members, `https://host:port` each (`HA_MODE=true`, `HA_HOSTS`).
    pub fn cluster<I: IntoIterator<Item: AsRef<str>>>(self, members: I) -> Self {
        let members: Vec<String> = members.into_iter().map(|m| m.as_ref().to_owned()).collect();
        self.set("HA_MODE", "true").set("HA_HOSTS", members.join(","))
    }

    /// Which member this is: first label, host or `host:port` of its entry (`HOSTNAME_OVERWRITE`). The name of this host
    /// unless given.
    pub fn me(self, me: &str) -> Self {
        self.set("HOSTNAME_OVERWRITE", me)
    }

    /// The secret that all members share, 16 characters at least (`CACHE_AUTH_TOKEN`).
    pub fn token(self, token: &str) -> Self {
        self.set("CACHE_AUTH_TOKEN", token)
    }

    /// Members of a cluster with another name are refused (`CACHE_CLUSTER_NAME`).
    pub fn cluster_name(self, name: &str) -> Self {
        self.set("CACHE_CLUSTER_NAME", name)
    }

    /// Certificates; read again when they change.
    pub fn tls(self, files: &TlsFiles) -> Self {
        let mut all = self
            .set("CACHE_TLS", "true")
            .set_path("CACHE_TLS_SERVER_CERT", &files.server.cert)
            .set_path("CACHE_TLS_SERVER_KEY", &files.server.key)
            .set_path("CACHE_TLS_CA_SERVER", &files.ca_server);
        if let Some(client) = &files.client {
            all = all
                .set_path("CACHE_TLS_CLIENT_CERT", &client.cert)
                .set_path("CACHE_TLS_CLIENT_KEY", &client.key);
        }
        if let Some(ca) = &files.ca_client {
            all = all.set_path("CACHE_TLS_CA_CLIENT", ca);
        }
        match &files.validate_domain {
            Some(name) => all.set("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", name),
            None => all,
        }
    }

    /// No TLS between the members: only under a service mesh that encrypts, or on loopback.
    pub fn without_tls(self) -> Self {
        self.set("CACHE_TLS", "false")
    }

    /// Bytes that the cache may hold; writes beyond are refused (`CACHE_MAX_BYTES`).
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.set("CACHE_MAX_BYTES", bytes.to_string())
    }

    /// After this long without a quorum the data is wiped; 3 s to 1 h (`CACHE_INVALIDATE_AFTER`).
    pub fn invalidate_after(self, time: Duration) -> Self {
        self.set("CACHE_INVALIDATE_AFTER", format!("{}ms", time.as_millis()))
    }

    /// Serves the cache to other programs of this host: `unix:///path` or `tcp://127.0.0.1:port`, or several, separated
    /// by commas (`CACHE_LISTEN`).
    pub fn listen(self, address: &str) -> Self {
        self.set("CACHE_LISTEN", address)
    }

    /// Serves health and metrics: `[address]:port` (`AGENT_HTTP`).
    pub fn http(self, address: &str) -> Self {
        self.set("AGENT_HTTP", address)
    }

    /// Checks everything.
    ///
    /// # Errors
    /// At the first value that is missing or wrong; the message names it.
    pub fn build(self) -> Result<Config, ConfigError> {
        let env = |name: &str| self.given(name);
        let uname = rustix::system::uname();
        let read = |path: &Path| std::fs::read_to_string(path);
        let agent = config::Config::from(&env, &uname.nodename().to_string_lossy(), &read)?;
        let is_set = |name| env(name).is_some_and(|value| !value.trim().is_empty());
        let listen = if is_set("CACHE_LISTEN") { agent.listen.clone() } else { Vec::new() };
        let http = is_set("AGENT_HTTP").then_some(agent.http);
        Ok(Config { agent, listen, http })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_what_the_variables_mean() {
        let built = Config::builder()
            .cluster(["http://a-0.a:7000", "http://a-1.a:7000"])
            .me("a-1")
            .token("0123456789abcdef")
            .without_tls()
            .cluster_name("mine")
            .max_bytes(8 << 20)
            .invalidate_after(Duration::from_millis(4500))
            .build()
            .unwrap();
        assert_eq!(built.agent.slot.to_string(), "a-1.a:7000");
        assert_eq!((built.agent.cluster_name.as_str(), built.agent.tls.is_none()), ("mine", true));
        assert_eq!(built.agent.settings.store_bytes, 8 << 20);
        assert_eq!(built.agent.settings.invalidate_after.as_millis(), 4500);
        assert_eq!(
            (built.listen, built.http),
            (Vec::new(), None),
            "an application does not listen unless it says so"
        );
    }

    #[test]
    fn certificates_are_handed_on_whole() {
        let pair = |name: &str| config::Pair {
            cert: format!("/{name}.crt").into(),
            key: format!("/{name}.key").into(),
        };
        let files = TlsFiles {
            server: pair("server"),
            client: Some(pair("client")),
            ca_server: "/ca".into(),
            ca_client: Some("/clients".into()),
            validate_domain: Some("redhac.local".into()),
        };
        let built =
            Config::builder().cluster(["https://a:1"]).me("a").token("0123456789abcdef").tls(&files).build();
        assert_eq!(built.unwrap().agent.tls, Some(files));
    }

    #[test]
    fn servers_are_asked_for() {
        let built = Config::builder().single().listen("tcp://127.0.0.1:7").http(":8").build().unwrap();
        assert_eq!(built.listen, [Listen::Tcp("127.0.0.1:7".parse().unwrap())]);
        assert_eq!(built.http.map(|a| a.port()), Some(8));
    }

    #[test]
    fn what_is_wrong_is_named_and_a_secret_is_not_shown() {
        let token = Config::builder().cluster(["http://a:1"]).me("a").without_tls().token("too short");
        assert!(!format!("{token:?}").contains("too short"));
        let error = token.build().unwrap_err().to_string();
        assert!(error.contains("CACHE_AUTH_TOKEN") && !error.contains("too short"), "{error}");
        let error = Config::builder().single().max_bytes(3).build().unwrap_err().to_string();
        assert!(error.contains("CACHE_MAX_BYTES") && error.contains('3'), "{error}");
    }
}
