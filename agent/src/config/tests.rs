//! One table of good and one of bad environments.

use std::collections::BTreeMap;

use super::*;

const BASE: &[(&str, &str)] = &[
    ("HA_MODE", "true"),
    ("HA_HOSTS", "https://rauthy-0.rauthy:8000, https://rauthy-1.rauthy:8000,https://rauthy-10.rauthy:8001,"),
    ("CACHE_AUTH_TOKEN", "0123456789abcdef-secret"),
    ("CACHE_TLS", "false"),
];

fn parse(hostname: &str, changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let vars: BTreeMap<String, String> =
        BASE.iter().chain(changes).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let read = |path: &Path| match path.to_str() {
        Some("/hosts.json") => {
            Ok(r#"{"epoch":3,"now":["https://a.x:1"],"next":["https://a.x:1","https://b.x:1"]}"#.into())
        }
        Some("/broken.json") => Ok("{".into()),
        Some("/typo.json") => Ok(r#"{"epoch":3,"now":["https://a.x:1"],"nxt":[]}"#.into()),
        Some("/tokens") => Ok("first-token-0123456\n\n second-token-0123456 \n".into()),
        Some("/short") => Ok("hunter2-hunter2-hunter2\nhunter2\n".into()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Config::from(&|name| vars.get(name).cloned(), hostname, &read)
}

fn ok(hostname: &str, changes: &[(&str, &str)]) -> Config {
    match parse(hostname, changes) {
        Ok(config) => config,
        Err(e) => panic!("{changes:?} was refused: {e}"),
    }
}

#[test]
fn who_i_am_is_matched_exactly() {
    for (hostname, overwrite, slot) in [
        ("rauthy-1", "", "rauthy-1.rauthy:8000"),
        ("rauthy-10", "", "rauthy-10.rauthy:8001"),
        ("RAUTHY-1.rauthy", "", "rauthy-1.rauthy:8000"),
        ("elsewhere", "rauthy-0.rauthy:8000", "rauthy-0.rauthy:8000"),
        ("elsewhere", "rauthy-0", "rauthy-0.rauthy:8000"),
    ] {
        let config = ok(hostname, &[("HOSTNAME_OVERWRITE", overwrite)]);
        assert_eq!(config.slot.as_str(), slot, "{hostname} {overwrite}");
        assert_eq!(config.settings.slot, config.slot);
    }
    let three = "http://127.0.0.1:8001,http://127.0.0.1:8002,http://[::1]:8003";
    let config = ok("x", &[("HA_HOSTS", three), ("HOSTNAME_OVERWRITE", "127.0.0.1:8002")]);
    assert_eq!(config.slot.as_str(), "127.0.0.1:8002");
    assert_eq!(ok("x", &[("HA_HOSTS", three), ("HOSTNAME_OVERWRITE", "::1")]).slot.as_str(), "[::1]:8003");
}

#[test]
fn bad_values_are_named_with_what_is_allowed() {
    // Host, what is changed, and what the message must say.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        ("rauthy-2", &[], &["rauthy-2", "rauthy-0.rauthy:8000, rauthy-1.rauthy:8000", "HOSTNAME_OVERWRITE"]),
        ("rauthy", &[], &["none of the members"]),
        ("127", &[("HA_HOSTS", "http://127.0.0.1:8001")], &["none of the members"]),
        ("a", &[("HA_HOSTS", "https://a.x:1,https://a.y:1")], &["more than one", "a.x:1, a.y:1"]),
        ("a", &[("HA_HOSTS", "https://a:1,https://A:1/")], &["HA_HOSTS", "twice"]),
        ("a", &[("HA_HOSTS", "a:1")], &["HA_HOSTS", "\"a:1\"", "https://host:port"]),
        ("a", &[("HA_HOSTS", "https://a")], &["port is missing"]),
        ("a", &[("HA_HOSTS", "https://a:0")], &["1 to 65535"]),
        ("a", &[("HA_HOSTS", "https://a:99999")], &["1 to 65535"]),
        ("a", &[("HA_HOSTS", "https://a:1/x")], &["1 to 65535"]),
        ("a", &[("HA_HOSTS", "https://a b:1")], &["not a name or address"]),
        ("a", &[("HA_HOSTS", ",")], &["0 members"]),
        ("a", &[("HA_HOSTS", "")], &["HA_HOSTS is not set"]),
        ("a", &[("HA_MODE", "yes")], &["HA_MODE", "\"yes\"", "true or false"]),
        ("a", &[("HA_HOSTS_FILE", "/none.json")], &["HA_HOSTS_FILE", "/none.json"]),
        ("a", &[("HA_HOSTS_FILE", "/broken.json")], &["HA_HOSTS_FILE", "epoch"]),
        ("a", &[("HA_HOSTS_FILE", "/typo.json")], &["HA_HOSTS_FILE", "nxt"]),
        ("rauthy-0", &[("HA_HOSTS_MIN_EPOCH", "-1")], &["HA_HOSTS_MIN_EPOCH", "whole number"]),
        ("rauthy-0", &[("CACHE_AUTH_TOKEN", "")], &["CACHE_AUTH_TOKEN is not set"]),
        ("rauthy-0", &[("CACHE_AUTH_TOKEN", "hunter2")], &["CACHE_AUTH_TOKEN", "16 characters"]),
        ("rauthy-0", &[("CACHE_AUTH_TOKEN_FILE", "/short")], &["CACHE_AUTH_TOKEN_FILE", "16 characters"]),
        ("rauthy-0", &[("CACHE_TLS", "maybe")], &["CACHE_TLS", "true or false"]),
        ("rauthy-0", &[("CACHE_TLS", "true")], &["CACHE_TLS_SERVER_CERT is not set", "CACHE_TLS=false"]),
        ("rauthy-0", &[("CACHE_INVALIDATE_AFTER", "1s")], &["CACHE_INVALIDATE_AFTER", "\"1s\"", "3s to 1h"]),
        ("rauthy-0", &[("CACHE_INVALIDATE_AFTER", "-10s")], &["3s to 1h"]),
        ("rauthy-0", &[("CACHE_INVALIDATE_AFTER", "soon")], &["3s to 1h"]),
        ("rauthy-0", &[("CACHE_MAX_BYTES", "lots")], &["CACHE_MAX_BYTES", "128Mi"]),
        ("rauthy-0", &[("CACHE_MAX_BYTES", "1Ki")], &["4Mi at least"]),
        ("rauthy-0", &[("CACHE_LISTEN", "unix://run/x")], &["CACHE_LISTEN", "unix:///absolute/path"]),
        ("rauthy-0", &[("CACHE_LISTEN", "tcp://0.0.0.0:9")], &["only loopback"]),
        ("rauthy-0", &[("CACHE_LISTEN", "unix:///a,tcp://[::]:9")], &["only loopback", "tcp://[::]:9"]),
        ("rauthy-0", &[("CACHE_LISTEN", "tcp://[::1]:9,tcp://[0::1]:9")], &["twice"]),
        ("rauthy-0", &[("CACHE_LISTEN", ", ,")], &["CACHE_LISTEN", "1 to 4 addresses"]),
        ("rauthy-0", &[("AGENT_HTTP", "8081")], &["AGENT_HTTP", ":port"]),
        (
            "rauthy-0",
            &[("CACHE_RECONNECT_TIMEOUT_UPPER", "100")],
            &["CACHE_RECONNECT_TIMEOUT_UPPER", "(200)"],
        ),
        ("rauthy-0", &[("LOG_LEVEL", "inof")], &["LOG_LEVEL", "\"inof\"", "debug"]),
        ("rauthy-0", &[("LOG_FORMAT", "xml")], &["LOG_FORMAT", "text or json"]),
    ];
    for (hostname, changes, wanted) in table {
        let message = match parse(hostname, changes) {
            Ok(_) => panic!("{hostname} {changes:?} was accepted"),
            Err(e) => e.to_string(),
        };
        for part in *wanted {
            assert!(message.contains(part), "{changes:?}: {message:?} does not say {part:?}");
        }
        assert!(!message.contains('\n'), "one line: {message:?}");
        assert!(!message.contains("hunter2"), "a secret was repeated: {message:?}");
    }
}

#[test]
fn files_and_defaults() {
    let config = ok("b", &[("HA_HOSTS_FILE", "/hosts.json"), ("CACHE_AUTH_TOKEN_FILE", "/tokens")]);
    assert_eq!(config.slot.as_str(), "b.x:1", "a member to be is a member too");
    assert_eq!((config.hosts.epoch, config.hosts.slots().len()), (3, 2));
    let tokens = config.token.clone().map(|t| t.all().map(<[u8]>::to_vec).collect::<Vec<_>>());
    assert_eq!(tokens, Some(vec![b"first-token-0123456".to_vec(), b"second-token-0123456".to_vec()]));
    assert!(!format!("{config:?}").contains("token-0123456"), "Debug shows a secret");

    let config = ok("rauthy-0", &[("CACHE_ELECTION_TIMEOUT", "5"), ("CACHE_MAX_BYTES", "16Mi")]);
    assert_eq!(config.settings.store_bytes, 16 << 20);
    assert_eq!(config.settings.invalidate_after, Span::from_millis(10_000));
    assert_eq!(config.listen, [Listen::Unix("/run/rauthy/cache.sock".into())]);
    assert_eq!(config.http.to_string(), "[::]:8081");
    assert_eq!(config.notices.len(), 1);
    assert_eq!(config.cluster_name, "rauthy");
}

#[test]
fn a_single_node_needs_nothing() {
    let config = match Config::from(&|_| None, "laptop", &|_| Err(io::ErrorKind::NotFound.into())) {
        Ok(config) => config,
        Err(e) => panic!("{e}"),
    };
    assert!(!config.cluster && config.tls.is_none() && config.token.is_none());
    assert_eq!(config.hosts, HostList::fixed(vec![config.slot.clone()]));
}

#[test]
fn tls_needs_its_files_together() {
    let mut vars = vec![
        ("CACHE_TLS", "true"),
        ("CACHE_TLS_SERVER_CERT", "/s.crt"),
        ("CACHE_TLS_SERVER_KEY", "/s.key"),
        ("CACHE_TLS_CA_SERVER", "/ca.crt"),
    ];
    assert!(ok("rauthy-0", &vars).tls.is_some_and(|t| t.client.is_none()));
    vars.push(("CACHE_TLS_CA_CLIENT", "/ca.crt"));
    assert!(matches!(
        parse("rauthy-0", &vars),
        Err(ConfigError::Missing { name: "CACHE_TLS_CLIENT_CERT", .. })
    ));
    vars.push(("CACHE_TLS_CLIENT_CERT", "/c.crt"));
    assert!(matches!(
        parse("rauthy-0", &vars),
        Err(ConfigError::Missing { name: "CACHE_TLS_CLIENT_KEY", .. })
    ));
    vars.push(("CACHE_TLS_CLIENT_KEY", "/c.key"));
    assert!(ok("rauthy-0", &vars).tls.is_some_and(|t| t.client.is_some()));
    vars.push(("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", "not a name"));
    assert!(parse("rauthy-0", &vars).is_err());
}

#[test]
fn no_token_can_be_printed() {
    const SECRETS: [&str; 4] = ["0123456789abcdef-secret", "first-token", "second-token", "hunter2"];
    let clean = |text: &str| {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} stands in {text}");
        }
    };
    for changes in [&[][..], &[("CACHE_AUTH_TOKEN", ""), ("CACHE_AUTH_TOKEN_FILE", "/tokens")]] {
        let config = ok("rauthy-1", changes);
        clean(&format!("{config:?} {config:#?}"));
        let tokens = config.token.unwrap();
        assert!(
            tokens.all().any(|t| SECRETS.iter().any(|s| t.starts_with(s.as_bytes()))),
            "there was one to hide"
        );
        let me = crate::mesh::Me::new("c".into(), config.slot, [1; 16], Vec::new(), tokens);
        clean(&format!("{me:?}"));
    }
    for short in [
        &[("CACHE_AUTH_TOKEN", "hunter2")][..],
        &[("CACHE_AUTH_TOKEN", ""), ("CACHE_AUTH_TOKEN_FILE", "/short")],
    ] {
        let error = parse("rauthy-1", short).unwrap_err();
        clean(&format!("{error} {error:?}"));
    }
}
