//! What was set and has no effect: said once at the start, so that nobody relies on it.

use super::variables::WITHOUT_EFFECT;

/// All that is to be said. `cluster`: whether HA_MODE is true.
pub(super) fn all(env: &dyn Fn(&str) -> Option<String>, cluster: bool) -> Vec<String> {
    let set = |name: &str| env(name).is_some();
    let mut out: Vec<String> = WITHOUT_EFFECT
        .iter()
        .filter(|(name, _)| set(name))
        .map(|(name, why)| format!("{name} is accepted, but has no effect any more: {why}"))
        .collect();
    if !cluster {
        let names = ["HA_HOSTS", "HA_HOSTS_FILE"];
        out.extend(names.iter().filter(|name| set(name)).map(|name| {
            format!(
                "{name} has no effect, this is a single node: set HA_MODE=true to make it member of a cluster"
            )
        }));
        return out;
    }
    for (file, plain) in [("HA_HOSTS_FILE", "HA_HOSTS"), ("CACHE_AUTH_TOKEN_FILE", "CACHE_AUTH_TOKEN")] {
        if set(file) && set(plain) {
            out.push(format!("{plain} has no effect, because {file} is set as well"));
        }
    }
    if env("CACHE_TLS").is_some_and(|tls| tls.eq_ignore_ascii_case("false")) {
        let names = ["CACHE_TLS_SERVER_CERT", "CACHE_TLS_CLIENT_CERT", "CACHE_TLS_CA_CLIENT"];
        let without: Vec<_> = names.into_iter().filter(|name| set(name)).collect();
        if !without.is_empty() {
            out.push(format!(
                "CACHE_TLS=false: the members talk without TLS, and {} has no effect",
                without.join(", ")
            ));
        }
    }
    out
}
