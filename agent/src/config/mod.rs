//! What one agent is told by its environment and flags, checked once and in one place.
//!
//! ```text
//! flags, environment, hostname, files ──▶ Config::from (pure) ──▶ Config | ConfigError (exit 78)
//! ```
//!
//! * [`variables`]: the table of names, flags and help · [`hosts`]: HA_HOSTS and who "me" is
//! * [`tokens`]: the shared secret · [`values`]: durations, sizes, addresses · [`error`]: what can be wrong
//! * `notices`: what is not wrong, but has no effect

pub mod error;
pub mod hosts;
mod notices;
pub mod tokens;
pub mod values;
pub mod variables;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rauthy_core::{HostList, Settings, Slot, Span};

pub use error::ConfigError;
pub use tokens::Tokens;
pub use values::{Listen, LogFormat};
pub use variables::Flags;

/// Slot of a node that is alone.
const ALONE: &str = "localhost:8000";

/// Everything that one agent is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which member this is; for a single node a name of its own.
    pub slot: Slot,
    /// False: a single node, which listens for no peers.
    pub cluster: bool,
    /// All members.
    pub hosts: HostList,
    /// The file that the list was read from.
    pub hosts_file: Option<PathBuf>,
    /// Members of a cluster with another name are refused.
    pub cluster_name: String,
    /// The shared secret; `None` for a single node.
    pub token: Option<Tokens>,
    /// The file that it was read from.
    pub token_file: Option<PathBuf>,
    /// Certificates; `None`: no TLS between the members.
    pub tls: Option<TlsFiles>,
    /// Where the cache is served: all of these.
    pub listen: Vec<Listen>,
    /// Where health and metrics are served.
    pub http: SocketAddr,
    /// What the consensus core is told.
    pub settings: Settings,
    /// Shortest and longest wait before a lost peer is dialled again.
    pub reconnect: (Duration, Duration),
    /// What is logged: a level, or directives.
    pub log_level: String,
    /// How it is written.
    pub log_format: LogFormat,
    /// Things to say once at the start.
    pub notices: Vec<String>,
}

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chain and key of the server.
    pub server: Pair,
    /// Chain and key shown to other members' servers.
    pub client: Option<Pair>,
    /// Who may sign the certificates of servers.
    pub ca_server: PathBuf,
    /// Who may sign those of clients; if given, every client must show one.
    pub ca_client: Option<PathBuf>,
    /// The name that every server's certificate must hold; `None`: the host that was dialled.
    pub validate_domain: Option<String>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM file with the chain, leaf first.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl Config {
    /// Checks everything. `env` gives the value of a variable (or its flag), `hostname` is the name of this host by
    /// the operating system, `read` the text of a file.
    ///
    /// # Errors
    /// At the first value that is missing or wrong.
    pub fn from(
        env: &dyn Fn(&str) -> Option<String>,
        hostname: &str,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        // Charts like to write FOO="" for "not set".
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let path = |name| values::path(name, env(name));
        let cluster = values::boolean("HA_MODE", env("HA_MODE"), false)?;
        let hosts_file = path("HA_HOSTS_FILE")?.filter(|_| cluster);
        let (slot, hosts) = if cluster {
            members(&env, hosts_file.as_deref(), hostname, read)?
        } else {
            (Slot::new(ALONE), HostList::fixed(vec![Slot::new(ALONE)]))
        };
        let token_file = path("CACHE_AUTH_TOKEN_FILE")?.filter(|_| cluster);
        let token = if cluster { Some(token(&env, token_file.as_deref(), read)?) } else { None };
        let tls = if cluster && values::boolean("CACHE_TLS", env("CACHE_TLS"), true)? {
            let name = "CACHE_TLS_CLIENT_VALIDATE_DOMAIN";
            Some(tls(&path, values::domain(name, env(name))?)?)
        } else {
            None
        };
        let mut settings = Settings::new(slot.clone());
        let wipe = values::duration("CACHE_INVALIDATE_AFTER", env("CACHE_INVALIDATE_AFTER"))?;
        if let Some(wipe) = wipe {
            settings.invalidate_after = Span(u64::try_from(wipe.as_micros()).unwrap_or(u64::MAX));
        }
        if let Some(bytes) = values::bytes("CACHE_MAX_BYTES", env("CACHE_MAX_BYTES"))? {
            settings.store_bytes = bytes;
        }
        settings.min_epoch =
            values::number("HA_HOSTS_MIN_EPOCH", env("HA_HOSTS_MIN_EPOCH"), 0..=u64::MAX)?.unwrap_or(0);
        Ok(Self {
            slot,
            cluster,
            hosts,
            hosts_file,
            cluster_name: values::cluster_name("CACHE_CLUSTER_NAME", env("CACHE_CLUSTER_NAME"))?,
            token,
            token_file,
            tls,
            listen: values::listen("CACHE_LISTEN", env("CACHE_LISTEN"))?,
            http: values::http("AGENT_HTTP", env("AGENT_HTTP"))?,
            settings,
            reconnect: reconnect(&env)?,
            log_level: values::log_level("LOG_LEVEL", env("LOG_LEVEL"))?,
            log_format: values::log_format("LOG_FORMAT", env("LOG_FORMAT"))?,
            notices: notices::all(&env, cluster),
        })
    }
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

fn members(
    env: Env<'_>,
    file: Option<&Path>,
    hostname: &str,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<(Slot, HostList), ConfigError> {
    let (name, hosts) = match file {
        Some(path) => {
            ("HA_HOSTS_FILE", hosts::from_json("HA_HOSTS_FILE", &text("HA_HOSTS_FILE", path, read)?)?)
        }
        None => {
            let csv = env("HA_HOSTS").ok_or(ConfigError::Missing {
                name: "HA_HOSTS",
                want: "a cluster (HA_MODE=true) needs the list of its members, https://host:port separated by commas",
            })?;
            ("HA_HOSTS", hosts::from_csv("HA_HOSTS", &csv)?)
        }
    };
    let me = env("HOSTNAME_OVERWRITE").unwrap_or_else(|| hostname.to_owned());
    Ok((hosts::find_me(name, &me, &hosts)?, hosts))
}

fn token(
    env: Env<'_>,
    file: Option<&Path>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Tokens, ConfigError> {
    if let Some(path) = file {
        return Tokens::parse("CACHE_AUTH_TOKEN_FILE", &text("CACHE_AUTH_TOKEN_FILE", path, read)?);
    }
    let token = env("CACHE_AUTH_TOKEN").ok_or(ConfigError::Missing {
        name: "CACHE_AUTH_TOKEN",
        want: "a cluster (HA_MODE=true) needs a secret that all members share, 16 characters at least",
    })?;
    Tokens::parse("CACHE_AUTH_TOKEN", &token)
}

fn text(
    name: &'static str,
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<String, ConfigError> {
    read(path).map_err(|e| ConfigError::File { name, path: path.to_owned(), why: e.to_string() })
}

fn tls(
    path: &dyn Fn(&'static str) -> Result<Option<PathBuf>, ConfigError>,
    domain: Option<String>,
) -> Result<TlsFiles, ConfigError> {
    let needed = |name: &'static str| {
        let want = "give the path of a PEM file, or set CACHE_TLS=false under a service mesh that encrypts";
        path(name)?.ok_or(ConfigError::Missing { name, want })
    };
    let server = Pair { cert: needed("CACHE_TLS_SERVER_CERT")?, key: needed("CACHE_TLS_SERVER_KEY")? };
    let ca_server = needed("CACHE_TLS_CA_SERVER")?;
    let ca_client = path("CACHE_TLS_CA_CLIENT")?;
    let both = "the certificate and the key that this member shows to the others are given together";
    let client = match (path("CACHE_TLS_CLIENT_CERT")?, path("CACHE_TLS_CLIENT_KEY")?) {
        (Some(cert), Some(key)) => Some(Pair { cert, key }),
        (None, Some(_)) => return Err(ConfigError::Missing { name: "CACHE_TLS_CLIENT_CERT", want: both }),
        (Some(_), None) => return Err(ConfigError::Missing { name: "CACHE_TLS_CLIENT_KEY", want: both }),
        (None, None) if ca_client.is_some() => {
            let want = "with CACHE_TLS_CA_CLIENT every member must show a certificate, this one too";
            return Err(ConfigError::Missing { name: "CACHE_TLS_CLIENT_CERT", want });
        }
        (None, None) => None,
    };
    Ok(TlsFiles { server, client, ca_server, ca_client, validate_domain: domain })
}

fn reconnect(env: Env<'_>) -> Result<(Duration, Duration), ConfigError> {
    let millis = |name, default| -> Result<u64, ConfigError> {
        Ok(values::number(name, env(name), 10..=60_000)?.unwrap_or(default))
    };
    let lower = millis("CACHE_RECONNECT_TIMEOUT_LOWER", 200)?;
    let upper = millis("CACHE_RECONNECT_TIMEOUT_UPPER", 2000.max(lower))?;
    if lower > upper {
        return Err(ConfigError::Invalid {
            name: "CACHE_RECONNECT_TIMEOUT_UPPER",
            read: upper.to_string(),
            want: format!("it must not be less than CACHE_RECONNECT_TIMEOUT_LOWER ({lower})"),
        });
    }
    Ok((Duration::from_millis(lower), Duration::from_millis(upper)))
}

#[cfg(test)]
mod tests;
