//! `/metrics` as Prometheus reads it, against `docs/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};

use rauthy_client::{Limits, PutOptions};

use super::fleet::{Fleet, ready, until};

/// Not there before something is wrong.
const SELDOM: [&str; 2] = ["rauthy_dropped_messages", "rauthy_stale_files"];

/// One metric as the exposition or the table has it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// A name, its labels, and what it stands at.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads the exposition, and holds it to its rules on the way.
fn parse(text: &str) -> (BTreeMap<String, Metric>, Vec<Sample>) {
    let (mut metrics, mut samples, mut now) =
        (BTreeMap::<String, Metric>::new(), Vec::<Sample>::new(), String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!metrics.contains_key(name), "{name} comes twice");
            now = name.to_owned();
            metrics
                .insert(now.clone(), Metric { help: help.trim_end_matches('.').into(), ..Metric::default() });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, now, "its type follows its help");
            metrics.get_mut(name).unwrap().kind = kind.into();
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name == now && name.ends_with(&format!("_{unit}")), "{line}");
        } else if line == "# EOF" {
            assert_eq!(lines.next(), None, "that was the end");
            return (metrics, samples);
        } else {
            let (what, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match what.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (what, ""),
            };
            let labels: BTreeMap<String, String> = labels
                .split_terminator("\",")
                .map(|l| l.split_once("=\"").unwrap())
                .map(|(name, value)| (name.into(), value.trim_end_matches('"').into()))
                .collect();
            let metric = metrics.get_mut(&now).unwrap();
            let suffixes: &[&str] = match metric.kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.iter().any(|s| name == format!("{now}{s}")), "{line} is no {}", metric.kind);
            metric.labels.extend(labels.keys().filter(|l| *l != "le").cloned());
            samples.push((name.to_owned(), labels, value.parse().unwrap()));
        }
    }
    panic!("it has no end:\n{text}");
}

/// The rows of the table in the documentation.
fn documented() -> BTreeMap<String, Metric> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
            let [name, kind, labels, help] = cells[..] else { panic!("a row of four cells: {line}") };
            let labels = labels.split(", ").map(|l| l.trim_matches('`').to_owned()).filter(|l| !l.is_empty());
            let metric = Metric {
                kind: kind.into(),
                help: help.trim_end_matches(" |").into(),
                labels: labels.collect(),
            };
            Some((name.trim_end_matches('`').to_owned(), metric))
        })
        .collect()
}

fn row(name: &str, metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
    format!("| `{name}` | {} | {} | {} |", metric.kind, labels.join(", "), metric.help)
}

#[tokio::test]
async fn metrics_are_what_the_documentation_says() {
    let fleet = Fleet::new(3, true);
    let agents = vec![fleet.start(0), fleet.start(1)];
    ready(&agents).await;
    // A stranger with another token, so that a refusal is counted, and a message to somebody who is not there.
    let stranger = fleet.start_as("stranger", 2, &[("CACHE_AUTH_TOKEN", "another-token-of-some-length")]);
    let (mut leader, mut follower) = (0, 1);
    if until(&agents[1], "led", |s| !s.leader.is_empty()).await.leader == agents[1].slot {
        (leader, follower) = (1, 0);
    }
    let client = agents[leader].client();
    for n in 0..100 {
        let (cache, options) = (format!("cache {n}"), PutOptions::default());
        client.put(&cache, "key", "value", options).await.unwrap();
        assert!(client.get(&cache, "key").await.unwrap().is_some());
    }
    client.declare("small", Limits { entries: Some(1), evict: true, ..Limits::default() }).await.unwrap();
    for n in 0..3 {
        client.put("small", format!("{n}"), "value", PutOptions::default()).await.unwrap();
    }
    client.increment("cache 0", "number", 1, PutOptions::default()).await.unwrap();
    // The stranger has knocked, and the replicas were compared.
    until(&agents[leader], "told of both", |s| !s.refusals.is_empty() && s.members.iter().any(|m| m.equal))
        .await;
    drop(stranger);

    let (status, head, text) = agents[leader].get("/metrics");
    assert_eq!(status, 200);
    assert!(head.to_ascii_lowercase().contains("content-type: application/openmetrics-text"), "{head}");
    let (mut metrics, samples) = parse(&text);
    for (name, metric) in parse(&agents[follower].get("/metrics").2).0 {
        metrics.entry(name).or_default().labels.extend(metric.labels);
    }
    let documented = documented();
    let rows = || metrics.iter().map(|(name, metric)| row(name, metric)).collect::<Vec<_>>().join("\n");
    for (name, metric) in &metrics {
        let told = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented:\n{}", rows()));
        assert_eq!((&told.kind, &told.help), (&metric.kind, &metric.help), "{name}:\n{}", rows());
        assert!(metric.labels.is_subset(&told.labels), "{name} has other labels: {:?}", metric.labels);
        assert!(!metric.kind.is_empty() && metric.help.len() > 8, "{name}");
        assert!(name.starts_with("rauthy_") || name.starts_with("process_"), "{name}");
        for scaled in ["milli", "micro", "_ms", "_mib", "_percent", "_total"] {
            assert!(!name.contains(scaled), "{name}: units are seconds and bytes");
        }
    }
    for name in documented.keys() {
        let there = metrics.contains_key(name) || SELDOM.contains(&name.as_str());
        assert!(there, "{name} is documented and not there:\n{}", rows());
    }

    let value = |name: &str, labels: &[(&str, &str)]| {
        let fits = |has: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| has.get(*label).is_some_and(|v| v == value))
        };
        samples.iter().filter(|(n, has, _)| n == name && fits(has)).map(|(_, _, value)| value).sum::<f64>()
    };
    assert_eq!(value("rauthy_role", &[("role", "leader")]), 1.0);
    assert_eq!(value("rauthy_role", &[]), 1.0, "one role at a time");
    assert_eq!(value("rauthy_link_up", &[]), 1.0);
    assert!(value("rauthy_lease_left_seconds", &[]) > 0.0);
    assert!(value("rauthy_certificate_expiry_timestamp_seconds", &[]) > 1.7e9);
    assert_eq!(value("rauthy_operations_total", &[("operation", "put"), ("outcome", "ok")]), 103.0);
    assert_eq!(value("rauthy_operations_total", &[("cache", "cache 0"), ("operation", "get")]), 1.0);
    assert_eq!(
        value("rauthy_operation_duration_seconds_count", &[("operation", "get"), ("level", "local")]),
        100.0
    );
    assert_eq!(
        value("rauthy_cache_entries", &[]),
        value("rauthy_store_entries", &[]),
        "others are summed up"
    );
    assert!(value("rauthy_evicted_values_total", &[]) >= 1.0);
    assert!(value("process_resident_memory_bytes", &[]) > 1e6);
    // 102 caches were used: there is an end to their names.
    let caches: BTreeSet<&String> = samples.iter().filter_map(|(_, labels, _)| labels.get("cache")).collect();
    assert_eq!(caches.len(), 33, "{caches:?}");
    assert!(caches.contains(&"other".to_owned()));
    let series = samples.len();
    assert!(series < 1000, "{series} series");
}
