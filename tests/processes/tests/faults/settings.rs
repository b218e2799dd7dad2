//! Wrong settings: exit code 78 and a message that names the variable.

use std::process::{Command, Stdio};
use std::time::Duration;

use rauthy_processes::{eventually, program};

/// Settings that are right, without TLS.
const RIGHT: [(&str, &str); 6] = [
    ("HA_MODE", "true"),
    ("HA_HOSTS", "http://a.example:1,http://b.example:1"),
    ("HOSTNAME_OVERWRITE", "a"),
    ("CACHE_AUTH_TOKEN", "0123456789abcdef"),
    ("CACHE_TLS", "false"),
    ("CACHE_LISTEN", "unix:///nonexistent/cache.sock"),
];

/// What is changed (an empty value takes the variable away), and what the message must hold.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

const WRONG: &[Case] = &[
    (&[("HOSTNAME_OVERWRITE", "c")], &["HA_HOSTS", "a.example:1", "b.example:1"]),
    (&[("HA_HOSTS", "")], &["HA_HOSTS"]),
    (&[("HA_HOSTS", "a.example:1,b.example:1")], &["HA_HOSTS", "a.example:1"]),
    (&[("HA_HOSTS", "http://a.example,http://b.example:1")], &["HA_HOSTS", "a.example"]),
    (&[("HA_HOSTS", "http://a.example:1,http://a.example:1")], &["HA_HOSTS", "a.example:1"]),
    (&[("HA_HOSTS", "http://a.example:1,http://a.other:1")], &["HA_HOSTS", "a.example:1", "a.other:1"]),
    (&[("CACHE_AUTH_TOKEN", "")], &["CACHE_AUTH_TOKEN"]),
    (&[("CACHE_AUTH_TOKEN", "short")], &["CACHE_AUTH_TOKEN", "16"]),
    (&[("CACHE_TLS", "maybe")], &["CACHE_TLS", "maybe"]),
    (&[("CACHE_TLS", "true")], &["CACHE_TLS_SERVER_CERT"]),
    (&[("CACHE_LISTEN", "tcp://0.0.0.0:1")], &["CACHE_LISTEN", "0.0.0.0:1"]),
    (&[("CACHE_INVALIDATE_AFTER", "soon")], &["CACHE_INVALIDATE_AFTER", "soon"]),
    (&[("CACHE_MAX_BYTES", "lots")], &["CACHE_MAX_BYTES", "lots"]),
    (&[("AGENT_HTTP", "nowhere")], &["AGENT_HTTP", "nowhere"]),
    (&[("HA_MODE", "perhaps")], &["HA_MODE", "perhaps"]),
];

async fn ends(changes: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.arg("run").env_clear().envs(RIGHT).stdin(Stdio::null());
    for (name, value) in changes {
        if value.is_empty() {
            command.env_remove(name);
        } else {
            command.env(name, value);
        }
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let what = format!("the end of an agent with {changes:?}");
    eventually(&what, Duration::from_secs(20), async || match child.try_wait() {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn wrong_settings_end_with_78_and_a_clear_message() {
    for (changes, parts) in WRONG {
        let (code, said) = ends(changes).await;
        assert_eq!(code, Some(78), "{changes:?}: {said}");
        for part in *parts {
            assert!(said.contains(part), "{changes:?}: \"{part}\" is missing in: {said}");
        }
        assert!(!said.contains("0123456789abcdef"), "{changes:?}: the token is in: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{changes:?}: more than one message: {said}");
    }
}

/// What is right in itself but not possible here ends as well, and names the place.
#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_named() {
    let (code, said) = ends(&[("AGENT_HTTP", "127.0.0.1:0")]).await;
    assert!(code.is_some_and(|c| c != 0), "{said}");
    assert!(said.contains("/nonexistent"), "{said}");
}
