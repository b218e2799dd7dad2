//! How single values are read: booleans, numbers, durations, sizes, addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::ConfigError;
use super::error::excerpt;

/// Where the cache is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On a Unix socket, mode 0660.
    Unix(PathBuf),
    /// On loopback TCP.
    Tcp(SocketAddr),
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn invalid(name: &'static str, read: &str, want: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { name, read: excerpt(read), want: want.into() }
}

pub(crate) fn boolean(name: &'static str, value: Option<String>, default: bool) -> Result<bool, ConfigError> {
    let Some(value) = value else { return Ok(default) };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(name, &value, "true or false is allowed")),
    }
}

/// PATH_MAX of Linux, with its final zero.
const LONGEST_PATH: usize = 4096;

pub(crate) fn path(name: &'static str, value: Option<String>) -> Result<Option<PathBuf>, ConfigError> {
    match value {
        Some(long) if long.len() >= LONGEST_PATH || long.chars().any(char::is_control) => Err(invalid(
            name,
            &long,
            "the path of a file is allowed, of less than 4096 bytes, without line breaks",
        )),
        path => Ok(path.map(PathBuf::from)),
    }
}

pub(crate) fn cluster_name(name: &'static str, value: Option<String>) -> Result<String, ConfigError> {
    let value = value.unwrap_or_else(|| "rauthy".into());
    if value.len() <= 253 && !value.chars().any(char::is_control) {
        Ok(value)
    } else {
        Err(invalid(name, &value, "at most 253 bytes are allowed, and no control characters"))
    }
}

/// A name as it stands in certificates.
pub(crate) fn domain(name: &'static str, value: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match rustls::pki_types::ServerName::try_from(value.as_str()) {
        Ok(_) => Ok(Some(value)),
        Err(_) => Err(invalid(
            name,
            &value,
            "a name or address as it stands in the certificates is allowed, for example redhac.local",
        )),
    }
}

pub(crate) fn number(
    name: &'static str,
    value: Option<String>,
    range: RangeInclusive<u64>,
) -> Result<Option<u64>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(invalid(
            name,
            &value,
            format!("a whole number from {} to {} is allowed", range.start(), range.end()),
        )),
    }
}

/// T_inv must be longer than several elections (2 s each at most), or a failover would cost the data.
const WIPE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(3600);

pub(crate) fn duration(name: &'static str, value: Option<String>) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match jiff::SignedDuration::from_str(&value).ok().and_then(|d| Duration::try_from(d).ok()) {
        Some(duration) if WIPE.contains(&duration) => Ok(Some(duration)),
        _ => Err(invalid(name, &value, "a duration from 3s to 1h is allowed, for example 10s or 1m 30s")),
    }
}

pub(crate) fn bytes(name: &'static str, value: Option<String>) -> Result<Option<usize>, ConfigError> {
    const LEAST: usize = 4 << 20;
    let Some(value) = value else { return Ok(None) };
    let (digits, shift) = match value.as_bytes() {
        [.., b'K', b'i'] => (&value[..value.len() - 2], 10),
        [.., b'M', b'i'] => (&value[..value.len() - 2], 20),
        [.., b'G', b'i'] => (&value[..value.len() - 2], 30),
        _ => (value.as_str(), 0),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes >= LEAST => Ok(Some(bytes)),
        _ => Err(invalid(
            name,
            &value,
            "a number of bytes is allowed, 4Mi at least, for example 134217728 or 128Mi",
        )),
    }
}

/// One address or more, separated by commas.
pub(crate) fn listen(name: &'static str, value: Option<String>) -> Result<Vec<Listen>, ConfigError> {
    let value = value.unwrap_or_else(|| "unix:///run/rauthy/cache.sock".into());
    let mut all = Vec::new();
    for entry in value.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let one = listen_on(name, entry)?;
        if all.contains(&one) {
            return Err(invalid(name, entry, "it stands twice; name every address once"));
        }
        all.push(one);
    }
    if all.is_empty() || all.len() > MOST_LISTENED {
        return Err(invalid(name, &value, format!("1 to {MOST_LISTENED} addresses are allowed")));
    }
    Ok(all)
}

/// Sockets of one cache: one of each kind and family, and then some.
const MOST_LISTENED: usize = 4;

fn listen_on(name: &'static str, value: &str) -> Result<Listen, ConfigError> {
    let want = "unix:///absolute/path or tcp://127.0.0.1:port is allowed, or several, separated by commas";
    if let Some(path) = value.strip_prefix("unix://") {
        // sun_path is 108 bytes with its final zero.
        return if path.starts_with('/') && path.len() > 1 && path.len() < 108 {
            Ok(Listen::Unix(path.into()))
        } else {
            Err(invalid(name, value, format!("{want}; the path has 107 bytes at most")))
        };
    }
    let address = value.strip_prefix("tcp://").or_else(|| value.strip_prefix("http://")).unwrap_or(value);
    match SocketAddr::from_str(address) {
        Ok(address) if address.ip().is_loopback() => Ok(Listen::Tcp(address)),
        Ok(_) => Err(invalid(name, value, format!("{want}; only loopback, since it has no authentication"))),
        Err(_) => Err(invalid(name, value, want)),
    }
}

pub(crate) fn http(name: &'static str, value: Option<String>) -> Result<SocketAddr, ConfigError> {
    let value = value.unwrap_or_else(|| ":8081".into());
    let address = match value.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        None => SocketAddr::from_str(&value).ok(),
    };
    address.ok_or_else(|| invalid(name, &value, ":port or address:port is allowed, for example :8081"))
}

pub(crate) fn log_level(name: &'static str, value: Option<String>) -> Result<String, ConfigError> {
    let value = value.unwrap_or_else(|| "info".into());
    let level = ["error", "warn", "info", "debug", "trace"].contains(&value.to_ascii_lowercase().as_str());
    let directives = value.contains(['=', ',']) && tracing_subscriber::EnvFilter::try_new(&value).is_ok();
    if level || directives {
        Ok(value)
    } else {
        let want =
            "error, warn, info, debug, trace or directives such as info,rauthy_agent=debug are allowed";
        Err(invalid(name, &value, want))
    }
}

pub(crate) fn log_format(name: &'static str, value: Option<String>) -> Result<LogFormat, ConfigError> {
    match value.unwrap_or_else(|| "text".into()).as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(invalid(name, other, "text or json is allowed")),
    }
}
