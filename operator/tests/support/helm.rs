//! Helm, as a user calls it: the one that the tests' own Kubernetes brings, or the one that HELM names.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("HELM") {
        return given.into();
    }
    let key = Command::new(root().join("tests/cluster/build")).arg("--key").output().unwrap();
    let folder = String::from_utf8(key.stdout).unwrap();
    let helm = Path::new(folder.trim()).join("cli/helm");
    assert!(
        helm.exists(),
        "these tests need helm: run tests/cluster/build once (4 to 9 minutes), or set HELM to a helm of version 3.14 or later"
    );
    helm
}

/// `helm ARGS`, whatever comes of it.
pub fn helm(args: &[&str]) -> Output {
    Command::new(program()).args(args).current_dir(root()).env_remove("KUBECONFIG").output().unwrap()
}

/// The objects that a chart gives with these `--set` or `--set-json` arguments.
pub fn template(chart: &str, args: &[&str]) -> Vec<Value> {
    let output = helm(&[&["template", "x", chart, "-n", "ops"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents.map(|d| Value::deserialize(d).unwrap()).filter(|object| !object.is_null()).collect()
}

/// What helm says against these arguments.
pub fn refusal(chart: &str, args: &[&str]) -> String {
    let output = helm(&[&["template", "x", chart, "-n", "ops"], args].concat());
    assert!(!output.status.success(), "{args:?} is taken");
    String::from_utf8(output.stderr).unwrap()
}

/// The objects of one kind.
pub fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}
