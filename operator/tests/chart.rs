//! The chart of the operator, by helm itself: what it gives, what it refuses, and that alerts, runbook and dashboard
//! speak of metrics that exist.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/helm.rs"]
mod helm;

use std::collections::BTreeSet;

use helm::{of_kind, refusal, root, template};
use rauthy_operator::metrics::Metrics;
use rauthy_operator::names::Names;
use serde_json::{Value, json};

const CHART: &str = "charts/rauthy-operator";

#[test]
fn a_wrong_value_is_refused_with_its_name() {
    let bad = [
        ("replicas=0", "/replicas"),
        ("replicas=6", "/replicas"),
        ("replicas=two", "/replicas"),
        ("replicaCount=2", "replicaCount"),
        ("image.repository=", "/image/repository"),
        ("image.repository=registry.example/a b", "/image/repository"),
        ("image.repository=registry.example/a@sha256", "/image/repository"),
        ("image.tag=a/b", "/image/tag"),
        ("image.name=x", "name"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.pullSecrets={A_B}", "/image/pullSecrets/0"),
        ("agent.image=a b", "/agent/image"),
        ("agent.tag=1", "tag"),
        ("crds.install=maybe", "/crds/install"),
        ("crds.keep=true", "keep"),
        ("watchNamespaces=idm", "/watchNamespaces"),
        ("watchNamespaces={idm,idm}", "/watchNamespaces"),
        ("watchNamespaces={Idm}", "/watchNamespaces/0"),
        ("watchNamespaces={a_b}", "/watchNamespaces/0"),
        ("serviceAccount.annotations.a=1", "/serviceAccount/annotations/a"),
        ("serviceAccount.name=x", "name"),
        ("log.level=verbose", "/log/level"),
        ("log.level=", "/log/level"),
        ("log.json=yes", "/log/json"),
        ("resources.limits.memory=lots", "/resources/limits/memory"),
        ("resources.limits.memory=-1", "/resources/limits/memory"),
        ("resources.limit.memory=1Gi", "limit"),
        ("podAnnotations.a=true", "/podAnnotations/a"),
        ("podLabels.a=b c", "/podLabels/a"),
        ("nodeSelector.disk=1", "/nodeSelector/disk"),
        ("tolerations[0].operator=In", "/tolerations/0/operator"),
        ("tolerations[0].keys=x", "keys"),
        ("affinity.node.x=y", "node"),
        ("priorityClassName=High One", "/priorityClassName"),
        ("metrics.serviceMonitor.enabled=1", "/metrics/serviceMonitor/enabled"),
        ("metrics.serviceMonitor.interval=often", "/metrics/serviceMonitor/interval"),
        ("metrics.prometheusRule.runbookUrl=wiki", "/metrics/prometheusRule/runbookUrl"),
        ("metrics.dashboard.labels.x=y z", "/metrics/dashboard/labels/x"),
        ("metrics.enabled=true", "enabled"),
    ];
    for (value, name) in bad {
        let said = refusal(CHART, &["--set", value]);
        assert!(said.contains(name), "{value}: {said}");
    }
    for good in [
        "replicas=5",
        "image.repository=registry.example:5000/team/rauthy",
        "image.tag=1.2.3-rc1",
        "watchNamespaces={idm,idm-2}",
        "log.level=info\\,kube=debug",
        "resources.limits.cpu=1.5",
        "resources.requests.memory=64Mi",
        "podLabels.sidecar\\.istio\\.io/inject=no",
        "tolerations[0].operator=Exists",
        "metrics.prometheusRule.runbookUrl=https://wiki.example/runbook",
    ] {
        template(CHART, &["--set", good]);
    }
    // Every value that there is has a type of its own: a list in its place is refused.
    let values = std::fs::read_to_string(root().join(CHART).join("values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let mut paths = Vec::new();
    leaves(&values, "", &mut paths);
    assert!(paths.len() > 25, "{paths:?}");
    for path in paths {
        let said = refusal(CHART, &["--set-json", &format!("{path}=[[]]")]);
        assert!(said.contains(&path.replace('.', "/")), "{path}: {said}");
    }
}

fn leaves(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => {
            for (key, value) in map {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, paths);
            }
        }
        None => paths.push(path.to_owned()),
    }
}

#[test]
fn with_names_of_namespaces_it_may_do_nothing_elsewhere() {
    let everywhere = template(CHART, &[]);
    let rules = |role: &Value| role["rules"].as_array().unwrap().clone();
    let cluster_wide = rules(of_kind(&everywhere, "ClusterRole")[0]);
    let some = template(CHART, &["--set", "watchNamespaces={a,b}"]);
    let left = rules(of_kind(&some, "ClusterRole")[0]);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["resources"], json!(["customresourcedefinitions"]));
    let mut places = Vec::new();
    for role in of_kind(&some, "Role") {
        let place = role["metadata"]["namespace"].as_str().unwrap();
        if place == "ops" {
            assert!(rules(role).iter().all(|rule| rule["resources"] == json!(["leases"])));
            continue;
        }
        let expected: Vec<_> = cluster_wide.iter().filter(|rule| !left.contains(rule)).cloned().collect();
        assert_eq!(rules(role), expected);
        places.push(place);
        let bound = of_kind(&some, "RoleBinding").into_iter().any(|binding| {
            binding["metadata"]["namespace"] == place
                && binding["roleRef"]["name"] == role["metadata"]["name"]
                && binding["subjects"][0]["namespace"] == "ops"
        });
        assert!(bound, "nobody has the Role of {place}");
    }
    assert_eq!(places, ["a", "b"]);
    let env = |objects: &[Value]| {
        let deployment = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"].clone();
        deployment["containers"][0]["env"].as_array().unwrap().clone()
    };
    assert!(env(&some).contains(&json!({ "name": "WATCH_NAMESPACES", "value": "a,b" })));
    assert!(env(&everywhere).iter().all(|variable| variable["name"] != "WATCH_NAMESPACES"));
}

#[test]
fn each_rule_says_why() {
    let text = std::fs::read_to_string(root().join(CHART).join("templates/_rules.tpl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut rules = 0;
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("- apiGroups")) {
        assert!(lines[number - 1].starts_with("# "), "no comment above {line}, line {}", number + 1);
        rules += 1;
    }
    assert!(rules > 5);
    let objects = template(CHART, &[]);
    let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
    assert!(
        roles.into_iter().all(|role| !role["rules"].to_string().contains('*')),
        "no rule is for everything"
    );
}

#[test]
fn its_pods_pass_the_restricted_standard() {
    let objects = template(CHART, &[]);
    let deployment = of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"].clone();
    let test = of_kind(&objects, "Pod")[0]["spec"].clone();
    for pod in [deployment, test] {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = pod["containers"][0]["securityContext"].clone();
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"], json!({ "drop": ["ALL"] }));
    }
}

#[test]
fn the_definition_is_installed_and_stays() {
    let objects = template(CHART, &[]);
    let definition = of_kind(&objects, "CustomResourceDefinition")[0];
    assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(
        of_kind(&template(CHART, &["--set", "crds.install=false"]), "CustomResourceDefinition").is_empty()
    );
}

/// Names in the tables of docs/metrics.md and docs/operator-metrics.md, as Prometheus has them.
fn documented() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for page in ["docs/metrics.md", "docs/operator-metrics.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("| `")) {
            let (name, rest) = line.split_once("` | ").unwrap();
            match rest.split(" | ").next().unwrap() {
                "counter" => drop(names.insert(format!("{name}_total"))),
                "histogram" => {
                    names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
                }
                _ => drop(names.insert(name.to_owned())),
            }
        }
    }
    names
}

/// The metrics that an expression names.
fn metrics(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| word.starts_with("rauthy_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

#[test]
fn each_alert_has_a_page_and_speaks_of_metrics_that_exist() {
    let set = ["--set", "metrics.prometheusRule.enabled=true"];
    let rule = |objects: &[Value]| of_kind(objects, "PrometheusRule")[0].clone();
    let known = documented();
    let mut pages = BTreeSet::new();
    let groups = rule(&template(CHART, &set))["spec"]["groups"].as_array().unwrap().clone();
    for alert in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = alert["alert"].as_str().unwrap();
        let page = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(page, format!("docs/runbook/{name}.md"));
        let text = std::fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        for part in [&format!("# {name}: "), "\n## Look\n", "\n## Do\n"] {
            assert!(text.contains(part), "{page} lacks {part:?}");
        }
        let named = metrics(alert["expr"].as_str().unwrap());
        assert!(!named.is_empty(), "{name}");
        for metric in named {
            assert!(known.contains(&metric), "{name}: nobody has the metric {metric}");
        }
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()));
        assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        pages.insert(format!("{name}.md"));
    }
    let there = std::fs::read_dir(root().join("docs/runbook")).unwrap();
    let there: BTreeSet<_> = there.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, pages, "pages and alerts");
    let elsewhere = [set[0], set[1], "--set", "metrics.prometheusRule.runbookUrl=https://wiki.example/r/"];
    let elsewhere = rule(&template(CHART, &elsewhere)).to_string();
    assert!(elsewhere.contains("https://wiki.example/r/RauthyDataLost.md") && !elsewhere.contains("docs/"));
}

#[test]
fn the_dashboard_speaks_of_metrics_that_exist() {
    let objects = template(CHART, &["--set", "metrics.dashboard.enabled=true"]);
    let map = of_kind(&objects, "ConfigMap")[0];
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let board: Value = serde_json::from_str(map["data"]["rauthy.json"].as_str().unwrap()).unwrap();
    let known = documented();
    let mut named = 0;
    let mut check = |expression: &str| {
        for metric in metrics(expression) {
            assert!(known.contains(&metric), "nobody has the metric {metric}: {expression}");
            named += 1;
        }
    };
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            check(target["expr"].as_str().unwrap());
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        check(variable["query"]["query"].as_str().unwrap_or_default());
    }
    assert!(named > 15, "{named} metrics");
}

#[test]
fn the_operators_metrics_are_what_the_documentation_says() {
    let metrics = Metrics::default();
    metrics.reconciled(true, std::time::Duration::from_millis(5));
    let status = serde_json::from_value(json!({
        "certificate": { "notAfter": "2030-01-01T00:00:00Z", "authorityNotAfter": "2030-01-01T00:00:00Z" }, "conditions": [], "members": [],
    }));
    metrics.observed(&Names::new("idm", "rauthy"), &status.unwrap());
    let text = metrics.text().unwrap();
    let mut said = BTreeSet::new();
    let meta = |line: &str, what: &str| -> Option<(String, String)> {
        let (name, rest) = line.strip_prefix(what)?.split_once(' ')?;
        Some((name.to_owned(), rest.trim_end_matches('.').to_owned()))
    };
    for line in text.lines() {
        let Some((name, help)) = meta(line, "# HELP ") else { continue };
        let kind = text.lines().find_map(|l| meta(l, "# TYPE ").filter(|(n, _)| *n == name)).unwrap().1;
        let sample = text.lines().find(|l| !l.starts_with('#') && l.starts_with(&name)).unwrap_or_default();
        let labels = sample.split_once('{').map(|(_, rest)| rest.split_once('}').unwrap().0);
        let labels = labels.unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
        let mut labels: Vec<_> =
            labels.map(|(l, _)| l).filter(|l| *l != "le").map(|l| format!("`{l}`")).collect();
        labels.sort();
        said.insert(format!("| `{name}` | {kind} | {} | {help} |", labels.join(", ")));
    }
    let page = std::fs::read_to_string(root().join("docs/operator-metrics.md")).unwrap();
    let rows: BTreeSet<_> = page.lines().filter(|l| l.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(rows, said, "the table of docs/operator-metrics.md and what the operator says");
}
