//! Every variable of the environment, once: its flag, default and help.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};

use super::ConfigError;
use super::error::excerpt;

/// One setting. Each can be given as environment variable or as flag; the flag wins.
#[derive(Debug)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What holds when it is not given; for people.
    pub default: &'static str,
    /// What it means.
    pub help: &'static str,
}

const fn v(name: &'static str, flag: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable { name, flag, default, help }
}

/// All of them, in the order of `--help`.
pub const VARIABLES: &[Variable] = &[
    v("HA_MODE", "ha-mode", "false", "true: member of a cluster; false: a single node with the same API"),
    v("HA_HOSTS", "ha-hosts", "", "Every member, this one included: https://host:port, separated by commas"),
    v(
        "HA_HOSTS_FILE",
        "ha-hosts-file",
        "",
        r#"File with {"epoch": 0, "now": ["https://host:port"], "next": null}"#,
    ),
    v(
        "HA_HOSTS_MIN_EPOCH",
        "ha-hosts-min-epoch",
        "0",
        "Epoch of the host list below which no cluster is founded",
    ),
    v(
        "HOSTNAME_OVERWRITE",
        "hostname-overwrite",
        "the name of this host",
        "Which member this is: first label, host or host:port of its entry",
    ),
    v(
        "CACHE_CLUSTER_NAME",
        "cache-cluster-name",
        "rauthy",
        "Name of the cluster; members of another are refused",
    ),
    v(
        "CACHE_AUTH_TOKEN",
        "cache-auth-token",
        "",
        "Secret that all members share, 16 characters at least. Other users of the machine can see a flag: prefer \
         the variable or the file",
    ),
    v(
        "CACHE_AUTH_TOKEN_FILE",
        "cache-auth-token-file",
        "",
        "File with that secret, one a line: the first is used, all are accepted; read again when it changes",
    ),
    v(
        "CACHE_TLS",
        "cache-tls",
        "true",
        "false: no TLS between the members, for a service mesh that encrypts",
    ),
    v("CACHE_TLS_SERVER_CERT", "cache-tls-server-cert", "", "PEM file: certificate chain of the server"),
    v("CACHE_TLS_SERVER_KEY", "cache-tls-server-key", "", "PEM file: its private key"),
    v(
        "CACHE_TLS_CLIENT_CERT",
        "cache-tls-client-cert",
        "",
        "PEM file: certificate chain shown to other members",
    ),
    v("CACHE_TLS_CLIENT_KEY", "cache-tls-client-key", "", "PEM file: its private key"),
    v("CACHE_TLS_CA_SERVER", "cache-tls-ca-server", "", "PEM file: who may sign the certificates of servers"),
    v(
        "CACHE_TLS_CA_CLIENT",
        "cache-tls-ca-client",
        "",
        "PEM file: who may sign the certificates of clients; if given, every client must have one",
    ),
    v(
        "CACHE_TLS_CLIENT_VALIDATE_DOMAIN",
        "cache-tls-client-validate-domain",
        "the host dialled",
        "Name that the certificate of every server must hold",
    ),
    v(
        "CACHE_INVALIDATE_AFTER",
        "cache-invalidate-after",
        "10s",
        "After this long without a quorum the data is wiped",
    ),
    v(
        "CACHE_MAX_BYTES",
        "cache-max-bytes",
        "128Mi",
        "Bytes that the cache may hold; writes beyond are refused",
    ),
    v(
        "CACHE_LISTEN",
        "cache-listen",
        "unix:///run/rauthy/cache.sock",
        "Where the cache is served: unix:///path, tcp://127.0.0.1:port or tcp://[::1]:port (loopback only, it has no \
         authentication); several are separated by commas",
    ),
    v("AGENT_HTTP", "agent-http", ":8081", "Where /livez, /readyz and /metrics are served: [address]:port"),
    v(
        "CACHE_RECONNECT_TIMEOUT_LOWER",
        "cache-reconnect-timeout-lower",
        "200",
        "Shortest wait before a redial, in ms; redhac takes 500, with which a member that was cut off is back later",
    ),
    v(
        "CACHE_RECONNECT_TIMEOUT_UPPER",
        "cache-reconnect-timeout-upper",
        "2000",
        "Longest wait before a redial, in ms",
    ),
    v(
        "LOG_LEVEL",
        "log-level",
        "info",
        "error, warn, info, debug or trace; or directives such as info,rauthy_agent=debug",
    ),
    v("LOG_FORMAT", "log-format", "text", "text or json"),
    v("CACHE_ELECTION_TIMEOUT", "cache-election-timeout", "", REDHAC),
    v("CACHE_KEEPALIVE_INTERVAL", "cache-keepalive-interval", "", REDHAC),
    v("CACHE_KEEPALIVE_TIMEOUT", "cache-keepalive-timeout", "", REDHAC),
    v("CACHE_BUF_SERVER", "cache-buf-server", "", REDHAC),
    v("CACHE_BUF_CLIENT", "cache-buf-client", "", REDHAC),
    v("CACHE_MTLS", "cache-mtls", "", REDHAC),
    v("CACHE_TLS_SNI_OVERWRITE", "cache-tls-sni-overwrite", "", REDHAC),
];

const REDHAC: &str = "Accepted for redhac's sake; has no effect";

/// Those of redhac that this agent has no use for, and why.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("CACHE_ELECTION_TIMEOUT", "the members time elections by the round trips that they measure"),
    ("CACHE_KEEPALIVE_INTERVAL", "the leader's heartbeats show who is alive"),
    ("CACHE_KEEPALIVE_TIMEOUT", "the leader's heartbeats show who is alive"),
    ("CACHE_BUF_SERVER", "what waits is bounded in bytes"),
    ("CACHE_BUF_CLIENT", "what waits is bounded in bytes"),
    ("CACHE_MTLS", "client certificates are required where CACHE_TLS_CA_CLIENT is set"),
    ("CACHE_TLS_SNI_OVERWRITE", "a member is asked for by the host that is dialled"),
];

/// What was given as flags; to be had with `#[command(flatten)]`.
#[derive(Clone, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// The flag for this variable, or what the environment says.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// Whether all that the environment says is text: [`Flags::get`] passes over a value that is none.
    ///
    /// # Errors
    /// Names the first variable that is no UTF-8.
    pub fn check(&self) -> Result<(), ConfigError> {
        for Variable { name, .. } in VARIABLES.iter().filter(|v| !self.0.contains_key(v.name)) {
            if let Err(std::env::VarError::NotUnicode(read)) = std::env::var(name) {
                let want = "only UTF-8 text is allowed".to_owned();
                return Err(match *name {
                    "CACHE_AUTH_TOKEN" => ConfigError::Secret { name, want },
                    _ => ConfigError::Invalid { name, read: excerpt(&read.to_string_lossy()), want },
                });
            }
        }
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        VARIABLES.iter().fold(command, |command, variable| {
            let default = if variable.default.is_empty() {
                String::new()
            } else {
                format!(" [default: {}]", variable.default)
            };
            command.arg(
                Arg::new(variable.name)
                    .long(variable.flag)
                    .value_name("VALUE")
                    .help(format!("{} [env: {}]{default}", variable.help, variable.name)),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for variable in VARIABLES {
            if let Some(value) = matches.get_one::<String>(variable.name) {
                self.0.insert(variable.name, value.clone());
            }
        }
        Ok(())
    }
}
