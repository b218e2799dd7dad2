//! `rauthy-agent ctl` and `completions` against real agents: what is printed, and exit codes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use rauthy_client::PutOptions;
use serde_json::Value;

use super::fleet::{Agent, Fleet, ready, until};

fn ctl(fleet: &Fleet, agent: &Agent, arguments: &[&str]) -> (Option<i32>, String, String) {
    let all = [&["ctl", "--socket", &agent.socket], arguments].concat();
    let Output { status, stdout, stderr } = fleet.tool(&all).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn json(fleet: &Fleet, agent: &Agent, arguments: &[&str]) -> Value {
    let (_, stdout, stderr) = ctl(fleet, agent, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {stdout}{stderr}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_against_three_members() {
    let fleet = Fleet::new(3, true);
    let mut agents = fleet.start_all();
    ready(&agents).await;
    let one = &agents[0];
    let run = |arguments: &[&str]| ctl(&fleet, one, arguments);

    // Changes are printed as they come.
    let watch = ["ctl", "--socket", &one.socket, "watch", "c", "--values", "--count", "5", "-o", "json"];
    let mut watching = fleet.tool(&watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut changes = BufReader::new(watching.stdout.take().unwrap()).lines();
    // It has begun when it tells of this one.
    let client = one.client();
    let begun = tokio::spawn(async move {
        loop {
            client.put("c", "begin", "x", PutOptions::default()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let first: Value = serde_json::from_str(&changes.next().unwrap().unwrap()).unwrap();
    begun.abort();
    assert_eq!(
        (&first["kind"], &first["key"], &first["value"]),
        (&"put".into(), &"begin".into(), &"x".into())
    );
    assert_eq!(watching.try_wait().unwrap(), None);

    assert_eq!(run(&["put", "c", "k", "v"]).0, Some(0));
    assert_eq!(run(&["put", "c", "k", "w", "--if-absent"]).0, Some(1));
    let version = json(&fleet, one, &["get", "c", "k", "--linearizable"])["version"].as_u64().unwrap();
    assert_eq!(run(&["put", "c", "k", "w", "--if-version", &version.to_string()]).0, Some(0));
    assert_eq!(run(&["get", "c", "k", "-l"]), (Some(0), "w".into(), String::new()));
    assert_eq!(run(&["take", "c", "k"]).1, "w");
    let nothing = run(&["take", "c", "k"]);
    assert_eq!(nothing, (Some(1), String::new(), "cache \"c\" has no value under \"k\"\n".into()));
    // Bytes that are no text.
    assert_eq!(run(&["put", "c", "//79", "/wA=", "--base64"]).0, Some(0));
    let got = json(&fleet, one, &["get", "c", "//79", "--base64", "-l"]);
    assert_eq!(
        (&got["key"], &got["key_base64"], &got["value_base64"]),
        (&Value::Null, &"//79".into(), &"/wA=".into())
    );
    assert_eq!(run(&["get", "c", "*", "--base64"]).0, Some(2));
    assert_eq!(run(&["increment", "n", "k", "--by=-5"]).1, "-5\n");
    assert_eq!(json(&fleet, one, &["increment", "n", "k"])["number"], -4);
    assert_eq!(run(&["delete", "n", "k"]).1, "deleted\n");
    assert!(json(&fleet, one, &["clear", "c"])["values"].as_u64().unwrap() >= 2);
    let kinds: Vec<Value> =
        changes.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds.len(), 4, "five in all: {kinds:?}");
    assert_eq!(watching.wait().unwrap().code(), Some(0));

    // Who is who.
    let members = json(&fleet, one, &["members"]);
    assert_eq!(members.as_array().unwrap().len(), 3);
    let table = run(&["members"]).1;
    assert!(table.starts_with("MEMBER ") && table.lines().count() == 4 && !table.contains('\x1b'), "{table}");
    let digest = run(&["digest", "--timeout", "30s"]);
    assert_eq!(digest.0, Some(0));
    assert!(digest.1.starts_with("● All members hold the same data"), "{digest:?}");
    let digest = json(&fleet, one, &["digest", "--timeout", "30s"]);
    assert_eq!((&digest["result"], digest["replicas"].as_array().unwrap().len()), (&"equal".into(), 2));
    let leader = until(one, "led", |s| !s.leader.is_empty()).await.leader;
    let leads = agents.iter().position(|a| a.slot == leader).unwrap();
    let over = ctl(&fleet, &agents[leads], &["transfer", "--pid", &agents[leads].pid().to_string()]);
    assert_eq!(over.0, Some(0), "{over:?}");
    let other = &agents[(leads + 1) % 3];
    until(other, "led by another", |s| !s.leader.is_empty() && s.leader != leader).await;

    // What is wrong is said with what to do.
    let gone = agents.remove((leads + 2) % 3);
    let slot = gone.slot.clone();
    drop(gone);
    until(&agents[0], "alone with another", |s| s.ready && s.members.iter().any(|m| !m.connected)).await;
    let (code, text, _) = ctl(&fleet, &agents[0], &["status"]);
    assert_eq!(code, Some(0));
    assert!(text.contains(&format!("✗ {slot} is not connected")) && text.contains("\n  → "), "{text}");
    // Again and again, until it is enough.
    let again =
        ["ctl", "--socket", &agents[0].socket, "status", "--watch", "--interval", "10ms", "-o", "json"];
    let mut again = fleet.tool(&again).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(again.stdout.take().unwrap()).lines().take(3);
    for line in lines {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(line["slot"], agents[0].slot);
    }
    // Nobody reads any more: it ends by itself.
    assert_eq!(again.wait().unwrap().code(), Some(0));
}

/// What the operator does on Kubernetes, by hand: from one member to three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_changes_as_the_host_list_says() {
    let fleet = Fleet::new(3, true).with_hosts_file();
    fleet.tell(1, 1, None);
    let mut agents = vec![fleet.start(0)];
    until(&agents[0], "ready", |s| s.ready).await;
    agents[0].client().put("c", "k", "v", PutOptions::default()).await.unwrap();
    fleet.tell(2, 1, Some(3));
    agents.push(fleet.start(1));
    agents.push(fleet.start(2));
    let (code, text, error) = ctl(&fleet, &agents[0], &["set-size", "--wait", "60s"]);
    assert_eq!(code, Some(0), "{text}{error}");
    fleet.tell(3, 3, None);
    let done = json(&fleet, &agents[0], &["set-size", "--wait", "60s"]);
    assert_eq!(done["done"], true, "{done}");
    for agent in &agents {
        until(agent, "one of three", |s| {
            s.ready && s.configuration.as_ref().is_some_and(|c| c.now.len() == 3)
        })
        .await;
        let found = agent.client().get_linearizable("c", "k").await.unwrap();
        assert_eq!(found.unwrap().value, "v");
    }
    // What does not follow from what is in force is refused, not waited for.
    let file = fleet.hosts_file();
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("https", "ftp")).unwrap();
    let (code, _, error) = ctl(&fleet, &agents[0], &["set-size", "--wait", "60s"]);
    assert_eq!(code, Some(2), "{error}");
}

#[test]
fn shells_complete_its_words() {
    let fleet = Fleet::new(1, false);
    for (shell, words) in [("bash", "transfer"), ("zsh", "set-size"), ("fish", "if-version")] {
        let Output { status, stdout, .. } = fleet.tool(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(stdout).unwrap();
        assert!(
            status.success() && script.contains(words) && script.contains("rauthy-agent"),
            "{shell}: {script}"
        );
    }
    let Output { status, stderr, .. } = fleet.tool(&["completions", "cmd.exe"]).output().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8(stderr).unwrap().contains("bash"));
}

/// What a bash that loaded the script offers for these words, the last of which is not finished.
fn completed(fleet: &Fleet, words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
set -eu
source <("$1" completions bash); shift
# As readline does it: the function that is registered for the command, and where it finds the words.
function=$(complete -p rauthy-agent | sed 's/.* -F \([^ ]*\) .*/\1/')
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
"$function" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;
    let program = fleet.tool(&[]).get_program().to_owned();
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", ASK, "bash"])
        .arg(program)
        .args(words)
        .output()
        .expect("a bash");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_bash_completes_its_words() {
    let fleet = Fleet::new(1, false);
    assert_eq!(completed(&fleet, &["rauthy-agent", "comp"]), ["completions"]);
    assert_eq!(completed(&fleet, &["rauthy-agent", "ctl", "tra"]), ["transfer"]);
    assert_eq!(completed(&fleet, &["rauthy-agent", "completions", "ba"]), ["bash"]);
    assert_eq!(completed(&fleet, &["rauthy-agent", "ctl", "put", "--if-v"]), ["--if-version"]);
    let all = completed(&fleet, &["rauthy-agent", "ctl", ""]);
    for command in
        ["status", "members", "get", "put", "delete", "take", "watch", "transfer", "set-size", "digest"]
    {
        assert!(all.iter().any(|word| word == command), "{command} is missing: {all:?}");
    }
}
