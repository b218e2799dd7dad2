//! Wrong settings, one row each, given to the real program as variables and as flags: it ends with 78 and one line
//! that names the setting, what was read and what is allowed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rauthy_agent::config::variables::{VARIABLES, WITHOUT_EFFECT};
use rauthy_agent::dev::certificates;

/// EX_CONFIG.
const WRONG: i32 = 78;
/// Parts of secrets: none of them may ever be shown.
const SECRETS: [&str; 3] = ["0123456789abcdef", "hunter2", "PRIVATE KEY"];

/// Right settings of a member, but for a socket in a folder that is not there: an agent that finds nothing wrong ends
/// nevertheless, and with another code. `{dir}` is the folder of the test.
const RIGHT: &[(&str, &str)] = &[
    ("HA_MODE", "true"),
    ("HA_HOSTS", "http://a.example:41961, http://b.example:1 ,"),
    ("HOSTNAME_OVERWRITE", "a"),
    ("CACHE_AUTH_TOKEN", "0123456789abcdef"),
    ("CACHE_TLS", "false"),
    ("CACHE_LISTEN", "unix:///nonexistent/cache.sock"),
    ("AGENT_HTTP", "127.0.0.1:0"),
];

const TLS: &[(&str, &str)] = &[
    ("CACHE_TLS", "true"),
    ("CACHE_TLS_SERVER_CERT", "{dir}/node.pem"),
    ("CACHE_TLS_SERVER_KEY", "{dir}/node.key"),
    ("CACHE_TLS_CA_SERVER", "{dir}/ca.pem"),
    ("CACHE_TLS_CA_CLIENT", "{dir}/ca.pem"),
    ("CACHE_TLS_CLIENT_CERT", "{dir}/node.pem"),
    ("CACHE_TLS_CLIENT_KEY", "{dir}/node.key"),
];

/// What is changed (an empty value means "not set"), and what the message must say. The first change is the wrong one.
type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);

const ROWS: &[Row] = &[
    (&[("HA_MODE", "yes")], &["HA_MODE", "\"yes\"", "true or false"]),
    (&[("HA_MODE", "1")], &["HA_MODE", "\"1\"", "true or false"]),
    (&[("HA_HOSTS", "")], &["HA_HOSTS is not set", "https://host:port"]),
    (&[("HA_HOSTS", " , ,")], &["HA_HOSTS", "0 members", "1 to 9"]),
    (&[("HA_HOSTS", "a:1")], &["HA_HOSTS", "\"a:1\"", "https://host:port"]),
    (&[("HA_HOSTS", "https://a")], &["HA_HOSTS", "\"https://a\"", "port is missing"]),
    (&[("HA_HOSTS", "https://a:0")], &["HA_HOSTS", "\"https://a:0\"", "1 to 65535"]),
    (&[("HA_HOSTS", "https://a:99999")], &["HA_HOSTS", "1 to 65535"]),
    (&[("HA_HOSTS", "https://a:+80")], &["HA_HOSTS", "1 to 65535"]),
    (&[("HA_HOSTS", "https://a:1/x")], &["HA_HOSTS", "1 to 65535"]),
    (&[("HA_HOSTS", "https://a b:1")], &["HA_HOSTS", "\"https://a b:1\"", "not a name or address"]),
    (&[("HA_HOSTS", "https://a\nb:1")], &["HA_HOSTS", "not a name or address"]),
    (&[("HA_HOSTS", "https://:1")], &["HA_HOSTS", "not a name or address"]),
    (&[("HA_HOSTS", "http://::1:8001")], &["HA_HOSTS", "\"http://::1:8001\"", "in brackets"]),
    (&[("HA_HOSTS", "http://[::g]:8001")], &["HA_HOSTS", "no IPv6 address"]),
    (&[("HA_HOSTS", "http://[fe80::1%eth0]:8001")], &["HA_HOSTS", "no IPv6 address"]),
    (&[("HA_HOSTS", "https://me:hunter2@a:1")], &["HA_HOSTS", "\"a:1\"", "(not shown)"]),
    (&[("HA_HOSTS", "https://a:1,https://A:1/")], &["HA_HOSTS", "\"https://A:1/\"", "twice"]),
    (&[("HA_HOSTS", "http://[::1]:1,http://[0:0:0:0:0:0:0:1]:1")], &["HA_HOSTS", "twice"]),
    (
        &[(
            "HA_HOSTS",
            "http://a:1,http://a:2,http://a:3,http://a:4,http://a:5,http://a:6,http://a:7,http://a:8,http://a:9,http://a:10",
        )],
        &["HA_HOSTS", "10 members", "1 to 9"],
    ),
    (&[("HA_HOSTS_FILE", "{dir}/nothing")], &["HA_HOSTS_FILE", "nothing", "No such file"]),
    (&[("HA_HOSTS_FILE", "{dir}")], &["HA_HOSTS_FILE", "directory"]),
    (&[("HA_HOSTS_FILE", "{dir}/broken.json")], &["HA_HOSTS_FILE", "epoch", "now", "next"]),
    (&[("HA_HOSTS_FILE", "{dir}/typo.json")], &["HA_HOSTS_FILE", "nxt", "epoch", "now", "next"]),
    (&[("HA_HOSTS_FILE", "{dir}/no-now.json")], &["HA_HOSTS_FILE", "now"]),
    (&[("HA_HOSTS_FILE", "{dir}/epoch.json")], &["HA_HOSTS_FILE", "epoch"]),
    (&[("HA_HOSTS_FILE", "{dir}/member.json")], &["HA_HOSTS_FILE", "\"a.example\"", "https://host:port"]),
    (&[("HA_HOSTS_FILE", "{dir}/good.json")], &["HA_HOSTS_FILE", "\"a\"", "x.example:1, y.example:2"]),
    (&[("HA_HOSTS_MIN_EPOCH", "-1")], &["HA_HOSTS_MIN_EPOCH", "\"-1\"", "whole number from 0"]),
    (&[("HA_HOSTS_MIN_EPOCH", "two")], &["HA_HOSTS_MIN_EPOCH", "\"two\"", "whole number from 0"]),
    (
        &[("HOSTNAME_OVERWRITE", "c")],
        &["\"c\"", "HA_HOSTS", "a.example:41961, b.example:1", "HOSTNAME_OVERWRITE"],
    ),
    (&[("HOSTNAME_OVERWRITE", "exampl")], &["\"exampl\"", "none of the members"]),
    (&[("HOSTNAME_OVERWRITE", "a.example:4196")], &["none of the members", "a.example:41961"]),
    (
        &[("HOSTNAME_OVERWRITE", "a"), ("HA_HOSTS", "http://a.x:1,http://a.y:1,http://b:1")],
        &["\"a\"", "more than one", "(a.x:1, a.y:1)"],
    ),
    (
        &[("HOSTNAME_OVERWRITE", "::1"), ("HA_HOSTS", "http://[::1]:1,http://[::1]:2")],
        &["more than one", "[::1]:1, [::1]:2"],
    ),
    (
        &[("HOSTNAME_OVERWRITE", "127"), ("HA_HOSTS", "http://127.0.0.1:1")],
        &["none of the members", "127.0.0.1:1"],
    ),
    (&[("CACHE_CLUSTER_NAME", "a\tb")], &["CACHE_CLUSTER_NAME", "\"a\\tb\"", "control characters"]),
    (&[("CACHE_AUTH_TOKEN", "")], &["CACHE_AUTH_TOKEN is not set", "16 characters"]),
    (&[("CACHE_AUTH_TOKEN", "hunter2")], &["CACHE_AUTH_TOKEN", "has 7 characters", "16 characters"]),
    (&[("CACHE_AUTH_TOKEN_FILE", "{dir}/nothing")], &["CACHE_AUTH_TOKEN_FILE", "nothing", "No such file"]),
    (&[("CACHE_AUTH_TOKEN_FILE", "{dir}/empty")], &["CACHE_AUTH_TOKEN_FILE", "empty"]),
    (
        &[("CACHE_AUTH_TOKEN_FILE", "{dir}/short")],
        &["CACHE_AUTH_TOKEN_FILE", "7 characters", "16 characters"],
    ),
    (&[("CACHE_AUTH_TOKEN_FILE", "{dir}/five")], &["CACHE_AUTH_TOKEN_FILE", "5 tokens", "4 can be valid"]),
    (&[("CACHE_AUTH_TOKEN_FILE", "{dir}/binary")], &["CACHE_AUTH_TOKEN_FILE", "UTF-8"]),
    (&[("CACHE_TLS", "maybe")], &["CACHE_TLS", "\"maybe\"", "true or false"]),
    (
        &[("CACHE_TLS_SERVER_CERT", ""), ("CACHE_TLS", "true")],
        &["CACHE_TLS_SERVER_CERT is not set", "CACHE_TLS=false"],
    ),
    (&[("CACHE_TLS_SERVER_CERT", "{dir}/nothing")], &["CACHE_TLS_SERVER_CERT", "nothing"]),
    (&[("CACHE_TLS_SERVER_CERT", "{dir}/empty")], &["CACHE_TLS_SERVER_CERT", "certificate"]),
    (&[("CACHE_TLS_SERVER_CERT", "{dir}/binary")], &["CACHE_TLS_SERVER_CERT", "certificate"]),
    (&[("CACHE_TLS_SERVER_KEY", "")], &["CACHE_TLS_SERVER_KEY is not set"]),
    (&[("CACHE_TLS_SERVER_KEY", "{dir}/nothing")], &["CACHE_TLS_SERVER_KEY", "nothing"]),
    (&[("CACHE_TLS_SERVER_KEY", "{dir}/node.pem")], &["CACHE_TLS_SERVER_KEY", "private key"]),
    (
        &[("CACHE_TLS_SERVER_KEY", "{dir}/other/node.key")],
        &["CACHE_TLS_SERVER_KEY", "other/node.key", "together"],
    ),
    (&[("CACHE_TLS_CA_SERVER", "")], &["CACHE_TLS_CA_SERVER is not set"]),
    (&[("CACHE_TLS_CA_SERVER", "{dir}/empty")], &["CACHE_TLS_CA_SERVER", "certificate"]),
    (&[("CACHE_TLS_CA_CLIENT", "{dir}/nothing")], &["CACHE_TLS_CA_CLIENT", "nothing"]),
    (&[("CACHE_TLS_CA_CLIENT", "{dir}/node.key")], &["CACHE_TLS_CA_CLIENT", "certificate"]),
    (&[("CACHE_TLS_CLIENT_CERT", "")], &["CACHE_TLS_CLIENT_CERT is not set", "together"]),
    (
        &[("CACHE_TLS_CLIENT_CERT", ""), ("CACHE_TLS_CLIENT_KEY", "")],
        &["CACHE_TLS_CLIENT_CERT is not set", "CACHE_TLS_CA_CLIENT"],
    ),
    (&[("CACHE_TLS_CLIENT_CERT", "{dir}/empty")], &["CACHE_TLS_CLIENT_CERT", "certificate"]),
    (&[("CACHE_TLS_CLIENT_KEY", "")], &["CACHE_TLS_CLIENT_KEY is not set", "together"]),
    (
        &[("CACHE_TLS_CLIENT_KEY", "{dir}/other/node.key")],
        &["CACHE_TLS_CLIENT_KEY", "other/node.key", "together"],
    ),
    (
        &[("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", "not a name")],
        &["CACHE_TLS_CLIENT_VALIDATE_DOMAIN", "\"not a name\"", "redhac.local"],
    ),
    (&[("CACHE_INVALIDATE_AFTER", "soon")], &["CACHE_INVALIDATE_AFTER", "\"soon\"", "3s to 1h"]),
    (&[("CACHE_INVALIDATE_AFTER", "10")], &["CACHE_INVALIDATE_AFTER", "\"10\"", "3s to 1h"]),
    (&[("CACHE_INVALIDATE_AFTER", "1s")], &["CACHE_INVALIDATE_AFTER", "\"1s\"", "3s to 1h"]),
    (&[("CACHE_INVALIDATE_AFTER", "-10s")], &["CACHE_INVALIDATE_AFTER", "3s to 1h"]),
    (&[("CACHE_INVALIDATE_AFTER", "2h")], &["CACHE_INVALIDATE_AFTER", "3s to 1h"]),
    (&[("CACHE_MAX_BYTES", "lots")], &["CACHE_MAX_BYTES", "\"lots\"", "128Mi"]),
    (&[("CACHE_MAX_BYTES", "1Ki")], &["CACHE_MAX_BYTES", "\"1Ki\"", "4Mi at least"]),
    (&[("CACHE_MAX_BYTES", "0")], &["CACHE_MAX_BYTES", "4Mi at least"]),
    (&[("CACHE_MAX_BYTES", "-8Mi")], &["CACHE_MAX_BYTES", "4Mi at least"]),
    (&[("CACHE_MAX_BYTES", "128MB")], &["CACHE_MAX_BYTES", "\"128MB\"", "128Mi"]),
    (&[("CACHE_MAX_BYTES", "99999999999999999Gi")], &["CACHE_MAX_BYTES", "128Mi"]),
    (
        &[("CACHE_LISTEN", "/run/cache.sock")],
        &["CACHE_LISTEN", "\"/run/cache.sock\"", "unix:///absolute/path"],
    ),
    (&[("CACHE_LISTEN", "unix://run/cache.sock")], &["CACHE_LISTEN", "unix:///absolute/path"]),
    (&[("CACHE_LISTEN", "tcp://0.0.0.0:9")], &["CACHE_LISTEN", "\"tcp://0.0.0.0:9\"", "only loopback"]),
    (&[("CACHE_LISTEN", "tcp://[::]:9")], &["CACHE_LISTEN", "only loopback"]),
    (&[("CACHE_LISTEN", "tcp://localhost")], &["CACHE_LISTEN", "tcp://127.0.0.1:port"]),
    (
        &[(
            "CACHE_LISTEN",
            "unix:///a-path/that/has/more/than/the/one/hundred/and/seven/bytes/that/fit/into/the/address/of/a/unix/socket/of/this/host.sock",
        )],
        &["CACHE_LISTEN", "107 bytes"],
    ),
    (&[("AGENT_HTTP", "8081")], &["AGENT_HTTP", "\"8081\"", ":port"]),
    (&[("AGENT_HTTP", ":99999")], &["AGENT_HTTP", "\":99999\"", ":port"]),
    (&[("AGENT_HTTP", "::1:8081")], &["AGENT_HTTP", ":port or address:port"]),
    (
        &[("CACHE_RECONNECT_TIMEOUT_LOWER", "fast")],
        &["CACHE_RECONNECT_TIMEOUT_LOWER", "\"fast\"", "10 to 60000"],
    ),
    (&[("CACHE_RECONNECT_TIMEOUT_LOWER", "0")], &["CACHE_RECONNECT_TIMEOUT_LOWER", "10 to 60000"]),
    (
        &[("CACHE_RECONNECT_TIMEOUT_UPPER", "60001")],
        &["CACHE_RECONNECT_TIMEOUT_UPPER", "\"60001\"", "10 to 60000"],
    ),
    (
        &[("CACHE_RECONNECT_TIMEOUT_UPPER", "100")],
        &["CACHE_RECONNECT_TIMEOUT_UPPER", "\"100\"", "CACHE_RECONNECT_TIMEOUT_LOWER (200)"],
    ),
    (&[("LOG_LEVEL", "inof")], &["LOG_LEVEL", "\"inof\"", "debug"]),
    (&[("LOG_LEVEL", "rauthy_agent=loud")], &["LOG_LEVEL", "debug"]),
    (&[("LOG_FORMAT", "xml")], &["LOG_FORMAT", "\"xml\"", "text or json"]),
];

fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let names = ["a.example".to_owned()];
    certificates::generate(dir.path(), &names).unwrap();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    certificates::generate(&dir.path().join("other"), &names).unwrap();
    let token = "0123456789abcdef\n";
    for (name, text) in [
        ("broken.json", "{".as_bytes()),
        ("typo.json", br#"{"epoch":3,"now":["https://a.example:1"],"nxt":[]}"#),
        ("no-now.json", br#"{"epoch":3}"#),
        ("epoch.json", br#"{"epoch":-3,"now":["https://a.example:1"]}"#),
        ("member.json", br#"{"epoch":3,"now":["a.example"]}"#),
        ("good.json", br#"{"epoch":3,"now":["https://x.example:1","https://y.example:2"],"next":null}"#),
        ("empty", b"\n"),
        ("short", b"0123456789abcdef\nhunter2\n"),
        ("five", token.repeat(5).as_bytes()),
        ("binary", &[0xff; 64]),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Runs the agent until it ends; what it said, with how it ended.
fn run(arguments: &[String], environment: &[(&str, OsString)]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rauthy-agent"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("it runs on with {arguments:?} {environment:?}");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

/// What is set in the end: right settings, with the changes of a row. TLS is needed where its settings are looked at.
fn settings(changes: &[(&'static str, &str)], dir: &Path) -> Vec<(&'static str, String)> {
    let tls = changes[0].0.starts_with("CACHE_TLS_");
    let base = RIGHT.iter().chain(if tls { TLS } else { &[] });
    let mut all = std::collections::BTreeMap::new();
    for (name, value) in base.chain(changes) {
        all.insert(*name, value.replace("{dir}", &dir.to_string_lossy()));
    }
    all.into_iter().collect()
}

fn flag(name: &str) -> &'static str {
    VARIABLES.iter().find(|v| v.name == name).unwrap_or_else(|| panic!("{name} is no variable")).flag
}

/// The last one, which is what Kubernetes shows; what was logged before does not count.
fn one_short_line(said: &str) {
    let mut lines = said.trim_end().lines().skip_while(|line| line.contains(" INFO "));
    let last = lines.next().unwrap_or_default();
    assert!(last.starts_with("rauthy-agent: ") && lines.next().is_none(), "more than one line: {said}");
    assert!(last.len() < 700, "a long line: {}…", &last[..700]);
}

/// What is wrong with the answer to a row, if anything.
fn judge(parts: &[&str], (code, said): (Option<i32>, String)) -> Option<String> {
    if code != Some(WRONG) {
        return Some(format!("ended with {code:?}: {said}"));
    }
    one_short_line(&said);
    let missing = parts.iter().find(|part| !said.contains(**part));
    let shown = SECRETS.iter().find(|secret| said.contains(**secret));
    match (missing, shown) {
        (_, Some(_)) => Some(format!("a secret is shown: {said}")),
        (Some(part), _) => Some(format!("{part:?} is missing in: {said}")),
        (None, None) => None,
    }
}

#[test]
fn what_is_right_is_not_refused() {
    let dir = files();
    for changes in [[("CACHE_TLS", "false")], [("CACHE_TLS_SERVER_CERT", "{dir}/node.pem")]] {
        let all: Vec<_> = settings(&changes, dir.path()).into_iter().map(|(n, v)| (n, v.into())).collect();
        let (code, said) = run(&[], &all);
        assert_eq!(code, Some(1), "it cannot open its socket, and for no other reason: {said}");
        assert!(said.contains("/nonexistent"), "{said}");
    }
}

#[test]
fn every_wrong_value_ends_with_78_and_one_clear_line() {
    let dir = files();
    let mut wrong = Vec::new();
    for (changes, parts) in ROWS {
        let all = settings(changes, dir.path());
        let variables: Vec<_> = all.iter().map(|(name, value)| (*name, value.into())).collect();
        let flags: Vec<_> = all.iter().map(|(name, value)| format!("--{}={value}", flag(name))).collect();
        for (how, ended) in [("variables", run(&[], &variables)), ("flags", run(&flags, &[]))] {
            wrong.extend(judge(parts, ended).map(|why| format!("{changes:?} as {how} {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_variable_is_forgotten() {
    let rows: BTreeSet<_> = ROWS.iter().map(|(changes, _)| changes[0].0).collect();
    let any = WITHOUT_EFFECT.iter().map(|(name, _)| *name);
    let covered: BTreeSet<_> = rows.into_iter().chain(any).collect();
    let all: BTreeSet<_> = VARIABLES.iter().map(|v| v.name).collect();
    assert_eq!(covered, all);
}

#[test]
fn what_is_no_text_is_refused_and_long_values_are_cut() {
    let dir = files();
    for name in VARIABLES.iter().map(|v| v.name) {
        let mut all: Vec<(&str, OsString)> =
            settings(&[("CACHE_TLS", "false")], dir.path()).into_iter().map(|(n, v)| (n, v.into())).collect();
        all.push((name, OsStr::from_bytes(b"hunter2\xff").to_owned()));
        let (code, said) = run(&[], &all);
        assert_eq!(code, Some(WRONG), "{name}: {said}");
        assert!(said.contains(name) && said.contains("UTF-8"), "{name}: {said}");
        assert_eq!(said.contains("hunter2"), name != "CACHE_AUTH_TOKEN", "{name}: {said}");
    }
    let long = format!("x{}", " https://y:1".repeat(2000));
    for (name, more) in [
        ("HA_MODE", None),
        ("HA_HOSTS", None),
        ("HOSTNAME_OVERWRITE", None),
        ("CACHE_CLUSTER_NAME", None),
        ("HA_HOSTS_FILE", None),
        ("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", Some(TLS)),
        ("CACHE_TLS_SERVER_CERT", Some(TLS)),
        ("CACHE_LISTEN", None),
        ("LOG_LEVEL", None),
    ] {
        let mut changes = vec![("CACHE_TLS", "false")];
        changes.extend(more.unwrap_or_default());
        changes.push((name, &long));
        let all: Vec<_> = settings(&changes, dir.path()).into_iter().map(|(n, v)| (n, v.into())).collect();
        let (code, said) = run(&[], &all);
        assert_eq!(code, Some(WRONG), "{name}");
        one_short_line(&said);
    }
}

#[test]
fn what_has_no_effect_is_said_once() {
    let dir = files();
    let mut changes = vec![
        ("CACHE_TLS", "false"),
        ("CACHE_TLS_SERVER_CERT", "/nothing"),
        ("CACHE_AUTH_TOKEN_FILE", "{dir}/token"),
    ];
    std::fs::write(dir.path().join("token"), "0123456789abcdef").unwrap();
    changes.extend(WITHOUT_EFFECT.iter().map(|(name, _)| (*name, "whatever")));
    let all: Vec<_> = settings(&changes, dir.path()).into_iter().map(|(n, v)| (n, v.into())).collect();
    let (code, said) = run(&[], &all);
    assert_eq!(code, Some(1), "{said}");
    let others = ["CACHE_TLS_SERVER_CERT has no effect", "CACHE_AUTH_TOKEN has no effect"];
    for part in WITHOUT_EFFECT.iter().map(|(name, _)| *name).chain(others) {
        assert_eq!(said.matches(part).count(), 1, "{part} in: {said}");
    }
    let alone = [
        ("HA_HOSTS", "http://a:1".into()),
        ("CACHE_LISTEN", "unix:///nonexistent/cache.sock".into()),
        ("AGENT_HTTP", "127.0.0.1:0".into()),
    ];
    let (_, said) = run(&[], &alone);
    assert!(said.contains("HA_HOSTS has no effect") && said.contains("HA_MODE=true"), "{said}");
}

#[test]
fn help_shows_every_setting() {
    let output = Command::new(env!("CARGO_BIN_EXE_rauthy-agent")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in VARIABLES {
        for part in
            [format!("--{} ", variable.flag), format!("[env: {}]", variable.name), variable.help.into()]
        {
            assert!(help.contains(&part), "{part} is missing in:\n{help}");
        }
        if !variable.default.is_empty() {
            assert!(help.contains(&format!("[default: {}]", variable.default)), "{}", variable.name);
        }
        assert_eq!(
            variable.flag,
            variable.name.to_lowercase().replace('_', "-"),
            "a flag is named as its variable"
        );
    }
}
