//! The guide on gRPC, carried out with grpcurl: what it says is done as it stands there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::fleet::{Agent, Fleet, until};

/// As the guide calls the socket.
const SOCKET: &str = "/tmp/cache.sock";

fn program() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/grpcurl");
    let program = std::env::var_os("GRPCURL").map_or_else(built, PathBuf::from);
    let missing =
        "grpcurl is not built; `make test` does that, by itself: scripts/grpcurl; or GRPCURL names one";
    assert!(program.exists(), "{} is missing: {missing}", program.display());
    program
}

/// The part of the guide that is these lines, as a command on the socket of an agent.
fn command(agent: &Agent, lines: &str) -> Command {
    let guide = include_str!("../../../docs/guide/grpc.md");
    assert!(guide.contains(lines), "the guide does not say: {lines}");
    let alias = guide.lines().find_map(|line| line.strip_prefix("alias g='")).unwrap().trim_end_matches('\'');
    let alias = alias.replacen("grpcurl", "\"$GRPCURL\"", 1);
    let lines = lines.replace(SOCKET, agent.socket.strip_prefix("unix://").unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("g() {{ {alias} \"$@\"; }}\n{lines}\n")]).env("GRPCURL", program());
    command
}

/// What the lines of the guide print, whether or not they succeed.
fn g(agent: &Agent, lines: &str) -> (bool, String) {
    let Output { status, stdout, stderr } = command(agent, lines).output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.success(), said)
}

/// The same where they succeed and print all of this.
fn prints(agent: &Agent, lines: &str, parts: &[&str]) -> String {
    let (success, said) = g(agent, lines);
    assert!(success, "{lines}\n{said}");
    for part in parts {
        assert!(said.contains(part), "{part} is missing: {lines}\n{said}");
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_is_right() {
    let fleet = Fleet::new(1, false);
    let agent = fleet.start(0);
    until(&agent, "ready", |status| status.ready).await;
    let services = ["rauthy.cache.v1.Cache", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    prints(&agent, "g /tmp/cache.sock list\n", &services);
    let take = "g /tmp/cache.sock describe rauthy.cache.v1.Cache.Take";
    prints(&agent, take, &["Gets and removes a value in one linearizable", "TakeRequest"]);
    let health = r#"g -d '{"service":"rauthy.cache.v1.Cache"}' /tmp/cache.sock grpc.health.v1.Health/Check"#;
    prints(&agent, health, &["\"SERVING\""]);

    let put = r#"g -d '{"cache":"c","key":"aw==","value":"aGVsbG8=","ttl_ms":60000}' /tmp/cache.sock rauthy.cache.v1.Cache/Put"#;
    let version = r#""version": ""#;
    prints(&agent, put, &[version, "session"]);
    let get = r#"g -d '{"cache":"c","key":"aw=="}' /tmp/cache.sock rauthy.cache.v1.Cache/Get"#;
    prints(&agent, get, &[r#""value": "aGVsbG8=""#, version]);
    let again =
        r#"g -v -d '{"cache":"c","key":"aw==","if_absent":true}' /tmp/cache.sock rauthy.cache.v1.Cache/Put"#;
    let (success, said) = g(&agent, again);
    assert!(!success && said.contains("rauthy-reason: VERSION"), "{said}");
    assert!(said.contains("rauthy-version: ") && said.contains("FailedPrecondition"), "{said}");

    let watch = r#"g -d '{"cache":"c","values":true}' /tmp/cache.sock rauthy.cache.v1.Cache/Watch"#;
    let mut watch = command(&agent, watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until_line = |part: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("it ends before {part}")).unwrap();
        if line.contains(part) {
            break;
        }
    };
    until_line("position");
    prints(&agent, put, &[]);
    until_line("aGVsbG8=");
    let _ = watch.kill();
    let _ = watch.wait();

    let session = r#"g -d @ /tmp/cache.sock rauthy.cache.v1.Cache/Session <<'CALLS'
{"calls":[{"id":1,"put":{"cache":"c","key":"aw==","value":"MQ=="}}]}
{"calls":[{"id":2,"get":{"cache":"c","key":"aw=="}}]}
CALLS
"#;
    prints(&agent, session, &[r#""id": "1""#, r#""id": "2""#, version]);
}
